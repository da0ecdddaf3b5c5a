"""Battery health: which batteries are due, their samples, what is kept between runs, figures and alarms.

Used by `stream.health.job` and the Ienerzy API. `storage/migrations/0009_battery_health.sql` has the tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one, fetch_value

COLUMNS = (
    "ts",
    "voltage_v",
    "current_a",
    "soc_pct",
    "soh_pct",
    "flags",
    "temperatures_c",
    "cell_voltages_v",
)


@dataclass(frozen=True, slots=True)
class DueBattery:
    """A battery whose row of `battery_health_states` this transaction holds. `state` is {} for a new one."""

    id: int
    serial_number: str
    device_id: int
    dealer_id: int | None
    rated_capacity_ah: float | None
    alarm_limits: dict[str, Any]
    state: dict[str, Any]
    assessed_at_us: int


@dataclass(frozen=True, slots=True)
class BatteryHealth:
    """A day's last assessment; None where the samples did not show it."""

    day: date
    assessed_at: datetime
    since: datetime
    until: datetime
    samples: int
    health_score: Decimal | None
    known: float
    penalty: float
    capacity_ah: float | None
    soh_capacity_pct: float | None
    resistance_ohm: float | None
    soh_resistance_pct: float | None
    reported_soh_pct: float | None
    imbalance_mv: float | None
    weakest_cell: int | None
    full_cycles: float
    cycle_depths: list[float]
    anomaly_score: float | None
    figures: dict[str, float]
    parts: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class BatteryAlarm:
    """`closed_at` is None while it is open; `cell` counts from 1, None for the pack's alarms."""

    id: int
    kind: str
    severity: str
    opened_at: datetime
    closed_at: datetime | None
    worst: float
    cell: int | None


@dataclass(frozen=True, slots=True)
class _Figures:
    figures: dict[str, float]


_ADD_STATES = """
INSERT INTO battery_health_states (battery_id)
SELECT id FROM batteries
WHERE device_id IS NOT NULL AND NOT EXISTS (SELECT FROM battery_health_states WHERE battery_id = batteries.id)
ORDER BY id LIMIT %(limit)s
ON CONFLICT DO NOTHING
"""

# What was heard just before a look may have been stored just after it: a while longer it is looked at again.
_CLAIM = """
SELECT batteries.id, batteries.serial_number, batteries.device_id, batteries.dealer_id,
       batteries.rated_capacity_ah, batteries.alarm_limits, states.state,
       CASE WHEN isfinite(states.assessed_at)
            THEN (extract(epoch FROM states.assessed_at) * 1000000)::bigint ELSE 0 END AS assessed_at_us
FROM battery_health_states states
JOIN batteries ON batteries.id = states.battery_id
JOIN devices ON devices.id = batteries.device_id
WHERE states.looked_at < %(looked_before)s
  AND (states.is_behind OR devices.last_seen_at + %(storing)s > states.looked_at)
ORDER BY states.looked_at LIMIT 1
FOR NO KEY UPDATE OF states SKIP LOCKED
"""

_AFTER = """
SELECT (extract(epoch FROM ts) * 1000000)::bigint, voltage_v, current_a, soc_pct, soh_pct, flags,
       temperatures_c, cell_voltages_v
FROM battery_samples
WHERE device_id = %(device_id)s AND ts > to_timestamp(0) + %(after_us)s * interval '1 microsecond'
  AND ts <= %(until)s
ORDER BY ts LIMIT %(limit)s
"""

_NEWEST = """
SELECT (extract(epoch FROM ts) * 1000000)::bigint, voltage_v, current_a, soc_pct, soh_pct, flags,
       temperatures_c, cell_voltages_v
FROM battery_samples WHERE device_id = %(device_id)s AND ts >= %(since)s
ORDER BY ts DESC LIMIT %(limit)s
"""

_KEEP = """
UPDATE battery_health_states
SET state = %(state)s, looked_at = %(looked_at)s, is_behind = %(is_behind)s,
    assessed_at = coalesce(%(assessed_at)s, assessed_at)
WHERE battery_id = %(battery_id)s
"""

_FIELDS = """
day, assessed_at, since, until, samples, health_score, known, penalty, capacity_ah, soh_capacity_pct,
resistance_ohm, soh_resistance_pct, reported_soh_pct, imbalance_mv, weakest_cell, full_cycles, cycle_depths,
anomaly_score, figures, parts
"""

_PUT = f"""
INSERT INTO battery_health (battery_id, {_FIELDS})
VALUES (%(battery_id)s, %(day)s, %(assessed_at)s, %(since)s, %(until)s, %(samples)s, %(health_score)s,
        %(known)s, %(penalty)s, %(capacity_ah)s, %(soh_capacity_pct)s, %(resistance_ohm)s,
        %(soh_resistance_pct)s, %(reported_soh_pct)s, %(imbalance_mv)s, %(weakest_cell)s, %(full_cycles)s,
        %(cycle_depths)s, %(anomaly_score)s, %(figures)s, %(parts)s)
ON CONFLICT (battery_id, day) DO UPDATE
SET assessed_at = EXCLUDED.assessed_at, since = EXCLUDED.since, until = EXCLUDED.until,
    samples = EXCLUDED.samples, health_score = EXCLUDED.health_score, known = EXCLUDED.known,
    penalty = EXCLUDED.penalty, capacity_ah = EXCLUDED.capacity_ah,
    soh_capacity_pct = EXCLUDED.soh_capacity_pct, resistance_ohm = EXCLUDED.resistance_ohm,
    soh_resistance_pct = EXCLUDED.soh_resistance_pct, reported_soh_pct = EXCLUDED.reported_soh_pct,
    imbalance_mv = EXCLUDED.imbalance_mv, weakest_cell = EXCLUDED.weakest_cell,
    full_cycles = EXCLUDED.full_cycles, cycle_depths = EXCLUDED.cycle_depths,
    anomaly_score = EXCLUDED.anomaly_score, figures = EXCLUDED.figures, parts = EXCLUDED.parts
"""

_SET_SCORE = "UPDATE batteries SET health_score = %(health_score)s WHERE id = %(battery_id)s"

_HISTORY = f"""
SELECT {_FIELDS} FROM battery_health WHERE battery_id = %(battery_id)s ORDER BY day DESC LIMIT %(limit)s
"""

_OWN_FIGURES = """
SELECT figures FROM battery_health WHERE battery_id = %(battery_id)s AND day < %(day)s
ORDER BY day DESC LIMIT %(limit)s
"""

_PEER_FIGURES = """
SELECT DISTINCT ON (battery_id) figures
FROM battery_health JOIN batteries ON batteries.id = battery_id
WHERE batteries.dealer_id = %(dealer_id)s AND battery_id <> %(battery_id)s AND day >= %(since)s
ORDER BY battery_id, day DESC LIMIT %(limit)s
"""

# A battery has one open alarm of a kind; the same one opened twice is the same row.
_OPEN = """
INSERT INTO battery_alarms (battery_id, kind, severity, opened_at, worst, cell)
VALUES (%(battery_id)s, %(kind)s, %(severity)s, %(at)s, %(worst)s, %(cell)s)
ON CONFLICT DO NOTHING
RETURNING id
"""

_CLOSE = """
UPDATE battery_alarms SET closed_at = greatest(opened_at, %(at)s), worst = %(worst)s
WHERE battery_id = %(battery_id)s AND kind = %(kind)s AND closed_at IS NULL
"""

_ALARMS = """
SELECT id, kind, severity, opened_at, closed_at, worst, cell FROM battery_alarms
WHERE battery_id = %(battery_id)s AND (NOT %(is_open)s OR closed_at IS NULL)
ORDER BY opened_at DESC, id DESC LIMIT %(limit)s
"""


async def add_states(connection: Connection, limit: int) -> None:
    """Make a state for up to `limit` batteries that have a device and none yet."""
    await connection.execute(_ADD_STATES, {"limit": limit})


async def claim_due(
    connection: Connection, *, looked_before: datetime, storing: timedelta
) -> DueBattery | None:
    """Return, and hold until the transaction ends, the battery that waits longest among those heard of.

    `storing` is how long after a battery was heard its samples may still be on their way.
    """
    return await fetch_one(
        connection, DueBattery, _CLAIM, {"looked_before": looked_before, "storing": storing}
    )


async def samples_after(
    connection: Connection, device_id: int, after_us: int, until: datetime, limit: int
) -> dict[str, list[Any]]:
    """Return the first `limit` rows behind a time and up to another, oldest first, as `COLUMNS`.

    `ts` in microseconds.
    """
    parameters = {"device_id": device_id, "after_us": after_us, "until": until, "limit": limit}
    return await _columns(connection, _AFTER, parameters)


async def newest_samples(
    connection: Connection, device_id: int, since: datetime, limit: int
) -> dict[str, list[Any]]:
    """Return the newest `limit` rows since a time, newest first, as `COLUMNS`; `ts` in microseconds."""
    return await _columns(connection, _NEWEST, {"device_id": device_id, "since": since, "limit": limit})


async def _columns(connection: Connection, query: str, parameters: Mapping[str, Any]) -> dict[str, list[Any]]:
    async with connection.cursor(binary=True) as cursor:
        rows = await (await cursor.execute(query, parameters)).fetchall()
    values = list(zip(*rows, strict=True)) if rows else [()] * len(COLUMNS)
    return {name: list(column) for name, column in zip(COLUMNS, values, strict=True)}


async def keep_state(
    connection: Connection,
    battery_id: int,
    state: Mapping[str, Any],
    *,
    looked_at: datetime,
    assessed_at: datetime | None,
    is_behind: bool,
) -> None:
    """Write what the battery carries to the next run; `assessed_at` None leaves that time as it was.

    `is_behind`: there are samples that this look did not reach, so it is due again whether heard of or not.
    """
    facts = {"battery_id": battery_id, "looked_at": looked_at, "assessed_at": assessed_at}
    facts["is_behind"] = is_behind
    await connection.execute(_KEEP, {**facts, "state": Jsonb(state)})


async def put_health(connection: Connection, battery_id: int, health: BatteryHealth) -> None:
    """Write a day's assessment over an earlier one of that day; a score becomes the battery's."""
    facts = {name: getattr(health, name) for name in BatteryHealth.__slots__}
    facts |= {"battery_id": battery_id, "figures": Jsonb(health.figures), "parts": Jsonb(health.parts)}
    await connection.execute(_PUT, facts)
    if health.health_score is not None:
        await connection.execute(_SET_SCORE, facts)


async def health_history(connection: Connection, battery_id: int, limit: int) -> list[BatteryHealth]:
    """Return the newest `limit` days, the latest first."""
    return await fetch_all(connection, BatteryHealth, _HISTORY, {"battery_id": battery_id, "limit": limit})


async def own_figures(
    connection: Connection, battery_id: int, day: date, limit: int
) -> list[dict[str, float]]:
    """Return the figures of the newest `limit` days before `day`."""
    where = {"battery_id": battery_id, "day": day, "limit": limit}
    return [row.figures for row in await fetch_all(connection, _Figures, _OWN_FIGURES, where)]


async def peer_figures(
    connection: Connection, battery_id: int, dealer_id: int | None, since: date, limit: int
) -> list[dict[str, float]]:
    """Return the latest figures of up to `limit` other batteries of the dealer, no older than `since`."""
    where = {"battery_id": battery_id, "dealer_id": dealer_id, "since": since, "limit": limit}
    return [row.figures for row in await fetch_all(connection, _Figures, _PEER_FIGURES, where)]


async def open_alarm(
    connection: Connection,
    battery_id: int,
    *,
    kind: str,
    severity: str,
    at: datetime,
    worst: float,
    cell: int | None,
) -> int | None:
    """Write an alarm that began; returns its id, None where this one, or one of its kind, is open already."""
    facts = {"kind": kind, "severity": severity, "at": at, "worst": worst, "cell": cell}
    made = await fetch_value(connection, _OPEN, {**facts, "battery_id": battery_id})
    return None if made is None else int(made)


async def close_alarm(
    connection: Connection, battery_id: int, *, kind: str, at: datetime, worst: float
) -> bool:
    """Write the end of the open alarm of a kind; False where there is none."""
    facts = {"battery_id": battery_id, "kind": kind, "at": at, "worst": worst}
    return (await connection.execute(_CLOSE, facts)).rowcount == 1


async def list_alarms(
    connection: Connection, battery_id: int, *, is_open: bool, limit: int
) -> Sequence[BatteryAlarm]:
    """Return the newest `limit` alarms, or of the open ones only."""
    where = {"battery_id": battery_id, "is_open": is_open, "limit": limit}
    return await fetch_all(connection, BatteryAlarm, _ALARMS, where)
