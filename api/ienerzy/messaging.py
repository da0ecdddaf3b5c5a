"""Ienerzy messaging: /api/messaging (IE-037 to IE-039), what became of messages, and what providers say.

A message is a row and a task of the outbox, written with the request: it is sent by the jobs role.
"""

import uuid
from typing import Annotated

import structlog
from fastapi import Path, Query, Request

from api.callers import Caller
from api.context import Context, Ctx, Db
from api.errors import Problem, forbidden, not_found
from api.ienerzy.callers import DealerOrAdmin
from api.ienerzy.messaging_schemas import (
    KINDS,
    BatteryStatusIn,
    MessageKind,
    MessageOut,
    MessageSent,
    OtpIn,
    SmsIn,
    StatusSent,
    StatusTaken,
    message_id,
    notice_id,
)
from api.ienerzy.phones import phone_of
from api.ienerzy.service_access import battery_by_id
from api.limits import too_many_requests
from api.routing import Router
from storage.database import Connection
from storage.queries import notices
from stream.notices import Message, enqueue, take_status
from stream.sms_status import ForgedStatusError, StatusFormError

log = structlog.get_logger()

router = Router(prefix="/messaging")

LIST_MAX = 500
PROVIDER_CHARACTERS_MAX = 32


@router.post("/send-sms")
async def send_sms(body: SmsIn, caller: DealerOrAdmin, context: Ctx, db: Db) -> MessageSent:
    """Send a text to a phone; a dealer may send 30 messages a minute."""
    phone = phone_of(context, body.to)
    await _count(context, caller)
    name = await _send(db, context, caller, "sms", phone, body.message)
    return MessageSent(success=True, message_id=name, status="sent", to=phone)


@router.post("/send-otp")
async def send_otp(body: OtpIn, caller: DealerOrAdmin, context: Ctx, db: Db) -> MessageSent:
    """Send a one-time password that the caller made up; five a minute, as sign-in. It is no login here."""
    phone = phone_of(context, body.to)
    window = await context.limiter.ienerzy_auth(f"user:{caller.id}")
    if not window.is_within:
        raise too_many_requests(window)
    text = f"Your one-time password is {body.otp}. Do not share it with anybody."
    name = await _send(db, context, caller, "otp", phone, text)
    return MessageSent(success=True, message_id=name, status="sent", to=phone)


@router.post("/battery-status")
async def battery_status(body: BatteryStatusIn, caller: DealerOrAdmin, context: Ctx, db: Db) -> StatusSent:
    """Tell a consumer about a battery of the calling dealer."""
    phone = phone_of(context, body.consumer_phone)
    battery = await battery_by_id(db, caller, body.battery_id)
    await _count(context, caller)
    name = await _send(db, context, caller, "battery_status", phone, body.message)
    log.info("battery_status_told", battery=battery.serial_number, status=body.status, message_id=name)
    return StatusSent(success=True, message_id=name, status="sent", notification_type="battery_status")


@router.get("/messages")
async def list_messages(
    caller: DealerOrAdmin, db: Db, limit: Annotated[int, Query(ge=1, le=LIST_MAX)] = 100
) -> list[MessageOut]:
    """List the messages that the caller sent, the newest first; an admin's are all."""
    found = await notices.list_sent(db, list(KINDS.values()), user_id=_sender(caller), limit=limit)
    return [MessageOut.of(notice) for notice in found]


@router.get("/messages/{message_id}")
async def message(
    reference: Annotated[str, Path(alias="message_id")], caller: DealerOrAdmin, db: Db
) -> MessageOut:
    """Show what became of a message."""
    wanted = notice_id(reference)
    found = None
    if wanted is not None:
        found = await notices.list_sent(
            db, list(KINDS.values()), user_id=_sender(caller), notice_id=wanted, limit=1
        )
    if not found:
        raise not_found("Message", f"No message found with id {reference}")
    return MessageOut.of(found[0])


@router.post("/status/{provider}")
async def status(
    provider: Annotated[str, Path(max_length=PROVIDER_CHARACTERS_MAX)], request: Request, context: Ctx
) -> StatusTaken:
    """Take what an SMS provider says of a message: signed by it, in its own form.

    The same again changes nothing, and neither does the order; a message that is not known is ignored.
    """
    known = context.config.sms_statuses.get(provider)
    if known is None:
        raise not_found("SMS provider", f"There are no status callbacks of {provider} here")
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        said = known.read(request.url.query, headers, await request.body())
    except ForgedStatusError as error:
        log.warning("sms_status_refused", provider=provider, error=str(error))
        raise forbidden(str(error)) from error
    except StatusFormError as error:
        raise Problem(400, "Validation failed", str(error)) from error
    async with context.pool.connection() as db:
        await take_status(db, known.name, said, context.now())
    return StatusTaken(success=True)


async def _send(
    db: Connection, context: Context, caller: Caller, kind: MessageKind, phone: str, text: str
) -> str:
    """Write one message; returns its name."""
    # each request is a message of its own: nobody is told the same twice only because a dealer says it twice
    new = Message(f"{KINDS[kind]}:{uuid.uuid4()}", KINDS[kind], "sms", phone, text, has_secret=kind == "otp")
    made = await enqueue(db, caller.id, new, context.now())
    assert made is not None, "the key is new"
    log.info("message_accepted", dealer=caller.id, kind=kind, notice=made)
    return message_id(made)


async def _count(context: Context, caller: Caller) -> None:
    window = await context.limiter.ienerzy_message(caller.id)
    if not window.is_within:
        raise too_many_requests(window)


def _sender(caller: Caller) -> int | None:
    return None if caller.role == "admin" else caller.id
