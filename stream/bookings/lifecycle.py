"""What follows from each step of a booking: its state, the fee, the driver's news, the charger's reservation.

Every function takes a booking that the caller has locked, and writes into the caller's transaction. Commands
that changed are returned: `reservations.deliver` them once that is committed.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from storage import ledger
from storage.database import Connection
from storage.queries import outbox, remote_sessions, samples
from storage.queries.bookings import Booking, Changes, change
from storage.queries.commands import Command
from storage.queries.samples import ChargeLevels
from storage.queries.sessions import SessionDetail
from stream.bookings import reservations
from stream.bookings.cost import Cost, quoted
from stream.bookings.rules import may_become
from stream.errors import StreamError
from stream.notify import Kind, News, notify
from stream.records import span

TOPIC = "booking-updated"
NOT_STARTED = "It was not started in its time"
START_FAILED = "The charger could not begin it"


class BookingError(StreamError):
    """A step that the booking's state does not allow."""


async def hold_fee(
    connection: Connection, booking_id: int, user_id: int, fee_minor: int, description: str
) -> int | None:
    """Hold the reservation fee in the driver's wallet; returns the hold, None where there is no fee.

    Raises `InsufficientFundsError`.
    """
    if fee_minor == 0:
        return None
    wallet = await ledger.ensure_wallet(connection, user_id)
    revenue = await ledger.house_account(connection, "revenue")
    held = await ledger.hold(
        connection,
        key=_fee_key(booking_id),
        debit_account_id=wallet.id,
        credit_account_id=revenue.id,
        amount_minor=fee_minor,
        description=description,
    )
    return held.id


async def tell_confirmed(connection: Connection, booking: Booking, now: datetime) -> None:
    """Tell the driver that the booking stands."""
    await _tell(connection, booking, booking.status, Kind.BOOKING_CONFIRMED, now)


async def remind(connection: Connection, booking: Booking, now: datetime) -> None:
    """Remind the driver, once."""
    await change(connection, booking.id, Changes(reminded_at=now), now, ["reminded"])
    await _notify(connection, booking, Kind.BOOKING_REMINDER, now)
    payload = {"user_id": booking.user_id, "booking_id": booking.id}
    await outbox.enqueue(connection, "live_event", {"name": "booking-reminder", "payload": payload})


async def activate(
    connection: Connection, booking: Booking, session: SessionDetail | None, now: datetime
) -> None:
    """Note that the driver charges; the fee is taken. No session: no charger stands behind the connector."""
    _check(booking, "active")
    # the session before the accounts: who rates it takes them in this order
    if session is not None and booking.vehicle_id is not None:
        await remote_sessions.set_vehicle(connection, session.id, str(booking.vehicle_id))
    await _take_fee(connection, booking)
    changes = Changes(
        status="active",
        started_at=now if session is None else session.started_at,
        session_id=None if session is None else session.id,
        starting_until=now,
    )
    await change(connection, booking.id, changes, now, ["started"])
    await _tell(connection, booking, "active", None, now)


async def complete(
    connection: Connection, booking: Booking, session: SessionDetail | None, now: datetime, energy_wh: int = 0
) -> None:
    """Note that the driver has charged; the energy is the meter's, `energy_wh` only without a session."""
    _check(booking, "completed")
    if session is None:
        cost = await _unmetered(connection, booking, energy_wh, now)
        changes = Changes(status="completed", ended_at=now, energy_wh=energy_wh, cost=cost.as_json())
    else:
        levels = await _levels(connection, session)
        changes = Changes(
            status="completed",
            ended_at=session.ended_at,
            energy_wh=metered_wh(session),
            initial_soc_pct=levels.first_pct,
            final_soc_pct=levels.last_pct,
        )
    await change(connection, booking.id, changes, now, ["completed"])
    await _tell(connection, booking, "completed", None, now)


async def cancel(connection: Connection, booking: Booking, reason: str, now: datetime) -> list[Command]:
    """Cancel a booking and free its fee."""
    _check(booking, "cancelled")
    await _free_fee(connection, booking)
    changes = Changes(status="cancelled", cancellation_reason=reason, cost=Cost().as_json())
    await change(connection, booking.id, changes, now, ["cancelled"])
    await _tell(connection, booking, "cancelled", Kind.BOOKING_CANCELLED, now)
    return await reservations.release(connection, booking, now)


async def expire(connection: Connection, booking: Booking, now: datetime) -> list[Command]:
    """End a booking that nobody started. The fee is taken, unless the charger failed when it was asked."""
    _check(booking, "cancelled")
    if booking.has_start_failed:
        reason, cost = START_FAILED, Cost()
        await _free_fee(connection, booking)
    else:
        reason, cost = NOT_STARTED, Cost(reservation_fee_minor=booking.reservation_fee_minor)
        await _take_fee(connection, booking)
    changes = Changes(status="cancelled", cancellation_reason=reason, cost=cost.as_json())
    await change(connection, booking.id, changes, now, ["expired"])
    await _tell(connection, booking, "cancelled", Kind.BOOKING_EXPIRED, now)
    return await reservations.release(connection, booking, now)


def metered_wh(session: SessionDetail) -> int:
    """What the meter says of an ended session: by its record, or else by its ends (conflict C98)."""
    if session.energy_wh is not None:
        return session.energy_wh
    return max(0, (session.meter_stop_wh or session.meter_start_wh) - session.meter_start_wh)


async def _levels(connection: Connection, session: SessionDetail) -> ChargeLevels:
    from_, to = span(session)
    return await samples.charge_levels(
        connection,
        device_id=session.device_id,
        connector_id=session.connector_id,
        transaction_id=session.transaction_id,
        from_=from_,
        to=to,
    )


async def _unmetered(connection: Connection, booking: Booking, energy_wh: int, now: datetime) -> Cost:
    """What the energy that the driver names would cost; nothing is debited by it."""
    started_at = booking.started_at or booking.scheduled_at
    span = max(now - started_at, timedelta(0))
    fee_minor = booking.reservation_fee_minor
    return await quoted(connection, booking.station_connector_id, energy_wh, started_at, span, fee_minor)


def _check(booking: Booking, following: str) -> None:
    if not may_become(booking.status, following):
        raise BookingError(
            f"booking {booking.booking_number} is {booking.status}: it cannot become {following}"
        )


def _fee_key(booking_id: int) -> str:
    return f"booking:{booking_id}:fee"


async def _take_fee(connection: Connection, booking: Booking) -> None:
    if booking.hold_id is None:
        return
    description = f"Reservation fee of {booking.booking_number}"
    key = f"{_fee_key(booking.id)}:taken"
    await ledger.post_hold(connection, key=key, hold_id=booking.hold_id, description=description)


async def _free_fee(connection: Connection, booking: Booking) -> None:
    if booking.hold_id is None:
        return
    description = f"Reservation fee of {booking.booking_number} released"
    key = f"{_fee_key(booking.id)}:freed"
    await ledger.void_hold(connection, key=key, hold_id=booking.hold_id, description=description)


async def _tell(
    connection: Connection, booking: Booking, status: str, kind: Kind | None, now: datetime
) -> None:
    if kind is not None:
        await _notify(connection, booking, kind, now)
    payload = {"user_id": booking.user_id, "booking_id": booking.id, "status": status}
    await outbox.enqueue(connection, "live_event", {"name": TOPIC, "payload": payload})


async def _notify(connection: Connection, booking: Booking, kind: Kind, now: datetime) -> None:
    local = booking.scheduled_at.astimezone(ZoneInfo(booking.time_zone))
    values = {
        "number": booking.booking_number,
        "station": booking.station_name,
        "time": local.strftime("%d %b %Y, %H:%M"),
    }
    news = News(f"booking:{booking.id}:{kind}", kind, values, {"bookingId": str(booking.id)})
    await notify(connection, booking.user_id, news, now)
