"""A quarantined device let in: from now on, and with what it sent while it waited.

Used by the portal, the command line and the registration of chargers. Its rows are checked and stored as if
they came now, in bounded transactions that move their samples from `quarantined` to `stored` in the counts as
well; so a release that is broken off goes on where it was when it is called again. What shells that remember
the old status, and the log, still bring into quarantine is released by the jobs role a while later.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from protocols.samples import Reason
from protocols.timestamps import to_datetime
from storage.database import Connection, Pool
from storage.hypertables import SERIES, Hypertable
from storage.queries import devices, outbox
from storage.queries.quarantine import take_quarantined
from storage.queries.totals import SampleTotal, add_totals
from stream.batcher import to_batch
from stream.frames import REASON, count_samples
from stream.prepare import Outcome, PrepareLimits, Preparer
from stream.store import ensure_chunks, store_lanes

ROWS_MAX = 20_000  # of one table in one transaction
REST_KIND = "release_rest"  # the task; its payload: {"device_id"}
REST_AFTER = (timedelta(minutes=1), timedelta(minutes=30))  # where a writer was far behind, the second helps


@dataclass(slots=True)
class Released:
    """Samples by what became of them."""

    stored: int = 0
    duplicate: int = 0
    quarantined: int = 0  # for another reason than that the device was unknown


async def release(pool: Pool, device_id: int, now_us: int) -> Released:
    """Activate a device and store what waits of it in quarantine. `now_us`: microseconds since 1970 UTC."""
    async with pool.connection() as connection:
        await _activate(connection, device_id, now_us, REST_AFTER)
    released = Released()
    for table in SERIES:
        while True:
            async with pool.connection() as connection:
                totals = await _release_some(connection, table, device_id, now_us)
            if totals is None:
                break
            released.stored += totals[table.name, "stored", ""]
            released.duplicate += totals[table.name, "duplicate", ""]
            released.quarantined += sum(
                count for (_, outcome, _), count in totals.items() if outcome == "quarantined" and count > 0
            )
    return released


async def adopt(connection: Connection, device_id: int, now_us: int) -> None:
    """Activate a device in the caller's transaction; the jobs role stores what waits of it."""
    await _activate(connection, device_id, now_us, (timedelta(0), *REST_AFTER))


async def _activate(
    connection: Connection, device_id: int, now_us: int, rest_after: Sequence[timedelta]
) -> None:
    await devices.set_device_status(connection, device_id, "active")
    for after in rest_after:
        due_at = to_datetime(now_us) + after
        await outbox.enqueue(connection, REST_KIND, {"device_id": device_id}, due_at)


async def release_rest(connection: Connection, device_id: int, now_us: int) -> None:
    """Store what came into quarantine while a device was released, in the caller's transaction.

    Nothing is done for a device that was shut out or quarantined again meanwhile.
    """
    device = await devices.get_device(connection, device_id)
    if device is None or device.status != "active":
        return
    for table in SERIES:
        while await _release_some(connection, table, device_id, now_us) is not None:
            pass


async def _release_some(
    connection: Connection, table: Hypertable, device_id: int, now_us: int
) -> Counter[Outcome] | None:
    """Move up to `ROWS_MAX` rows in the caller's transaction; None where there are none."""
    columns = await take_quarantined(connection, table, device_id, Reason.UNKNOWN_DEVICE, limit=ROWS_MAX)
    count = len(columns["device_id"])
    if not count:
        return None
    batch = to_batch(table, {**columns, REASON.name: [int(Reason.OK)] * count}, count)
    totals: Counter[Outcome] = Counter()
    lanes, quarantined = Preparer({}, PrepareLimits()).divide(table, batch, now_us, totals)
    for lane in (*lanes, *quarantined):
        await ensure_chunks(connection, lane)
    await store_lanes(connection, lanes, quarantined, totals)
    totals[table.name, "quarantined", Reason.UNKNOWN_DEVICE.name.lower()] -= count_samples(table, batch)
    await add_totals(connection, [SampleTotal(*key, change) for key, change in totals.items() if change])
    return totals
