"""EV-CMS files: /api/v1/upload, links to private files, and /uploads (EV-134, EV-136)."""

import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import Path as PathParameter
from fastapi import Query, Request
from starlette.datastructures import FormData, UploadFile
from starlette.responses import StreamingResponse

from api.callers import Caller, authenticate
from api.context import Context, Ctx, Db
from api.errors import FieldError, invalid
from api.evcms.callers import FAMILY, AnyUser, BearerToken
from api.evcms.envelope import Answer
from api.evcms.files import (
    PRIVATE,
    check_link,
    refuse_foreign,
    signed_url,
    thumbnail_of,
    upload_of,
    url_of,
)
from api.evcms.schemas.errors import UNLIMITED, EvcmsError
from api.evcms.schemas.uploads import FORM, UPLOAD_TYPES, LinkOut, UploadOut, UploadType
from api.routing import Router
from api.uploaded_files import BINARY, FitFile, away, fit_file, give_file, headers_of, keep_files
from storage.queries.uploads import Upload, insert_upload
from stream.files import DOCUMENTS, IMAGES, FileStoreError, Format, UnfitFileError

router = Router()
public = Router(prefix="/uploads", tags=["EV-CMS"], responses=UNLIMITED)

FIELDS_MAX = 8
FIELD_BYTES_MAX = 1_024
NAME_BYTES = 16
AWAY_STATUS = 503
PUBLIC_AGE_S = 365 * 86_400  # a name is never given twice
_AWAY: dict[int | str, dict[str, Any]] = {
    503: {"model": EvcmsError, "description": "The file store does not answer"}
}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {each.mimetype: BINARY for each in (*IMAGES.values(), *DOCUMENTS.values())},
        "description": "The file",
    },
    **_AWAY,
}


@router.post("/upload", status_code=201, openapi_extra=FORM, responses=_AWAY)
async def upload(request: Request, caller: AnyUser, context: Ctx) -> Answer[UploadOut]:
    """Keep a file: a picture for any type, a PDF or Word document for `document` only.

    What it is is told by its content, which must be what its name says. Pictures are encoded again, upright
    and without EXIF, at most 1,600 pixels a side (4,096 for `document`); of an animation the first frame.
    A `document` is private to its sender and admins.
    """
    async with request.form(max_files=1, max_fields=FIELDS_MAX, max_part_size=FIELD_BYTES_MAX) as form:
        file, type_ = _fields(request, form)
        with tempfile.TemporaryDirectory(prefix="gridwire-upload-") as folder:
            fit = await fit_file(file, Path(folder), check=_refusal(type_), is_document=type_ == PRIVATE)
            kept = await _keep(context, caller, type_, fit)
    thumbnail = None if fit.thumbnail is None else thumbnail_of(kept.filename)
    return Answer.of(
        UploadOut(
            url=url_of(context.config, type_, kept.filename),
            filename=kept.filename,
            size=kept.size_bytes,
            mimetype=kept.mimetype,
            thumbnail_url=thumbnail and url_of(context.config, type_, thumbnail),
        )
    )


@router.get("/uploads/{filename}/link")
async def link(filename: str, caller: AnyUser, context: Ctx, db: Db) -> Answer[LinkOut]:
    """Make a link to a private document that is good for 15 minutes, for its sender or an admin."""
    found = await upload_of(db, PRIVATE, filename)
    refuse_foreign(caller, found)
    url, expires_at = signed_url(context.config, found, context.now())
    return Answer.of(LinkOut(url=url, expires_at=expires_at))


@public.get(
    "/{type}/{filename}", response_class=StreamingResponse, responses=_FILE, openapi_extra={"security": [{}]}
)
async def read(
    type_: Annotated[str, PathParameter(alias="type", description=" | ".join(UPLOAD_TYPES))],
    filename: str,
    context: Ctx,
    credentials: BearerToken,
    expires: Annotated[str | None, Query(pattern=r"^\d{1,12}$", description="of a link")] = None,
    signature: Annotated[str | None, Query(max_length=100, description="of a link")] = None,
) -> StreamingResponse:
    """Return a file. A `document` needs its sender's or an admin's token, or a link that was asked for."""
    if type_ == PRIVATE:
        if expires is not None and signature is not None:
            now_us = context.clock()
            check_link(context.config, type_, filename, expires=expires, signature=signature, now_us=now_us)
            caller = None
        else:
            caller = await authenticate(context, FAMILY, credentials)
    async with context.pool.connection() as db:
        found = await upload_of(db, type_, filename)
    if type_ == PRIVATE and caller is not None:
        refuse_foreign(caller, found)
    try:
        return await give_file(context.config.files, f"{type_}/{filename}", found.mimetype, _headers(found))
    except FileStoreError as error:
        raise away(error, AWAY_STATUS) from error


def _headers(found: Upload) -> dict[str, str]:
    is_private = found.type == PRIVATE
    cache = "private, no-store" if is_private else f"public, max-age={PUBLIC_AGE_S}, immutable"
    return headers_of(found.mimetype, name=found.original, cache=cache, is_private=is_private)


def _fields(request: Request, form: FormData) -> tuple[UploadFile, UploadType]:
    """Return the form's two fields; raises the 422 `Problem` that names each that is not there."""
    file, type_ = form.get("file"), form.get("type")
    errors = []
    if not isinstance(file, UploadFile):
        errors.append(FieldError("file", "A file is required", is_missing=True))
    if type_ not in UPLOAD_TYPES:
        errors.append(FieldError("type", f"Must be one of {', '.join(UPLOAD_TYPES)}"))
    if errors:
        raise invalid(request.url.path, errors)
    return cast("UploadFile", file), cast("UploadType", type_)


def _refusal(type_: UploadType) -> Callable[[Format], None]:
    def check(claimed: Format) -> None:
        if claimed.kind == "document" and type_ != PRIVATE:
            raise UnfitFileError(f"A {type_} file must be a picture; documents are of type {PRIVATE}")

    return check


async def _keep(context: Context, caller: Caller, type_: UploadType, fit: FitFile) -> Upload:
    filename = f"{secrets.token_hex(NAME_BYTES)}.{fit.format.extension}"
    files = {f"{type_}/{filename}": fit.path}
    if fit.thumbnail is not None:
        files[f"{type_}/{thumbnail_of(filename)}"] = fit.thumbnail

    async def enter() -> Upload:
        async with context.pool.connection() as db:
            return await insert_upload(
                db,
                user_id=caller.id,
                type_=type_,
                filename=filename,
                original=fit.original,
                mimetype=fit.format.mimetype,
                size_bytes=fit.size_bytes,
                sha256=fit.sha256,
                now=context.now(),
            )

    try:
        return await keep_files(context.config.files, files, fit.format.mimetype, enter)
    except FileStoreError as error:
        raise away(error, AWAY_STATUS) from error
