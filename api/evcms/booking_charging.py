"""Starting and completing a booking: what the charger is asked, and what the booking becomes by it.

No database connection is held while a charger is waited for. A start is claimed first, so that of two at the
same time one reaches the charger; a claim that its process did not survive ends by itself.
"""

from datetime import datetime, timedelta

from api.callers import Caller
from api.context import Context
from api.errors import Problem, forbidden
from api.evcms import remote
from api.evcms.booking_access import booking_of, record_for_driver
from api.evcms.schemas.bookings import CompleteIn, RatingIn
from storage.database import Connection
from storage.queries import bookings, charger_views, sessions
from storage.queries.bookings import Booking, Changes
from storage.queries.charger_views import ChargerView
from storage.queries.reviews import insert_review
from stream.bookings import lifecycle
from stream.bookings.reservations import give_token
from stream.bookings.rules import OPEN, is_being_started, start_fault

CLAIM_SLACK_S = 5.0
# Said by a charger that was asked and did not do it: its driver is not to blame.
CHARGER_FAULTS = frozenset({"CHARGER_OFFLINE", "CHARGER_TIMEOUT", "CHARGER_ERROR", "CHARGER_REJECTED"})


async def start(context: Context, caller: Caller, reference: str) -> Booking:
    """Have the booking's charger begin its session; raises 400, 403, 404 or 409."""
    async with context.pool.connection() as db:
        booking = await booking_of(db, caller, reference, is_held=True)
        charger = await _claim(context, db, caller, booking)
    if charger is not None:
        assert booking.connector_id is not None
        try:
            session_id = await remote.begin(context, charger, booking.connector_id, booking.id_tag)
        except Exception as error:
            await _give_up(context, booking.id, error)
            raise
        await _begun(context, booking.id, session_id)
    async with context.pool.connection() as db:
        return await booking_of(db, caller, reference)


async def complete(context: Context, caller: Caller, reference: str, said: CompleteIn) -> Booking:
    """End the booking's session, if it runs, and the booking; raises 400, 403 or 404."""
    async with context.pool.connection() as db:
        booking = await booking_of(db, caller, reference)
        _check_completable(caller, booking, said)
        session = None if booking.session_id is None else await sessions.get_session(db, booking.session_id)
    if session is not None and session.status == "active":
        session, _ = await remote.end(context, session)
    now = context.now()
    async with context.pool.connection() as db:
        booking = await booking_of(db, caller, reference, is_held=True)
        if booking.status == "active":  # or the jobs role, which rated its session, was faster
            await lifecycle.complete(db, booking, session, now, said.energy_wh)
        await record_for_driver(db, caller, booking, "complete", now, {})
        await bookings.change(db, booking.id, Changes(final_soc_pct=said.final_soc), now)
        if said.rating is not None and booking.review_score is None:
            await _review(db, booking, said.rating, now)
        return await booking_of(db, caller, reference)


async def _claim(context: Context, db: Connection, caller: Caller, booking: Booking) -> ChargerView | None:
    """Make this the one start of the booking, which is held; None where no charger is to be asked."""
    now = context.now()
    _check_startable(booking, now)
    await record_for_driver(db, caller, booking, "start", now, {})
    if booking.device_id is None or booking.connector_id is None:
        await lifecycle.activate(db, booking, None, now)
        return None
    charger = await charger_views.get_view(db, booking.device_id)
    assert charger is not None
    await remote.refuse_busy(db, charger, booking.connector_id)
    await remote.refuse_booked(db, charger, booking.connector_id, booking.user_id, now)
    await give_token(db, booking)
    wait_s = context.config.charger_answer_s + context.config.session_start_s + CLAIM_SLACK_S
    claim = Changes(starting_until=now + timedelta(seconds=wait_s))
    await bookings.change(db, booking.id, claim, now, ["start asked of the charger"])
    return charger


async def _give_up(context: Context, booking_id: int, error: Exception) -> None:
    now = context.now()
    is_charger_at_fault = isinstance(error, Problem) and error.code in CHARGER_FAULTS
    changes = Changes(starting_until=now, has_start_failed=True if is_charger_at_fault else None)
    said = error.message if isinstance(error, Problem) else "the charger could not be asked"
    async with context.pool.connection() as db:
        await bookings.lock_booking(db, booking_id)
        await bookings.change(db, booking_id, changes, now, [f"start failed: {said}"])


async def _begun(context: Context, booking_id: int, session_id: int) -> None:
    async with context.pool.connection() as db:
        booking = await bookings.lock_booking(db, booking_id)
        session = await sessions.get_session(db, session_id)
        assert booking is not None
        if booking.status in OPEN:
            await lifecycle.activate(db, booking, session, context.now())


def _check_startable(booking: Booking, now: datetime) -> None:
    if booking.status not in OPEN:
        raise Problem(400, "Booking cannot be started", f"{booking.booking_number} is {booking.status}")
    if is_being_started(booking, now):
        raise Problem(409, "Booking is being started", f"{booking.booking_number}: the charger was asked")
    fault = start_fault(booking, now)
    if fault is not None:
        raise Problem(400, "Booking cannot be started now", f"{booking.booking_number}: {fault}")


def _check_completable(caller: Caller, booking: Booking, said: CompleteIn) -> None:
    """A session that ended by itself has completed its booking: the driver may rate it all the same, once."""
    if said.rating is not None and booking.user_id != caller.id:
        raise forbidden("Only the driver may rate a booking")
    is_to_rate = said.rating is not None and booking.review_score is None
    if booking.status == "active" or (booking.status == "completed" and is_to_rate):
        return
    raise Problem(400, "Booking is not active", f"{booking.booking_number} is {booking.status}")


async def _review(db: Connection, booking: Booking, rating: RatingIn, now: datetime) -> None:
    await insert_review(
        db,
        booking_id=booking.id,
        user_id=booking.user_id,
        station_id=booking.station_id,
        score=rating.score,
        review=rating.review,
        images=rating.images,
        now=now,
    )
