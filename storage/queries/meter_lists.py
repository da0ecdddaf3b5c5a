"""Meters as the portal lists them, and what it changes of one; billing's own queries are in `meters`."""

from storage.database import Connection, fetch_all
from storage.queries.meters import Meter

_LIST = """
SELECT meters.id, unit_id, serial_number, meter_type, utility_type, status, device_type, communication_type,
       supply, meters.created_at
FROM meters
WHERE meters.id > %(after_id)s
  AND (%(unit_id)s::bigint IS NULL OR unit_id = %(unit_id)s)
  AND (%(query)s::text IS NULL OR strpos(serial_key, lower(%(query)s)) > 0)
ORDER BY meters.id LIMIT %(limit)s
"""

_SET_STATUS = "UPDATE meters SET status = %(status)s WHERE id = %(id)s"


async def list_meters(
    connection: Connection, *, unit_id: int | None, query: str | None, after_id: int, limit: int
) -> list[Meter]:
    """Return the next `limit` meters behind `after_id` whose serial number has `query` in it."""
    parameters = {"unit_id": unit_id, "query": query, "after_id": after_id, "limit": limit}
    return await fetch_all(connection, Meter, _LIST, parameters)


async def set_status(connection: Connection, meter_id: int, status: str) -> None:
    """Say whether the meter is active, inactive or faulty."""
    await connection.execute(_SET_STATUS, {"id": meter_id, "status": status})
