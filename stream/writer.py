"""The writer: takes frames from the log to the tables, exactly once, one loop a partition.

Started by the command line as a role. While the database takes the rows of up to two transactions, a
worker thread prepares the next; they commit one after the other. After any trouble (database or log
away, another writer, a lost connection) a loop begins anew behind the position that the database has;
nothing that matters is kept in memory.
"""

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import nats.errors
import psycopg
import structlog
from nats.aio.client import Client

from storage.database import Connection, Pool
from storage.errors import StorageError
from storage.queries.totals import get_position, get_producers
from stream.errors import LogGapError, StreamError
from stream.metrics import COMMIT_SECONDS, LOG_LAG
from stream.prepare import Prepared, PrepareLimits, Preparer, Stored
from stream.reader import FetchLimits, LogReader, ReadAhead
from stream.store import Chunks, commit

log = structlog.get_logger()

AT_ONCE = 2  # transactions of a partition that send rows; they commit in their order
# After trouble, so many transactions go alone: two that have the same rows (a device that sent all again)
# in another order may wait for each other, and PostgreSQL ends one of them.
ALONE_FOR = 16
_TROUBLE = (psycopg.Error, nats.errors.Error, StreamError, StorageError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class WriterConfig:
    """Which partitions this process stores, and the bounds of one transaction.

    `clock` returns microseconds since 1970 UTC.
    """

    clock: Callable[[], int]
    partitions: tuple[int, ...] = (0,)
    fetch: FetchLimits = field(default_factory=FetchLimits)
    prepare: PrepareLimits = field(default_factory=PrepareLimits)
    purge_every_s: float = 5.0
    backoff_s_min: float = 0.1
    backoff_s_max: float = 5.0


async def run(
    config: WriterConfig, *, pool: Pool, bus: Client, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Store frames until `stop` is set; `ready` is called once all partitions are being read.

    The transaction under way is finished; what was prefetched stays in the log.
    """
    lag = _Lag()
    loops = [_Loop(config, partition, pool, bus, stop, lag) for partition in config.partitions]
    async with asyncio.TaskGroup() as group:
        for loop in loops:
            group.create_task(loop.run(), name=f"writer {loop.partition}")
        for loop in loops:
            await loop.is_open.wait()
        ready()


class _Lag:
    """Sums the partitions' lag into the one gauge of this process."""

    def __init__(self) -> None:
        self._frames: dict[int, int] = {}

    def set(self, partition: int, frames: int) -> None:
        self._frames[partition] = frames
        LOG_LAG.set(sum(self._frames.values()))


class _Loop:
    """One partition."""

    def __init__(
        self,
        config: WriterConfig,
        partition: int,
        pool: Pool,
        bus: Client,
        stop: asyncio.Event,
        lag: _Lag,
    ) -> None:
        self.partition = partition
        self.is_open = asyncio.Event()
        self._config = config
        self._pool = pool
        self._stop = stop
        self._lag = lag
        self._reader = LogReader(bus.jetstream(), partition)
        self._backoff_s = config.backoff_s_min
        self._alone_for = 0
        self._from_start = False
        self._stored_to = 0
        self._purged_to = 0
        self._purge_due_s = 0.0
        self._purging: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Follow the log; after trouble wait a little longer each time, and follow again."""
        try:
            while not self._stop.is_set():
                try:
                    async with AsyncExitStack() as stack:
                        connections = [
                            await stack.enter_async_context(self._pool.connection()) for _ in range(AT_ONCE)
                        ]
                        await self._follow(connections)
                except LogGapError as error:
                    self._from_start = True
                    log.error("log_gap", partition=self.partition, error=str(error), action="read all again")
                    await self._pause()
                except _TROUBLE as error:
                    self._alone_for = ALONE_FOR
                    log.warning("writer_resumes", partition=self.partition, error=repr(error))
                    await self._pause()
        finally:
            self.is_open.set()
            await self._reader.close()

    async def _pause(self) -> None:
        backoff_s, self._backoff_s = self._backoff_s, min(2 * self._backoff_s, self._config.backoff_s_max)
        with contextlib.suppress(nats.errors.Error, TimeoutError):
            self._lag.set(self.partition, await self._reader.pending())
        try:
            await asyncio.wait_for(self._stop.wait(), backoff_s)
        except TimeoutError:
            return

    async def _follow(self, connections: Sequence[Connection]) -> None:
        """Store batch after batch from the stored position on, until stopped or in trouble."""
        position, preparer = await self._resume(connections[0])
        frames = ReadAhead(self._reader, self._config.fetch)
        chunks: Chunks = set()
        upcoming = asyncio.create_task(self._next(frames, preparer))
        commits: deque[asyncio.Task[None]] = deque()
        free = itertools.cycle(connections)
        try:
            while not self._stop.is_set():
                prepared = await upcoming
                upcoming = asyncio.create_task(self._next(frames, preparer))
                if prepared is None:
                    self._lag.set(self.partition, 0)
                else:
                    before = commits[-1] if commits else None
                    work = self._commit(next(free), position, prepared, chunks, before)
                    commits.append(asyncio.create_task(work))
                    position = prepared.position
                at_once = 1 if self._alone_for else AT_ONCE
                while len(commits) >= at_once or (commits and prepared is None):
                    await commits.popleft()
                self._purge_when_due()
            while commits:
                await commits.popleft()
        finally:
            others = [upcoming, *commits, *filter(None, [self._purging])]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await frames.close()

    async def _commit(
        self,
        connection: Connection,
        position: int,
        prepared: Prepared,
        chunks: Chunks,
        before: asyncio.Task[None] | None,
    ) -> None:
        await commit(connection, self.partition, position, prepared, chunks, before)
        self._note(prepared)

    async def _resume(self, connection: Connection) -> tuple[int, Preparer]:
        """Open the reader behind the stored position; after a gap, at the log's first frame."""
        async with connection.transaction():
            position = await get_position(connection, self.partition)
            producers = await get_producers(connection)
        suffix = f"-{self.partition}"
        stored = {
            producer.producer: Stored(producer.seq, producer.decoded)
            for producer in producers
            if producer.producer.endswith(suffix)
        }
        self._stored_to = self._purged_to = 0
        await self._reader.open(0 if self._from_start else position, self._config.fetch)
        self.is_open.set()
        log.info("writer_reads", partition=self.partition, position=position)
        return position, Preparer(stored, self._config.prepare, may_have_gaps=self._from_start)

    async def _next(self, frames: ReadAhead, preparer: Preparer) -> Prepared | None:
        """Fetch and prepare one transaction; None if the log has nothing now."""
        entries = await frames.next()
        if not entries:
            return None
        return await asyncio.to_thread(preparer.prepare, entries, self._config.clock())

    def _note(self, prepared: Prepared) -> None:
        now_us = self._config.clock()
        for stored_at_us in prepared.stored_at_us:
            COMMIT_SECONDS.observe(max(0, now_us - stored_at_us) / 1e6)
        self._lag.set(self.partition, prepared.pending)
        self._backoff_s = self._config.backoff_s_min
        self._alone_for = max(0, self._alone_for - 1)
        self._from_start = False
        self._stored_to = prepared.position

    def _purge_when_due(self) -> None:
        """Now and then, remove from the log what this loop has stored, while it stores the next.

        Never by a position from before: if the log was replaced, that would remove what nobody has read.
        """
        now_s = time.monotonic()
        if self._stored_to == self._purged_to or now_s < self._purge_due_s:
            return
        if self._purging is None or self._purging.done():
            self._purge_due_s = now_s + self._config.purge_every_s
            self._purging = asyncio.create_task(self._purge(self._stored_to))

    async def _purge(self, position: int) -> None:
        """That it fails is no trouble."""
        try:
            await self._reader.purge(position)
            self._purged_to = position
        except (nats.errors.Error, TimeoutError) as error:
            log.warning("log_not_purged", partition=self.partition, error=repr(error))
