"""What all MQTT roles share: messages of one broker, each on its own, acknowledged once they are durable.

Used by `ingest.mqtt.batteries` and `ingest.lorawan`. Thousands of messages are under way at a time; what is
not acknowledged when the process ends or the connection breaks, the broker sends again.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from nats.aio.client import Client

from ingest.mqtt.connection import BrokerConfig, BrokerConnection, Message
from ingest.registry import Policy
from protocols.samples import DecodeError
from stream.errors import PublisherClosedError
from stream.log import Publisher, PublisherLimits
from stream.metrics import ACK_SECONDS

log = structlog.get_logger()

CLOSE_S = 1.0  # for what was given up after `drain_s`


@dataclass(frozen=True, slots=True)
class IngestorConfig:
    """`window` and `window_bytes` bound the messages that wait for the log: beyond them we stop reading.

    The window should be at least what the broker has under way at a time (`max_ack_pending` of
    nats-server, `max_inflight_messages` of Mosquitto). `share_group` is for brokers with shared
    subscriptions. `clock` returns microseconds since 1970 UTC.
    """

    broker: BrokerConfig
    clock: Callable[[], int]
    partitions: int
    unknown_devices: Policy
    share_group: str | None = None
    window: int = 5_000
    window_bytes: int = 64 << 20
    drain_s: float = 10.0
    limits: PublisherLimits = field(default_factory=PublisherLimits)


def make_publisher(config: IngestorConfig, bus: Client, source: str) -> Publisher:
    """Return a publisher with a fresh producer id for this run."""
    producer_id = f"{source}-{secrets.token_hex(8)}"
    return Publisher(bus.jetstream(), source, config.partitions, config.limits, config.clock, producer_id)


class Family(Protocol):
    """Topics that belong together, and what is done with their messages."""

    def owns(self, topic: str) -> bool:
        """Whether messages of this topic are this family's."""
        ...

    async def handle(self, message: Message) -> None:
        """Return once what the message says, or that it says nothing, is durable."""
        ...

    async def run(self) -> None:
        """Do what is to be done beside the messages, until cancelled."""
        ...


class Ingestor:
    """One connection to the broker and the messages that came by it and are not acknowledged."""

    def __init__(self, config: IngestorConfig, filters: Sequence[str], publisher: Publisher) -> None:
        self._config = config
        self._publisher = publisher
        self._families: Sequence[Family] = ()
        self.connection = BrokerConnection(config.broker, filters, self._receive, config.clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_hand: set[tuple[int, int]] = set()  # generation and packet id
        self._bytes = 0
        self._is_draining = False
        self._is_closed = asyncio.Event()

    async def run(self, families: Sequence[Family], stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Ingest until `stop`; then what is under way is finished, within `drain_s`, and acknowledged.

        Raises `PublisherClosedError` where the connection to the log was closed for good.
        """
        self._families = families
        disconnect = asyncio.Event()
        beside = [asyncio.create_task(family.run()) for family in families]
        connected = asyncio.create_task(self.connection.run(disconnect, ready))
        ending = [asyncio.create_task(stop.wait()), asyncio.create_task(self._is_closed.wait())]
        try:
            await asyncio.wait([*ending, *beside, connected], return_when=asyncio.FIRST_COMPLETED)
            await self._drain()
        finally:
            disconnect.set()
            for task in (*ending, *beside, *self._tasks):
                task.cancel()
            ended = await asyncio.gather(connected, *beside, *self._tasks, return_exceptions=True)
            await self._publisher.close(0)  # where draining did not get so far
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome
        if self._is_closed.is_set():
            raise PublisherClosedError("the connection to the log was closed: nothing more can be stored")

    async def _drain(self) -> None:
        """Let what is under way be stored and acknowledged; the rest comes again to whoever is next."""
        self._is_draining = True
        self.connection.pause()
        if self._tasks and not self._is_closed.is_set():
            await asyncio.wait(self._tasks, timeout=self._config.drain_s)
        log.info("mqtt_drained", unacknowledged=len(self._tasks))
        await self._publisher.close(CLOSE_S)

    def _receive(self, message: Message) -> None:
        key = (message.generation, message.packet_id)
        if message.qos > 0:
            if key in self._in_hand:
                return  # sent again while it waits here: a packet id is not reused before its PUBACK
            self._in_hand.add(key)
        self._bytes += len(message.payload)
        task = asyncio.create_task(self._take(message))
        self._tasks.add(task)
        task.add_done_callback(self._taken)
        if len(self._tasks) >= self._config.window or self._bytes >= self._config.window_bytes:
            self.connection.pause()

    async def _take(self, message: Message) -> None:
        try:
            await self._handle(message)
            if self.connection.acknowledge(message):
                ACK_SECONDS.observe((self._config.clock() - message.received_at_us) / 1e6)
        except PublisherClosedError:
            self._is_closed.set()
        finally:
            self._in_hand.discard((message.generation, message.packet_id))
            self._bytes -= len(message.payload)

    async def _handle(self, message: Message) -> None:
        for family in self._families:
            if family.owns(message.topic):
                await family.handle(message)
                return
        error = DecodeError("topic", "topic", f"{message.topic[:200]!r} is nothing that was subscribed")
        await self._publisher.refuse(error, message.payload, received_at_us=message.received_at_us)

    def _taken(self, task: asyncio.Task[None]) -> None:
        """Forget a message, and read again once half of the window is free."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("mqtt_message_failed", error=repr(error), action="not acknowledged; it comes again")
        has_room = (
            len(self._tasks) <= self._config.window // 2 and self._bytes <= self._config.window_bytes // 2
        )
        if has_room and not self._is_draining:
            self.connection.resume()
