"""The writer beside a raw binary COPY: the same rows, the same transactions, the same kind of table.

Run by `make bench`. The peer is the limit: buffers that were encoded, joined and sorted beforehand, one
COPY and one commit each, nothing else. The writer does what it always does: it reads frames from the log,
decodes, checks, sorts, encodes, copies, and commits counts and position with the rows. Repetitions of
both take turns, so that the machine's moods hit both.
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import nats
import numpy as np
from nats.aio.client import Client
from nats.js import JetStreamContext
from numpy.typing import NDArray
from psycopg import sql

from benchmarks.report import Measurement
from storage.columns import Array, Batch, ColumnData
from storage.copy import Piece, copy_encoded, encode_pieces
from storage.database import Pool, open_pool
from storage.hypertables import BATTERY_SAMPLES, Hypertable, Type
from storage.partitions import ensure_partitions
from storage.queries.totals import get_position
from stream.frames import REASON, count_samples, encode_frame
from stream.headers import FrameHeader
from stream.log import STREAM, SUBJECT, LogConfig, ensure_log
from stream.prepare import sort_unique
from stream.reader import FetchLimits
from stream.writer import WriterConfig, run

DEVICES = 2000
MAKES = 8
POLL_S = 0.002
PUBLISH_WINDOW = 32
LOG_BYTES_MAX = 512 << 20
CELLS = {"temperatures_c": 4, "cell_voltages_v": 16}


@dataclass(frozen=True, slots=True)
class Load:
    """What is stored: frames for the log, and the same rows as the buffers of the raw COPY."""

    table: Hypertable
    frames: Sequence[bytes]
    buffers: Sequence[Sequence[Piece]]
    times_us: NDArray[np.int64]
    rows: int
    samples: int
    frame_rows: int


async def measure(
    database_url: str,
    nats_url: str,
    rows: int = 800_000,
    *,
    table: Hypertable = BATTERY_SAMPLES,
    frame_rows: int = 1024,
    batch_frames: int = 40,
    repetitions: int = 3,
) -> Measurement:
    """Return rows a second of the writer and of raw COPY, each the median of its repetitions.

    Needs a migrated database and a JetStream that nobody else uses: it empties `table` and the log.
    """
    now_us = time.time_ns() // 1000
    load = make_load(table, rows, frame_rows, batch_frames, now_us)
    fetch = FetchLimits(frames=batch_frames, rows=batch_frames * frame_rows, bytes=64 << 20)
    bus = await nats.connect(nats_url)
    async with open_pool(database_url, size_max=4, name="benchmark") as pool:
        copies: list[float] = []
        writers: list[float] = []
        for repetition in range(repetitions):
            await _empty(pool, load)
            copies.append(rows / await _copy(pool, load))
            await _empty(pool, load)
            await _fill_log(bus.jetstream(), load, f"bench{repetition}")
            config = WriterConfig(lambda: time.time_ns() // 1000, fetch=fetch)
            writers.append(rows / await _write(pool, bus, config))
    await bus.close()
    rate = statistics.median(writers)
    return Measurement(
        name="writer_rows",
        unit="rows/s",
        ours=rate,
        peer=statistics.median(copies),
        peer_name="raw binary COPY",
        note=(
            f"{rows} rows of {table.name} in transactions of {batch_frames * frame_rows},"
            f" median of {repetitions}; {rate * load.samples / rows / 1e6:.1f} M samples/s"
        ),
    )


def make_load(table: Hypertable, rows: int, frame_rows: int, batch_frames: int, now_us: int) -> Load:
    """Make `rows` rows of many devices, none NULL in the key, one reading a device a second."""
    frames = [
        _batch(table, start, min(frame_rows, rows - start), now_us) for start in range(0, rows, frame_rows)
    ]
    joined = (
        Batch.concatenate(frames[start : start + batch_frames])
        for start in range(0, len(frames), batch_frames)
    )
    return Load(
        table=table,
        frames=[encode_frame(table, frame) for frame in frames],
        buffers=[encode_pieces(table, sort_unique(table, batch)) for batch in joined],
        times_us=np.concatenate([frame.integers("ts") for frame in frames]),
        rows=rows,
        samples=sum(count_samples(table, frame) for frame in frames),
        frame_rows=frame_rows,
    )


def _batch(table: Hypertable, start: int, rows: int, now_us: int) -> Batch:
    number = np.arange(start, start + rows)
    rng = np.random.default_rng(start)
    received_us = np.full(rows, now_us)
    columns = {
        "ts": ColumnData(now_us - 1_000_000 * (number // DEVICES)),
        "device_id": ColumnData((1 + number % DEVICES).astype(np.int32)),
        "received_at": ColumnData(received_us),
        REASON.name: ColumnData(np.zeros(rows, np.int16)),
    }
    for column in table.columns:
        if column.name in columns:
            continue
        if column.type is Type.FLOAT4_ARRAY:
            items = CELLS[column.name]
            values = rng.uniform(2, 4, rows * items).astype(np.float32)
            columns[column.name] = ColumnData(values, None, np.arange(rows + 1) * items)
        else:
            # eight makes of battery, each of which lacks other quantities
            valid = number % DEVICES % MAKES != len(columns) % MAKES if column.nullable else None
            columns[column.name] = ColumnData(_numbers(rng, column.type, rows), valid)
    return Batch(columns, rows)


def _numbers(rng: np.random.Generator, kind: Type, rows: int) -> Array:
    return rng.integers(0, 90, rows).astype(kind.dtype)


async def _empty(pool: Pool, load: Load) -> None:
    async with pool.connection() as connection:
        await connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(load.table.name)))
        await ensure_partitions(connection, load.table, load.times_us)
    async with pool.connection() as connection:
        await connection.set_autocommit(True)
        await connection.execute("CHECKPOINT")
        await connection.set_autocommit(False)


async def _copy(pool: Pool, load: Load) -> float:
    """Return the seconds that the raw COPY took."""
    async with pool.connection() as connection:
        start_s = time.perf_counter()
        for buffer in load.buffers:
            async with connection.transaction():
                await copy_encoded(connection, load.table, buffer)
        return time.perf_counter() - start_s


async def _fill_log(js: JetStreamContext, load: Load, name: str) -> None:
    await ensure_log(js, LogConfig(bytes_max=LOG_BYTES_MAX))
    await js.purge_stream(STREAM)
    per_frame = load.samples // len(load.frames)
    producer = f"{name}-{time.time_ns()}-0"
    for start in range(0, len(load.frames), PUBLISH_WINDOW):
        frames = enumerate(load.frames[start : start + PUBLISH_WINDOW], start + 1)
        await asyncio.gather(
            *(
                js.publish(
                    f"{SUBJECT}.0.{producer}",
                    data,
                    headers=FrameHeader(
                        producer, seq, "mqtt", load.table.name, load.frame_rows, per_frame * seq, {}
                    ).to_message(),
                )
                for seq, data in frames
            )
        )


async def _write(pool: Pool, bus: Client, config: WriterConfig) -> float:
    """Return the seconds from the writer's being ready until the tables have the whole log."""
    last = (await bus.jetstream().stream_info(STREAM)).state.last_seq
    stop = asyncio.Event()
    started: list[float] = []
    ready: Callable[[], None] = lambda: started.append(time.perf_counter())  # noqa: E731
    task = asyncio.create_task(run(config, pool=pool, bus=bus, stop=stop, ready=ready))
    async with pool.connection() as connection:
        await connection.set_autocommit(True)
        while True:
            if await get_position(connection, 0) >= last:
                break
            await asyncio.sleep(POLL_S)
        end_s = time.perf_counter()
        await connection.set_autocommit(False)
    stop.set()
    await task
    return end_s - started[0]
