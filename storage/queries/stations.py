"""Stations and tariffs: where chargers stand and what their energy costs; used by the API and by rating."""

from dataclasses import dataclass

from storage.database import Connection, fetch_all, fetch_one
from storage.errors import AlreadyExistsError


@dataclass(frozen=True, slots=True)
class Station:
    """`tariff_id` None: the default tariff."""

    id: int
    name: str
    owner_id: int | None
    tariff_id: int | None


@dataclass(frozen=True, slots=True)
class Tariff:
    """Prices in minor units of `currency` before GST; 100 basis points are 1 %."""

    id: int
    name: str
    currency: str
    energy_minor_per_kwh: int
    time_minor_per_minute: int
    parking_minor_per_minute: int
    gst_basis_points: int


_INSERT_STATION = """
INSERT INTO stations (name, owner_id, tariff_id) VALUES (%(name)s, %(owner_id)s, %(tariff_id)s)
RETURNING id, name, owner_id, tariff_id
"""

_GET_STATION = "SELECT id, name, owner_id, tariff_id FROM stations WHERE id = %(id)s"

_LIST_STATIONS = """
SELECT id, name, owner_id, tariff_id FROM stations
WHERE id > %(after_id)s AND (%(owner_id)s::bigint IS NULL OR owner_id = %(owner_id)s)
ORDER BY id LIMIT %(limit)s
"""

_INSERT_TARIFF = """
INSERT INTO tariffs (name, currency, energy_minor_per_kwh, time_minor_per_minute, parking_minor_per_minute,
                     gst_basis_points)
VALUES (%(name)s, %(currency)s, %(energy_minor_per_kwh)s, %(time_minor_per_minute)s,
        %(parking_minor_per_minute)s, %(gst_basis_points)s)
ON CONFLICT (name) DO NOTHING
RETURNING id, name, currency, energy_minor_per_kwh, time_minor_per_minute, parking_minor_per_minute,
          gst_basis_points
"""

_TARIFF_FOR_CHARGER = """
SELECT id, name, currency, energy_minor_per_kwh, time_minor_per_minute, parking_minor_per_minute,
       gst_basis_points
FROM tariffs
WHERE id = coalesce(
    (SELECT tariff_id FROM stations WHERE id = (
        SELECT station_id FROM chargers WHERE device_id = %(device_id)s)),
    (SELECT id FROM tariffs WHERE name = 'default'))
"""


async def insert_station(
    connection: Connection, name: str, *, owner_id: int | None = None, tariff_id: int | None = None
) -> Station:
    """Make a station."""
    parameters = {"name": name, "owner_id": owner_id, "tariff_id": tariff_id}
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
) -> Tariff:
    """Make a tariff; raises `AlreadyExistsError` when the name is taken."""
    fees = {"time_minor_per_minute": time_minor_per_minute, "gst_basis_points": gst_basis_points}
    parameters = {
        "name": name,
        "currency": currency,
        "energy_minor_per_kwh": energy_minor_per_kwh,
        "parking_minor_per_minute": parking_minor_per_minute,
        **fees,
    }
    tariff = await fetch_one(connection, Tariff, _INSERT_TARIFF, parameters)
    if tariff is None:
        raise AlreadyExistsError(f"tariff {name!r}: this name is taken")
    return tariff


async def tariff_for_charger(connection: Connection, device_id: int) -> Tariff:
    """Return the tariff of the charger's station, or the default one."""
    tariff = await fetch_one(connection, Tariff, _TARIFF_FOR_CHARGER, {"device_id": device_id})
    assert tariff is not None, "the tariff named 'default' is gone"
    return tariff
