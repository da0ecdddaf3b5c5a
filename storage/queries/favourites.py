"""Stations that users like; written by the favourites, read by them and by the user's dashboard."""

from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all, fetch_value
from storage.queries.users import hold_user

FAVOURITES_MAX = 200  # of one user


@dataclass(frozen=True, slots=True)
class _Favourite:
    station_id: int


_COUNT = """
SELECT count(*) FROM favourite_stations JOIN stations ON stations.id = station_id
WHERE user_id = %(user_id)s AND deleted_at IS NULL
"""

_LIST = """
SELECT station_id FROM favourite_stations JOIN stations ON stations.id = station_id
WHERE user_id = %(user_id)s AND deleted_at IS NULL
ORDER BY favourite_stations.created_at DESC, station_id DESC LIMIT %(limit)s OFFSET %(offset)s
"""

_INSERT = """
INSERT INTO favourite_stations (user_id, station_id, created_at)
SELECT %(user_id)s, %(station_id)s, %(now)s
WHERE (SELECT count(*) FROM favourite_stations WHERE user_id = %(user_id)s) < %(bound)s
ON CONFLICT DO NOTHING
"""

_HAS = """
SELECT EXISTS (SELECT FROM favourite_stations
               WHERE user_id = %(user_id)s AND station_id = %(station_id)s)
"""

_DELETE = "DELETE FROM favourite_stations WHERE user_id = %(user_id)s AND station_id = %(station_id)s"


async def add_favourite(connection: Connection, user_id: int, station_id: int, now: datetime) -> bool:
    """Make it a favourite; True also where it was one. False: the user has `FAVOURITES_MAX` others."""
    key = {"user_id": user_id, "station_id": station_id}
    await hold_user(connection, user_id)
    await connection.execute(_INSERT, {**key, "now": now, "bound": FAVOURITES_MAX})
    return bool(await fetch_value(connection, _HAS, key))


async def remove_favourite(connection: Connection, user_id: int, station_id: int) -> bool:
    """Make it none; False where it was none."""
    removed = await connection.execute(_DELETE, {"user_id": user_id, "station_id": station_id})
    return removed.rowcount == 1


async def list_favourites(
    connection: Connection, user_id: int, *, limit: int, offset: int = 0
) -> tuple[list[int], int]:
    """Return one page of station ids, the latest favourite first, and how many there are in all."""
    where = {"user_id": user_id, "limit": limit, "offset": offset}
    page = await fetch_all(connection, _Favourite, _LIST, where)
    return [row.station_id for row in page], int(await fetch_value(connection, _COUNT, where))
