"""Reads of the time series: latest values, and ranges as columns; used by the API and the status screen."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql

from protocols.vocabulary import MEASURAND_CODES
from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.hypertables import BATTERY_SAMPLES, SERIES


@dataclass(frozen=True, slots=True)
class BatterySample:
    """One row of `battery_samples`; None where the battery did not say."""

    ts: datetime
    received_at: datetime
    voltage_v: float | None
    current_a: float | None
    soc_pct: float | None
    soh_pct: float | None
    cycles: int | None
    latitude_deg: float | None
    longitude_deg: float | None
    flags: int | None
    temperatures_c: list[float] | None
    cell_voltages_v: list[float] | None


@dataclass(frozen=True, slots=True)
class ChargerValue:
    """The latest value of one quantity; codes are those of the OCPP vocabulary."""

    connector_id: int
    measurand: int
    phase: int
    location: int
    context: int
    ts: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Register:
    """What a session's energy register showed (Wh); `ts` by the charger's clock."""

    ts: datetime
    received_at: datetime
    register_wh: int


@dataclass(frozen=True, slots=True)
class ChargeLevels:
    """A vehicle's state of charge when charging began and when it ended; None where nobody told."""

    first_pct: float | None
    last_pct: float | None


_LATEST_BATTERY = """
SELECT ts, received_at, voltage_v, current_a, soc_pct, soh_pct, cycles, latitude_deg, longitude_deg, flags,
       temperatures_c, cell_voltages_v
FROM battery_samples WHERE device_id = %(device_id)s ORDER BY ts DESC LIMIT 1
"""

_LATEST_CHARGER = """
SELECT DISTINCT ON (connector_id, measurand, phase, location)
       connector_id, measurand, phase, location, context, ts, value
FROM charger_samples
WHERE device_id = %(device_id)s AND ts >= %(since)s
  AND (%(connector_id)s::smallint IS NULL OR connector_id = %(connector_id)s)
ORDER BY connector_id, measurand, phase, location, ts DESC, context
"""

# Measurand, phase and location 0: Energy.Active.Import.Register of all phases at the outlet. Some chargers
# leave the transaction id out: then it is the connector's.
_REGISTERS = """
SELECT ts, max(received_at) AS received_at, round(max(value))::bigint AS register_wh
FROM charger_samples
WHERE device_id = %(device_id)s AND ts >= %(from)s AND ts <= %(to)s
  AND measurand = 0 AND phase = 0 AND location = 0
  AND (transaction_id = %(transaction_id)s OR transaction_id IS NULL AND connector_id = %(connector_id)s)
GROUP BY ts
"""

_FIRST_REGISTERS = _REGISTERS + "ORDER BY ts LIMIT %(limit)s"

_LAST_REGISTER = _REGISTERS + "ORDER BY ts DESC LIMIT 1"

_LEVELS = """
SELECT (array_agg(value ORDER BY ts))[1]::float8 AS first_pct,
       (array_agg(value ORDER BY ts DESC))[1]::float8 AS last_pct
FROM charger_samples
WHERE device_id = %(device_id)s AND ts >= %(from)s AND ts <= %(to)s AND measurand = %(measurand)s
  AND (transaction_id = %(transaction_id)s OR transaction_id IS NULL AND connector_id = %(connector_id)s)
"""

_BATTERY_RANGE = """
SELECT {columns} FROM battery_samples
WHERE device_id = %(device_id)s AND ts >= %(from)s AND ts < %(to)s
ORDER BY ts LIMIT %(limit)s
"""

_DEVICES_HEARD = "SELECT count(DISTINCT device_id) FROM {table} WHERE ts >= %(since)s"


async def latest_battery(connection: Connection, device_id: int) -> BatterySample | None:
    """Return the newest row of the battery by its own clock, or None."""
    return await fetch_one(connection, BatterySample, _LATEST_BATTERY, {"device_id": device_id})


async def battery_range(
    connection: Connection,
    device_id: int,
    from_: datetime,
    to: datetime,
    *,
    columns: Sequence[str] | None = None,
    limit: int,
) -> dict[str, list[Any]]:
    """Return the first `limit` rows with `from_ <= ts < to`, oldest first, column by column.

    `columns`: names of the declaration (ValueError for others); None for all of them but `device_id`.
    """
    names = [name for name in BATTERY_SAMPLES.by_name if name != "device_id"] if columns is None else columns
    unknown = [name for name in names if name not in BATTERY_SAMPLES.by_name]
    if unknown:
        raise ValueError(f"battery_samples has no columns {unknown}; it has {list(BATTERY_SAMPLES.by_name)}")
    query = sql.SQL(_BATTERY_RANGE).format(columns=sql.SQL(", ").join(map(sql.Identifier, names)))
    parameters = {"device_id": device_id, "from": from_, "to": to, "limit": limit}
    rows = await (await connection.execute(query, parameters)).fetchall()
    values: list[tuple[Any, ...]] = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return {name: list(column) for name, column in zip(names, values, strict=True)}


async def latest_charger_values(
    connection: Connection, device_id: int, since: datetime, connector_id: int | None = None
) -> list[ChargerValue]:
    """Return the newest value of every quantity that the charger sent since `since`, by connector."""
    parameters = {"device_id": device_id, "since": since, "connector_id": connector_id}
    return await fetch_all(connection, ChargerValue, _LATEST_CHARGER, parameters)


async def session_registers(
    connection: Connection,
    *,
    device_id: int,
    connector_id: int,
    transaction_id: int,
    from_: datetime,
    to: datetime,
    limit: int,
) -> list[Register]:
    """Return the first `limit` readings of the register with `from_ <= ts <= to`, oldest first."""
    key = {"device_id": device_id, "connector_id": connector_id, "transaction_id": transaction_id}
    parameters = {**key, "from": from_, "to": to, "limit": limit}
    return await fetch_all(connection, Register, _FIRST_REGISTERS, parameters)


async def last_register(
    connection: Connection,
    *,
    device_id: int,
    connector_id: int,
    transaction_id: int,
    from_: datetime,
    to: datetime,
) -> Register | None:
    """Return the newest reading of the register with `from_ <= ts <= to`, or None."""
    key = {"device_id": device_id, "connector_id": connector_id, "transaction_id": transaction_id}
    return await fetch_one(connection, Register, _LAST_REGISTER, {**key, "from": from_, "to": to})


async def charge_levels(
    connection: Connection,
    *,
    device_id: int,
    connector_id: int,
    transaction_id: int,
    from_: datetime,
    to: datetime,
) -> ChargeLevels:
    """Return the vehicle's state of charge at both ends of a transaction, as far as its charger told."""
    key = {"device_id": device_id, "connector_id": connector_id, "transaction_id": transaction_id}
    parameters = {**key, "from": from_, "to": to, "measurand": MEASURAND_CODES["SoC"]}
    levels = await fetch_one(connection, ChargeLevels, _LEVELS, parameters)
    assert levels is not None
    return levels


async def count_rows(connection: Connection) -> dict[str, int]:
    """Return exact numbers of rows of every series and its quarantine; reads them all."""
    counts = {}
    for table in SERIES:
        for name in (table.name, table.quarantine().name):
            query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name)).as_string(connection)
            counts[name] = int(await fetch_value(connection, query, {}))
    return counts


async def count_devices_heard(connection: Connection, table_name: str, since: datetime) -> int:
    """Return how many devices have rows in this series since `since`."""
    query = sql.SQL(_DEVICES_HEARD).format(table=sql.Identifier(table_name)).as_string(connection)
    return int(await fetch_value(connection, query, {"since": since}))
