"""Charge detail records: written once by the jobs role, never changed, read by the API."""

import dataclasses
from dataclasses import dataclass

from storage.database import Connection, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class Cdr:
    """What a session came to; money in minor units of `currency`, `total` = energy + time + parking + GST."""

    session_id: int
    user_id: int | None
    tariff_id: int
    currency: str
    energy_wh: int
    duration_s: int
    energy_minor_per_kwh: int
    energy_minor: int
    time_minor: int
    parking_minor: int
    gst_minor: int
    total_minor: int


_INSERT = """
INSERT INTO cdrs (session_id, user_id, tariff_id, currency, energy_wh, duration_s, energy_minor_per_kwh,
                  energy_minor, time_minor, parking_minor, gst_minor, total_minor)
VALUES (%(session_id)s, %(user_id)s, %(tariff_id)s, %(currency)s, %(energy_wh)s, %(duration_s)s,
        %(energy_minor_per_kwh)s, %(energy_minor)s, %(time_minor)s, %(parking_minor)s, %(gst_minor)s,
        %(total_minor)s)
ON CONFLICT (session_id) DO NOTHING
RETURNING session_id
"""

_GET = """
SELECT session_id, user_id, tariff_id, currency, energy_wh, duration_s, energy_minor_per_kwh, energy_minor,
       time_minor, parking_minor, gst_minor, total_minor
FROM cdrs WHERE session_id = %(session_id)s
"""


async def insert_cdr(connection: Connection, cdr: Cdr) -> bool:
    """Write the record; False, and nothing changed, when the session has one already."""
    return await fetch_value(connection, _INSERT, dataclasses.asdict(cdr)) is not None


async def get_cdr(connection: Connection, session_id: int) -> Cdr | None:
    """Return the session's record, or None while it is not rated."""
    return await fetch_one(connection, Cdr, _GET, {"session_id": session_id})
