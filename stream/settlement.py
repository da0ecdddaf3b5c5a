"""From a stopped session to its charge detail record and the driver's debit, in one transaction.

Used by `stream.jobs`, whose outbox says that a session was stopped or a wallet topped up. Everything here
may run any number of times: a session has one record, and each transfer one key.

The driver's wallet pays the whole price in one transfer (`session:<id>`), so that it is paid in full or
not at all; the tax in it then moves from the house's revenue to its tax account (`session:<id>:gst`).
A session that a rule had ended (`stream.reconcile`) and whose charger told its own end later has a
correction beside its record: what was paid already is made up by `session:<id>:correction`, either way.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from storage import ledger
from storage.database import Connection
from storage.errors import InsufficientFundsError
from storage.queries import cdrs, outbox, reconciliation, sessions
from storage.queries.cdrs import Cdr
from storage.queries.sessions import SessionDetail
from stream.errors import StreamError
from stream.rating import rate
from stream.records import Terms, make_record, read_registers, terms_of, usage_so_far

log = structlog.get_logger()

SESSIONS_PAGE = 500
# From the log to the table takes a fraction of a second while all is well.
SAMPLES_WAIT = timedelta(seconds=5)


class SettlementError(StreamError):
    """A session that cannot be settled as it stands; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """To be published once the transaction is committed, on `gridwire.live.<name>`."""

    name: str
    payload: dict[str, object]


@dataclass(frozen=True, slots=True)
class _Payment:
    """`status` of the session; `balance_minor` of the wallet where it paid."""

    status: str
    balance_minor: int | None = None


async def rate_session(
    connection: Connection, session_id: int, low_balance_minor: int, now: datetime | None = None
) -> list[LiveEvent]:
    """Rate a stopped session, write its record and debit its driver; [] where that was done before.

    With `now`, a session whose price rests on its samples is put off until its last ones can be stored.

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
    payment = await _pay(connection, record)
    await sessions.set_payment_status(connection, session_id, payment.status)
    topic = "session-stopped" if first is None else "session-corrected"
    return [_told(topic, session, record, payment), *_low_balance(record, payment, low_balance_minor)]


async def settle_debts(connection: Connection, user_id: int, low_balance_minor: int) -> list[LiveEvent]:
    """Pay the user's failed sessions, oldest first, as far as the wallet reaches."""
    events: list[LiveEvent] = []
    async for record in _debts(connection, user_id):
        payment = await _pay(connection, record)
        if payment.status != "paid":
            break
        await sessions.set_payment_status(connection, record.session_id, payment.status)
        events = _low_balance(record, payment, low_balance_minor)
    return events


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
    terms = await terms_of(connection, session.device_id)
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
    terms = await terms_of(connection, session.device_id, None if first is None else first.tariff_id)
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
    rests_on_samples = not terms.is_simple or session.meter_stop_wh < session.meter_start_wh
    if now is None or now >= due_at or not rests_on_samples:
        return False
    await outbox.enqueue(connection, "rate_session", {"session_id": session.id}, due_at)
    return True


async def _pay(connection: Connection, record: Cdr) -> _Payment:
    """Bring what was paid for a session to what its (corrected) record says."""
    if record.user_id is None:
        return _Payment("pending")
    key = f"session:{record.session_id}"
    paid_minor = await reconciliation.transferred(connection, key)
    if paid_minor is None:
        due = _Due(key, record.total_minor, record.gst_minor, f"Charging session {record.session_id}")
    else:
        paid_gst_minor = await reconciliation.transferred(connection, f"{key}:gst") or 0
        due = _Due(
            f"{key}:correction",
            record.total_minor - paid_minor,
            record.gst_minor - paid_gst_minor,
            f"Correction of charging session {record.session_id}",
        )
    return await _move(connection, record, due)


@dataclass(frozen=True, slots=True)
class _Due:
    """What the driver is to pay, or (negative) to get back, and the tax in it."""

    key: str
    total_minor: int
    gst_minor: int
    description: str


async def _move(connection: Connection, record: Cdr, due: _Due) -> _Payment:
    assert record.user_id is not None
    wallet = await ledger.ensure_wallet(connection, record.user_id, record.currency)
    revenue = await ledger.house_account(connection, "revenue", record.currency)
    tax = await ledger.house_account(connection, "tax", record.currency)
    balance_minor = None
    try:
        # No savepoint here: the wallet stays locked until commit, so that a top-up at the same time
        # sees this session as failed when its own `settle_debts` runs.
        moved = await _transfer(connection, wallet.id, revenue.id, due.total_minor, due, record)
        if moved is not None:
            balance_minor = moved.debit_balance_minor if due.total_minor > 0 else moved.credit_balance_minor
    except InsufficientFundsError:
        return _Payment("failed")
    about_tax = _Due(f"{due.key}:gst", due.gst_minor, 0, f"GST: {due.description}")
    await _transfer(connection, revenue.id, tax.id, due.gst_minor, about_tax, record)
    return _Payment("paid", balance_minor)


async def _transfer(
    connection: Connection, from_id: int, to_id: int, amount_minor: int, due: _Due, record: Cdr
) -> ledger.Transfer | None:
    """Move `amount_minor`, the other way round where it is negative; None where it is 0."""
    if amount_minor == 0:
        return None
    debit_id, credit_id = (from_id, to_id) if amount_minor > 0 else (to_id, from_id)
    return await ledger.transfer(
        connection,
        key=due.key,
        debit_account_id=debit_id,
        credit_account_id=credit_id,
        amount_minor=abs(amount_minor),
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


def _told(topic: str, session: SessionDetail, record: Cdr, payment: _Payment) -> LiveEvent:
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
            "payment_status": payment.status,
        },
    )


def _low_balance(record: Cdr, payment: _Payment, low_balance_minor: int) -> list[LiveEvent]:
    if payment.balance_minor is None or payment.balance_minor >= low_balance_minor:
        return []
    payload: dict[str, object] = {
        "user_id": record.user_id,
        "currency": record.currency,
        "balance_minor": payment.balance_minor,
    }
    return [LiveEvent("low-balance", payload)]
