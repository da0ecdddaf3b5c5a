"""Which devices have new or changed samples since when: work for the jobs role.

The writer adds rows in the transaction that stores the samples; it only ever inserts, for two of its
transactions must not wait for each other's rows. `stream.metering` takes them away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from storage.database import Connection, fetch_all

Reason = Literal["reading", "reprocess", "replacement"]


@dataclass(frozen=True, slots=True)
class Due:
    """A device whose samples from `since` on are to be looked at; `reason` is the weightiest of its rows'."""

    device_id: int
    since: datetime
    reason: Reason


_ADD = """
INSERT INTO metering_due (device_id, since, reason)
SELECT device_id, since, %(reason)s FROM unnest(%(device_ids)s::integer[], %(since)s::timestamptz[])
    AS due (device_id, since)
"""

# Whole devices are taken: the oldest free rows name them, and all free rows of theirs go with them.
_TAKE = """
WITH oldest AS (
    SELECT device_id FROM metering_due ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), held AS (
    SELECT id, device_id, since, reason FROM metering_due
    WHERE device_id IN (SELECT device_id FROM oldest) FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM metering_due WHERE id IN (SELECT id FROM held)
)
SELECT device_id, min(since) AS since, max(reason) AS reason FROM held GROUP BY device_id ORDER BY device_id
"""


async def add(
    connection: Connection,
    device_ids: Sequence[int],
    since: Sequence[datetime],
    reason: Reason = "reading",
) -> None:
    """Note that samples of these devices are new or changed since those times."""
    parameters = {"device_ids": list(device_ids), "since": list(since), "reason": reason}
    await connection.execute(_ADD, parameters)


async def claim(connection: Connection, limit: int) -> list[Due]:
    """Take up to `limit` devices that no other worker holds; given back if the transaction fails."""
    return await fetch_all(connection, Due, _TAKE, {"limit": limit})
