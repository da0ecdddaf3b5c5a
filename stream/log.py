"""The durable log: a NATS JetStream stream of frames, and its publishers.

Shells publish through `Publisher`, `/metrics` asks `log_heads` what is in flight, `stream.writer` reads
through `stream.reader`. Subjects are `gridwire.log.<partition>.<producer>`; a device's rows all go
to the partition `device_id % partitions`, so changing that number needs a log that was drained before.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import nats.errors
import structlog
from nats.js import JetStreamContext, api
from nats.js.errors import BadRequestError, NotFoundError

from protocols.samples import DecodeError, Reason, Rows
from storage.columns import Batch
from storage.hypertables import Hypertable
from stream.batcher import Batcher, Checked, Limits, Taken, check_rows
from stream.budget import Budget
from stream.errors import FrameError, PublisherClosedError
from stream.events import payload_refused
from stream.frames import count_samples, encode_frame
from stream.headers import FrameHeader, read_header

STREAM = "GRIDWIRE_LOG"
SUBJECT = "gridwire.log"
DUPLICATE_WINDOW_S = 120
FRAME_BYTES_MAX = 960 << 10  # under nats-server's default max_payload of 1 MiB, headers included
REFUSAL_REASONS_MAX = 64  # distinct ones a producer counts; the rest is "other"

_PRODUCER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STREAM_EXISTS = 10058  # nats-server: name in use with another configuration

_NO_REFUSALS: Counter[str] = Counter()  # never filled: making one takes as long as a column's check

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LogConfig:
    """The stream: its bound in bytes (then publishers wait) and its copies in a cluster."""

    bytes_max: int = 4 << 30
    replicas: int = 1


async def ensure_log(js: JetStreamContext, config: LogConfig) -> None:
    """Create the stream, or bring an existing one to `config`."""
    wanted = api.StreamConfig(
        name=STREAM,
        subjects=[f"{SUBJECT}.>"],
        storage=api.StorageType.FILE,
        retention=api.RetentionPolicy.LIMITS,
        discard=api.DiscardPolicy.NEW,
        max_bytes=config.bytes_max,
        num_replicas=config.replicas,
        duplicate_window=DUPLICATE_WINDOW_S,
        allow_direct=True,
    )
    try:
        await js.add_stream(wanted)
    except BadRequestError as error:
        if error.err_code != _STREAM_EXISTS:
            raise
        await js.update_stream(wanted)


@dataclass(frozen=True, slots=True)
class PublisherLimits:
    """Bounds of a publisher: its groups, what it holds unacknowledged, and how it retries."""

    group: Limits = field(default_factory=Limits)
    buffer_rows: int = 262_144
    buffer_bytes: int = 64 << 20
    ack_timeout_s: float = 5.0
    backoff_s_min: float = 0.05
    backoff_s_max: float = 2.0


@dataclass(slots=True)
class _Waiting:
    """Who waits for one group, what refusals it tells of, and what it holds of the budget.

    A future for each caller: cancelled, it takes nobody else's along, and that costs less than a shield.
    """

    callers: list[asyncio.Future[None]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    bytes: int = 0


@dataclass(slots=True)
class _Producer:
    """One partition's numbering and counts: contiguous, because one frame is in flight at a time."""

    name: str
    seq: int = 0
    decoded: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    lane: asyncio.Task[None] | None = None


class Publisher:
    """Publishes rows as frames; `publish` returns once the log has them on disk.

    While one frame of a partition waits for its acknowledgement the next one fills. A frame whose
    acknowledgement is lost is sent again under the same number until the log has it, whatever is in
    the way (server away, stream full); meanwhile the buffer fills, and then `publish` waits.
    `producer_id` is fresh for each process run: numbering begins at 1 with it.
    """

    def __init__(
        self,
        js: JetStreamContext,
        source: str,
        partitions: int,
        limits: PublisherLimits,
        clock: Callable[[], int],
        producer_id: str,
    ) -> None:
        if not _PRODUCER_ID.fullmatch(producer_id):
            raise ValueError(f"producer id {producer_id!r}: 1 to 64 of A-Z a-z 0-9 _ -")
        self._js = js
        self._source = source
        self._limits = limits
        self._clock = clock
        self._batcher = Batcher(partitions, limits.group)
        self._budget = Budget(limits.buffer_rows, limits.buffer_bytes)
        self._producers = [_Producer(f"{producer_id}-{partition}") for partition in range(partitions)]
        self._waiting: dict[int, _Waiting] = {}
        self._is_closed = False

    async def publish(
        self, rows: Rows, *, device_id: int, received_at_us: int, reason: Reason = Reason.OK
    ) -> None:
        """Return once the log has the frame, or frames, that hold `rows`.

        `reason` other than OK sends them to quarantine. Raises `DecodeError` for rows that their table
        cannot hold (nothing was taken; `refuse` is the caller's to call), `PublisherClosedError`.
        A caller that is cancelled while waiting does not take its rows back.
        """
        checked = check_rows(rows)
        if rows.count:
            await self._put(checked, device_id, received_at_us, reason, _NO_REFUSALS)

    async def refuse(
        self, error: DecodeError, payload: bytes, *, device_id: int = 0, received_at_us: int
    ) -> None:
        """Count one sample received and refused, and return once the log has the event that tells of it."""
        event = check_rows(payload_refused(error, payload, self._source, received_at_us))
        await self._put(event, device_id, received_at_us, Reason.OK, Counter([error.reason]))

    async def append(self, partition: int, table: Hypertable, batch: Batch) -> None:
        """Return once the log has `batch`, all of whose rows belong to `partition`.

        For a caller that gathers rows itself, holds what it gathered within bounds of its own, and gives one
        batch of a partition after the other: a publisher is used by this or by `publish`, never by both.
        Raises `PublisherClosedError`.
        """
        for part, data in _frames(table, batch):
            self._ensure_open()
            await self._append(partition, self._number(partition, table, part, Counter()), data)

    async def close(self, timeout_s: float = 10.0) -> None:
        """Publish what is buffered and stop; what the log has not after `timeout_s` fails its callers."""
        self._is_closed = True
        lanes = [producer.lane for producer in self._producers if producer.lane is not None]
        if lanes:
            _, late = await asyncio.wait(lanes, timeout=timeout_s)
            for lane in late:
                lane.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._fail_all(PublisherClosedError(f"the log did not answer within {timeout_s} s of closing"))

    async def _put(
        self, checked: Checked, device_id: int, received_at_us: int, reason: Reason, refused: Counter[str]
    ) -> None:
        self._ensure_open()
        held_rows, held_bytes = await self._budget.acquire(checked.rows.count, checked.bytes)
        try:
            self._ensure_open()
            numbers = self._batcher.add(
                checked,
                device_id=device_id,
                received_at_us=received_at_us,
                reason=reason,
                now_us=self._clock(),
            )
        except (DecodeError, PublisherClosedError):
            self._budget.release(held_rows, held_bytes)
            raise
        groups = [self._waiting_for(number) for number in numbers]
        last = groups[-1]  # groups of a partition and table go out in their order
        if refused:
            last.refused += refused
        last.rows += held_rows
        last.bytes += held_bytes
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        last.callers.append(done)
        self._start_lane(self._batcher.partition_of(device_id))
        await done

    def _ensure_open(self) -> None:
        if self._is_closed:
            raise PublisherClosedError("the publisher is closed; the device must send again")

    def _waiting_for(self, number: int) -> _Waiting:
        waiting = self._waiting.get(number)
        if waiting is None:
            waiting = self._waiting[number] = _Waiting()
        return waiting

    def _start_lane(self, partition: int) -> None:
        producer = self._producers[partition]
        if producer.lane is None or producer.lane.done():
            producer.lane = asyncio.create_task(self._drain(partition), name=f"log lane {producer.name}")

    async def _drain(self, partition: int) -> None:
        """Publish a partition's groups one after the other until there are none."""
        while (due_us := self._batcher.due_us(partition)) is not None:
            linger_us = min(due_us - self._clock(), self._limits.group.age_us)
            if linger_us > 0 and not self._is_closed:
                await asyncio.sleep(linger_us / 1e6)
            taken = self._batcher.take(partition)
            assert taken is not None
            await self._send(partition, taken)

    async def _send(self, partition: int, taken: Taken) -> None:
        waiting = self._waiting[taken.number]
        try:
            frames = list(_frames(taken.table, taken.batch))
            for i, (batch, data) in enumerate(frames):
                refused = waiting.refused if i == 0 else Counter[str]()
                header = self._number(partition, taken.table, batch, refused)
                await self._append(partition, header, data)
        except PublisherClosedError as error:
            self._is_closed = True
            self._fail_all(error)
        else:
            del self._waiting[taken.number]
            self._budget.release(waiting.rows, waiting.bytes)
            for caller in waiting.callers:
                if not caller.done():  # cancelled
                    caller.set_result(None)

    def _number(self, partition: int, table: Hypertable, batch: Batch, refused: Counter[str]) -> FrameHeader:
        """Give a frame its number and add its samples to the counts. A number is never used twice."""
        producer = self._producers[partition]
        producer.seq += 1
        producer.decoded += count_samples(table, batch)
        for reason, count in refused.items():
            known = reason in producer.refused or len(producer.refused) < REFUSAL_REASONS_MAX
            producer.refused[reason if known else "other"] += count
        return FrameHeader(
            producer=producer.name,
            seq=producer.seq,
            source=self._source,
            table=table.name,
            rows=batch.rows,
            decoded=producer.decoded,
            refused=dict(producer.refused),
        )

    async def _append(self, partition: int, header: FrameHeader, data: bytes) -> None:
        """Publish one frame until the log has it. Raises `PublisherClosedError` if the bus was closed."""
        subject = f"{SUBJECT}.{partition}.{header.producer}"
        backoff_s = self._limits.backoff_s_min
        while True:
            try:
                await self._js.publish(
                    subject,
                    data,
                    timeout=self._limits.ack_timeout_s,
                    stream=STREAM,
                    headers=header.to_message(),
                )
            except nats.errors.ConnectionClosedError as error:
                raise PublisherClosedError("the connection to the log was closed for good") from error
            except (nats.errors.Error, TimeoutError, OSError) as error:
                log.warning("log_append_again", producer=header.producer, seq=header.seq, error=repr(error))
            else:
                return
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, self._limits.backoff_s_max)

    def _fail_all(self, error: PublisherClosedError) -> None:
        waiting = list(self._waiting.values())
        self._waiting.clear()
        for group in waiting:
            for caller in group.callers:
                if not caller.done():
                    caller.set_exception(error)
            self._budget.release(group.rows, group.bytes)


def _frames(table: Hypertable, batch: Batch) -> Iterator[tuple[Batch, bytes]]:
    """Encode `batch` as one frame, or as several where lumps of long rows would make it too large."""
    data = encode_frame(table, batch)
    if len(data) <= FRAME_BYTES_MAX or batch.rows == 1:
        yield batch, data
        return
    half = batch.rows // 2
    yield from _frames(table, batch.take(slice(half)))
    yield from _frames(table, batch.take(slice(half, None)))


async def log_heads(js: JetStreamContext) -> dict[str, FrameHeader]:
    """Return the last header of each producer that has frames in the log: what was promised to devices.

    Compared with what the tables have of the same producers this is what is in flight.
    """
    info = await js.stream_info(STREAM, subjects_filter=f"{SUBJECT}.>")
    heads: dict[str, FrameHeader] = {}
    for subject in info.state.subjects or {}:
        try:
            message = await js.get_last_msg(STREAM, subject, direct=True)
            header = read_header(message.headers)
        except (NotFoundError, FrameError):
            continue  # purged in between, or none of ours
        heads[header.producer] = header
    return heads
