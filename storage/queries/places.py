"""Stations as places: where they are, what they offer to people, who runs them; of the EV-CMS family.

Written and read by its stations, admin stations, favourites and bookings. `storage.queries.stations` has
what rating needs of a station. A deleted one is not found, but by `lock_place`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict, Unpack

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.patterns import containing
from storage.queries.users import hold_user

_EARTH_RADIUS_M = 6_371_008.8  # mean radius (IUGG)


@dataclass(frozen=True, slots=True)
class Place:
    """A station. Latitude and longitude in degrees, both None where nobody told; `rating` 0 to 5.

    `opens_at`, `closes_at`: HH:MM by `time_zone`, an IANA name. `distance_m`: of a search by place only.
    """

    id: int
    name: str
    owner_id: int | None
    franchise_id: int | None
    address: str
    city: str
    state: str
    pincode: str
    latitude: float | None
    longitude: float | None
    status: str
    is_verified: bool
    verify_notes: str | None
    rating: float
    total_reviews: int
    amenities: list[str]
    opens_at: str
    closes_at: str
    images: list[str]
    time_zone: str
    created_at: datetime
    deleted_at: datetime | None
    distance_m: float | None


class PlaceChange(TypedDict, total=False):
    """What can be set of a station; what is left out stays as it is."""

    name: str
    address: str
    latitude: float
    longitude: float
    status: str
    city: str
    state: str
    pincode: str
    amenities: list[str]
    opens_at: str
    closes_at: str
    images: list[str]
    franchise_id: int


_COLUMNS = """
stations.id, stations.name, stations.owner_id, stations.franchise_id, address, city, state, pincode, latitude,
longitude, stations.status, is_verified, verify_notes, rating::float8, total_reviews, amenities, opens_at,
closes_at, images, time_zone, stations.created_at, stations.deleted_at
"""

_SELECT = "SELECT" + _COLUMNS + ", NULL::float8 AS distance_m FROM stations "

_GET = _SELECT + "WHERE id = %(id)s AND deleted_at IS NULL"

_LOCK = _SELECT + "WHERE id = %(id)s FOR UPDATE"

_SOME = _SELECT + "WHERE id = ANY(%(ids)s) AND deleted_at IS NULL"

# The searched text is the expression of the index `stations_search`, to the letter.
_FILTER = """
WHERE deleted_at IS NULL
  AND (%(owner_id)s::bigint IS NULL OR owner_id = %(owner_id)s)
  AND (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(pattern)s::text IS NULL OR (name || ' ' || address || ' ' || city) ILIKE %(pattern)s)
  AND (%(type)s::text IS NULL OR EXISTS (
      SELECT FROM station_connectors WHERE station_id = stations.id AND type = %(type)s))
"""

_LIST = _SELECT + _FILTER + "ORDER BY id DESC LIMIT %(limit)s OFFSET %(offset)s"

_COUNT = "SELECT count(*) FROM stations " + _FILTER

# The boxes are what the index `stations_place` finds; the circle inside them is exact.
_NEAR = (
    "SELECT * FROM (SELECT"
    + _COLUMNS
    + f""", 2 * {_EARTH_RADIUS_M} * asin(least(1, sqrt(
          sin(radians(latitude - %(latitude)s) / 2) ^ 2
          + cos(radians(%(latitude)s)) * cos(radians(latitude))
            * sin(radians(longitude - %(longitude)s) / 2) ^ 2))) AS distance_m
    FROM stations
    WHERE deleted_at IS NULL AND latitude IS NOT NULL
      AND (point(longitude, latitude) <@ %(box)s::box OR point(longitude, latitude) <@ %(other_box)s::box)
      AND (%(owner_id)s::bigint IS NULL OR owner_id = %(owner_id)s)
) AS near
WHERE distance_m <= %(radius_m)s
ORDER BY distance_m, id LIMIT %(limit)s
"""
)

_HAS_SAME = """
SELECT EXISTS (SELECT FROM stations WHERE owner_id = %(owner_id)s AND deleted_at IS NULL
               AND lower(name) = lower(%(name)s) AND lower(address) = lower(%(address)s))
"""

_INSERT = (
    """
INSERT INTO stations (name, owner_id, address, latitude, longitude, status, city, state, pincode, amenities,
                      opens_at, closes_at, images, franchise_id, created_at, updated_at)
VALUES (%(name)s, %(owner_id)s, coalesce(%(address)s, ''), %(latitude)s, %(longitude)s,
        coalesce(%(status)s, 'active'), coalesce(%(city)s, ''), coalesce(%(state)s, ''),
        coalesce(%(pincode)s, ''), coalesce(%(amenities)s::text[], '{}'), coalesce(%(opens_at)s, '00:00'),
        coalesce(%(closes_at)s, '23:59'), coalesce(%(images)s::text[], '{}'), %(franchise_id)s, %(now)s,
        %(now)s)
RETURNING"""
    + _COLUMNS
    + ", NULL::float8 AS distance_m"
)

_UPDATE = """
UPDATE stations
SET name = coalesce(%(name)s, name), address = coalesce(%(address)s, address),
    latitude = coalesce(%(latitude)s, latitude), longitude = coalesce(%(longitude)s, longitude),
    status = coalesce(%(status)s, status), city = coalesce(%(city)s, city),
    state = coalesce(%(state)s, state), pincode = coalesce(%(pincode)s, pincode),
    amenities = coalesce(%(amenities)s::text[], amenities), opens_at = coalesce(%(opens_at)s, opens_at),
    closes_at = coalesce(%(closes_at)s, closes_at), images = coalesce(%(images)s::text[], images),
    franchise_id = coalesce(%(franchise_id)s, franchise_id), updated_at = %(now)s
WHERE id = %(id)s
"""

_VERIFY = """
UPDATE stations SET is_verified = %(is_verified)s, verify_notes = %(notes)s, updated_at = %(now)s
WHERE id = %(id)s
"""

# A franchise that was deleted before its station is restored runs it no longer.
_SET_DELETED = """
UPDATE stations
SET deleted_at = %(deleted_at)s, updated_at = %(now)s,
    franchise_id = (SELECT id FROM franchises
                    WHERE franchises.id = franchise_id AND franchises.deleted_at IS NULL)
WHERE id = %(id)s
"""

_HAS_BOOKINGS = """
SELECT EXISTS (SELECT FROM bookings
               WHERE station_id = %(id)s AND status IN ('pending', 'confirmed', 'active'))
"""

_HAS_SESSIONS = """
SELECT EXISTS (SELECT FROM sessions JOIN chargers USING (device_id)
               WHERE station_id = %(id)s AND status = 'active')
"""

_NOTHING = dict.fromkeys(PlaceChange.__annotations__)


async def get_place(connection: Connection, station_id: int) -> Place | None:
    """Return the station, or None where there is none or it was deleted."""
    return await fetch_one(connection, Place, _GET, {"id": station_id})


async def lock_place(connection: Connection, station_id: int) -> Place | None:
    """Return the station, a deleted one too, held until commit: nobody else changes it meanwhile."""
    return await fetch_one(connection, Place, _LOCK, {"id": station_id})


async def places_of(connection: Connection, station_ids: Sequence[int]) -> list[Place]:
    """Return those of these stations that are there, in this order."""
    found = await fetch_all(connection, Place, _SOME, {"ids": list(station_ids)})
    return sorted(found, key=lambda place: station_ids.index(place.id))


async def list_places(
    connection: Connection,
    *,
    owner_id: int | None = None,
    status: str | None = None,
    search: str | None = None,
    connector_type: str | None = None,
    limit: int,
    offset: int = 0,
) -> tuple[list[Place], int]:
    """Return one page, newest first, and how many there are in all. `search`: in name, address or city."""
    where = {
        "owner_id": owner_id,
        "status": status,
        "pattern": None if search is None else containing(search),
        "type": connector_type,
    }
    page = await fetch_all(connection, Place, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))


async def near_places(
    connection: Connection,
    latitude: float,
    longitude: float,
    radius_m: float,
    boxes: Sequence[tuple[float, float, float, float]],
    *,
    owner_id: int | None = None,
    limit: int,
) -> list[Place]:
    """Return the stations within `radius_m` metres, the nearest first, with their distance.

    `boxes`: one or two of (west, south, east, north) in degrees that hold the circle.
    """
    corners = [f"({west},{south}),({east},{north})" for west, south, east, north in boxes]
    parameters = {
        "latitude": latitude,
        "longitude": longitude,
        "radius_m": radius_m,
        "box": corners[0],
        "other_box": corners[1] if len(corners) > 1 else None,
        "owner_id": owner_id,
        "limit": limit,
    }
    return await fetch_all(connection, Place, _NEAR, parameters)


async def has_same_place(connection: Connection, owner_id: int, name: str, address: str) -> bool:
    """Whether the owner has a station of this name at this address; holds the owner until commit."""
    await hold_user(connection, owner_id)
    where = {"owner_id": owner_id, "name": name, "address": address}
    return bool(await fetch_value(connection, _HAS_SAME, where))


async def insert_place(
    connection: Connection, owner_id: int, now: datetime, **facts: Unpack[PlaceChange]
) -> Place:
    """Make a station; it needs a name at least, the rest is as the table has it."""
    values = {**_NOTHING, **facts, "owner_id": owner_id, "now": now}
    made = await fetch_one(connection, Place, _INSERT, values)
    assert made is not None
    return made


async def update_place(
    connection: Connection, station_id: int, now: datetime, **changes: Unpack[PlaceChange]
) -> None:
    """Set what is given, and leave the rest as it is."""
    await connection.execute(_UPDATE, {**_NOTHING, **changes, "id": station_id, "now": now})


async def verify_place(
    connection: Connection, station_id: int, is_verified: bool, notes: str | None, now: datetime
) -> None:
    """Say whether an admin has looked at the station and found it as it says."""
    facts = {"id": station_id, "is_verified": is_verified, "notes": notes, "now": now}
    await connection.execute(_VERIFY, facts)


async def set_place_deleted(
    connection: Connection, station_id: int, now: datetime, *, is_deleted: bool
) -> None:
    """Delete a station so that it can be restored, or restore it."""
    deleted_at = now if is_deleted else None
    await connection.execute(_SET_DELETED, {"id": station_id, "deleted_at": deleted_at, "now": now})


async def has_open_bookings(connection: Connection, station_id: int) -> bool:
    """Whether somebody holds a booking that is not over."""
    return bool(await fetch_value(connection, _HAS_BOOKINGS, {"id": station_id}))


async def has_active_sessions(connection: Connection, station_id: int) -> bool:
    """Whether somebody charges at one of the station's chargers."""
    return bool(await fetch_value(connection, _HAS_SESSIONS, {"id": station_id}))
