"""What a battery's own telemetry holds for a claim: its samples by stretches of time, against limits.

Used by `stream.warranty.claims`. The arithmetic is the server's, so that no samples travel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.database import Connection, fetch_all, fetch_one

# What is beyond each limit; a limit that is NULL is of nothing.
_BEYOND = {
    "max_temperature_c": "temperature_c > %(max_temperature_c)s::float8",
    "min_soc_pct": "soc_pct < %(min_soc_pct)s::float8",
    "min_cell_voltage_v": "cell_v < %(min_cell_voltage_v)s::float8",
    "min_pack_voltage_v": "voltage_v < %(min_pack_voltage_v)s::float8",
    "max_charge_current_a": "current_a > %(max_charge_current_a)s::float8",
    "max_discharge_current_a": "-current_a > %(max_discharge_current_a)s::float8",
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where a serial's telemetry is; `battery_id` is None where nobody entered it as an asset."""

    device_id: int
    battery_id: int | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """The samples of one stretch of time: extremes, None where nothing said it.

    `gap_s`: the longest time between two samples. `beyond`: by limit, what was beyond it, as
    `[samples, seconds, first, last]`, the latter two as seconds since 1970 UTC.
    """

    number: int
    samples: int
    first_at: datetime
    last_at: datetime
    gap_s: float
    voltage_min_v: float | None
    voltage_max_v: float | None
    cell_min_v: float | None
    soc_min_pct: float | None
    soc_max_pct: float | None
    temperature_max_c: float | None
    current_min_a: float | None
    current_max_a: float | None
    cycles: int | None
    beyond: dict[str, list[float]]


_SOURCE = """
SELECT devices.id AS device_id, batteries.id AS battery_id
FROM devices LEFT JOIN batteries ON batteries.device_id = devices.id
WHERE kind = 'battery' AND identity_key = lower(%(serial)s)
"""

_BEYOND_COLUMNS = ",\n".join(
    f"""'{name}', CASE WHEN count(*) FILTER (WHERE {beyond}) > 0 THEN jsonb_build_array(
    count(*) FILTER (WHERE {beyond}), sum(held_s) FILTER (WHERE {beyond}),
    min(extract(epoch FROM ts)) FILTER (WHERE {beyond}),
    max(extract(epoch FROM ts)) FILTER (WHERE {beyond})) END"""
    for name, beyond in _BEYOND.items()
)

# A sample stands until the next one, but not for longer than `held_s_max`: then nobody knows.
_STRETCHES = f"""
WITH newest AS (
    SELECT ts, voltage_v, current_a, soc_pct, cycles,
           (SELECT max(value) FROM unnest(temperatures_c) AS value) AS temperature_c,
           (SELECT min(value) FROM unnest(cell_voltages_v) AS value) AS cell_v
    FROM battery_samples WHERE device_id = %(device_id)s AND ts >= %(since)s AND ts <= %(until)s
    ORDER BY ts DESC LIMIT %(limit)s
), spaced AS (
    SELECT *, extract(epoch FROM ts - lag(ts) OVER times) AS gap_s,
           least(coalesce(extract(epoch FROM lead(ts) OVER times - ts), 0), %(held_s_max)s) AS held_s
    FROM newest WINDOW times AS (ORDER BY ts)
)
SELECT floor(extract(epoch FROM ts - %(since)s) / %(stretch_s)s)::integer AS number, count(*) AS samples,
       min(ts) AS first_at, max(ts) AS last_at, coalesce(max(gap_s), 0)::float8 AS gap_s,
       min(voltage_v)::float8 AS voltage_min_v, max(voltage_v)::float8 AS voltage_max_v,
       min(cell_v)::float8 AS cell_min_v, min(soc_pct)::float8 AS soc_min_pct,
       max(soc_pct)::float8 AS soc_max_pct, max(temperature_c)::float8 AS temperature_max_c,
       min(current_a)::float8 AS current_min_a, max(current_a)::float8 AS current_max_a,
       max(cycles) AS cycles,
       jsonb_strip_nulls(jsonb_build_object({_BEYOND_COLUMNS})) AS beyond
FROM spaced GROUP BY number ORDER BY number
"""


async def find_source(connection: Connection, serial: str) -> Source | None:
    """Return where the telemetry of this serial is, or None where none was ever heard."""
    return await fetch_one(connection, Source, _SOURCE, {"serial": serial})


async def read_stretches(
    connection: Connection,
    device_id: int,
    limits: Mapping[str, float],
    *,
    since: datetime,
    until: datetime,
    stretch_s: float,
    held_s_max: float,
    limit: int,
) -> list[Stretch]:
    """Return the newest `limit` samples from `since` until `until`, by stretches of `stretch_s`, in order."""
    window = {"device_id": device_id, "since": since, "until": until, "limit": limit}
    facts: dict[str, Any] = {**window, "stretch_s": stretch_s, "held_s_max": held_s_max}
    own = {name: limits.get(name) for name in _BEYOND}
    return await fetch_all(connection, Stretch, _STRETCHES, {**facts, **own})
