"""The MQTT role: batteries' telemetry into the durable log, acknowledged once the log has it.

Started by `gridwire.py`. A message's way: stamp its arrival, find its battery, decode, publish to the log,
wait for the log, acknowledge the broker. Thousands of messages are under way at a time, each on its own;
what is not acknowledged when the process ends or the connection breaks, the broker sends again.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from nats.aio.client import Client

from ingest.mqtt.commands import CommandRelay, RelayConfig
from ingest.mqtt.connection import BrokerConfig, BrokerConnection, Message
from ingest.registry import Policy, Registry
from protocols.battery import telemetry, topics
from protocols.battery.topics import Channel
from protocols.samples import DecodeError, Reason
from protocols.timestamps import to_datetime
from storage.database import Pool
from storage.queries import devices
from storage.queries.devices import Device
from stream.errors import PublisherClosedError
from stream.log import Publisher, PublisherLimits
from stream.metrics import ACK_SECONDS

log = structlog.get_logger()

_Result = TypeVar("_Result")

SOURCE = "mqtt"
SUBSCRIBED = (Channel.TELEMETRY, Channel.ANSWER)
CLOSE_S = 1.0  # for what was given up after `drain_s`
SEEN_INTERVAL_S = 5.0
RETRY_S_MIN = 0.1
RETRY_S_MAX = 5.0
EXCERPT_BYTES_MAX = 4096  # of an array's payload that goes with each of its refused samples


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
    relay: RelayConfig = field(default_factory=RelayConfig)


async def run(
    config: IngestorConfig, *, pool: Pool, bus: Client, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Ingest until `stop`; then what is under way is finished, within `drain_s`, and acknowledged.

    Raises `PublisherClosedError` where the connection to the log was closed for good.
    """
    producer_id = f"mqtt-{secrets.token_hex(8)}"
    publisher = Publisher(
        bus.jetstream(), SOURCE, config.partitions, config.limits, config.clock, producer_id
    )
    await Ingestor(config, publisher, pool, bus).run(stop, ready)


class Ingestor:
    """One connection to the broker and the messages that came by it and are not acknowledged."""

    def __init__(self, config: IngestorConfig, publisher: Publisher, pool: Pool, bus: Client) -> None:
        filters = [topics.subscription(channel, config.share_group) for channel in SUBSCRIBED]
        self._config = config
        self._publisher = publisher
        self._pool = pool
        self._registry = Registry(pool, config.unknown_devices, config.clock)
        self._connection = BrokerConnection(config.broker, filters, self._receive, config.clock)
        self._relay = CommandRelay(
            config.relay, connection=self._connection, pool=pool, bus=bus, clock=config.clock
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_hand: set[tuple[int, int]] = set()  # generation and packet id
        self._bytes = 0
        self._seen: set[int] = set()  # devices heard of since the database was last told
        self._is_away = False
        self._is_draining = False
        self._is_closed = asyncio.Event()

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """See `run` of the module."""
        disconnect = asyncio.Event()
        relay = asyncio.create_task(self._relay.run())
        seen = asyncio.create_task(self._note_seen())
        connected = asyncio.create_task(self._connection.run(disconnect, ready))
        ending = [asyncio.create_task(stop.wait()), asyncio.create_task(self._is_closed.wait())]
        try:
            await asyncio.wait([*ending, relay, seen, connected], return_when=asyncio.FIRST_COMPLETED)
            await self._drain()
        finally:
            disconnect.set()
            for task in (*ending, relay, seen, *self._tasks):
                task.cancel()
            ended = await asyncio.gather(connected, relay, seen, *self._tasks, return_exceptions=True)
            await self._publisher.close(0)  # where draining did not get so far
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome
        if self._is_closed.is_set():
            raise PublisherClosedError("the connection to the log was closed: nothing more can be stored")

    async def _drain(self) -> None:
        """Let what is under way be stored and acknowledged; the rest comes again to whoever is next."""
        self._is_draining = True
        self._connection.pause()
        if self._tasks and not self._is_closed.is_set():
            await asyncio.wait(self._tasks, timeout=self._config.drain_s)
        log.info("mqtt_drained", unacknowledged=len(self._tasks))
        await self._publisher.close(CLOSE_S)

    async def _note_seen(self) -> None:
        """Write `last_seen_at` of all batteries heard of, together, every `SEEN_INTERVAL_S`."""
        while True:
            await asyncio.sleep(SEEN_INTERVAL_S)
            await self._until_there(self._write_seen)

    async def _write_seen(self) -> None:
        ids, self._seen = self._seen, set()
        try:
            async with self._pool.connection() as connection:
                await devices.touch_devices(connection, sorted(ids), to_datetime(self._config.clock()))
        except BaseException:
            self._seen |= ids
            raise

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
            self._connection.pause()

    async def _take(self, message: Message) -> None:
        try:
            await self._handle(message)
            if self._connection.acknowledge(message):
                ACK_SECONDS.observe((self._config.clock() - message.received_at_us) / 1e6)
        except PublisherClosedError:
            self._is_closed.set()
        finally:
            self._in_hand.discard((message.generation, message.packet_id))
            self._bytes -= len(message.payload)

    def _taken(self, task: asyncio.Task[None]) -> None:
        """Forget a message, and read again once half of the window is free."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("mqtt_message_failed", error=repr(error), action="not acknowledged; it comes again")
        has_room = (
            len(self._tasks) <= self._config.window // 2 and self._bytes <= self._config.window_bytes // 2
        )
        if has_room and not self._is_draining:
            self._connection.resume()

    async def _handle(self, message: Message) -> None:
        """Return once what the message says, or that it says nothing, is durable."""
        device: Device | None = None
        try:
            serial, channel = topics.parse(message.topic)
            device = await self._until_there(lambda: self._registry.resolve("battery", serial))
            if device is None:
                raise DecodeError("unknown_device", "topic", f"battery {serial} is not registered")
            self._relay.heard(serial)
            self._seen.add(device.id)
            if channel is Channel.ANSWER:
                await self._until_there(lambda: self._relay.answer(serial, message.payload))
            else:
                await self._store(message, device)
        except DecodeError as error:
            await self._refuse(error, message.payload, message, device)

    async def _store(self, message: Message, device: Device) -> None:
        decoded = telemetry.decode(message.payload, message.received_at_us)
        excerpt = message.payload[:EXCERPT_BYTES_MAX]
        parts: list[Awaitable[None]] = [
            self._refuse(error, excerpt, message, device) for error in decoded.refused
        ]
        if decoded.rows is not None:
            reason = Reason.UNKNOWN_DEVICE if device.status == "quarantined" else Reason.OK
            parts.append(
                self._publisher.publish(
                    decoded.rows, device_id=device.id, received_at_us=message.received_at_us, reason=reason
                )
            )
        if len(parts) == 1:
            await parts[0]
        else:
            await asyncio.gather(*parts)

    async def _refuse(
        self, error: DecodeError, payload: bytes, message: Message, device: Device | None
    ) -> None:
        await self._publisher.refuse(
            error,
            payload,
            device_id=0 if device is None else device.id,
            received_at_us=message.received_at_us,
        )

    async def _until_there(self, attempt: Callable[[], Awaitable[_Result]]) -> _Result:
        """Try until the database answers; the message waits here and the broker holds the others."""
        delay_s = RETRY_S_MIN
        while True:
            try:
                result = await attempt()
            except DecodeError:
                raise
            except Exception as error:
                if not self._is_away:
                    self._is_away = True
                    log.warning("mqtt_database_away", error=str(error), action="holding messages; retrying")
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RETRY_S_MAX)
            else:
                if self._is_away:
                    self._is_away = False
                    log.info("mqtt_database_back")
                return result
