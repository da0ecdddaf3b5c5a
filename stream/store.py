"""One transaction of the writer: rows, quarantine, counts and log position together, or none of them.

Used by `stream.writer`. The way of a lane: plain COPY; if a row is there already, merge; if the database
refuses a row, halves of it, until that row alone goes to quarantine.

Late rows (older than the compression horizon) stay in the same transaction, which is what makes them
exactly once: the log position covers them. They are bounded by what was fetched, sorted by chunk, and
stored by statements of their own, so that a duplicate among them (most late rows are sent again) costs
the fresh rows nothing.
"""

import asyncio
import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec
import numpy as np
import psycopg
import structlog
from numpy.typing import NDArray

from protocols.samples import Reason
from protocols.timestamps import to_datetime
from storage.columns import Batch, ColumnData
from storage.copy import Piece, copy_encoded, copy_rows, encode_pieces
from storage.database import Connection
from storage.hypertables import METER_SAMPLES, Hypertable, Type
from storage.merge import lift_decompression_limit, merge_encoded
from storage.partitions import PARTITIONS_AT_ONCE_MAX, ensure_partitions
from storage.queries import metering_due
from storage.queries.totals import SampleTotal, add_totals, advance_position, record_producer
from stream.errors import PositionMovedError
from stream.frames import REASON, count_samples
from stream.prepare import Lane, Outcome, Prepared, quarantine_lane

# What a row can be at fault for; anything else is the server's state and passes.
REFUSALS = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)

BEFORE_S_MAX = 2.0

log = structlog.get_logger()


@dataclass(slots=True)
class _Result:
    stored: int = 0
    duplicate: int = 0
    refused: list[Batch] = field(default_factory=list)


Chunks = set[tuple[str, int]]  # table and time of each chunk that is known to be there


async def commit(
    connection: Connection,
    partition: int,
    position: int,
    prepared: Prepared,
    chunks: Chunks,
    before: asyncio.Task[None] | None = None,
) -> None:
    """Store what was prepared and move the position from `position`, in one transaction.

    The rows are sent at once, the bookkeeping when `before`, the transaction in front, is committed; see
    `_wait_for`. One that needs new chunks waits before it sends anything.
    Native partitions are asked for only where `chunks` lacks theirs; it learns them by the commit.
    Raises `PositionMovedError` if another writer has moved it, `psycopg.Error` as the server does, and
    what `before` raised: then nothing was stored, except where the connection broke in the commit
    itself; the position knows.
    """
    lanes = (*prepared.lanes, *prepared.quarantined)
    needed = {(lane.table.name, time_us) for lane in lanes for time_us in lane.times_us.tolist()}
    async with connection.transaction():
        if not needed <= chunks:
            await _wait_for(before)  # whoever makes a chunk locks the table until it commits
            for lane in lanes:
                await ensure_chunks(connection, lane)
        totals = Counter(prepared.totals)
        await store_lanes(connection, prepared.lanes, prepared.quarantined, totals)
        await _wait_for(before)
        await _record(connection, partition, position, prepared, totals)
    chunks |= needed


async def _wait_for(before: asyncio.Task[None] | None) -> None:
    """Wait until the transaction in front is committed; raises what it raised.

    It may itself wait for a row that this one has stored. The database cannot see that circle, so the wait
    has a bound: `TimeoutError`.
    """
    if before is not None:
        await asyncio.wait([before], timeout=BEFORE_S_MAX)  # not cancelled with this one
        if not before.done():
            raise TimeoutError(f"the transaction in front was not committed within {BEFORE_S_MAX:g} s")
        before.result()


async def store_lanes(
    connection: Connection, lanes: Sequence[Lane], quarantined: Sequence[Lane], totals: Counter[Outcome]
) -> None:
    """Store lanes whose chunks are there, and count in `totals` what became of their samples."""
    if any(lane.is_late for lane in lanes):
        await lift_decompression_limit(connection)
    for lane in lanes:
        await _store_lane(connection, lane, totals)
    for lane in quarantined:
        await _quarantine(connection, lane)


async def _record(
    connection: Connection, partition: int, position: int, prepared: Prepared, totals: Counter[Outcome]
) -> None:
    """The bookkeeping of a transaction, last in it: its rows are locked until the commit."""
    if not await advance_position(connection, partition, position, prepared.position):
        raise PositionMovedError(f"partition {partition} does not stand at {position} any more")
    for head in prepared.heads:
        new = (head.producer, head.source, head.seq, head.received, head.decoded, head.refused)
        if not await record_producer(connection, *new):
            raise PositionMovedError(f"frame {head.seq} of {head.producer} was stored by another writer")
    await add_totals(connection, [SampleTotal(*key, count) for key, count in totals.items() if count])


async def _store_lane(connection: Connection, lane: Lane, totals: Counter[Outcome]) -> None:
    result = _Result()
    await _store(connection, lane.table, lane.batch, lane.pieces, lane.samples, result)
    name = lane.table.name
    if lane.table is METER_SAMPLES and result.stored:
        await metering_due.add(connection, *_earliest(lane.batch))
    totals[name, "stored", ""] += result.stored
    totals[name, "duplicate", ""] += result.duplicate
    if result.refused:
        reason = Reason.REFUSED_BY_DATABASE
        rows = Batch.concatenate(result.refused)
        reasons = ColumnData(np.full(rows.rows, reason, np.int16))
        totals[name, "quarantined", reason.name.lower()] += count_samples(lane.table, rows)
        refused = quarantine_lane(lane.table, rows.with_column(REASON.name, reasons))
        await ensure_chunks(connection, refused)
        await _quarantine(connection, refused)


def _earliest(batch: Batch) -> tuple[list[int], list[datetime]]:
    """Return the devices in `batch`, each with the time of its earliest row."""
    devices, index = np.unique(batch.columns["device_id"].values, return_inverse=True)
    earliest = np.full(len(devices), np.iinfo(np.int64).max)
    np.minimum.at(earliest, index, batch.columns["ts"].values)
    return devices.tolist(), [to_datetime(time_us) for time_us in earliest.tolist()]


async def _store(
    connection: Connection,
    table: Hypertable,
    batch: Batch,
    pieces: Sequence[Piece],
    samples: int,
    result: _Result,
    *,
    merge: bool = False,
) -> None:
    """Store `batch` (`pieces` are the same, encoded), each attempt behind a savepoint."""
    try:
        async with connection.transaction():
            if merge:
                stored = await merge_encoded(connection, table, pieces)
            else:
                await copy_encoded(connection, table, pieces)
                stored = samples
    except REFUSALS as error:
        if isinstance(error, psycopg.errors.UniqueViolation) and not merge:
            await _store(connection, table, batch, pieces, samples, result, merge=True)
        elif batch.rows == 1:
            log.warning("row_refused", table=table.name, error=str(error))
            result.refused.append(batch)
        else:
            half = batch.rows // 2
            for part in (batch.take(slice(half)), batch.take(slice(half, None))):
                pieces = encode_pieces(table, part)
                await _store(connection, table, part, pieces, count_samples(table, part), result, merge=merge)
    else:
        result.stored += stored
        result.duplicate += samples - stored


async def _quarantine(connection: Connection, lane: Lane) -> None:
    """Store rows in a quarantine twin; what even that refuses (broken JSON) goes there as base64."""
    result = _Result()
    await _store(connection, lane.table, lane.batch, lane.pieces, lane.samples, result)
    if result.refused:
        salvaged = _salvage(lane.table, Batch.concatenate(result.refused))
        await copy_rows(connection, lane.table, salvaged)


async def ensure_chunks(connection: Connection, lane: Lane) -> None:
    """Make the native partitions that a lane's rows need."""
    for start in range(0, len(lane.times_us), PARTITIONS_AT_ONCE_MAX):
        times_us = lane.times_us[start : start + PARTITIONS_AT_ONCE_MAX]
        await ensure_partitions(connection, lane.table, times_us)


def _salvage(table: Hypertable, batch: Batch) -> Batch:
    """Replace texts and JSON by forms that the database takes: nothing of them is lost."""
    for column in table.columns:
        if column.type in (Type.TEXT, Type.JSONB):
            data = _as_base64(batch.columns[column.name], as_json=column.type is Type.JSONB)
            batch = batch.with_column(column.name, data)
    return batch


def _as_base64(data: ColumnData, *, as_json: bool) -> ColumnData:
    assert data.offsets is not None
    bounds = zip(data.offsets[:-1], data.offsets[1:], strict=True)
    texts = [base64.b64encode(data.values[start:end].tobytes()).decode() for start, end in bounds]
    encoded = [msgspec.json.encode({"base64": text}) if as_json else text.encode() for text in texts]
    offsets: NDArray[np.int64] = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return replace(data, values=np.frombuffer(b"".join(encoded), np.uint8), offsets=offsets)
