"""The OCPP message log on its way to the durable log: frames gathered into columns, never one by one.

Used by the gateway's sockets (`ingest.ocpp.link`). `add` only appends to a list; a task for each log
partition makes batches of it now and then. The charger's answer never waits for this: what the bounds
have no room for is dropped and counted, and telemetry has a publisher and a budget of its own.
"""

import asyncio
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from protocols.ocpp.redaction import hide_secrets, may_hold_secrets
from protocols.ocpp.surface import Version
from protocols.samples import Reason
from storage.columns import Batch
from storage.hypertables import OCPP_MESSAGES
from storage.queries.messages import VERSION_CODES, Direction
from stream.batcher import to_batch
from stream.errors import PublisherClosedError
from stream.log import Publisher
from stream.metrics import OCPP_UNLOGGED

log = structlog.get_logger()

FRAME_BYTES_MAX = 16 << 10  # of one frame; the rest is cut off
ACTIONS_MAX = 128  # requests of a socket whose answers have not come

_COLUMNS = (*(column.name for column in OCPP_MESSAGES.columns), "reason")
_HEAD = re.compile(rb'\s*\[\s*([2-6])\s*,\s*"([^"\\]{0,255})"(?:\s*,\s*"([^"\\]{0,64})")?')
_CALL, _SEND = 2, 6
_OTHER = {direction.value: direction.other.value for direction in Direction}
_OK = Reason.OK.value


@dataclass(frozen=True, slots=True)
class MessageLogLimits:
    """Bounds: frames gather for `linger_s`, at most `pending_...` wait, a batch has at most `batch_...`."""

    linger_s: float = 0.5
    pending_frames: int = 50_000
    pending_bytes: int = 16 << 20
    batch_frames: int = 1024
    batch_bytes: int = 512 << 10


class Channel:
    """One socket of a charger; `generation` is 0 until the database gave one."""

    __slots__ = ("_asked", "_last_us", "device_id", "generation", "version_code")

    def __init__(self, device_id: int, version: Version, generation: int = 0) -> None:
        self.device_id = device_id
        self.version_code = VERSION_CODES[version]
        self.generation = generation
        self._last_us = 0
        # actions of requests by direction and id, since an answer does not name its own
        self._asked: dict[int, dict[bytes, bytes]] = {direction.value: {} for direction in Direction}

    def moment_us(self, now_us: int) -> int:
        """`now_us`, or a little later: frames of a socket keep their order by their time alone."""
        self._last_us = now_us if now_us > self._last_us else self._last_us + 1
        return self._last_us

    def action_of(self, direction: int, kind: int, message_id: bytes, named: bytes | None) -> bytes | None:
        """The action of a request (`named`), or of the request that this frame answers."""
        if kind == _SEND:
            return named
        if kind != _CALL:
            return self._asked[_OTHER[direction]].pop(message_id, None)
        if named is not None:
            asked = self._asked[direction]
            asked[message_id] = named
            if len(asked) > ACTIONS_MAX:
                del asked[next(iter(asked))]
        return named


# Channel, when it came or went, direction, bytes. Plain tuples and numbers: there are two of each a message.
Pending = tuple[Channel, int, int, bytes]
Row = tuple[int, int, int, int, int, int, int, bytes | None, bytes | None, int, bytes, int]


@dataclass(slots=True)
class _Lane:
    pending: deque[Pending] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None


class MessageLog:
    """See the module. `publisher` is this log's own; it is closed with it."""

    def __init__(self, publisher: Publisher, partitions: int, limits: MessageLogLimits) -> None:
        self._publisher = publisher
        self._limits = limits
        self._lanes = [_Lane() for _ in range(partitions)]
        self._frames = self._bytes = 0
        self._closing = asyncio.Event()

    def add(self, channel: Channel, direction: int, now_us: int, data: bytes) -> None:
        """Take a frame that came or went at `now_us` (microseconds since 1970), if there is room.

        `direction`: the value of a `Direction`.
        """
        limits, size = self._limits, len(data)
        if self._frames >= limits.pending_frames or self._bytes + size > limits.pending_bytes:
            OCPP_UNLOGGED.inc()
            return
        self._frames += 1
        self._bytes += size
        number = channel.device_id % len(self._lanes)
        lane = self._lanes[number]
        lane.pending.append((channel, channel.moment_us(now_us), direction, data))
        if lane.task is None:
            lane.task = asyncio.create_task(self._drain(number, lane), name=f"message log {number}")

    async def close(self, timeout_s: float = 5.0) -> None:
        """Publish what waits, then stop; what the log does not take in time is counted as unlogged."""
        self._closing.set()
        tasks = [lane.task for lane in self._lanes if lane.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._publisher.close(0)
        OCPP_UNLOGGED.inc(self._frames)
        self._frames = 0

    async def _drain(self, partition: int, lane: _Lane) -> None:
        """Publish what a lane holds, until it holds nothing."""
        try:
            while lane.pending:
                await self._linger()
                while lane.pending:
                    await self._publish(partition, self._take(lane.pending))
        except PublisherClosedError as error:
            log.warning("ocpp_message_log_closed", partition=partition, error=str(error))
        except Exception:
            log.exception("ocpp_message_log_failed", partition=partition, action="report it")
        finally:
            lane.task = None

    async def _publish(self, partition: int, frames: Sequence[Pending]) -> None:
        try:
            await self._publisher.append(partition, OCPP_MESSAGES, batch_of(frames))
        except BaseException:
            OCPP_UNLOGGED.inc(len(frames))
            raise
        finally:
            self._frames -= len(frames)
            self._bytes -= sum(len(frame[3]) for frame in frames)

    async def _linger(self) -> None:
        try:
            await asyncio.wait_for(self._closing.wait(), self._limits.linger_s)
        except TimeoutError:
            return

    def _take(self, pending: deque[Pending]) -> list[Pending]:
        frames, size = [pending.popleft()], 0
        while pending and len(frames) < self._limits.batch_frames and size < self._limits.batch_bytes:
            frames.append(pending.popleft())
            size += len(frames[-1][3])
        return frames


def batch_of(frames: Sequence[Pending]) -> Batch:
    """The rows of frames, in their order: secrets hidden, long ones cut, all of it storable text."""
    together = b"\n".join([frame[3] for frame in frames])
    # looked at all at once: hardly ever does one frame of a batch need more than that
    is_plain = together.isascii() and b"\0" not in together and not may_hold_secrets(together)
    rows = [_row(frame, frame[3] if is_plain else _clean(frame[3])) for frame in frames]
    columns = dict(zip(_COLUMNS, zip(*rows, strict=True), strict=True))
    return to_batch(OCPP_MESSAGES, columns, len(rows))


def _row(frame: Pending, text: bytes) -> Row:
    channel, ts_us, direction, _ = frame
    head = _HEAD.match(text)
    kind, message_id, action = 0, None, None
    if head is not None:
        digit, message_id, named = head.groups()
        kind = digit[0] - 48
        action = channel.action_of(direction, kind, message_id, named)
    kept = text if len(text) <= FRAME_BYTES_MAX else cut(text)
    return (
        ts_us,
        channel.device_id,
        ts_us,
        channel.generation,
        direction,
        channel.version_code,
        kind,
        action,
        message_id,
        len(text) - len(kept),
        kept,
        _OK,
    )


def _clean(data: bytes) -> bytes:
    """Without secrets, and as text that PostgreSQL takes: UTF-8 without NUL."""
    return hide_secrets(data).decode(errors="replace").replace("\0", "\ufffd").encode()


def cut(text: bytes) -> bytes:
    """The first `FRAME_BYTES_MAX` bytes or a little less: no character is halved."""
    return text[:FRAME_BYTES_MAX].decode(errors="ignore").encode()
