"""From a stopped session to its charge detail record and the driver's debit, in one transaction.

Used by `stream.jobs`, whose outbox says that a session was stopped or a wallet topped up. Everything here
may run any number of times: a session has one record, and each transfer one key.

The driver's wallet pays the whole price in one transfer (`session:<id>`), so that it is paid in full or
not at all; the tax and the platform's fee in it then move from the house's revenue to accounts of their own
(`session:<id>:gst`, `session:<id>:platform_fee`).
A session that a rule had ended (`stream.reconcile`) and whose charger told its own end later has a
correction beside its record: what was paid already is made up by `session:<id>:correction`, either way.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from storage import ledger
from storage.database import Connection
from storage.errors import InsufficientFundsError
from storage.ledger import Transfer
from storage.queries import bookings, cdrs, outbox, reconciliation, refunds, sessions
from storage.queries.cdrs import Cdr
from storage.queries.sessions import SessionDetail
from stream.errors import StreamError
from stream.invoicing import order_session_invoice
from stream.rating import rate
from stream.records import Terms, make_record, read_registers, session_terms, usage_so_far
from stream.session_news import tell_completed, tell_paid

log = structlog.get_logger()

SESSIONS_PAGE = 500
# From the log to the table takes a fraction of a second while all is well.
SAMPLES_WAIT = timedelta(seconds=5)
# What is in a price and not the house's revenue: the account that it goes to, and its name for people.
_PARTS = {"gst": ("tax", "GST"), "platform_fee": ("platform_fee", "Platform fee")}


class SettlementError(StreamError):
    """A session that cannot be settled as it stands; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """To be published once the transaction is committed, on `gridwire.live.<name>`."""

    name: str
    payload: dict[str, object]


async def rate_session(
    connection: Connection, session_id: int, now: datetime | None = None
) -> list[LiveEvent]:
    """Rate a stopped session, write its record and debit its driver; [] where that was done before.

    With `now`, a session whose price rests on its samples is put off until its last ones can be stored,
    and the driver is told.

    A driver who has too little owes it (payment `failed`) until `settle_debts`; a session of nobody we
    know stays `pending`; one that a rule ended as failed is not billed. A session that was rated by an
    estimate, and whose charger told its end since, is corrected. Raises `SettlementError`, `RatingError`.
    """
    # Held until commit: nobody else rates it, and its end does not change under our hands.
    await reconciliation.lock_session(connection, session_id)
    session = await sessions.get_session(connection, session_id)
    if session is None or session.status == "active":
        state = "unknown" if session is None else "still active"
        raise SettlementError(f"session {session_id} cannot be rated: it is {state}")
    if session.status == "failed":
        return []
    first = await cdrs.get_cdr(connection, session_id)
    record = await _new_record(connection, session, first, now)
    if record is None:
        return []
    payment_status = await _pay(connection, record)
    await sessions.set_payment_status(connection, session_id, payment_status)
    if first is None and now is not None:
        await tell_completed(connection, session, record, is_paid=payment_status == "paid", now=now)
    if first is None and await bookings.booking_of_session(connection, session_id) is not None:
        await outbox.enqueue(connection, "complete_booking", {"session_id": session_id})
    topic = "session-stopped" if first is None else "session-corrected"
    return [_told(topic, session, record, payment_status)]


async def settle_debts(connection: Connection, user_id: int, now: datetime | None = None) -> None:
    """Pay the user's failed sessions, oldest first, as far as the wallet reaches; with `now`, say so."""
    async for record in _debts(connection, user_id):
        status = await _pay(connection, record)
        if status != "paid":
            break
        await sessions.set_payment_status(connection, record.session_id, status)
        if now is not None:
            await tell_paid(connection, record, now)


async def owed_minor(connection: Connection, record: Cdr) -> int:
    """Return what is still to be paid for a rated session; below zero: too much was paid."""
    paid_minor = await reconciliation.transferred(connection, f"session:{record.session_id}")
    return record.total_minor - (paid_minor or 0)


async def pay_session(connection: Connection, record: Cdr) -> Transfer | None:
    """Pay what is owed for a session that the caller has locked; None where the wallet has too little."""
    status = await _pay(connection, record)
    if status != "paid":
        return None
    await sessions.set_payment_status(connection, record.session_id, status)
    key = f"session:{record.session_id}"
    correction = await ledger.find_transfer(connection, f"{key}:correction")
    return correction or await ledger.find_transfer(connection, key)


async def cost_so_far(
    connection: Connection, session_id: int, now_us: int, register_wh: int | None = None
) -> int | None:
    """Return what a session costs as of now, with taxes, in minor units of its tariff's currency.

    Of an open session by the register's samples in the database, and by `register_wh` where the caller
    knows a newer reading (OCPP 2.0.1 part 2, I02 and I03). Of a rated one what its record says. None for an
    unknown session and for one that failed. Raises `RatingError`.
    """
    session = await sessions.get_session(connection, session_id)
    if session is None or session.status == "failed":
        return None
    record = await cdrs.latest_cdr(connection, session_id)
    if record is not None:
        return record.total_minor
    terms = await session_terms(connection, session)
    usage = await usage_so_far(connection, session, terms, now_us, register_wh)
    return rate(usage, terms.tariff, terms.zone).total_minor


async def _new_record(
    connection: Connection, session: SessionDetail, first: Cdr | None, now: datetime | None
) -> Cdr | None:
    """Write the session's record, or else its correction; None where there is nothing to write."""
    closure = await reconciliation.get_closure(connection, session.id)
    is_estimated = closure is not None and closure.is_in_force(session.ended_at, session.stop_received_at)
    # a record that was not made of an estimate stands, however often its task comes
    if first is not None and (not first.is_estimated or is_estimated):
        return None
    terms = await session_terms(connection, session, None if first is None else first.tariff_id)
    if await _is_put_off(connection, session, terms, now):
        return None
    readings = await read_registers(connection, session)
    record = make_record(session, terms, readings, is_estimated=is_estimated)
    if record.has_meter_reset:
        log.warning("meter_reset_in_session", session=session.id, energy_wh=record.energy_wh)
    is_new = await (
        cdrs.insert_cdr(connection, record) if first is None else cdrs.insert_correction(connection, record)
    )
    return record if is_new else None


async def _is_put_off(
    connection: Connection, session: SessionDetail, terms: Terms, now: datetime | None
) -> bool:
    """Whether the session is rated later, as samples that came with its stop may be on their way still."""
    assert session.stop_received_at is not None
    assert session.meter_stop_wh is not None
    due_at = session.stop_received_at + SAMPLES_WAIT
    rests_on_samples = terms.tariff.needs_course or session.meter_stop_wh < session.meter_start_wh
    if now is None or now >= due_at or not rests_on_samples:
        return False
    await outbox.enqueue(connection, "rate_session", {"session_id": session.id}, due_at)
    return True


async def _pay(connection: Connection, record: Cdr) -> str:
    """Bring what was paid for a session to what its (corrected) record says; returns its payment status."""
    if record.user_id is None:
        return "pending"
    key = f"session:{record.session_id}"
    paid_minor = await reconciliation.transferred(connection, key)
    parts_minor = {"gst": record.gst_minor, "platform_fee": record.platform_fee_minor}
    if paid_minor is None:
        description = f"Charging session {record.session_id}"
        due = _Due(key, record.total_minor, description, parts_minor)
    else:
        # what was refunded before is not given back again, nor is its tax
        paid = await ledger.find_transfer(connection, key)
        assert paid is not None
        refunded_minor = (await refunds.refunded(connection, paid.id)).amount_minor
        for name, amount_minor in parts_minor.items():
            moved_minor = await reconciliation.transferred(connection, f"{key}:{name}") or 0
            part_refunded_minor = await refunds.part_refunded(connection, paid.id, name)
            parts_minor[name] = max(amount_minor, part_refunded_minor) - moved_minor
        description = f"Correction of charging session {record.session_id}"
        due_minor = max(record.total_minor, refunded_minor) - paid_minor
        due = _Due(f"{key}:correction", due_minor, description, parts_minor)
    return await _move(connection, record, due)


@dataclass(frozen=True, slots=True)
class _Due:
    """What the driver is to pay, or (negative) to get back, and the parts of it that are not revenue."""

    key: str
    total_minor: int
    description: str
    parts_minor: dict[str, int] = field(default_factory=dict)


async def _move(connection: Connection, record: Cdr, due: _Due) -> str:
    assert record.user_id is not None
    wallet = await ledger.ensure_wallet(connection, record.user_id, record.currency)
    revenue = await ledger.house_account(connection, "revenue", record.currency)
    try:
        # No savepoint here: the wallet stays locked until commit, so that a top-up at the same time
        # sees this session as failed when its own `settle_debts` runs.
        await _transfer(connection, wallet.id, revenue.id, due, record)
    except InsufficientFundsError:
        return "failed"
    for name, amount_minor in due.parts_minor.items():
        if amount_minor == 0:
            continue
        kind, called = _PARTS[name]
        house = await ledger.house_account(connection, kind, record.currency)
        part = _Due(f"{due.key}:{name}", amount_minor, f"{called}: {due.description}")
        await _transfer(connection, revenue.id, house.id, part, record)
    await order_session_invoice(connection, record.session_id)
    return "paid"


async def _transfer(connection: Connection, from_id: int, to_id: int, due: _Due, record: Cdr) -> None:
    """Move what is due, the other way round where it is negative."""
    if due.total_minor == 0:
        return
    debit_id, credit_id = (from_id, to_id) if due.total_minor > 0 else (to_id, from_id)
    await ledger.transfer(
        connection,
        key=due.key,
        debit_account_id=debit_id,
        credit_account_id=credit_id,
        amount_minor=abs(due.total_minor),
        description=due.description,
        session_id=record.session_id,
    )


async def _debts(connection: Connection, user_id: int) -> AsyncIterator[Cdr]:
    """Records of the user's failed sessions, oldest first; the sessions are locked."""
    after_id = 0
    while page := await reconciliation.lock_unpaid(
        connection, user_id, after_id=after_id, limit=SESSIONS_PAGE
    ):
        for after_id in page:
            record = await cdrs.latest_cdr(connection, after_id)
            assert record is not None, "a payment fails in the transaction that writes the record"
            yield record


def _told(topic: str, session: SessionDetail, record: Cdr, payment_status: str) -> LiveEvent:
    return LiveEvent(
        topic,
        {
            "session_id": session.id,
            "user_id": session.user_id,
            "device_id": session.device_id,
            "charger": session.charger_identity,
            "connector_id": session.connector_id,
            "transaction_id": session.transaction_id,
            "energy_wh": record.energy_wh,
            "duration_s": record.duration_s,
            "currency": record.currency,
            "total_minor": record.total_minor,
            "payment_status": payment_status,
        },
    )
