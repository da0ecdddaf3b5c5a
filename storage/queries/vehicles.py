"""Vehicles of EV-CMS users, and what each has charged; used by the profile, bookings and figures.

A session names its vehicle by text: the id of one of its driver's vehicles, or whatever somebody wrote.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.errors import AlreadyExistsError
from storage.queries.users import hold_user


@dataclass(frozen=True, slots=True)
class Vehicle:
    """One that is not deleted. Of each owner's vehicles one is the default."""

    id: int
    user_id: int
    make: str
    model: str
    year: int
    battery_capacity_kwh: Decimal
    registration_number: str
    is_default: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class VehicleTotals:
    """Sums over a vehicle's ended sessions; money in minor units. `sessions` counts the unrated too."""

    sessions: int
    rated: int
    energy_wh: int
    duration_s: int
    total_minor: int


_COLUMNS = """
id, user_id, make, model, year, battery_capacity_kwh, registration_number, is_default, created_at
"""

_SELECT = "SELECT" + _COLUMNS + "FROM vehicles "

_GET = _SELECT + "WHERE id = %(id)s AND deleted_at IS NULL"

_OF_USERS = _SELECT + "WHERE user_id = ANY(%(user_ids)s) AND deleted_at IS NULL ORDER BY id"

_COUNT = "SELECT count(*) FROM vehicles WHERE user_id = %(user_id)s AND deleted_at IS NULL"

_INSERT = (
    """
INSERT INTO vehicles (user_id, make, model, year, battery_capacity_kwh, registration_number, is_default,
                      created_at)
VALUES (%(user_id)s, %(make)s, %(model)s, %(year)s, %(battery_capacity_kwh)s, %(registration_number)s,
        NOT EXISTS (SELECT FROM vehicles WHERE user_id = %(user_id)s AND is_default AND deleted_at IS NULL),
        %(now)s)
ON CONFLICT (user_id, registration_key) WHERE deleted_at IS NULL DO NOTHING
RETURNING"""
    + _COLUMNS
)

_UPDATE = (
    """
UPDATE vehicles
SET make = coalesce(%(make)s, make), model = coalesce(%(model)s, model),
    battery_capacity_kwh = coalesce(%(battery_capacity_kwh)s, battery_capacity_kwh)
WHERE id = %(id)s AND deleted_at IS NULL
RETURNING"""
    + _COLUMNS
)

_DELETE = """
UPDATE vehicles SET deleted_at = %(now)s, is_default = false
WHERE id = %(id)s AND deleted_at IS NULL
RETURNING id
"""

_CLEAR_DEFAULT = """
UPDATE vehicles SET is_default = false
WHERE user_id = %(user_id)s AND is_default AND deleted_at IS NULL AND id <> %(id)s
"""

_SET_DEFAULT = (
    "UPDATE vehicles SET is_default = true WHERE id = %(id)s AND deleted_at IS NULL RETURNING" + _COLUMNS
)

_DEFAULT_TO_OLDEST = """
UPDATE vehicles SET is_default = true
WHERE id = (SELECT min(id) FROM vehicles WHERE user_id = %(user_id)s AND deleted_at IS NULL)
  AND NOT EXISTS (SELECT FROM vehicles WHERE user_id = %(user_id)s AND is_default AND deleted_at IS NULL)
"""

_TOTALS = """
SELECT count(*) AS sessions, count(cdrs.session_id) AS rated,
       coalesce(sum(energy_wh), 0)::bigint AS energy_wh,
       coalesce(sum(duration_s), 0)::bigint AS duration_s,
       coalesce(sum(total_minor), 0)::bigint AS total_minor
FROM sessions LEFT JOIN latest_cdrs AS cdrs ON cdrs.session_id = sessions.id
WHERE sessions.vehicle_id = %(vehicle)s AND sessions.user_id = %(user_id)s AND sessions.status = 'completed'
"""


async def get_vehicle(connection: Connection, vehicle_id: int) -> Vehicle | None:
    """Return the vehicle, or None."""
    return await fetch_one(connection, Vehicle, _GET, {"id": vehicle_id})


async def vehicles_of(connection: Connection, user_ids: Sequence[int]) -> dict[int, list[Vehicle]]:
    """Return the vehicles of each of these users, in the order they came."""
    by_user: dict[int, list[Vehicle]] = {user_id: [] for user_id in user_ids}
    for vehicle in await fetch_all(connection, Vehicle, _OF_USERS, {"user_ids": list(user_ids)}):
        by_user[vehicle.user_id].append(vehicle)
    return by_user


async def lock_vehicles(connection: Connection, user_id: int) -> int:
    """Hold this user's vehicles until commit, before any change of them; returns how many there are."""
    await hold_user(connection, user_id)  # which is the default rests on all of them
    return int(await fetch_value(connection, _COUNT, {"user_id": user_id}))


async def insert_vehicle(
    connection: Connection,
    *,
    user_id: int,
    make: str,
    model: str,
    year: int,
    battery_capacity_kwh: Decimal,
    registration_number: str,
    now: datetime,
) -> Vehicle:
    """Add a vehicle; the first is the default. Raises `AlreadyExistsError` for a number that is there."""
    facts = {"user_id": user_id, "make": make, "model": model, "year": year, "now": now}
    more = {"battery_capacity_kwh": battery_capacity_kwh, "registration_number": registration_number}
    made = await fetch_one(connection, Vehicle, _INSERT, {**facts, **more})
    if made is None:
        raise AlreadyExistsError(f"user {user_id} has a vehicle {registration_number} already")
    return made


async def update_vehicle(
    connection: Connection,
    vehicle_id: int,
    *,
    make: str | None,
    model: str | None,
    battery_capacity_kwh: Decimal | None,
) -> Vehicle | None:
    """Change a vehicle, None leaves a thing as it is; returns None where there is none."""
    facts = {"make": make, "model": model, "battery_capacity_kwh": battery_capacity_kwh}
    return await fetch_one(connection, Vehicle, _UPDATE, {"id": vehicle_id, **facts})


async def delete_vehicle(connection: Connection, user_id: int, vehicle_id: int, now: datetime) -> bool:
    """Take a vehicle away; was it the default, the oldest of the others is it now. False: there is none."""
    if await fetch_value(connection, _DELETE, {"id": vehicle_id, "now": now}) is None:
        return False
    await connection.execute(_DEFAULT_TO_OLDEST, {"user_id": user_id})
    return True


async def set_default(connection: Connection, user_id: int, vehicle_id: int) -> Vehicle | None:
    """Make this the user's default vehicle; returns None where there is none."""
    await connection.execute(_CLEAR_DEFAULT, {"user_id": user_id, "id": vehicle_id})
    return await fetch_one(connection, Vehicle, _SET_DEFAULT, {"id": vehicle_id})


async def vehicle_totals(connection: Connection, vehicle: Vehicle) -> VehicleTotals:
    """Return sums over the sessions that the vehicle's owner has charged it in."""
    where = {"vehicle": str(vehicle.id), "user_id": vehicle.user_id}
    totals = await fetch_one(connection, VehicleTotals, _TOTALS, where)
    assert totals is not None
    return totals
