"""Numbers without gaps: of bookings, invoices and tickets."""

from storage.database import Connection, fetch_value

_NEXT = """
INSERT INTO counters (name, value) VALUES (%(name)s, 1)
ON CONFLICT (name) DO UPDATE SET value = counters.value + 1
RETURNING value
"""


async def next_number(connection: Connection, name: str) -> int:
    """Return the next number of this name, from 1; held until commit, so that none is left out."""
    return int(await fetch_value(connection, _NEXT, {"name": name}))
