"""Documents of Ienerzy consumers: /api/consumers/{id}/documents (IE-013, IE-X04, IE-X06)."""

import json
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

from fastapi import Path as PathParameter
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.responses import StreamingResponse

from api.callers import Caller
from api.context import Context, Ctx, Db
from api.errors import FieldError, Problem, invalid, not_found
from api.fields import parse_id
from api.identity_numbers import end_of
from api.ienerzy.callers import DealerOrAdmin, DealerOrConsumer
from api.ienerzy.consumer_identity import PURPOSE, is_own_dealer, masked, opened
from api.ienerzy.consumers import ConsumerId, consumer_of, write_down
from api.ienerzy.document_schemas import (
    BODY,
    DocumentFacts,
    DocumentOut,
    DocumentReview,
    DocumentTaken,
    LinkedDocument,
)
from api.ienerzy.schemas import IenerzyError
from api.limits import too_many_requests
from api.routing import Router
from api.sealing import seal
from api.uploaded_files import BINARY, FitFile, away, fit_file, give_file, headers_of, keep_files
from storage.database import Connection
from storage.queries import consumer_documents
from storage.queries.consumer_documents import ConsumerDocument
from storage.queries.consumers import Consumer
from stream.files import DOCUMENTS, IMAGES, FileStoreError, Format, UnfitFileError

router = Router(prefix="/consumers")

LIST_MAX = 1_000
FOLDER = "consumer"  # in the file store
FIELDS_MAX = 8
FIELD_BYTES_MAX = 1_024
NAME_BYTES = 16
AWAY_STATUS = 500  # the family has no 503
NUMBER_CHARACTERS_MIN = 8  # of which the end is shown
_TAKEN = {each.name for each in (*IMAGES.values(), DOCUMENTS[".pdf"])}
_MIMETYPES = {each.mimetype for each in (*IMAGES.values(), DOCUMENTS[".pdf"])}
_AWAY: dict[int | str, dict[str, Any]] = {
    AWAY_STATUS: {"model": IenerzyError, "description": "The file store does not answer"}
}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": dict.fromkeys(sorted(_MIMETYPES), BINARY), "description": "The file"},
    **_AWAY,
}

Model = TypeVar("Model", bound=BaseModel)
DocumentId = Annotated[str, PathParameter(alias="document_id")]


@router.post("/{id}/documents", status_code=201, openapi_extra=BODY, responses=_AWAY)
async def add_document(
    consumer_id: ConsumerId, request: Request, caller: DealerOrAdmin, context: Ctx
) -> DocumentTaken:
    """Enter a document of a consumer: as JSON with the address where it is, or as a form with the file.

    A file is a picture or a PDF by its content, which must be what its name says; pictures are encoded again,
    without EXIF. At most 10 documents a minute from one user.
    """
    window = await context.limiter.ienerzy_upload(caller.id)
    if not window.is_within:
        raise too_many_requests(window)
    async with context.pool.connection() as db:
        consumer = await consumer_of(db, caller, consumer_id)
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        made = await _add_file(request, caller, context, consumer)
        note = "The file is kept here: document_url gives it to the consumer, the dealer and admins"
    else:
        made = await _add_link(request, caller, context, consumer)
        note = "The document stays where document_url says: no copy of it is kept here"
    return DocumentTaken(
        message="Document uploaded successfully", document=_show(context, caller, consumer, made), note=note
    )


@router.get("/{id}/documents")
async def list_documents(
    consumer_id: ConsumerId, caller: DealerOrConsumer, context: Ctx, db: Db
) -> list[DocumentOut]:
    """List a consumer's documents, the newest first."""
    consumer = await consumer_of(db, caller, consumer_id)
    found = await consumer_documents.list_documents(db, consumer.id, limit=LIST_MAX)
    return [_show(context, caller, consumer, each) for each in found]


@router.put("/{id}/documents/{document_id}")
async def review_document(
    consumer_id: ConsumerId,
    document_id: DocumentId,
    body: DocumentReview,
    caller: DealerOrAdmin,
    context: Ctx,
    db: Db,
) -> DocumentOut:
    """Verify or reject a document. The last decision stands; the consumer's KYC is decided by itself."""
    consumer = await consumer_of(db, caller, consumer_id)
    reviewed = await consumer_documents.review_document(
        db,
        consumer.id,
        (await _document_of(db, consumer, document_id)).id,
        status=body.status,
        notes=body.notes,
        reviewed_by=caller.id,
        now=context.now(),
    )
    assert reviewed is not None, "documents are not deleted"
    detail = {"document": reviewed.id, "status": body.status}
    await write_down(context, db, caller, "document.review", consumer.id, detail)
    return _show(context, caller, consumer, reviewed)


@router.get("/{id}/documents/{document_id}/file", response_class=StreamingResponse, responses=_FILE)
async def read_file(
    consumer_id: ConsumerId, document_id: DocumentId, caller: DealerOrConsumer, context: Ctx
) -> StreamingResponse:
    """Return an uploaded file, to the consumer, the dealer and admins. A link has none here (404)."""
    async with context.pool.connection() as db:
        consumer = await consumer_of(db, caller, consumer_id)
        found = await _document_of(db, consumer, document_id)
    if found.file_name is None or found.mimetype is None:
        raise not_found("File", f"Document {found.id} is kept at its document_url")
    name = f"{found.document_type}-{found.id}{Path(found.file_name).suffix}"
    headers = headers_of(found.mimetype, name=name, cache="private, no-store", is_private=True)
    try:
        return await give_file(context.config.files, f"{FOLDER}/{found.file_name}", found.mimetype, headers)
    except FileStoreError as error:
        raise away(error, AWAY_STATUS) from error


async def _add_link(
    request: Request, caller: Caller, context: Context, consumer: Consumer
) -> ConsumerDocument:
    content = await request.body()
    if len(content) > context.config.body_bytes_max:
        details = f"At most {context.config.body_bytes_max} bytes are read"
        raise Problem(400, "Request body too large", details)
    try:
        given = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RequestValidationError([{"type": "json_invalid", "loc": ("body",), "msg": "JSON"}]) from error
    facts = _validated(LinkedDocument, given)
    async with context.pool.connection() as db:
        return await _enter(context, db, caller, consumer, facts, url=facts.document_url)


async def _add_file(
    request: Request, caller: Caller, context: Context, consumer: Consumer
) -> ConsumerDocument:
    async with request.form(max_files=1, max_fields=FIELDS_MAX, max_part_size=FIELD_BYTES_MAX) as form:
        file, facts = _fields(request, form)
        with tempfile.TemporaryDirectory(prefix="gridwire-upload-") as folder:
            fit = await fit_file(file, Path(folder), check=_check, is_document=True)
            name = f"{secrets.token_hex(NAME_BYTES)}.{fit.format.extension}"

            async def enter() -> ConsumerDocument:
                async with context.pool.connection() as db:
                    return await _enter(context, db, caller, consumer, facts, name=name, fit=fit)

            try:
                files = {f"{FOLDER}/{name}": fit.path}
                return await keep_files(context.config.files, files, fit.format.mimetype, enter)
            except FileStoreError as error:
                raise away(error, AWAY_STATUS) from error


def _fields(request: Request, form: FormData) -> tuple[UploadFile, DocumentFacts]:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise invalid(request.url.path, [FieldError("file", "A file is required", is_missing=True)])
    return file, _validated(DocumentFacts, {key: value for key, value in form.items() if key != "file"})


def _validated(model: type[Model], given: Any) -> Model:
    """Read a body that FastAPI did not; refuses it in FastAPI's way."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        _refuse(error.errors(include_url=False, include_input=False, include_context=False))


def _refuse(errors: list[Any]) -> NoReturn:
    located: list[Mapping[str, Any]] = [{**each, "loc": ("body", *each["loc"])} for each in errors]
    raise RequestValidationError(located)


def _check(claimed: Format) -> None:
    if claimed.name not in _TAKEN:
        raise UnfitFileError("A document must be a picture (JPEG, PNG, GIF) or a PDF")


async def _enter(
    context: Context,
    db: Connection,
    caller: Caller,
    consumer: Consumer,
    facts: DocumentFacts,
    *,
    url: str | None = None,
    name: str | None = None,
    fit: FitFile | None = None,
) -> ConsumerDocument:
    number = facts.document_number
    binding = _binding(consumer.id, facts.document_type)
    made = await consumer_documents.insert_document(
        db,
        consumer_id=consumer.id,
        document_type=facts.document_type,
        document_url=url,
        file_name=name,
        mimetype=None if fit is None else fit.format.mimetype,
        sha256=None if fit is None else fit.sha256,
        number_sealed=None if number is None else seal(context.config.secret_key, PURPOSE, binding, number),
        number_end=None if number is None else _end_of(number),
        uploaded_by=caller.id,
        now=context.now(),
    )
    detail = {"document": made.id, "document_type": made.document_type}
    await write_down(context, db, caller, "document.add", consumer.id, detail)
    return made


async def _document_of(db: Connection, consumer: Consumer, reference: str) -> ConsumerDocument:
    document_id = parse_id(reference)
    found = (
        None if document_id is None else await consumer_documents.get_document(db, consumer.id, document_id)
    )
    if found is None:
        raise not_found("Document", f"Consumer {consumer.id} has no document with id {reference}")
    return found


def _show(context: Context, caller: Caller, consumer: Consumer, document: ConsumerDocument) -> DocumentOut:
    public_url = context.config.public_url
    url = document.document_url or f"{public_url}/api/consumers/{consumer.id}/documents/{document.id}/file"
    return DocumentOut.of(document, url, _number(context, caller, consumer, document))


def _end_of(number: str) -> str:
    """What is shown of a number: of a short one nothing."""
    return end_of(number) if len(number) >= NUMBER_CHARACTERS_MIN else ""


def _number(context: Context, caller: Caller, consumer: Consumer, document: ConsumerDocument) -> str | None:
    """The document's number as the caller may see it."""
    if document.number_sealed is None or document.number_end is None:
        return None
    binding = _binding(consumer.id, document.document_type)
    number = opened(context, binding, document.number_sealed) if is_own_dealer(caller, consumer) else None
    return number or masked(document.number_end, NUMBER_CHARACTERS_MIN)


def _binding(consumer_id: int, document_type: str) -> str:
    return f"consumer:{consumer_id}:document:{document_type}"
