"""Samples of meters one by one: what a device said last, and what takes their place when it is decoded again.

Used by `stream.reprocess` and the portal; billing reads whole columns (`storage.queries.meter_samples`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from protocols.timestamps import to_datetime
from storage.database import Connection, fetch_all


@dataclass(frozen=True, slots=True)
class StoredSample:
    """One row of `meter_samples`; `ts_us` is microseconds since 1970 UTC."""

    ts_us: int
    quantity: int
    channel: int
    value: float


Sample = tuple[int, int, int, float]  # ts_us, quantity, channel, value
Key = tuple[int, int, int]  # ts_us, quantity, channel

_US = "(extract(epoch FROM {}) * 1000000)::bigint"
_AT = "to_timestamp(0) + {} * interval '1 microsecond'"

_SAMPLES = f"""
SELECT {_US.format("ts")} AS ts_us, quantity, channel, value FROM meter_samples
WHERE device_id = %(device_id)s
  AND ts >= {_AT.format("%(since_us)s")} AND ts <= {_AT.format("%(until_us)s")}
"""

_NEWEST = f"""
SELECT DISTINCT ON (quantity, channel) {_US.format("ts")} AS ts_us, quantity, channel, value
FROM meter_samples
WHERE device_id = %(device_id)s AND ts >= {_AT.format("%(since_us)s")}
ORDER BY quantity, channel, ts DESC LIMIT %(limit)s
"""

NEWEST_MAX = 1_000  # quantities and channels of one device

_STAGING = """
CREATE TEMPORARY TABLE IF NOT EXISTS reprocessed
    (ts timestamptz, quantity smallint, channel smallint, value double precision) ON COMMIT DELETE ROWS
"""

_STAGE = "COPY reprocessed (ts, quantity, channel, value) FROM STDIN (FORMAT BINARY)"

_DELETE = """
DELETE FROM meter_samples USING reprocessed AS new
WHERE meter_samples.device_id = %(device_id)s AND meter_samples.ts = new.ts
  AND meter_samples.quantity = new.quantity AND meter_samples.channel = new.channel
"""

_INSERT = f"""
INSERT INTO meter_samples (device_id, ts, received_at, quantity, channel, value)
SELECT %(device_id)s, ts, {_AT.format("%(received_at_us)s")}, quantity, channel, value FROM reprocessed
WHERE value IS NOT NULL
"""

_EMPTY = "TRUNCATE reprocessed"


async def samples_between(
    connection: Connection, device_id: int, since_us: int, until_us: int
) -> dict[Key, float]:
    """Return a device's samples with times in [since, until], by key."""
    parameters = {"device_id": device_id, "since_us": since_us, "until_us": until_us}
    rows = await fetch_all(connection, StoredSample, _SAMPLES, parameters)
    return {(row.ts_us, row.quantity, row.channel): row.value for row in rows}


async def newest_samples(connection: Connection, device_id: int, *, since_us: int) -> list[StoredSample]:
    """Return a device's newest sample of each quantity and channel since then."""
    parameters = {"device_id": device_id, "since_us": since_us, "limit": NEWEST_MAX}
    return await fetch_all(connection, StoredSample, _NEWEST, parameters)


async def replace_samples(
    connection: Connection,
    device_id: int,
    *,
    removed: Iterable[Key],
    written: Iterable[Sample],
    received_at_us: int,
) -> None:
    """Take samples away and write others, in the place of those with their keys; the caller commits."""
    await connection.execute(_STAGING)
    async with connection.cursor() as cursor, cursor.copy(_STAGE) as copy:
        copy.set_types(["timestamptz", "int2", "int2", "float8"])
        for ts_us, quantity, channel in removed:
            await copy.write_row((to_datetime(ts_us), quantity, channel, None))
        for ts_us, quantity, channel, value in written:
            await copy.write_row((to_datetime(ts_us), quantity, channel, value))
    await connection.execute(_DELETE, {"device_id": device_id})
    await connection.execute(_INSERT, {"device_id": device_id, "received_at_us": received_at_us})
    await connection.execute(_EMPTY)
