"""From a stopped session to its charge detail record and the driver's debit, in one transaction.

Used by `stream.jobs`, whose outbox says that a session was stopped or a wallet topped up. Everything here
may run any number of times: a session has one record, and each transfer one key.

The driver's wallet pays the whole price in one transfer (`session:<id>`), so that it is paid in full or
not at all; the tax in it then moves from the house's revenue to its tax account (`session:<id>:gst`).
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from storage import ledger
from storage.database import Connection
from storage.errors import InsufficientFundsError
from storage.queries import cdrs, sessions, stations
from storage.queries.cdrs import Cdr
from storage.queries.sessions import Session, SessionDetail
from stream.errors import StreamError
from stream.rating import Tariff, rate

SESSIONS_PAGE = 500
_SECOND = timedelta(seconds=1)


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


async def rate_session(connection: Connection, session_id: int, low_balance_minor: int) -> list[LiveEvent]:
    """Rate a stopped session, write its record and debit its driver; [] where that was done before.

    A driver who has too little owes it (payment `failed`) until `settle_debts`; a session of nobody we
    know stays `pending`. Raises `SettlementError` and `RatingError`.
    """
    session = await sessions.get_session(connection, session_id)
    if session is None or session.status == "active":
        state = "unknown" if session is None else "still active"
        raise SettlementError(f"session {session_id} cannot be rated: it is {state}")
    tariff = await stations.tariff_for_charger(connection, session.device_id)
    record = make_record(session, tariff)
    if not await cdrs.insert_cdr(connection, record):
        return []
    payment = await _pay(connection, record)
    await sessions.set_payment_status(connection, session_id, payment.status)
    return [_stopped(session, record, payment), *_low_balance(record, payment, low_balance_minor)]


async def settle_debts(connection: Connection, user_id: int, low_balance_minor: int) -> list[LiveEvent]:
    """Pay the user's failed sessions, oldest first, as far as the wallet reaches."""
    debts = [record async for record in _debts(connection, user_id)]
    events: list[LiveEvent] = []
    for record in reversed(debts):
        payment = await _pay(connection, record)
        if payment.status != "paid":
            break
        await sessions.set_payment_status(connection, record.session_id, payment.status)
        events = _low_balance(record, payment, low_balance_minor)
    return events


def make_record(session: Session, tariff: stations.Tariff) -> Cdr:
    """Price a stopped session by `tariff`; raises `RatingError`. Pure."""
    if session.meter_stop_wh is None:
        raise SettlementError(f"session {session.id} cannot be rated: it has no meter reading at its end")
    prices = Tariff(
        tariff.energy_minor_per_kwh,
        tariff.time_minor_per_minute,
        tariff.parking_minor_per_minute,
        tariff.gst_basis_points,
    )
    energy_wh, duration_s = session.meter_stop_wh - session.meter_start_wh, duration(session)
    # OCPP 1.6 core does not tell when a vehicle was full: no second counts as parking
    charges = rate(energy_wh, duration_s, 0, prices)
    return Cdr(
        session_id=session.id,
        user_id=session.user_id,
        tariff_id=tariff.id,
        currency=tariff.currency,
        energy_wh=energy_wh,
        duration_s=duration_s,
        energy_minor_per_kwh=tariff.energy_minor_per_kwh,
        energy_minor=charges.energy_minor,
        time_minor=charges.time_minor,
        parking_minor=charges.parking_minor,
        gst_minor=charges.gst_minor,
        total_minor=charges.total_minor,
    )


def duration(session: Session) -> int:
    """Whole seconds from start to stop by the charger's clock, or by ours where its clock was set back.

    The charger's comes first: a stop that it kept while offline arrives long after the fact.
    """
    if session.ended_at is None or session.stop_received_at is None:
        raise SettlementError(f"session {session.id} cannot be rated: it has no end")
    by_charger = (session.ended_at - session.started_at) // _SECOND
    if by_charger >= 0:
        return by_charger
    return max(0, (session.stop_received_at - session.start_received_at) // _SECOND)


async def _pay(connection: Connection, record: Cdr) -> _Payment:
    if record.user_id is None:
        return _Payment("pending")
    if record.total_minor == 0:
        return _Payment("paid")
    wallet = await ledger.ensure_wallet(connection, record.user_id, record.currency)
    revenue = await ledger.house_account(connection, "revenue", record.currency)
    key = f"session:{record.session_id}"
    try:
        # No savepoint here: the wallet stays locked until commit, so that a top-up at the same time
        # sees this session as failed when its own `settle_debts` runs.
        debit = await ledger.transfer(
            connection,
            key=key,
            debit_account_id=wallet.id,
            credit_account_id=revenue.id,
            amount_minor=record.total_minor,
            description=f"Charging session {record.session_id}",
            session_id=record.session_id,
        )
    except InsufficientFundsError:
        return _Payment("failed")
    if record.gst_minor > 0:
        tax = await ledger.house_account(connection, "tax", record.currency)
        await ledger.transfer(
            connection,
            key=f"{key}:gst",
            debit_account_id=revenue.id,
            credit_account_id=tax.id,
            amount_minor=record.gst_minor,
            description=f"GST of charging session {record.session_id}",
            session_id=record.session_id,
        )
    return _Payment("paid", debit.debit_balance_minor)


async def _debts(connection: Connection, user_id: int) -> AsyncIterator[Cdr]:
    """Records of the user's failed sessions, newest first."""
    offset = 0
    while True:
        page, _ = await sessions.list_sessions(
            connection, user_id=user_id, status="completed", limit=SESSIONS_PAGE, offset=offset
        )
        for session in page:
            if session.payment_status == "failed":
                record = await cdrs.get_cdr(connection, session.id)
                assert record is not None, "a payment fails in the transaction that writes the record"
                yield record
        if len(page) < SESSIONS_PAGE:
            return
        offset += SESSIONS_PAGE


def _stopped(session: SessionDetail, record: Cdr, payment: _Payment) -> LiveEvent:
    return LiveEvent(
        "session-stopped",
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
