"""Stations and tariffs: where chargers stand and what their energy costs; used by the API and by rating."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one
from storage.errors import AlreadyExistsError

DEFAULT_TIME_ZONE = "Asia/Kolkata"


@dataclass(frozen=True, slots=True)
class Station:
    """`tariff_id` None: the default tariff. `time_zone`: an IANA name, for hours and days of a tariff."""

    id: int
    name: str
    owner_id: int | None
    tariff_id: int | None
    time_zone: str


@dataclass(frozen=True, slots=True)
class Tariff:
    """Prices in minor units of `currency` before GST; 100 basis points are 1 %.

    A `definition` (JSON, as `stream.rating.definition` reads it) takes the place of the simple prices.
    """

    id: int
    name: str
    currency: str
    energy_minor_per_kwh: int
    time_minor_per_minute: int
    parking_minor_per_minute: int
    gst_basis_points: int
    definition: dict[str, Any] | None = None


_INSERT_STATION = """
INSERT INTO stations (name, owner_id, tariff_id, time_zone)
VALUES (%(name)s, %(owner_id)s, %(tariff_id)s, %(time_zone)s)
RETURNING id, name, owner_id, tariff_id, time_zone
"""

_GET_STATION = "SELECT id, name, owner_id, tariff_id, time_zone FROM stations WHERE id = %(id)s"

_LIST_STATIONS = """
SELECT id, name, owner_id, tariff_id, time_zone FROM stations
WHERE id > %(after_id)s AND (%(owner_id)s::bigint IS NULL OR owner_id = %(owner_id)s)
ORDER BY id LIMIT %(limit)s
"""

_INSERT_TARIFF = """
INSERT INTO tariffs (name, currency, energy_minor_per_kwh, time_minor_per_minute, parking_minor_per_minute,
                     gst_basis_points, definition)
VALUES (%(name)s, %(currency)s, %(energy_minor_per_kwh)s, %(time_minor_per_minute)s,
        %(parking_minor_per_minute)s, %(gst_basis_points)s, %(definition)s)
ON CONFLICT (name) DO NOTHING
RETURNING id, name, currency, energy_minor_per_kwh, time_minor_per_minute, parking_minor_per_minute,
          gst_basis_points, definition
"""

_SELECT_TARIFF = """
SELECT id, name, currency, energy_minor_per_kwh, time_minor_per_minute, parking_minor_per_minute,
       gst_basis_points, definition
FROM tariffs
"""

_GET_TARIFF = _SELECT_TARIFF + "WHERE id = %(id)s"

_LIST_TARIFFS = _SELECT_TARIFF + "WHERE id = ANY(%(ids)s)"

_TARIFF_NAMED = _SELECT_TARIFF + "WHERE name = %(name)s"


async def insert_station(
    connection: Connection,
    name: str,
    *,
    owner_id: int | None = None,
    tariff_id: int | None = None,
    time_zone: str = DEFAULT_TIME_ZONE,
) -> Station:
    """Make a station; `time_zone` must be an IANA name."""
    parameters = {"name": name, "owner_id": owner_id, "tariff_id": tariff_id, "time_zone": time_zone}
    station = await fetch_one(connection, Station, _INSERT_STATION, parameters)
    assert station is not None
    return station


async def get_station(connection: Connection, station_id: int) -> Station | None:
    """Return the station, or None."""
    return await fetch_one(connection, Station, _GET_STATION, {"id": station_id})


async def list_stations(
    connection: Connection, *, owner_id: int | None = None, after_id: int = 0, limit: int
) -> list[Station]:
    """Return the next `limit` stations behind `after_id`, of one owner or of all, in order of id."""
    parameters = {"owner_id": owner_id, "after_id": after_id, "limit": limit}
    return await fetch_all(connection, Station, _LIST_STATIONS, parameters)


async def insert_tariff(
    connection: Connection,
    name: str,
    *,
    energy_minor_per_kwh: int,
    time_minor_per_minute: int = 0,
    parking_minor_per_minute: int = 0,
    gst_basis_points: int = 1800,
    currency: str = "INR",
    definition: Mapping[str, Any] | None = None,
) -> Tariff:
    """Make a tariff; raises `AlreadyExistsError` when the name is taken.

    A `definition` must be one that `stream.rating.tariff_of` takes: no session could be rated by another.
    """
    fees = {"time_minor_per_minute": time_minor_per_minute, "gst_basis_points": gst_basis_points}
    parameters = {
        "name": name,
        "currency": currency,
        "energy_minor_per_kwh": energy_minor_per_kwh,
        "parking_minor_per_minute": parking_minor_per_minute,
        "definition": None if definition is None else Jsonb(definition),
        **fees,
    }
    tariff = await fetch_one(connection, Tariff, _INSERT_TARIFF, parameters)
    if tariff is None:
        raise AlreadyExistsError(f"tariff {name!r}: this name is taken")
    return tariff


async def list_tariffs(connection: Connection, tariff_ids: Sequence[int]) -> list[Tariff]:
    """Return the tariffs with these ids."""
    return await fetch_all(connection, Tariff, _LIST_TARIFFS, {"ids": list(tariff_ids)})


async def tariff_named(connection: Connection, name: str) -> Tariff | None:
    """Return the tariff with this name, or None."""
    return await fetch_one(connection, Tariff, _TARIFF_NAMED, {"name": name})


async def default_tariff(connection: Connection) -> Tariff:
    """Return the tariff of stations that have none of their own."""
    tariff = await tariff_named(connection, "default")
    assert tariff is not None, "the tariff named 'default' is gone"
    return tariff


async def get_tariff(connection: Connection, tariff_id: int) -> Tariff | None:
    """Return the tariff, or None."""
    return await fetch_one(connection, Tariff, _GET_TARIFF, {"id": tariff_id})
