"""EV-CMS identity documents: /api/v1/kyc (EV-120 to EV-124)."""

from typing import Annotated

import structlog
from fastapi import Depends, Path

from api.context import Context, Ctx, Db
from api.errors import FieldError, Problem, forbidden, invalid, not_found
from api.evcms.callers import Admin, AnyUser
from api.evcms.envelope import Answer, Paging
from api.evcms.schemas.kyc import (
    DocumentOut,
    KycDecision,
    KycIn,
    KycOut,
    KycPage,
    KycStatus,
    KycStatusOut,
    NamedKyc,
)
from api.evcms.uploaded import own_upload, url_of
from api.fields import parse_id
from api.identity_numbers import end_of
from api.routing import Router
from api.sealing import UnsealError, seal, unseal
from storage.database import Connection
from storage.queries import admin_actions, kyc
from storage.queries.kyc import KycDocument, KycRecord
from stream.notify import Kind, News, notify

log = structlog.get_logger()
router = Router(prefix="/kyc")

PATH = "/api/v1/kyc/submit"
PURPOSE = "kyc document numbers"

UserId = Annotated[str, Path(alias="userId")]


@router.get("/status")
async def status(caller: AnyUser, context: Ctx, db: Db) -> Answer[KycStatusOut]:
    """Show how far the caller's verification is; `not_submitted` where it has not begun."""
    record = await kyc.get_record(db, caller.id)
    if record is None:
        return Answer.of(KycStatusOut(status="not_submitted", documents=[], notes=None))
    shown = await _show(context, db, record)
    return Answer.of(KycStatusOut(status=shown.status, documents=shown.documents, notes=shown.notes))


@router.post("/submit", status_code=201)
async def submit(body: KycIn, caller: AnyUser, context: Ctx, db: Db) -> Answer[NamedKyc]:
    """Submit a document. It takes the place of one of its type that waits or was rejected.

    A type that is approved is not taken again (409). While a document waits, the whole is pending.
    """
    front, back = await _images(db, caller.id, body)
    is_kept = await kyc.submit_document(
        db,
        user_id=caller.id,
        document_type=body.document_type,
        number_sealed=seal(
            context.config.secret_key, PURPOSE, _binding(caller.id, body.document_type), body.document_number
        ),
        number_end=end_of(body.document_number),
        front_image=front,
        back_image=back,
        now=context.now(),
    )
    if not is_kept:
        details = f"Your {body.document_type} is approved: it is not taken again"
        raise Problem(409, "Document already approved", details)
    return Answer.of(NamedKyc.around(await _show(context, db, await _record_of(db, str(caller.id)))))


@router.get("/list")
async def list_submissions(
    caller: Admin,
    context: Ctx,
    db: Db,
    paging: Annotated[Paging, Depends()],
    status: KycStatus | None = None,
) -> KycPage:
    """List what people submitted, the latest first; numbers are masked."""
    found, total = await kyc.list_records(db, status=status, limit=paging.limit, offset=paging.offset)
    documents = await kyc.documents_of(db, [record.user_id for record in found])
    rows = [
        KycOut.of(record, [_masked(context, each) for each in documents[record.user_id]]) for record in found
    ]
    return KycPage(success=True, data=rows, submissions=rows, pagination=paging.of(total))


@router.get("/users/{userId}")
async def get_submission(user_id: UserId, caller: Admin, context: Ctx, db: Db) -> Answer[NamedKyc]:
    """Show a person's documents with their numbers in full. That somebody read them is written down."""
    record = await _record_of(db, user_id)
    documents = (await kyc.documents_of(db, [record.user_id]))[record.user_id]
    await _write_down(context, db, caller.id, record.user_id, "kyc.read", {})
    return Answer.of(NamedKyc.around(KycOut.of(record, [_opened(context, each) for each in documents])))


@router.put("/users/{userId}/verify")
async def verify(user_id: UserId, body: KycDecision, caller: Admin, context: Ctx, db: Db) -> Answer[NamedKyc]:
    """Approve or reject the documents that wait, and tell their owner. Nobody decides on his own (403)."""
    record = await _record_of(db, user_id, is_locked=True)
    if record.user_id == caller.id:
        raise forbidden("Another admin has to verify your own documents")
    if record.status != "pending":
        details = f"The documents of user {record.user_id} are {record.status}: none waits"
        raise Problem(400, "Nothing to verify", details)
    now = context.now()
    await kyc.decide(db, record.user_id, status=body.status, notes=body.notes, verified_by=caller.id, now=now)
    await _write_down(context, db, caller.id, record.user_id, f"kyc.{body.status}", {"notes": body.notes})
    news = News(
        f"kyc:{record.user_id}:{record.submitted_at.isoformat()}:{body.status}",
        Kind.KYC_DECIDED,
        {"decision": body.status, "notes": body.notes or ""},
        {"status": body.status},
    )
    await notify(db, record.user_id, news, now)
    return Answer.of(NamedKyc.around(await _show(context, db, await _record_of(db, user_id))))


async def _images(db: Connection, user_id: int, body: KycIn) -> tuple[str, str | None]:
    """Return where the images are; raises 422 for one that is no upload of type document by this person."""
    images = {"frontImage": body.front_image, "backImage": body.back_image}
    kept: dict[str, str] = {}
    for name, url in images.items():
        upload = None if url is None else await own_upload(db, user_id, "document", url)
        if upload is not None:
            kept[name] = url_of(upload)
        elif url is not None:
            message = "must be the url of an upload of your own, of type document"
            raise invalid(PATH, [FieldError(name, message)])
    return kept["frontImage"], kept.get("backImage")


async def _record_of(db: Connection, reference: str, *, is_locked: bool = False) -> KycRecord:
    user_id = parse_id(reference)
    record = None if user_id is None else await kyc.get_record(db, user_id, is_locked=is_locked)
    if record is None:
        raise not_found("KYC", f"User {reference} is not there, or has submitted no documents")
    return record


async def _show(context: Context, db: Connection, record: KycRecord) -> KycOut:
    documents = await kyc.documents_of(db, [record.user_id])
    return KycOut.of(record, [_masked(context, each) for each in documents[record.user_id]])


def _binding(user_id: int, document_type: str) -> str:
    return f"user:{user_id}:{document_type}"


def _masked(context: Context, document: KycDocument) -> DocumentOut:
    return DocumentOut.of(document, f"XXXX{document.number_end}", context.config.public_url)


def _opened(context: Context, document: KycDocument) -> DocumentOut:
    binding = _binding(document.user_id, document.document_type)
    try:
        number = unseal(context.config.secret_key, PURPOSE, binding, document.number_sealed)
    except UnsealError as error:
        log.error("kyc_number_unreadable", error=str(error), action="shown masked; restore the secret key")
        return _masked(context, document)
    return DocumentOut.of(document, number, context.config.public_url)


async def _write_down(
    context: Context, db: Connection, actor_id: int, user_id: int, action: str, detail: dict[str, str | None]
) -> None:
    await admin_actions.record_action(
        db, actor_id=actor_id, action=action, subject=f"user:{user_id}", detail=detail, now=context.now()
    )
