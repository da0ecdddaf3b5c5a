"""Which booking a request means, whether the caller may see it, and whose part the caller takes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.callers import Caller
from api.errors import forbidden, not_found
from api.fields import parse_id
from storage.database import Connection
from storage.queries import bookings
from storage.queries.admin_actions import record_action
from storage.queries.bookings import Booking


async def booking_of(db: Connection, caller: Caller, reference: str, *, is_held: bool = False) -> Booking:
    """Return the booking with this id, held until commit if asked for; raises 404, or 403 for another's."""
    booking_id = parse_id(reference)
    read = bookings.lock_booking if is_held else bookings.get_booking
    booking = None if booking_id is None else await read(db, booking_id)
    if booking is None:
        raise not_found("Booking", f"No booking has the id {reference}")
    if booking.user_id != caller.id and not acts_for_station(caller, booking):
        raise forbidden("This booking belongs to another user or another owner's station")
    return booking


def acts_for_station(caller: Caller, booking: Booking) -> bool:
    """Whether the caller is an admin, or the brand that owns the booking's station."""
    return caller.role == "admin" or (caller.role == "brand" and booking.station_owner_id == caller.id)


async def record_for_driver(
    db: Connection, caller: Caller, booking: Booking, step: str, now: datetime, detail: Mapping[str, Any]
) -> None:
    """Write down what an admin or a brand does to somebody else's booking."""
    if booking.user_id == caller.id:
        return
    await record_action(
        db,
        actor_id=caller.id,
        action=f"booking.{step}",
        subject=f"booking:{booking.id}",
        detail=detail,
        now=now,
    )
