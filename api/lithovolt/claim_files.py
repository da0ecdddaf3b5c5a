"""Files of Lithovolt claims: /api/warranty/claims/{id}/files/, for who sees the claim and nobody else."""

import secrets
import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import Path as PathParameter
from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.responses import StreamingResponse

from api import uploaded_files
from api.callers import Caller
from api.context import Context, Ctx
from api.errors import not_found
from api.fields import parse_id
from api.lithovolt.callers import AnyUser
from api.lithovolt.claims import FILES_MAX
from api.lithovolt.claims_schemas import ClaimFileOut
from api.lithovolt.schemas import Detail, Id, refused
from api.lithovolt.warranty_access import claim_of
from api.routing import Router
from api.uploaded_files import BINARY, FitFile
from storage.queries import warranty_claims
from storage.queries.warranty_claims import ClaimFile
from stream.files import DOCUMENTS, IMAGES, FileStoreError, Format

router = Router(prefix="/warranty/claims/{id}/files")

TYPE = "claim"
NAME_BYTES = 16
FIELDS_MAX = 8
FIELD_BYTES_MAX = 1_024
AWAY_STATUS = 503
_AWAY: dict[int | str, dict[str, Any]] = {
    503: {"model": Detail, "description": "The file store does not answer"}
}
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}
_TYPES = {each.mimetype: BINARY for each in (*IMAGES.values(), *DOCUMENTS.values())}


@router.post("/", status_code=201, openapi_extra=_FORM, responses=_AWAY)
async def attach(request: Request, claim_id: Id, caller: AnyUser, context: Ctx) -> ClaimFileOut:
    """Add a picture or a document to a claim: the form's `file`, at most 10 MiB.

    What it is is told by its content, which must be what its name says. Pictures are encoded again, without
    EXIF. A claim has at most 20 files.
    """
    async with context.pool.connection() as db:  # given back before the file comes, however slowly
        await claim_of(db, caller, claim_id)
    async with request.form(max_files=1, max_fields=FIELDS_MAX, max_part_size=FIELD_BYTES_MAX) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise refused("file", "No file was submitted.")
        with tempfile.TemporaryDirectory(prefix="gridwire-claim-") as folder:
            fit = await uploaded_files.fit_file(file, Path(folder), check=_take_all, is_document=True)
            return ClaimFileOut.of(await _keep(context, caller, claim_id, fit))


async def _keep(context: Context, caller: Caller, claim_id: str, fit: FitFile) -> ClaimFile:
    name = f"{secrets.token_hex(NAME_BYTES)}.{fit.format.extension}"

    async def enter() -> ClaimFile:
        async with context.pool.connection() as db:
            claim = await claim_of(db, caller, claim_id, is_locked=True)
            if len(await warranty_claims.files_of(db, claim.id, FILES_MAX)) == FILES_MAX:
                raise refused("file", f"A claim has at most {FILES_MAX} files.")
            kept = await warranty_claims.add_file(
                db,
                claim.id,
                file_name=name,
                original=fit.original,
                mimetype=fit.format.mimetype,
                size_bytes=fit.size_bytes,
                uploaded_by=caller.id,
                now=context.now(),
            )
            detail = {"file": kept.id, "name": kept.original}
            await warranty_claims.add_event(db, claim.id, "attached", caller.id, detail, context.now())
            return kept

    files = {f"{TYPE}/{name}": fit.path}
    try:
        return await uploaded_files.keep_files(context.config.files, files, fit.format.mimetype, enter)
    except FileStoreError as error:
        raise uploaded_files.away(error, AWAY_STATUS) from error


@router.get(
    "/{file_id}/",
    response_class=StreamingResponse,
    responses={200: {"content": _TYPES, "description": "The file"}, **_AWAY},
)
async def read(
    claim_id: Id, file_id: Annotated[str, PathParameter()], caller: AnyUser, context: Ctx
) -> StreamingResponse:
    """Download a file of a claim."""
    number = parse_id(file_id)
    async with context.pool.connection() as db:
        claim = await claim_of(db, caller, claim_id)
        found = None if number is None else await warranty_claims.get_file(db, claim.id, number)
    if found is None:
        raise not_found("File", f"Claim {claim.claim_number} has no file {file_id}")
    headers = uploaded_files.headers_of(
        found.mimetype, name=found.original, cache="private, no-store", is_private=True
    )
    try:
        return await uploaded_files.give_file(
            context.config.files, f"{TYPE}/{found.file_name}", found.mimetype, headers
        )
    except FileStoreError as error:
        raise uploaded_files.away(error, AWAY_STATUS) from error


def _take_all(claimed: Format) -> None:
    """Pictures and documents alike are evidence."""
