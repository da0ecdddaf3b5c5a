"""Bookings: one connector for one driver and one span of time; used by the API and the jobs role.

The database lets no two overlap (`bookings_overlap`). Locks are taken in one order: station, connector,
booking, then what the ledger locks, then a counter or a charger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.errors import ExclusionViolation, UniqueViolation
from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.errors import AlreadyExistsError


@dataclass(frozen=True, slots=True)
class Place:
    """A connector of a station as its bookings see it. `device_id` None: no charger stands behind it."""

    station_connector_id: int
    station_id: int
    station_name: str
    station_status: str
    label: str
    power_kw: float
    reservation_fee_minor: int | None
    device_id: int | None
    connector_id: int | None


@dataclass(frozen=True, slots=True)
class NewBooking:
    """What a driver asks for, checked. `number` is one that no other booking has."""

    number: str
    user_id: int
    place: Place
    vehicle_id: int
    scheduled_at: datetime
    ends_at: datetime
    estimated_minutes: int
    reservation_fee_minor: int
    cost: Mapping[str, int]
    request_key: str | None


@dataclass(frozen=True, slots=True)
class Booking:
    """A booking with its place, its review and, once its session is rated, what that cost (minor units).

    `ends_at` ends the span that is held. `logs`: `{"event", "timestamp"}`, oldest first. `starting_until`:
    somebody has the charger begin it. `has_start_failed`: the charger did not when it was asked.
    """

    id: int
    booking_number: str
    user_id: int
    station_id: int
    station_connector_id: int
    vehicle_id: int | None
    status: str
    scheduled_at: datetime
    ends_at: datetime
    estimated_minutes: int
    started_at: datetime | None
    ended_at: datetime | None
    session_id: int | None
    energy_wh: int | None
    initial_soc_pct: float | None
    final_soc_pct: float | None
    reservation_fee_minor: int
    hold_id: int | None
    cost: dict[str, int]
    cancellation_reason: str | None
    ocpp_reservation_id: int | None
    reservation_state: str
    reserve_command_id: UUID | None
    id_tag: str
    starting_until: datetime | None
    has_start_failed: bool
    reminded_at: datetime | None
    logs: list[dict[str, Any]]
    created_at: datetime
    station_name: str
    station_owner_id: int | None
    time_zone: str
    label: str
    device_id: int | None
    connector_id: int | None
    review_score: int | None
    review_text: str | None
    review_images: list[str] | None
    reviewed_at: datetime | None
    cdr_parking_minor: int | None
    cdr_gst_minor: int | None
    cdr_total_minor: int | None
    cdr_lines: list[dict[str, Any]] | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What of a booking changes; None leaves it as it is."""

    status: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    session_id: int | None = None
    energy_wh: int | None = None
    initial_soc_pct: float | None = None
    final_soc_pct: float | None = None
    cost: Mapping[str, int] | None = None
    cancellation_reason: str | None = None
    ocpp_reservation_id: int | None = None
    reservation_state: str | None = None
    reserve_command_id: UUID | None = None
    starting_until: datetime | None = None
    has_start_failed: bool | None = None
    reminded_at: datetime | None = None


# The same strength as a booking's foreign key takes, and before the connector's lock: `link_connector` takes
# a station before its connectors too.
_LOCK_STATION = "SELECT id FROM stations WHERE id = %(station_id)s AND deleted_at IS NULL FOR KEY SHARE"

_LOCK_CONNECTOR = """
SELECT station_connectors.id AS station_connector_id, station_id, stations.name AS station_name,
       stations.status AS station_status, label, power_kw::float8 AS power_kw, reservation_fee_minor,
       device_id, connector_id
FROM station_connectors JOIN stations ON stations.id = station_id
WHERE station_id = %(station_id)s AND label = %(label)s
FOR NO KEY UPDATE OF station_connectors
"""

_INSERT = """
INSERT INTO bookings (booking_number, user_id, station_id, station_connector_id, vehicle_id, status,
                      scheduled_at, estimated_minutes, during, reservation_fee_minor, cost, request_key, logs,
                      created_at, updated_at)
VALUES (%(number)s, %(user_id)s, %(station_id)s, %(station_connector_id)s, %(vehicle_id)s, 'confirmed',
        %(scheduled_at)s, %(estimated_minutes)s, tstzrange(%(scheduled_at)s, %(ends_at)s),
        %(reservation_fee_minor)s, %(cost)s, %(request_key)s, %(logs)s, %(now)s, %(now)s)
RETURNING id
"""

_SET_NUMBER = """
UPDATE bookings SET booking_number = %(number)s, hold_id = %(hold_id)s WHERE id = %(id)s
"""

_SELECT = """
SELECT bookings.id, booking_number, bookings.user_id, bookings.station_id, station_connector_id, vehicle_id,
       bookings.status, scheduled_at, upper(during) AS ends_at, estimated_minutes, started_at, ended_at,
       bookings.session_id, coalesce(cdrs.energy_wh, bookings.energy_wh) AS energy_wh,
       initial_soc_pct, final_soc_pct, bookings.reservation_fee_minor, hold_id, cost,
       cancellation_reason, ocpp_reservation_id, reservation_state, reserve_command_id, id_tag,
       starting_until, has_start_failed, reminded_at, logs,
       bookings.created_at, stations.name AS station_name, stations.owner_id AS station_owner_id,
       stations.time_zone, label, device_id, connector_id, reviews.score AS review_score,
       reviews.review AS review_text, reviews.images AS review_images, reviews.created_at AS reviewed_at,
       cdrs.parking_minor AS cdr_parking_minor, cdrs.gst_minor AS cdr_gst_minor,
       cdrs.total_minor AS cdr_total_minor, cdrs.lines AS cdr_lines
FROM bookings
JOIN stations ON stations.id = bookings.station_id
JOIN station_connectors ON station_connectors.id = station_connector_id
LEFT JOIN reviews ON reviews.booking_id = bookings.id
LEFT JOIN latest_cdrs AS cdrs ON cdrs.session_id = bookings.session_id
"""

_GET = _SELECT + "WHERE bookings.id = %(id)s"

_LOCK = "SELECT id FROM bookings WHERE id = %(id)s FOR NO KEY UPDATE"

_BY_KEY = _SELECT + "WHERE bookings.user_id = %(user_id)s AND request_key = %(key)s"

_BY_SESSION = "SELECT id FROM bookings WHERE session_id = %(session_id)s"

_FILTER = """
WHERE (%(status)s::text IS NULL OR bookings.status = %(status)s)
  AND (%(user_id)s::bigint IS NULL OR bookings.user_id = %(user_id)s)
  AND (%(owner_id)s::bigint IS NULL OR bookings.user_id = %(owner_id)s
       OR bookings.station_id IN (SELECT id FROM stations WHERE owner_id = %(owner_id)s))
"""

_LIST = (
    _SELECT
    + """
WHERE bookings.id IN (
    SELECT id FROM bookings
"""
    + _FILTER
    + """
    ORDER BY id DESC LIMIT %(limit)s OFFSET %(offset)s)
ORDER BY bookings.id DESC
"""
)

_COUNT = "SELECT count(*) FROM bookings" + _FILTER

_HOLDING = (
    _SELECT
    + """
WHERE station_connectors.device_id = %(device_id)s AND station_connectors.connector_id = %(connector_id)s
  AND bookings.status IN ('pending', 'confirmed', 'active') AND during @> %(now)s::timestamptz
"""
)

_CHANGE = """
UPDATE bookings
SET status = coalesce(%(status)s, status), started_at = coalesce(%(started_at)s, started_at),
    ended_at = coalesce(%(ended_at)s, ended_at), session_id = coalesce(%(session_id)s, session_id),
    energy_wh = coalesce(%(energy_wh)s, energy_wh),
    initial_soc_pct = coalesce(%(initial_soc_pct)s, initial_soc_pct),
    final_soc_pct = coalesce(%(final_soc_pct)s, final_soc_pct), cost = coalesce(%(cost)s, cost),
    cancellation_reason = coalesce(%(cancellation_reason)s, cancellation_reason),
    ocpp_reservation_id = coalesce(%(ocpp_reservation_id)s, ocpp_reservation_id),
    reservation_state = coalesce(%(reservation_state)s, reservation_state),
    reserve_command_id = coalesce(%(reserve_command_id)s, reserve_command_id),
    starting_until = coalesce(%(starting_until)s, starting_until),
    has_start_failed = coalesce(%(has_start_failed)s, has_start_failed),
    reminded_at = coalesce(%(reminded_at)s, reminded_at), logs = logs || %(events)s, updated_at = %(now)s
WHERE id = %(id)s
"""


async def lock_place(connection: Connection, station_id: int, label: str) -> Place | None:
    """Return a station's connector by its label, held until commit, so that its bookings are made one after
    the other; None where there is no such station or connector.
    """
    about = {"station_id": station_id, "label": label}
    if await fetch_value(connection, _LOCK_STATION, about) is None:
        return None
    return await fetch_one(connection, Place, _LOCK_CONNECTOR, about)


async def insert_booking(
    connection: Connection, new: NewBooking, now: datetime, events: Sequence[str]
) -> int:
    """Make a confirmed booking and return its id.

    Raises `AlreadyExistsError` where another booking of the connector overlaps, or the request's key was
    used; the transaction can only be undone then.
    """
    facts = {
        "number": new.number,
        "user_id": new.user_id,
        "station_id": new.place.station_id,
        "station_connector_id": new.place.station_connector_id,
        "vehicle_id": new.vehicle_id,
        "scheduled_at": new.scheduled_at,
        "ends_at": new.ends_at,
        "estimated_minutes": new.estimated_minutes,
        "reservation_fee_minor": new.reservation_fee_minor,
        "cost": Jsonb(dict(new.cost)),
        "request_key": new.request_key,
    }
    try:
        made = await fetch_value(connection, _INSERT, {**facts, "logs": _logs(events, now), "now": now})
    except ExclusionViolation as error:
        raise AlreadyExistsError(f"connector {new.place.label} has a booking in that time") from error
    except UniqueViolation as error:
        raise AlreadyExistsError("the key of this request was used for another booking") from error
    return int(made)


async def set_number(connection: Connection, booking_id: int, number: str, hold_id: int | None) -> None:
    """Give a new booking its number, and note the hold of its fee."""
    await connection.execute(_SET_NUMBER, {"id": booking_id, "number": number, "hold_id": hold_id})


async def get_booking(connection: Connection, booking_id: int) -> Booking | None:
    """Return the booking, or None."""
    return await fetch_one(connection, Booking, _GET, {"id": booking_id})


async def lock_booking(connection: Connection, booking_id: int) -> Booking | None:
    """Return the booking, held until commit, or None."""
    if await fetch_value(connection, _LOCK, {"id": booking_id}) is None:
        return None
    return await get_booking(connection, booking_id)  # as it is once the lock is ours


async def booking_by_key(connection: Connection, user_id: int, key: str) -> Booking | None:
    """Return what this user's request with this key made, or None."""
    return await fetch_one(connection, Booking, _BY_KEY, {"user_id": user_id, "key": key})


async def booking_of_session(connection: Connection, session_id: int) -> int | None:
    """Return the id of the booking that this session is of, or None."""
    found = await fetch_value(connection, _BY_SESSION, {"session_id": session_id})
    return None if found is None else int(found)


async def list_bookings(
    connection: Connection,
    *,
    user_id: int | None = None,
    owner_id: int | None = None,
    status: str | None = None,
    limit: int,
    offset: int = 0,
) -> tuple[list[Booking], int]:
    """Return one page, newest first, and how many there are in all.

    `owner_id`: those at this owner's stations, and the owner's own.
    """
    where = {"user_id": user_id, "owner_id": owner_id, "status": status}
    page = await fetch_all(connection, Booking, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))


async def booking_that_holds(
    connection: Connection, device_id: int, connector_id: int, now: datetime
) -> Booking | None:
    """Return the booking that holds a charger's connector now, or None."""
    parameters = {"device_id": device_id, "connector_id": connector_id, "now": now}
    return await fetch_one(connection, Booking, _HOLDING, parameters)


async def change(
    connection: Connection, booking_id: int, changes: Changes, now: datetime, events: Sequence[str] = ()
) -> None:
    """Change a booking that the caller has locked, and add to its log."""
    facts = {field.name: getattr(changes, field.name) for field in fields(changes)}
    cost = None if changes.cost is None else Jsonb(dict(changes.cost))
    await connection.execute(
        _CHANGE, {**facts, "cost": cost, "events": _logs(events, now), "id": booking_id, "now": now}
    )


def _logs(events: Sequence[str], now: datetime) -> Jsonb:
    return Jsonb([{"event": event, "timestamp": now.isoformat()} for event in events])
