"""What is due of bookings: reminders, reservations at chargers, sessions begun and ended, no-shows.

Called by `stream.jobs`, in any number of processes: each booking is looked at again once it is locked, in a
transaction of its own, and one that fails holds up no other.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

import structlog
from nats.aio.client import Client

from storage.database import Connection, Pool
from storage.queries import bookings, bookings_due, sessions
from storage.queries.bookings import Booking
from storage.queries.commands import Command
from stream.bookings import lifecycle, reservations
from stream.bookings.rules import OPEN, REMIND_AHEAD, RESERVE_AHEAD, START_EARLY, is_being_started

log = structlog.get_logger()

BATCH_MAX = 200  # bookings of each kind in one round
SESSIONS_RECENT_MAX = 50  # of a charger, looked through for the one of a booking

_Step = Callable[[Connection, Booking], Awaitable[list[Command]]]


async def run_due(pool: Pool, bus: Client, now: datetime) -> None:
    """Do all that is due now. Sessions come before no-shows: who charges has come."""
    await _link(pool, now)
    await _complete(pool, now)
    await _remind(pool, bus, now)
    await _reserve(pool, bus, now)
    await _expire(pool, bus, now)


async def complete_booking(connection: Connection, session_id: int, now: datetime) -> None:
    """Complete the booking that a rated session is of, if there is one."""
    booking_id = await bookings.booking_of_session(connection, session_id)
    if booking_id is not None:
        await _complete_one(connection, booking_id, now)


async def _link(pool: Pool, now: datetime) -> None:
    async with pool.connection() as connection:
        found = await bookings_due.started(
            connection, now, START_EARLY, recent=SESSIONS_RECENT_MAX, limit=BATCH_MAX
        )
    for booking_id, session_id in found:

        async def link(
            connection: Connection, booking: Booking, session_id: int = session_id
        ) -> list[Command]:
            session = await sessions.get_session(connection, session_id)
            if booking.status in OPEN and not is_being_started(booking, now):
                await lifecycle.activate(connection, booking, session, now)
            return []

        await _each(pool, [booking_id], link)


async def _complete(pool: Pool, now: datetime) -> None:
    async with pool.connection() as connection:
        found = await bookings_due.ended(connection, BATCH_MAX)

    async def complete(connection: Connection, booking: Booking) -> list[Command]:
        await _complete_one(connection, booking.id, now)
        return []

    await _each(pool, found, complete)


async def _complete_one(connection: Connection, booking_id: int, now: datetime) -> None:
    booking = await bookings.lock_booking(connection, booking_id)
    if booking is None or booking.status != "active" or booking.session_id is None:
        return
    session = await sessions.get_session(connection, booking.session_id)
    await lifecycle.complete(connection, booking, session, now)


async def _remind(pool: Pool, bus: Client, now: datetime) -> None:
    async with pool.connection() as connection:
        found = await bookings_due.to_remind(connection, now, REMIND_AHEAD, BATCH_MAX)

    async def remind(connection: Connection, booking: Booking) -> list[Command]:
        if booking.status in OPEN and booking.reminded_at is None:
            await lifecycle.remind(connection, booking, now)
        return []

    await _each(pool, found, remind, bus)


async def _reserve(pool: Pool, bus: Client, now: datetime) -> None:
    async with pool.connection() as connection:
        answered = await bookings_due.answered(connection, BATCH_MAX)
        found = await bookings_due.to_reserve(connection, now, RESERVE_AHEAD, BATCH_MAX)

    async def note(connection: Connection, booking: Booking) -> list[Command]:
        if booking.reservation_state == "asked":
            await reservations.note_answer(connection, booking, now)
        return []

    async def reserve(connection: Connection, booking: Booking) -> list[Command]:
        is_due = booking.status in OPEN and booking.reservation_state == "none"
        if not is_due or is_being_started(booking, now):
            return []
        return await reservations.reserve(connection, booking, now)

    await _each(pool, answered, note)
    await _each(pool, found, reserve, bus)


async def _expire(pool: Pool, bus: Client, now: datetime) -> None:
    async with pool.connection() as connection:
        found = await bookings_due.to_expire(connection, now, BATCH_MAX)

    async def expire(connection: Connection, booking: Booking) -> list[Command]:
        if booking.status not in OPEN or is_being_started(booking, now):
            return []
        return await lifecycle.expire(connection, booking, now)

    await _each(pool, found, expire, bus)


async def _each(pool: Pool, booking_ids: Iterable[int], step: _Step, bus: Client | None = None) -> None:
    for booking_id in booking_ids:
        changed: list[Command] = []
        try:
            async with pool.connection() as connection:
                booking = await bookings.lock_booking(connection, booking_id)
                if booking is not None:
                    changed = await step(connection, booking)
        except Exception as error:  # whatever it was, it is this booking's failure and not its neighbours'
            log.error("booking_step_failed", booking=booking_id, step=step.__name__, error=repr(error))
        if changed and bus is not None:
            await reservations.deliver(bus, changed)
