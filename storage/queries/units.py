"""Units of estates: what people own, rent and pay for; used by the Mobile family and its portal."""

from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.errors import AlreadyExistsError


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit, with what its estate says of time and money."""

    id: int
    unit_number: str
    estate_id: int
    estate_name: str
    time_zone: str
    currency: str
    created_at: datetime


_SELECT = """
SELECT units.id, units.unit_number, estates.id AS estate_id, estates.name AS estate_name,
       estates.time_zone, estates.currency, units.created_at
FROM units JOIN estates ON estates.id = units.estate_id
"""

_GET = _SELECT + "WHERE units.id = %(id)s AND units.archived_at IS NULL"

_INSERT = """
INSERT INTO units (estate_id, unit_number) VALUES (%(estate_id)s, %(unit_number)s)
ON CONFLICT (estate_id, unit_number) DO NOTHING
RETURNING id
"""

_LIST = (
    _SELECT
    + """
WHERE units.archived_at IS NULL AND units.id > %(after_id)s
  AND (%(estate_id)s::bigint IS NULL OR units.estate_id = %(estate_id)s)
  AND (%(query)s::text IS NULL
       OR strpos(lower(concat_ws(' ', units.unit_number, estates.name)), lower(%(query)s)) > 0)
ORDER BY units.id LIMIT %(limit)s
"""
)


async def insert_unit(connection: Connection, estate_id: int, unit_number: str) -> Unit:
    """Make a unit of an estate that is there. Raises `AlreadyExistsError` when the number is taken."""
    facts = {"estate_id": estate_id, "unit_number": unit_number}
    made = await fetch_value(connection, _INSERT, facts)
    if made is None:
        raise AlreadyExistsError(f"estate {estate_id} has a unit {unit_number} already")
    unit = await get_unit(connection, made)
    assert unit is not None
    return unit


async def get_unit(connection: Connection, unit_id: int) -> Unit | None:
    """Return the unit, or None."""
    return await fetch_one(connection, Unit, _GET, {"id": unit_id})


async def list_units(
    connection: Connection, *, estate_id: int | None, query: str | None, after_id: int, limit: int
) -> list[Unit]:
    """Return the next `limit` units behind `after_id` whose number or estate has `query` in it."""
    parameters = {"estate_id": estate_id, "query": query, "after_id": after_id, "limit": limit}
    return await fetch_all(connection, Unit, _LIST, parameters)
