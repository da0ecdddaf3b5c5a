"""Reading the durable log in order; used by `stream.writer`, which remembers how far it came."""

import asyncio
import itertools
import json
from dataclasses import dataclass

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext, api

from stream.errors import FrameError, LogGapError, StreamError
from stream.headers import FrameHeader, read_header
from stream.log import FRAME_BYTES_MAX, STREAM, SUBJECT

CONSUMER_IDLE_S = 60
ANSWER_TIMEOUT_S = 5
PULL_FRAMES_MAX = 64
PULL_AGAIN_S = 0.001  # a second pull takes what is there and does not wait for more

_NO_MORE = {"404", "408"}
_PULL_ENDS = {"Message Size Exceeds MaxBytes", "Batch Completed"}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of the log. `stored_at_us` is the server's clock, `pending` how many frames follow.

    `header` is None where the message is none of ours.
    """

    seq: int
    header: FrameHeader | None
    data: bytes
    stored_at_us: int
    pending: int


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Bounds of one fetch: it ends at the first that is reached (rows and bytes by at most a frame)."""

    frames: int = 4096
    rows: int = 65_536
    bytes: int = 8 << 20
    wait_s: float = 0.5


class LogReader:
    """Reads one partition in order from a position, by pulling from an ephemeral consumer without acks.

    What it read is remembered by whoever stores it, not by the server: after any error the reader is
    opened again behind the stored position.
    """

    def __init__(self, js: JetStreamContext, partition: int) -> None:
        self._js = js
        self._subject = f"{SUBJECT}.{partition}.>"
        self._inbox = ""
        self._consumer = ""
        self._subscription: Subscription | None = None
        self._pulls = itertools.count(1)
        self._delivered = 0

    async def open(self, position: int, limits: FetchLimits) -> None:
        """Begin behind `position`; at the log's first frame if it never came that far (it was replaced)."""
        await self.close()
        last = (await self._js.stream_info(STREAM)).state.last_seq
        if position > last:
            log.error("log_replaced", position=position, last=last, action="read it from its beginning")
            position = 0
        consumer = await self._js.add_consumer(
            STREAM,
            api.ConsumerConfig(
                ack_policy=api.AckPolicy.NONE,
                deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=position + 1,
                filter_subject=self._subject,
                inactive_threshold=CONSUMER_IDLE_S,
                mem_storage=True,
                num_replicas=1,
            ),
        )
        bus = self._js._nc  # the context has no public way to its connection
        self._consumer, self._delivered, self._inbox = consumer.name, 0, bus.new_inbox()
        self._subscription = await bus.subscribe(
            f"{self._inbox}.*",
            pending_msgs_limit=2 * limits.frames,
            pending_bytes_limit=2 * (limits.bytes + FRAME_BYTES_MAX),
        )

    async def close(self) -> None:
        """Let go of the subscription; the server forgets the consumer by itself."""
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            if not self._js._nc.is_closed:
                await subscription.unsubscribe()

    async def fetch(self, limits: FetchLimits) -> list[Entry]:
        """Return the next frames, as many as there are within `limits`; none after `wait_s`.

        Raises `LogGapError` if the server delivered what never arrived, `StreamError` if the consumer
        is gone, `nats.errors.Error` if the server is: then open again.
        """
        entries: list[Entry] = []
        rows, size, wait_s = 0, 0, limits.wait_s
        while len(entries) < limits.frames and rows < limits.rows and size < limits.bytes:
            got = await self._pull(
                min(limits.frames - len(entries), PULL_FRAMES_MAX), limits.bytes - size, wait_s
            )
            entries += got
            if not got or not got[-1].pending:
                break
            rows += sum(entry.header.rows for entry in got if entry.header is not None)
            size += sum(len(entry.data) for entry in got)
            wait_s = PULL_AGAIN_S
        return entries

    async def _pull(self, frames: int, size: int, wait_s: float) -> list[Entry]:
        """Ask once: the server answers when it has anything, with what it has, and says when that is all."""
        assert self._subscription is not None
        bus = self._js._nc
        reply = f"{self._inbox}.{next(self._pulls)}"
        request = {
            "batch": frames,
            "max_bytes": size + FRAME_BYTES_MAX,
            "expires": int(wait_s * 1e9),
            "no_wait": True,  # with `expires`: wait for the first, not for all of the batch
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{self._consumer}"
        await bus.publish(subject, json.dumps(request).encode(), reply=reply)
        entries: list[Entry] = []
        while len(entries) < frames:
            message = await self._subscription.next_msg(wait_s + ANSWER_TIMEOUT_S)
            status = (message.headers or {}).get("Status")
            if status is None:
                entries.append(self._entry(message))
            elif message.subject == reply:  # an older pull's end may still be under way
                self._check_end(message)
                break
        return entries

    def _check_end(self, message: Msg) -> None:
        headers = message.headers or {}
        if headers["Status"] not in _NO_MORE and headers.get("Description") not in _PULL_ENDS:
            raise StreamError(f"the log's consumer is gone: {dict(headers)}; open the reader again")

    def _entry(self, message: Msg) -> Entry:
        metadata = message.metadata
        self._delivered += 1
        if metadata.sequence.consumer != self._delivered:
            raise LogGapError(
                f"message {metadata.sequence.consumer} of the consumer arrived instead of {self._delivered}"
            )
        try:
            header = read_header(message.headers)
        except FrameError as error:
            log.error("log_message_foreign", seq=metadata.sequence.stream, error=str(error))
            header = None
        stored_at_us = int(metadata.timestamp.timestamp() * 1e6)
        return Entry(metadata.sequence.stream, header, message.data, stored_at_us, metadata.num_pending)

    async def pending(self) -> int:
        """Return how many frames of the partition were not read yet."""
        info = await self._js.consumer_info(STREAM, self._consumer)
        return info.num_pending or 0

    async def purge(self, position: int) -> None:
        """Remove the partition's frames up to and including `position`, which the tables have."""
        await self._js.purge_stream(STREAM, seq=position + 1, subject=self._subject)


class ReadAhead:
    """Fetches the next frames while those before are being worked on: one fetch under way at a time."""

    def __init__(self, reader: LogReader, limits: FetchLimits) -> None:
        self._reader = reader
        self._limits = limits
        self._fetch: asyncio.Task[list[Entry]] | None = None

    async def next(self) -> list[Entry]:
        """Return what `LogReader.fetch` does, and raise what it does."""
        fetch = self._fetch or self._start()
        entries = await fetch
        self._fetch = self._start()
        return entries

    def _start(self) -> asyncio.Task[list[Entry]]:
        return asyncio.create_task(self._reader.fetch(self._limits))

    async def close(self) -> None:
        """Give up the fetch under way; what it got stays in the log."""
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.gather(self._fetch, return_exceptions=True)
