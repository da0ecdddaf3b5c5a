"""Charge detail records and their corrections: written once by the jobs role, read by the API.

Neither is ever changed.
"""

import dataclasses
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class Cdr:
    """What a session came to; money in minor units of `currency`.

    `total_minor` is the sum of all other amounts, the discount (not negative) taken off. `lines` and
    `periods` are JSON, as `stream.settlement` writes them. `is_estimated`: a rule ended the session, not its
    charger. `has_meter_reset`: the energy is the least that is known.
    """

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
    flat_minor: int = 0
    adjustment_minor: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    periods: list[dict[str, Any]] = field(default_factory=list)
    is_estimated: bool = False
    has_meter_reset: bool = False
    peak_minor: int = 0
    discount_minor: int = 0
    platform_fee_minor: int = 0


_INSERT = """
INSERT INTO cdrs (session_id, user_id, tariff_id, currency, energy_wh, duration_s, energy_minor_per_kwh,
                  energy_minor, time_minor, parking_minor, gst_minor, total_minor, flat_minor,
                  adjustment_minor, lines, periods, is_estimated, has_meter_reset, peak_minor, discount_minor,
                  platform_fee_minor)
VALUES (%(session_id)s, %(user_id)s, %(tariff_id)s, %(currency)s, %(energy_wh)s, %(duration_s)s,
        %(energy_minor_per_kwh)s, %(energy_minor)s, %(time_minor)s, %(parking_minor)s, %(gst_minor)s,
        %(total_minor)s, %(flat_minor)s, %(adjustment_minor)s, %(lines)s, %(periods)s, %(is_estimated)s,
        %(has_meter_reset)s, %(peak_minor)s, %(discount_minor)s, %(platform_fee_minor)s)
ON CONFLICT (session_id) DO NOTHING
RETURNING session_id
"""

_COLUMNS = """
SELECT session_id, user_id, tariff_id, currency, energy_wh, duration_s, energy_minor_per_kwh, energy_minor,
       time_minor, parking_minor, gst_minor, total_minor, flat_minor, adjustment_minor, lines, periods,
       is_estimated, has_meter_reset, peak_minor, discount_minor, platform_fee_minor
"""

_GET = _COLUMNS + "FROM cdrs WHERE session_id = %(session_id)s"

_GET_LATEST = _COLUMNS + "FROM latest_cdrs WHERE session_id = %(session_id)s"

_GET_CORRECTION = _GET_LATEST + " AND is_corrected"

_CORRECTED_AT = "SELECT created_at FROM cdr_corrections WHERE session_id = %(session_id)s"

_INSERT_CORRECTION = """
INSERT INTO cdr_corrections (session_id, energy_wh, duration_s, energy_minor, time_minor, parking_minor,
                             gst_minor, total_minor, flat_minor, adjustment_minor, lines, periods,
                             is_estimated, has_meter_reset, peak_minor, discount_minor,
                             platform_fee_minor)
VALUES (%(session_id)s, %(energy_wh)s, %(duration_s)s, %(energy_minor)s, %(time_minor)s, %(parking_minor)s,
        %(gst_minor)s, %(total_minor)s, %(flat_minor)s, %(adjustment_minor)s, %(lines)s, %(periods)s,
        %(is_estimated)s, %(has_meter_reset)s, %(peak_minor)s, %(discount_minor)s, %(platform_fee_minor)s)
ON CONFLICT (session_id) DO NOTHING
RETURNING session_id
"""


async def insert_cdr(connection: Connection, cdr: Cdr) -> bool:
    """Write the record; False, and nothing changed, when the session has one already."""
    return await fetch_value(connection, _INSERT, _parameters(cdr)) is not None


async def get_cdr(connection: Connection, session_id: int) -> Cdr | None:
    """Return the session's record as it was first written, or None while it is not rated."""
    return await fetch_one(connection, Cdr, _GET, {"session_id": session_id})


async def insert_correction(connection: Connection, cdr: Cdr) -> bool:
    """Write what the session came to after all; False, and nothing changed, when it was corrected before."""
    return await fetch_value(connection, _INSERT_CORRECTION, _parameters(cdr)) is not None


async def get_correction(connection: Connection, session_id: int) -> Cdr | None:
    """Return the record with the correction's energy, time and amounts, or None where there is none."""
    return await fetch_one(connection, Cdr, _GET_CORRECTION, {"session_id": session_id})


async def corrected_at(connection: Connection, session_id: int) -> datetime | None:
    """Return when the record was corrected, or None where it was not."""
    at: datetime | None = await fetch_value(connection, _CORRECTED_AT, {"session_id": session_id})
    return at


async def latest_cdr(connection: Connection, session_id: int) -> Cdr | None:
    """Return the record as corrected, or else as first written; None while the session is not rated."""
    return await fetch_one(connection, Cdr, _GET_LATEST, {"session_id": session_id})


def _parameters(cdr: Cdr) -> dict[str, Any]:
    return {**dataclasses.asdict(cdr), "lines": Jsonb(cdr.lines), "periods": Jsonb(cdr.periods)}
