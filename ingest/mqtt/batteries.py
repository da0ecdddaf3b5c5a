"""The MQTT role: batteries' telemetry and raw frames into the durable log, acknowledged once it has them.

Started by `gridwire.py`. A message's way: stamp its arrival, find its battery, decode, publish to the log,
wait for the log, acknowledge the broker.
"""

import asyncio
from collections.abc import Awaitable

from nats.aio.client import Client

from ingest.holding import Holding
from ingest.mqtt.commands import CommandRelay, RelayConfig
from ingest.mqtt.connection import BrokerConnection, Message
from ingest.mqtt.frames import read_frames
from ingest.mqtt.ingestor import IngestorConfig
from ingest.registry import Registry, admitted
from ingest.seen import Seen
from protocols.battery import telemetry, topics
from protocols.battery.topics import Channel
from protocols.samples import DecodeError, Reason, Rows
from storage.database import Pool
from storage.queries.devices import Device
from stream.log import Publisher

SUBSCRIBED = (Channel.TELEMETRY, Channel.ANSWER, Channel.RAW)
EXCERPT_BYTES_MAX = 4096  # of an array's payload that goes with each of its refused samples


def filters(share_group: str | None = None) -> list[str]:
    """Return what to subscribe to."""
    return [topics.subscription(channel, share_group) for channel in SUBSCRIBED]


class Batteries:
    """The topics of batteries: telemetry in, commands out, answers in."""

    def __init__(
        self,
        config: IngestorConfig,
        relay: RelayConfig,
        publisher: Publisher,
        connection: BrokerConnection,
        *,
        pool: Pool,
        bus: Client,
    ) -> None:
        self._publisher = publisher
        self._holding = Holding("mqtt")
        self._registry = Registry(pool, config.unknown_devices, config.clock)
        self._seen = Seen(pool, config.clock, self._holding)
        self._relay = CommandRelay(relay, connection=connection, pool=pool, bus=bus, clock=config.clock)

    def owns(self, topic: str) -> bool:
        """Whether the topic is a battery's, well-formed or not."""
        return topic.startswith(f"{topics.PREFIX}/")

    async def run(self) -> None:
        """Relay commands and write when batteries were seen, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._relay.run())
            group.create_task(self._seen.run())

    async def handle(self, message: Message) -> None:
        """Return once what the message says, or that it says nothing, is durable."""
        device: Device | None = None
        try:
            serial, channel = topics.parse(message.topic)
            found = await self._holding.until_there(lambda: self._registry.resolve("battery", serial))
            device = admitted(found, "battery", serial)
            self._relay.heard(serial)
            self._seen.add(device.id)
            if channel is Channel.ANSWER:
                await self._holding.until_there(lambda: self._relay.answer(serial, message.payload))
            elif channel is Channel.RAW:
                await self._store_raw(message, device)
            else:
                await self._store(message, telemetry.decode(message.payload, message.received_at_us), device)
        except DecodeError as error:
            await self._refuse(error, message.payload, message, device)

    async def _store_raw(self, message: Message, device: Device) -> None:
        """The frames as they came, whether or not they could be read, and what they say."""
        reading = read_frames(message.topic, message.payload, message.received_at_us)
        kept = self._publish(reading.raw, message, device)
        if isinstance(reading.outcome, DecodeError):
            await kept
            raise reading.outcome
        await asyncio.gather(kept, self._store(message, reading.outcome, device))

    async def _publish(self, rows: Rows, message: Message, device: Device) -> None:
        reason = Reason.UNKNOWN_DEVICE if device.status == "quarantined" else Reason.OK
        await self._publisher.publish(
            rows, device_id=device.id, received_at_us=message.received_at_us, reason=reason
        )

    async def _store(self, message: Message, decoded: telemetry.Decoded, device: Device) -> None:
        excerpt = message.payload[:EXCERPT_BYTES_MAX]
        parts: list[Awaitable[None]] = [
            self._refuse(error, excerpt, message, device) for error in decoded.refused
        ]
        if decoded.rows is not None:
            parts.append(self._publish(decoded.rows, message, device))
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
