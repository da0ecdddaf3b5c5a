"""Registers of meters, read as columns; used by `stream.metering`.

Rows travel by binary COPY and become numpy columns without a Python object each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from protocols.quantities import CODES
from storage.database import Connection, fetch_one, fetch_value
from storage.queries.meters import Installation

SAMPLES_MAX = 1_000_000  # of one installation in one read

_UNTIL = datetime(9999, 1, 1, tzinfo=UTC)
_POSTGRES_EPOCH_US = 946_684_800_000_000
_HEADER_BYTES, _TRAILER_BYTES = 19, 2
_ROW = np.dtype(
    [
        ("fields", ">i2"),
        ("number_bytes", ">i4"),
        ("number", ">i4"),
        ("ts_bytes", ">i4"),
        ("ts", ">i8"),
        ("value_bytes", ">i4"),
        ("value", ">f8"),
    ]
)

_SPANS = """
unnest(%(devices)s::integer[], %(quantities)s::smallint[], %(channels)s::smallint[],
       %(begins)s::timestamptz[], %(ends)s::timestamptz[]) WITH ORDINALITY
    AS span (device_id, quantity, channel, since, until, number)
"""

_OF_SPAN = """
meter_samples AS sample
WHERE sample.device_id = span.device_id AND sample.quantity = span.quantity
  AND sample.channel = span.channel AND sample.ts >= span.since AND sample.ts < span.until
"""

# The window itself, and a fixed number of readings on both its sides.
_READ = f"""
COPY (
    SELECT span.number::integer, found.ts, found.value
    FROM {_SPANS} CROSS JOIN LATERAL (
        (SELECT ts, value FROM {_OF_SPAN} AND ts < %(from)s ORDER BY ts DESC LIMIT %(before)s)
        UNION ALL
        (SELECT ts, value FROM {_OF_SPAN} AND ts >= %(from)s AND ts < %(to)s ORDER BY ts LIMIT %(limit)s)
        UNION ALL
        (SELECT ts, value FROM {_OF_SPAN} AND ts >= %(to)s ORDER BY ts LIMIT %(after)s)
    ) AS found
    ORDER BY span.number
) TO STDOUT (FORMAT binary)
"""

_REACH = f"""
SELECT min((SELECT min(ts) FROM (
               SELECT ts FROM {_OF_SPAN} AND ts < %(since)s ORDER BY ts DESC LIMIT %(readings)s) AS earlier)
       ) AS first,
       max((SELECT ts FROM {_OF_SPAN} ORDER BY ts DESC LIMIT 1)) AS last
FROM {_SPANS}
"""

_NEWEST = f"""
SELECT min(ts) FROM (
    SELECT found.ts FROM {_SPANS} CROSS JOIN LATERAL (
        SELECT ts FROM {_OF_SPAN} AND ts >= %(from)s AND ts < %(to)s ORDER BY ts DESC LIMIT %(limit)s
    ) AS found
    ORDER BY found.ts DESC LIMIT %(limit)s
) AS newest
"""


@dataclass(frozen=True, slots=True)
class Registers:
    """Rows `bounds[i]` to before `bounds[i + 1]` are of installation `i`; microseconds since 1970."""

    times_us: NDArray[np.int64]
    values: NDArray[np.float64]
    bounds: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Reach:
    """The time of the n-th reading before a moment, and of the newest one; None where there is none."""

    first: datetime | None
    last: datetime | None


async def read_registers(
    connection: Connection,
    installations: Sequence[Installation],
    from_: datetime,
    to: datetime,
    *,
    before: int,
    after: int,
) -> Registers:
    """Return registers with `from_ <= ts < to`, and of each up to `before` earlier and `after` later ones."""
    parameters = {
        **_spans(installations),
        "from": from_,
        "to": to,
        "before": before,
        "after": after,
        "limit": SAMPLES_MAX,
    }
    data = bytearray()
    async with connection.cursor() as cursor, cursor.copy(_READ, parameters) as copy:
        async for piece in copy:
            data += piece
    rows = np.frombuffer(data, np.uint8)[_HEADER_BYTES : len(data) - _TRAILER_BYTES].view(_ROW)
    numbers = rows["number"].astype(np.int64) - 1
    return Registers(
        rows["ts"].astype(np.int64) + _POSTGRES_EPOCH_US,
        rows["value"].astype(np.float64),
        np.searchsorted(numbers, np.arange(len(installations) + 1)),
    )


async def reach(
    connection: Connection, installations: Sequence[Installation], since: datetime, readings: int
) -> Reach:
    """Return the time of the `readings`-th reading before `since`, and of the newest, over all of them."""
    parameters = {**_spans(installations), "since": since, "readings": readings}
    found = await fetch_one(connection, Reach, _REACH, parameters)
    assert found is not None
    return found


async def nth_newest(
    connection: Connection, installations: Sequence[Installation], from_: datetime, to: datetime, limit: int
) -> datetime | None:
    """Return the time of the `limit`-th newest reading with `from_ <= ts < to`, or of the oldest there is."""
    parameters = {**_spans(installations), "from": from_, "to": to, "limit": limit}
    found: datetime | None = await fetch_value(connection, _NEWEST, parameters)
    return found


def _spans(installations: Sequence[Installation]) -> dict[str, list[object]]:
    return {
        "devices": [each.device_id for each in installations],
        "quantities": [CODES[each.quantity] for each in installations],
        "channels": [each.channel for each in installations],
        "begins": [each.since for each in installations],
        "ends": [each.until or _UNTIL for each in installations],
    }
