"""The counters of a device's messages as they were heard, for `stream.completeness`.

Used by the portal and the command line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from storage.database import Connection

ROWS_MAX = 200_000  # of one answer: a message every 13 s for a month
BEFORE = timedelta(days=7)  # how far back the last message before a range is looked for

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Counters:
    """Messages with a counter, by the time at which they were heard (microseconds since 1970 UTC).

    `joined_at_us`: when the device began a new session, where it said so. `before`: the last counter before
    the range, -1 where a join came after it, None if there is neither within `BEFORE`. `is_cut`: there were
    more than `ROWS_MAX`.
    """

    heard_at_us: Integers
    counters: Integers
    joined_at_us: Integers
    before: int | None
    is_cut: bool


_HEARD = """
SELECT (extract(epoch FROM ts) * 1000000)::bigint, counter
FROM raw_payloads
WHERE device_id = %(device_id)s AND ts >= %(since)s AND ts < %(until)s
  AND event = 'uplink' AND counter >= 0
ORDER BY ts, counter LIMIT %(limit)s
"""

_JOINED = """
SELECT (extract(epoch FROM ts) * 1000000)::bigint
FROM raw_payloads
WHERE device_id = %(device_id)s AND ts >= %(since)s AND ts < %(until)s AND event = 'join'
ORDER BY ts LIMIT %(limit)s
"""

_BEFORE = """
SELECT CASE WHEN event = 'uplink' THEN counter ELSE -1 END
FROM raw_payloads
WHERE device_id = %(device_id)s AND ts >= %(earliest)s AND ts < %(since)s
  AND (event = 'join' OR event = 'uplink' AND counter >= 0)
ORDER BY ts DESC, counter DESC LIMIT 1
"""


async def counters_of(connection: Connection, device_id: int, since: datetime, until: datetime) -> Counters:
    """Return what the device counted in `since <= ts < until`, at most `ROWS_MAX` messages of it."""
    parameters = {
        "device_id": device_id,
        "since": since,
        "until": until,
        "earliest": since - BEFORE,
        "limit": ROWS_MAX + 1,
    }
    heard = await (await connection.execute(_HEARD, parameters)).fetchall()
    joined = await (await connection.execute(_JOINED, parameters)).fetchall()
    before = await (await connection.execute(_BEFORE, parameters)).fetchone()
    return Counters(
        heard_at_us=_column(heard[:ROWS_MAX], 0),
        counters=_column(heard[:ROWS_MAX], 1),
        joined_at_us=_column(joined[:ROWS_MAX], 0),
        before=None if before is None else before[0],
        is_cut=len(heard) > ROWS_MAX,
    )


def _column(rows: Sequence[tuple[int, ...]], index: int) -> Integers:
    return np.fromiter((row[index] for row in rows), np.int64, len(rows))
