"""Meters over MQTT: `gridwire/meters/<identity>/uplink` in, `.../downlink` out, as a family of the MQTT role.

Wired in by `gridwire.py` beside batteries and LoRaWAN. The broker's access rules say who may publish a
meter's topic, so a device's token is not asked for here.
"""

import asyncio

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from ingest.holding import Holding
from ingest.mqtt.connection import BrokerConnection, Message
from ingest.mqtt.ingestor import IngestorConfig
from ingest.nbiot.app import NbiotConfig, make_parts
from ingest.nbiot.intake import Answer, Arrival, Intake, IntakeLimits, Verdict
from ingest.seen import Seen
from protocols.nbiot import topics
from protocols.samples import DecodeError
from storage.database import Pool
from storage.queries import device_links
from storage.queries.device_commands import DeviceCommand
from stream.codecs.pool import CodecPool
from stream.log import Publisher

log = structlog.get_logger()

WAY = "mqtt"
SUBJECT = "gridwire.device.*.commands"
PUBACK_TIMEOUT_S = 5.0
HELD_BACK_S = 1.0
NUDGES_MAX = 10_000  # devices with a new command that wait for a look; their next uplink finds it as well
_SUBJECT_PARTS = 4


def filters(share_group: str | None = None) -> list[str]:
    """Return what to subscribe to."""
    return [topics.subscription(share_group)]


def make_family(
    config: IngestorConfig,
    publisher: Publisher,
    connection: BrokerConnection,
    *,
    pool: Pool,
    bus: Client,
    codecs: CodecPool,
    settle_s: float = 5.0,
) -> "MeterTopics":
    """Return the family of topics, with what runs beside it.

    The broker is held back by the ingestor's own window, and what it sends again is stored once while the
    first of it is under way.
    """
    limits = IntakeLimits(window=2 * config.window, hold_s=None, same_s=0.0, per_minute=None)
    seen = Seen(pool, config.clock, Holding("meters"))
    shared = NbiotConfig(config.clock, config.partitions, config.unknown_devices, settle_s=settle_s)
    parts = make_parts(shared, publisher, seen, pool=pool, codecs=codecs)
    return MeterTopics(Intake(limits, parts, config.clock), connection, publisher, seen, pool=pool, bus=bus)


class MeterTopics:
    """See the module."""

    def __init__(
        self,
        intake: Intake,
        connection: BrokerConnection,
        publisher: Publisher,
        seen: Seen,
        *,
        pool: Pool,
        bus: Client,
    ) -> None:
        self._intake = intake
        self._connection = connection
        self._publisher = publisher
        self._seen = seen
        self._pool = pool
        self._bus = bus
        self._nudged: asyncio.Queue[int] = asyncio.Queue(NUDGES_MAX)

    def owns(self, topic: str) -> bool:
        """Whether the topic is a meter's, well-formed or not."""
        return topics.matches(topic)

    async def run(self) -> None:
        """Write when meters were seen and send new commands, until cancelled."""
        subscription = await self._bus.subscribe(SUBJECT, cb=self._nudge)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._seen.run())
                group.create_task(self._serve())
        finally:
            if not self._bus.is_closed:
                await subscription.unsubscribe()

    async def handle(self, message: Message) -> None:
        """Return once what the message says, or that it says nothing, is durable."""
        try:
            identity = topics.parse(message.topic)
        except DecodeError as error:
            await self._publisher.refuse(error, message.payload, received_at_us=message.received_at_us)
            return
        arrival = Arrival(
            way=WAY,
            payload=message.payload,
            received_at_us=message.received_at_us,
            identity=identity,
            meta={"topic": message.topic},
            address={"way": WAY, "identity": identity},
            is_vouched=True,
        )
        answer = await self._take(arrival)
        if answer.command is not None:
            await self._send(identity, answer.command)

    async def _take(self, arrival: Arrival) -> Answer:
        """The broker has no answer for "later": what is held back waits here, unacknowledged."""
        while True:
            answer = await self._intake.take(arrival)
            if answer.verdict is not Verdict.HELD_BACK:
                return answer
            await asyncio.sleep(HELD_BACK_S)

    async def _send(self, identity: str, command: DeviceCommand) -> None:
        topic = topics.build(identity, "downlink")
        try:
            await self._connection.publish(topic, command.payload, PUBACK_TIMEOUT_S)
        except ConnectionError as error:
            await self._intake.commands.lost(command, str(error))
        else:
            await self._intake.commands.sent(command, WAY)

    async def _nudge(self, message: Msg) -> None:
        parts = message.subject.split(".")
        if (
            len(parts) == _SUBJECT_PARTS
            and parts[2].isascii()
            and parts[2].isdigit()
            and not self._nudged.full()
        ):
            self._nudged.put_nowait(int(parts[2]))

    async def _serve(self) -> None:
        """A meter that listens all the time gets its command at once."""
        while True:
            device_id = await self._nudged.get()
            try:
                await self._send_now(device_id)
            except Exception as error:
                log.warning("meter_command_waits", device_id=device_id, error=str(error))

    async def _send_now(self, device_id: int) -> None:
        async with self._pool.connection() as connection:
            link = await device_links.get_link(connection, device_id)
        identity = None if link is None or link.source != WAY else link.address.get("identity")
        if isinstance(identity, str) and self._connection.is_connected:
            command = await self._intake.commands.next(device_id, 0)
            if command is not None:
                await self._send(identity, command)
