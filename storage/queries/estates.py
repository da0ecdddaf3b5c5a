"""Estates: where a day of usage begins and in which currency it is paid; used by the portal."""

from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.errors import AlreadyExistsError


@dataclass(frozen=True, slots=True)
class Estate:
    """`time_zone`: a name of the tz database; `currency`: ISO 4217."""

    id: int
    name: str
    address: str | None
    time_zone: str
    currency: str
    created_at: datetime


_COLUMNS = " id, name, address, time_zone, currency, created_at "

_INSERT = (
    """
INSERT INTO estates (name, address, time_zone, currency)
VALUES (%(name)s, %(address)s, %(time_zone)s, %(currency)s)
ON CONFLICT (name) DO NOTHING
RETURNING"""
    + _COLUMNS
)

_GET = "SELECT" + _COLUMNS + "FROM estates WHERE id = %(id)s"

_LIST = (
    "SELECT"
    + _COLUMNS
    + """
FROM estates
WHERE archived_at IS NULL AND id > %(after_id)s
  AND (%(query)s::text IS NULL OR strpos(lower(name), lower(%(query)s)) > 0)
ORDER BY id LIMIT %(limit)s
"""
)

# The database computes "today" by this name, so it must know it.
_HAS_TIME_ZONE = "SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = %(name)s)"


async def insert_estate(
    connection: Connection, *, name: str, address: str | None, time_zone: str, currency: str
) -> Estate:
    """Make an estate. Raises `AlreadyExistsError` when another has the name."""
    facts = {"name": name, "address": address, "time_zone": time_zone, "currency": currency}
    made = await fetch_one(connection, Estate, _INSERT, facts)
    if made is None:
        raise AlreadyExistsError(f"an estate has the name {name} already")
    return made


async def get_estate(connection: Connection, estate_id: int) -> Estate | None:
    """Return the estate, or None."""
    return await fetch_one(connection, Estate, _GET, {"id": estate_id})


async def list_estates(
    connection: Connection, *, query: str | None, after_id: int, limit: int
) -> list[Estate]:
    """Return the next `limit` estates behind `after_id` whose name has `query` in it."""
    return await fetch_all(connection, Estate, _LIST, {"query": query, "after_id": after_id, "limit": limit})


async def has_time_zone(connection: Connection, name: str) -> bool:
    """Whether the database knows this time zone."""
    return bool(await fetch_value(connection, _HAS_TIME_ZONE, {"name": name}))
