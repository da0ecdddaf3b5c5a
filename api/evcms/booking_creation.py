"""Making a booking: what must be true of it, its price, its fee and its number, in one transaction.

Locks are taken as `storage.queries.bookings` says; the number comes last, so that nobody waits for it long.
"""

from datetime import timedelta
from uuid import uuid4

from api.callers import Caller
from api.context import Context
from api.errors import Problem, forbidden, not_found
from api.evcms.schemas.bookings import BookingIn
from api.fields import money, parse_id
from storage.database import Connection
from storage.errors import AlreadyExistsError, InsufficientFundsError
from storage.queries import bookings
from storage.queries.bookings import Booking, NewBooking, Place
from storage.queries.counters import next_number
from storage.queries.vehicles import Vehicle, get_vehicle
from stream.bookings import lifecycle
from stream.bookings.cost import estimate
from stream.bookings.rules import time_fault
from stream.platform_settings import PlatformSettings, read_settings


async def create(
    context: Context, db: Connection, caller: Caller, order: BookingIn, key: str | None
) -> Booking:
    """Make a confirmed booking, or return what this key made before; raises 400, 403, 404 or 409."""
    now = context.now()
    place = await _place(db, order)
    before = None if key is None else await bookings.booking_by_key(db, caller.id, key)
    if before is not None:
        return _same(before, order)
    vehicle = await _vehicle(db, caller, order.vehicle_id)
    settings = await read_settings(db)
    if place.station_status != "active":
        raise Problem(400, "Station is not active", f"Station {place.station_name} is {place.station_status}")
    fault = time_fault(order.scheduled_at, now, settings.booking.max_advance_booking)
    if fault is not None:
        raise Problem(400, "Time cannot be booked", fault)
    new = await _priced(db, order, place, vehicle, settings, key)
    try:
        booking_id = await bookings.insert_booking(db, new, now, ["created", "confirmed"])
    except AlreadyExistsError as error:
        raise Problem(409, "Already booked", str(error)) from error
    hold_id = await _held(db, new, booking_id)
    day = f"{now:%Y%m%d}"
    number = f"BK-{day}-{await next_number(db, f'booking:{day}'):04d}"
    await bookings.set_number(db, booking_id, number, hold_id)
    made = await bookings.get_booking(db, booking_id)
    assert made is not None
    await lifecycle.tell_confirmed(db, made, now)
    return made


async def _place(db: Connection, order: BookingIn) -> Place:
    station_id = parse_id(order.station_id)
    place = None if station_id is None else await bookings.lock_place(db, station_id, order.label)
    if place is None:
        details = f"No station with the id {order.station_id} has a connector {order.label}"
        raise not_found("Station or connector", details)
    return place


async def _vehicle(db: Connection, caller: Caller, reference: str) -> Vehicle:
    vehicle_id = parse_id(reference)
    vehicle = None if vehicle_id is None else await get_vehicle(db, vehicle_id)
    if vehicle is None:
        raise not_found("Vehicle", f"No vehicle has the id {reference}")
    if vehicle.user_id != caller.id:
        raise forbidden("This vehicle belongs to another user")
    return vehicle


async def _priced(
    db: Connection,
    order: BookingIn,
    place: Place,
    vehicle: Vehicle,
    settings: PlatformSettings,
    key: str | None,
) -> NewBooking:
    fee_minor = place.reservation_fee_minor
    if fee_minor is None:
        fee_minor = settings.booking.reservation_fee_minor
    span = timedelta(minutes=order.estimated_duration)
    cost = await estimate(db, place, vehicle, order.scheduled_at, span, fee_minor)
    return NewBooking(
        number=str(uuid4()),  # until it has its own
        user_id=vehicle.user_id,
        place=place,
        vehicle_id=vehicle.id,
        scheduled_at=order.scheduled_at,
        ends_at=order.scheduled_at + span,
        estimated_minutes=order.estimated_duration,
        reservation_fee_minor=fee_minor,
        cost=cost.as_json(),
        request_key=key,
    )


async def _held(db: Connection, new: NewBooking, booking_id: int) -> int | None:
    description = f"Reservation of connector {new.place.label} at {new.place.station_name}"
    fee_minor = new.reservation_fee_minor
    try:
        return await lifecycle.hold_fee(db, booking_id, new.user_id, fee_minor, description)
    except InsufficientFundsError as error:
        details = f"The reservation fee of {money(fee_minor):.2f} must be free in the wallet: top it up first"
        raise Problem(400, "Insufficient wallet balance", details) from error


def _same(before: Booking, order: BookingIn) -> Booking:
    asked = (
        order.station_id,
        order.label,
        order.vehicle_id,
        order.scheduled_at,
        order.estimated_duration,
    )
    known = (
        str(before.station_id),
        before.label,
        str(before.vehicle_id),
        before.scheduled_at,
        before.estimated_minutes,
    )
    if asked != known:
        details = "This Idempotency-Key was used for another booking: send a new key for a new one"
        raise Problem(409, "Idempotency key already used", details)
    return before
