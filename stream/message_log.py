"""The OCPP message log on its way to the durable log: frames gathered into columns, never one by one.

Used by the gateway's sockets (`ingest.ocpp.link`). `add` only appends to a list; a task for each log
partition makes batches of it now and then. The charger's answer never waits for this: what the bounds
have no room for is dropped and counted, and telemetry has a publisher and a budget of its own.
"""

import asyncio
import contextlib
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

_HEAD = re.compile(rb'\s*\[\s*([2-6])\s*,\s*"([^"\\]{0,255})"(?:\s*,\s*"([^"\\]{0,64})")?')
_CALL, _SEND = 2, 6
_OTHER = {direction.value: direction.other.value for direction in Direction}
_OK = Reason.OK.value


@dataclass(frozen=True, slots=True)
class MessageLogLimits:
    """Bounds: a batch goes when it has `batch_...`, or after `linger_s`; at most `pending_...` wait."""

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
        # actions of requests by id, since an answer does not name its own; at the place of their direction
        self._asked: tuple[dict[bytes, bytes], ...] = tuple({} for _ in (0, *Direction))

    def moment_us(self, now_us: int) -> int:
        """`now_us`, or a little later: frames of a socket keep their order by their time alone."""
        self._last_us = now_us if now_us > self._last_us else self._last_us + 1
        return self._last_us

    def action_of(self, direction: int, kind: int, message_id: bytes, named: bytes | None) -> bytes | None:
        """The action of a request (`named`), or of the request that this frame answers."""
        if kind == _SEND:
            return named
        if kind != _CALL:
            asked = self._asked[_OTHER[direction]]
            action = asked.pop(message_id, None)
            if not asked:
                asked.clear()  # gives its memory back: most sockets are idle most of the time
            return action
        if named is not None:
            asked = self._asked[direction]
            asked[message_id] = named
            if len(asked) > ACTIONS_MAX:
                del asked[next(iter(asked))]
        return named


# Channel, when it came or went, direction, bytes. Plain tuples and numbers: there are two of each a message.
Pending = tuple[Channel, int, int, bytes]


@dataclass(slots=True)
class _Lane:
    """Frames of one partition. `is_due`: there are enough for a batch, or the log closes."""

    pending: deque[Pending] = field(default_factory=deque)
    bytes: int = 0
    is_due: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class MessageLog:
    """See the module. `publisher` is this log's own; it is closed with it."""

    def __init__(self, publisher: Publisher, partitions: int, limits: MessageLogLimits) -> None:
        self._publisher = publisher
        self._limits = limits
        self._lanes = [_Lane() for _ in range(partitions)]
        self._frames = self._bytes = 0
        self._is_closing = False

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
        lane.bytes += size
        if not lane.is_due.is_set() and self._is_due(lane):
            lane.is_due.set()
        if lane.task is None:
            lane.task = asyncio.create_task(self._drain(number, lane), name=f"message log {number}")

    async def close(self, timeout_s: float = 5.0) -> None:
        """Publish what waits, then stop; what the log does not take in time is counted as unlogged."""
        self._is_closing = True
        for lane in self._lanes:
            lane.is_due.set()
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
                await self._linger(lane)
                await self._publish(partition, self._take(lane))
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

    async def _linger(self, lane: _Lane) -> None:
        """Wait for enough frames: a batch costs much more than a row, and one goes out while others fill."""
        if not self._is_due(lane):
            lane.is_due.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(lane.is_due.wait(), self._limits.linger_s)

    def _is_due(self, lane: _Lane) -> bool:
        limits = self._limits
        is_full = len(lane.pending) >= limits.batch_frames or lane.bytes >= limits.batch_bytes
        return is_full or self._is_closing

    def _take(self, lane: _Lane) -> list[Pending]:
        pending, limits = lane.pending, self._limits
        frames: list[Pending] = []
        size = 0
        while pending and len(frames) < limits.batch_frames and size < limits.batch_bytes:
            frames.append(pending.popleft())
            size += len(frames[-1][3])
        lane.bytes -= size
        return frames


def batch_of(frames: Sequence[Pending]) -> Batch:
    """The rows of frames, in their order: secrets hidden, long ones cut, all of it storable text."""
    channels, times_us, directions, texts = zip(*frames, strict=True)
    together = b"\n".join(texts)
    # looked at all at once: hardly ever does one frame of a batch need more than that
    if not together.isascii() or b"\0" in together or may_hold_secrets(together):
        texts = tuple(map(_clean, texts))
    kept = [text if len(text) <= FRAME_BYTES_MAX else cut(text) for text in texts]
    kinds, message_ids, actions = zip(*map(_head, channels, directions, texts), strict=True)
    columns = {
        "ts": times_us,
        "device_id": [channel.device_id for channel in channels],
        "received_at": times_us,
        "generation": [channel.generation for channel in channels],
        "direction": directions,
        "version": [channel.version_code for channel in channels],
        "type": kinds,
        "action": actions,
        "message_id": message_ids,
        "cut_bytes": [len(text) - len(short) for text, short in zip(texts, kept, strict=True)],
        "frame": kept,
        "reason": [_OK] * len(frames),
    }
    return to_batch(OCPP_MESSAGES, columns, len(frames))


def _head(channel: Channel, direction: int, text: bytes) -> tuple[int, bytes | None, bytes | None]:
    """Type, message id and action of a frame; 0 and None where it has none."""
    head = _HEAD.match(text)
    if head is None:
        return 0, None, None
    digit, message_id, named = head.groups()
    kind = digit[0] - 48
    return kind, message_id, channel.action_of(direction, kind, message_id, named)


def _clean(data: bytes) -> bytes:
    """Without secrets, and as text that PostgreSQL takes: UTF-8 without NUL."""
    return hide_secrets(data).decode(errors="replace").replace("\0", "\ufffd").encode()


def cut(text: bytes) -> bytes:
    """The first `FRAME_BYTES_MAX` bytes or a little less: no character is halved."""
    return text[:FRAME_BYTES_MAX].decode(errors="ignore").encode()
