"""EV-CMS files: /api/v1/upload, links to private files, and /uploads (EV-134, EV-136)."""

import asyncio
import hashlib
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import quote

import structlog
from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from starlette.datastructures import FormData, UploadFile
from starlette.responses import StreamingResponse

from api.callers import Caller, authenticate
from api.context import Context, Ctx, Db
from api.errors import FieldError, Problem, invalid, not_found
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
from storage.queries.uploads import Upload, insert_upload
from stream.files import (
    DOCUMENTS,
    IMAGES,
    FileMissingError,
    FileStore,
    FileStoreError,
    Format,
    UnfitFileError,
    check_file,
    format_of,
    reduce_image,
)

log = structlog.get_logger()

router = APIRouter()
public = APIRouter(prefix="/uploads", tags=["EV-CMS"], responses=UNLIMITED)

FIELDS_MAX = 8
FIELD_BYTES_MAX = 1_024
ORIGINAL_CHARACTERS_MAX = 200
NAME_BYTES = 16
DECODERS_MAX = 2  # files looked at, at a time: a picture may take 200 MB
PUBLIC_AGE_S = 365 * 86_400  # a name is never given twice
_AWAY: dict[int | str, dict[str, Any]] = {
    503: {"model": EvcmsError, "description": "The file store does not answer"}
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {each.mimetype: _BINARY for each in (*IMAGES.values(), *DOCUMENTS.values())},
        "description": "The file",
    },
    **_AWAY,
}
_decoders = ThreadPoolExecutor(DECODERS_MAX, thread_name_prefix="pictures")


@dataclass(frozen=True, slots=True)
class _Fit:
    """A file that is taken: what is to be kept of it."""

    format: Format
    path: Path
    thumbnail: Path | None
    original: str
    size_bytes: int
    sha256: bytes


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
            fit = await _in_decoder(_fit, file, type_, Path(folder))
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
        stored = await context.config.files.open(f"{type_}/{filename}")
    except FileMissingError as error:
        raise not_found("File", "No file has this name") from error
    except FileStoreError as error:
        raise _away(error) from error
    headers = {**_headers(found), "Content-Length": str(stored.size_bytes)}
    return StreamingResponse(stored.chunks, media_type=found.mimetype, headers=headers)


def _headers(found: Upload) -> dict[str, str]:
    """What keeps a browser from taking a file for a page of ours."""
    is_private = found.type == PRIVATE
    is_picture = found.mimetype.startswith("image/")
    return {
        "Cache-Control": "private, no-store" if is_private else f"public, max-age={PUBLIC_AGE_S}, immutable",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "same-site" if is_private else "cross-origin",
        "Content-Disposition": "inline"
        if is_picture
        else f"attachment; filename*=UTF-8''{quote(found.original)}",
    }


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


async def _in_decoder(
    work: Callable[[UploadFile, UploadType, Path], _Fit], file: UploadFile, type_: UploadType, folder: Path
) -> _Fit:
    try:
        return await asyncio.get_running_loop().run_in_executor(_decoders, work, file, type_, folder)
    except UnfitFileError as error:
        raise Problem(400, "File not accepted", str(error)) from error


def _fit(file: UploadFile, type_: UploadType, folder: Path) -> _Fit:
    """Check the file and make what is to be kept; blocking. Raises `UnfitFileError`."""
    name = file.filename or ""
    claimed = format_of(name)
    if claimed.kind == "document" and type_ != PRIVATE:
        raise UnfitFileError(f"A {type_} file must be a picture; documents are of type {PRIVATE}")
    path = folder / "source"
    with path.open("wb") as target:
        file.file.seek(0)
        shutil.copyfileobj(file.file, target)
    check_file(path, claimed)
    thumbnail = None
    if claimed.kind == "image":
        picture = reduce_image(path, claimed, folder, is_document=type_ == PRIVATE)
        path, thumbnail = picture.path, picture.thumbnail
    with path.open("rb") as kept:
        digest = hashlib.file_digest(kept, "sha256").digest()
    return _Fit(claimed, path, thumbnail, _original(name), path.stat().st_size, digest)


def _original(name: str) -> str:
    """What the sender called it, as one printable line without folders."""
    last = name.replace("\\", "/").rpartition("/")[2]
    printable = "".join(each if each.isprintable() else "_" for each in last)
    return printable.encode(errors="replace").decode()[-ORIGINAL_CHARACTERS_MAX:]


async def _keep(context: Context, caller: Caller, type_: UploadType, fit: _Fit) -> Upload:
    """First the bytes, then the row: a row never names what is not there."""
    filename = f"{secrets.token_hex(NAME_BYTES)}.{fit.format.extension}"
    files = {f"{type_}/{filename}": fit.path}
    if fit.thumbnail is not None:
        files[f"{type_}/{thumbnail_of(filename)}"] = fit.thumbnail
    store = context.config.files
    try:
        for key, path in files.items():
            await store.put(key, path, fit.format.mimetype)
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
    except BaseException as error:
        await asyncio.shield(_forget(store, files))
        if isinstance(error, FileStoreError):
            raise _away(error) from error
        raise


async def _forget(store: FileStore, keys: Iterable[str]) -> None:
    for key in keys:
        try:
            await store.delete(key)
        except FileStoreError as error:
            log.warning("upload_orphaned", key=key, error=str(error))


def _away(error: FileStoreError) -> Problem:
    log.error("file_store_failed", error=str(error))
    return Problem(503, "File store not available", "Files cannot be kept or read now: try again later")
