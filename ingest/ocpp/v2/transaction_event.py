"""TransactionEvent (OCPP 2.0.1 part 2, block E): a session, durable before each answer.

Events may come in any order, again, and long after the fact: `protocols.ocpp.transactions` says what they
tell together. A session that ended is rated once nothing that is missing could change its price, or when
`GAP_WAIT` has passed.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta

import orjson

from ingest.ocpp import remote_starts
from ingest.ocpp.authority import Verdict
from ingest.ocpp.context import Context, Payload
from ingest.ocpp.under_way import Known
from ingest.ocpp.v2.authorize import judge_token, token_info
from ingest.ocpp.v2.cost import total_cost
from ingest.ocpp.v2.mere_reading import read_further
from ingest.ocpp.v2.status_notification import tell_status
from ingest.ocpp.v16.meter_values import keep_signed, store
from ingest.ocpp.v16.start_transaction import session_facts
from ingest.ocpp.variables import int4
from protocols.ocpp.connector_status import transaction_status
from protocols.ocpp.meter_values import MeterValues
from protocols.ocpp.meter_values_2 import decode_meter_values_2, of_transaction, register_readings
from protocols.ocpp.storable import storable
from protocols.ocpp.transaction_event import read_event, transaction_uid
from protocols.ocpp.transactions import EventType, Progress, TransactionEvent
from protocols.samples import DecodeError
from protocols.timestamps import to_datetime
from storage.database import Connection
from storage.queries.chargers import set_connector_status
from storage.queries.charging_profiles import end_transaction_profiles
from storage.queries.evses import known_status
from storage.queries.outbox import enqueue
from storage.queries.reservations import end_reservation
from storage.queries.sessions import Session
from storage.queries.transactions import (
    Transaction,
    lock_transaction,
    make_transaction,
    retire_transaction,
    save_progress,
    save_transaction,
)
from stream.reconciliation import Stop, late_stop
from stream.records import fix_price
from stream.session_news import announce_start

# How long a session that ended waits for events that are missing before it is rated without them.
GAP_WAIT = timedelta(minutes=15)
_NO_ERROR = "NoError"


@dataclass(frozen=True, slots=True)
class _Taken:
    """What came of an event. `transaction_id` is ours.

    `is_late`: the event says something new of a session that is rated, and stays as it is. `started`: the
    session that began with it. `status`: the EVSE's new one. `known`: what the next event can build on.
    """

    transaction_id: int
    evse_id: int
    is_late: bool = False
    started: Session | None = None
    status: str | None = None
    cost: float | None = None
    known: Known | None = None


async def handle(context: Context, payload: Payload) -> Payload:
    """Keep it whatever the token: the charger delivers energy already. In quarantine: no session."""
    values = await _decode(context, payload)
    event = read_event(
        payload,
        at_us=context.device_time_us(payload),
        received_at_us=context.received_at_us,
        readings=register_readings(values.rows),
    )
    uid = transaction_uid(payload)
    if context.is_active and (known := await read_further(context, uid, event)):
        await _keep(context, payload, event, values, _Taken(known.transaction_id, known.evse_id))
        return {}
    verdict: Verdict | None = None
    taken: _Taken | None = None
    async with context.services.pool.connection() as connection:
        token = payload.get("idToken")
        if started := await remote_starts.token_of(context, connection, event):
            token = started
            event = replace(event, id_token=started["idToken"], id_token_type=started["type"])
        if token:
            verdict = await judge_token(context, connection, token)
        if context.is_active:
            taken = await _take(context, connection, uid, event, verdict)
    if taken is not None and taken.known is not None:
        context.services.under_way.keep(context.device.id, uid, taken.known)
    await _keep(context, payload, event, values, taken)
    return _answer(context, verdict, taken)


async def _decode(context: Context, payload: Payload) -> MeterValues:
    """The samples, as of no transaction yet; a list that is none is counted as refused."""
    listed = payload.get("meterValue") or []
    try:
        return decode_meter_values_2(listed, 0)
    except DecodeError as error:
        await context.refuse(error, orjson.dumps(listed))
        return decode_meter_values_2([], 0)


def _answer(context: Context, verdict: Verdict | None, taken: _Taken | None) -> Payload:
    answer: dict[str, object] = {}
    if taken is not None and taken.cost is not None:
        answer["totalCost"] = taken.cost
    if verdict is not None:
        answer["idTokenInfo"] = token_info(context, verdict)
    return answer


async def _take(
    context: Context, connection: Connection, uid: str, event: TransactionEvent, verdict: Verdict | None
) -> _Taken:
    """What follows from an event in the database, in the caller's transaction."""
    transaction, is_new = await _find(context, connection, uid, event)
    known = transaction.progress
    progress, at = known.take(event), context.received_at
    if transaction.is_rated:
        await save_progress(connection, transaction.session_id, progress, rating=transaction.rating, at=at)
        await _correct(connection, transaction, progress)
        is_late = progress.facts != known.facts
        return _Taken(transaction.transaction_id, known.integer("evse") or 0, is_late=is_late)
    is_its_token = verdict is not None and progress.facts.get("token") != known.facts.get("token")
    session = await save_transaction(
        connection,
        transaction.session_id,
        progress,
        user_id=verdict.user_id if verdict is not None and is_its_token else transaction.user_id,
        rating=await _rate(context, connection, transaction, progress),
        at=at,
    )
    await _correct(connection, transaction, progress)
    if int4(event.reservation_id) is not None:
        await end_reservation(connection, context.device.id, event.reservation_id or 0, "used", at)
    if session.ended_at is not None:
        await end_transaction_profiles(
            connection, context.device.id, transaction_id=uid, evse_id=session.connector_id
        )
    is_start = is_new and not session.ended_at
    if is_start:
        await fix_price(connection, session)
        await announce_start(connection, session)
    status = None
    if _is_news(event, known, progress):
        status = await _show(context, connection, session.connector_id, event, progress)
    is_open, evse_id = session.status == "active", session.connector_id
    return _Taken(
        transaction.transaction_id,
        evse_id,
        started=session if is_start else None,
        status=status,
        cost=await total_cost(connection, session, event, known),
        known=Known(session.id, transaction.transaction_id, evse_id, progress) if is_open else None,
    )


async def _find(
    context: Context, connection: Connection, uid: str, event: TransactionEvent
) -> tuple[Transaction, bool]:
    """The transaction, made if this is the first of it; a start after its end is one with a used id."""
    device_id = context.device.id
    found = await lock_transaction(connection, device_id, uid)
    if found is not None and _is_another(found.progress, event):
        await retire_transaction(connection, found.session_id)
        found = None
    if found is not None:
        return found, False
    return await make_transaction(connection, device_id, uid, context.received_at)


def _is_another(progress: Progress, event: TransactionEvent) -> bool:
    ended_us, started_us = progress.integer("ended"), progress.integer("started")
    has_both = ended_us is not None and started_us is not None and progress.has_started
    is_start = event.type is EventType.STARTED and event.at_us != started_us
    return has_both and is_start and event.at_us > (ended_us or 0)


async def _rate(
    context: Context, connection: Connection, transaction: Transaction, progress: Progress
) -> str | None:
    """Have an ended session rated: now if it is whole, else after the wait for what is missing."""
    rating = transaction.rating
    task = {"session_id": transaction.session_id}
    if not progress.has_ended or rating == "due":
        return rating
    if progress.is_whole:
        await enqueue(connection, "rate_session", task)
        return "due"
    if rating is None:
        await enqueue(connection, "rate_session", task, context.received_at + GAP_WAIT)
    return "waiting"


async def _correct(connection: Connection, transaction: Transaction, progress: Progress) -> None:
    """Put the charger's own end in the place of one that reconciliation made, and have it rated again."""
    if transaction.progress.has_ended or not progress.has_ended:
        return
    stop = Stop(
        ended_at=to_datetime(progress.integer("ended") or 0),
        received_at=to_datetime(progress.integer("ended", 1) or 0),
        meter_stop_wh=progress.meter_stop_wh,
        reason=progress.text("ended", 2),
    )
    await late_stop(connection, transaction.session_id, stop)


async def _show(
    context: Context, connection: Connection, evse_id: int, event: TransactionEvent, progress: Progress
) -> str | None:
    """Show in the EVSE's status how the transaction stands; returns the new status, if it is one."""
    known = await known_status(connection, context.device.id, evse_id)
    word = transaction_status(event.charging_state, known, has_ended=progress.has_ended)
    if word is not None:
        at = context.received_at
        await set_connector_status(connection, context.device.id, evse_id, word, _NO_ERROR, at)
    return word


def _is_news(event: TransactionEvent, known: Progress, progress: Progress) -> bool:
    """Whether an event says how its EVSE is now: not of the past, and not what the one before said."""
    has_just_ended = progress.has_ended and not known.has_ended
    is_change = has_just_ended or event.charging_state not in (None, known.text("charging_state"))
    is_now = not event.is_offline and event.seq_no >= progress.newest_seq
    return is_now and is_change and progress.integer("evse") is not None


async def _keep(
    context: Context, payload: Payload, event: TransactionEvent, values: MeterValues, taken: _Taken | None
) -> None:
    """Samples and the event itself to the log, then the live events; all may be repeated."""
    evse_id, transaction_id = event.evse_id or 0, None
    if taken is not None:
        evse_id, transaction_id = taken.evse_id, taken.transaction_id
    about = {name: value for name, value in payload.items() if name != "meterValue"}
    await asyncio.gather(
        store(context, of_transaction(values, evse_id, transaction_id)),
        keep_signed(context, payload.get("meterValue"), {"transactionInfo": payload["transactionInfo"]}),
        context.record(_kind(taken), storable(about), event.at_us),
    )
    if taken is not None and taken.started is not None:
        await context.tell("session-started", session_facts(taken.started))
    if taken is not None and taken.status is not None:
        await tell_status(context, evse_id, taken.status)


def _kind(taken: _Taken | None) -> str:
    if taken is None:
        return "start_refused"
    return "transaction_event_after_rating" if taken.is_late else "transaction_event"
