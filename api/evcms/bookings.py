"""EV-CMS bookings: /api/v1/bookings (EV-039 to EV-044) and /api/v1/admin/bookings (EV-108).

A booking is confirmed when it is made (EV-X04): its fee is held in the driver's wallet.
"""

from typing import Annotated

from fastapi import Depends

from api.context import Ctx, Db
from api.errors import Problem
from api.evcms import booking_charging
from api.evcms.booking_access import acts_for_station, booking_of, record_for_driver
from api.evcms.booking_creation import create
from api.evcms.callers import Admin, AnyUser, owner_filter, user_filter
from api.evcms.envelope import Answer, Id, Paging
from api.evcms.schemas.bookings import (
    BookingIn,
    BookingOut,
    BookingPage,
    BookingStatus,
    CancelIn,
    CompleteIn,
    NamedBooking,
)
from api.fields import IdempotencyKey
from api.routing import Router
from storage.database import Connection
from storage.queries.bookings import Booking, list_bookings
from stream.bookings import lifecycle
from stream.bookings.reservations import deliver
from stream.bookings.rules import OPEN, is_being_started, is_cancellable
from stream.platform_settings import read_settings

router = Router()


@router.get("/bookings")
async def bookings(
    caller: AnyUser, db: Db, paging: Annotated[Paging, Depends()], status: BookingStatus | None = None
) -> BookingPage:
    """List bookings, newest first: a user's own, a brand's own and those at its stations, an admin all."""
    return await _page(db, paging, status, user_id=user_filter(caller), owner_id=owner_filter(caller))


@router.get("/admin/bookings")
async def admin_bookings(
    caller: Admin, db: Db, paging: Annotated[Paging, Depends()], status: BookingStatus | None = None
) -> BookingPage:
    """List everybody's bookings, newest first."""
    return await _page(db, paging, status)


@router.get("/bookings/{id}")
async def booking(booking_id: Id, caller: AnyUser, db: Db) -> Answer[NamedBooking]:
    """Show a booking."""
    return _answer(await booking_of(db, caller, booking_id))


@router.post("/bookings", status_code=201)
async def make_booking(
    body: BookingIn, caller: AnyUser, context: Ctx, db: Db, idempotency_key: IdempotencyKey = None
) -> Answer[NamedBooking]:
    """Book a connector of a station for one of the caller's vehicles.

    The booking is confirmed at once and the reservation fee held in the wallet. 409 where somebody has booked
    the connector for some of that time. The same request again with the same `Idempotency-Key` answers with
    the booking that it made.
    """
    return _answer(await create(context, db, caller, body, idempotency_key))


@router.put("/bookings/{id}/start")
async def start(booking_id: Id, caller: AnyUser, context: Ctx) -> Answer[NamedBooking]:
    """Start charging: answers when the charger has begun the session; from 15 minutes before the time.

    The reservation fee is taken then.
    """
    return _answer(await booking_charging.start(context, caller, booking_id))


@router.put("/bookings/{id}/complete")
async def complete(booking_id: Id, body: CompleteIn, caller: AnyUser, context: Ctx) -> Answer[NamedBooking]:
    """End charging: answers when the charger has ended the session and it is rated.

    The energy is the meter's; `energyConsumed` counts only where no meter has. A booking that was completed
    because its session ended by itself can still be rated, once.
    """
    return _answer(await booking_charging.complete(context, caller, booking_id, body))


@router.put("/bookings/{id}/cancel")
async def cancel(booking_id: Id, body: CancelIn, caller: AnyUser, context: Ctx) -> Answer[NamedBooking]:
    """Cancel a booking and free its fee; drivers not later than the cancellation window before its time."""
    now = context.now()
    async with context.pool.connection() as db:
        found = await booking_of(db, caller, booking_id, is_held=True)
        if found.status not in OPEN:
            details = f"{found.booking_number} is {found.status}"
            raise Problem(400, "Booking cannot be cancelled", details)
        if is_being_started(found, now):
            raise Problem(409, "Booking is being started", f"{found.booking_number}: the charger was asked")
        window_minutes = (await read_settings(db)).booking.cancellation_window
        if not acts_for_station(caller, found) and not is_cancellable(found, now, window_minutes):
            details = (
                f"{found.booking_number} can be cancelled until {window_minutes} minutes before its time"
            )
            raise Problem(400, "Booking cannot be cancelled any more", details)
        changed = await lifecycle.cancel(db, found, body.reason, now)
        await record_for_driver(db, caller, found, "cancel", now, {"reason": body.reason})
        cancelled = await booking_of(db, caller, booking_id)
    await deliver(context.bus, changed)
    return _answer(cancelled)


async def _page(
    db: Connection,
    paging: Paging,
    status: str | None,
    *,
    user_id: int | None = None,
    owner_id: int | None = None,
) -> BookingPage:
    found, total = await list_bookings(
        db, user_id=user_id, owner_id=owner_id, status=status, limit=paging.limit, offset=paging.offset
    )
    rows = [BookingOut.of(each) for each in found]
    return BookingPage(success=True, data=rows, bookings=rows, pagination=paging.of(total))


def _answer(found: Booking) -> Answer[NamedBooking]:
    return Answer.of(NamedBooking.around(BookingOut.of(found)))
