"""A small pipeline for tests: rows, publishers, writers on real servers, and the two laws."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from nats.aio.client import Client
from psycopg import IsolationLevel

from protocols.samples import Rows
from storage.database import Pool
from storage.queries.totals import get_producers, sample_totals
from stream.log import LogConfig, Publisher, PublisherLimits, ensure_log, log_heads
from stream.writer import WriterConfig, run

SAMPLES_OF_ROW = 4  # soc, voltage and two temperatures


def now_us() -> int:
    return time.time_ns() // 1000


def battery_rows(times_us: Sequence[int], soc: float = 50.0) -> Rows:
    count = len(times_us)
    columns: dict[str, list[object]] = {
        "ts": list(times_us),
        "soc_pct": [soc] * count,
        "voltage_v": [48.5] * count,
        "temperatures_c": [[20.0, 21.5]] * count,
    }
    return Rows("battery_samples", columns, count, SAMPLES_OF_ROW * count)


async def open_log(bus: Client, bytes_max: int = 256 << 20) -> None:
    await ensure_log(bus.jetstream(), LogConfig(bytes_max=bytes_max))


def publisher(bus: Client, name: str = "p", partitions: int = 1, **limits: object) -> Publisher:
    bounds = PublisherLimits(**limits)  # type: ignore[arg-type]
    return Publisher(bus.jetstream(), "mqtt", partitions, bounds, now_us, name)


@contextlib.asynccontextmanager
async def running_writer(
    pool: Pool, bus: Client, config: WriterConfig | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """Run the writer; ends it gracefully, unless the test cancelled it before."""
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(
        run(config or WriterConfig(now_us), pool=pool, bus=bus, stop=stop, ready=ready.set)
    )
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        yield task
    finally:
        stop.set()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@dataclass(frozen=True, slots=True)
class Laws:
    received: int
    decoded: int
    refused: int
    stored: int
    duplicate: int
    quarantined: dict[str, int]
    in_flight: int

    def hold(self) -> bool:
        ends = self.stored + self.duplicate + sum(self.quarantined.values()) + self.in_flight
        return self.received == self.decoded + self.refused and self.decoded == ends


async def read_laws(pool: Pool, bus: Client) -> Laws:
    heads = await log_heads(bus.jetstream())
    async with pool.connection() as connection:
        await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        producers = {producer.producer: producer for producer in await get_producers(connection)}
        totals = await sample_totals(connection)
        await connection.commit()
        await connection.set_isolation_level(None)
    stored_of = {name: producer.decoded for name, producer in producers.items()}
    in_flight = sum(max(0, head.decoded - stored_of.get(name, 0)) for name, head in heads.items())
    known = {
        name: max((p for p in (producers.get(name), heads.get(name)) if p is not None), key=lambda p: p.seq)
        for name in producers.keys() | heads.keys()
    }
    quarantined: dict[str, int] = {}
    for total in totals:
        if total.outcome == "quarantined":
            quarantined[total.reason] = quarantined.get(total.reason, 0) + total.samples
    return Laws(
        received=sum(producer.received for producer in known.values()),
        decoded=sum(stored_of.values()) + in_flight,
        refused=sum(sum(producer.refused.values()) for producer in known.values()),
        stored=sum(total.samples for total in totals if total.outcome == "stored"),
        duplicate=sum(total.samples for total in totals if total.outcome == "duplicate"),
        quarantined=quarantined,
        in_flight=in_flight,
    )


async def drained(pool: Pool, bus: Client, decoded: int, timeout_s: float = 30) -> Laws:
    """Wait until the tables have all `decoded` samples; returns the laws as they stand then."""
    async with asyncio.timeout(timeout_s):
        while True:
            laws = await read_laws(pool, bus)
            if laws.in_flight == 0 and laws.decoded >= decoded:
                return laws
            await asyncio.sleep(0.02)


async def scalar(pool: Pool, query: str) -> object:
    async with pool.connection() as connection:
        row = await (await connection.execute(query)).fetchone()
    assert row is not None
    return row[0]
