"""Commands that wait for LoRaWAN devices, sent to the network server that heard the device last.

Run by the roles `mqtt` and `callbacks`, each for the addresses of its way. A command is taken in one
statement that marks it as sent, so two processes never send the same; one whose process dies right then is
not sent, and expires. The network server queues it until the device listens. What became of it,
`ingest.lorawan.handler` writes down.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from ingest.holding import Holding
from ingest.lorawan.addresses import Address, Way, read_address
from protocols.lorawan import downlinks, topics
from protocols.lorawan.downlinks import Downlink
from protocols.lorawan.events import NetworkEvent, Server
from protocols.timestamps import from_datetime, to_datetime
from storage.database import Pool
from storage.queries import device_commands, device_links
from storage.queries.device_commands import DeviceCommand
from storage.queries.devices import Device

log = structlog.get_logger()

SUBJECT = "gridwire.device.*.commands"
SWEEP_S = 30.0
PAGE = 500
WAITING_MAX = 50_000  # devices that are known to have a command waiting
LANES = 8
COMMANDS_MAX = 16  # of one device at a time
_SUBJECT_PARTS = 4
_SERVERS = {each.value: each for each in Server}


class NotSentError(Exception):
    """Nothing went out: the command waits on."""


class UncertainError(Exception):
    """It went out, and nobody said that it arrived: it is not sent again."""


class RefusedError(Exception):
    """The network server will not have it; sending it again would change nothing."""


class Channel(Protocol):
    """A way to network servers."""

    way: Way

    async def send(self, server: Server, address: Address, downlink: Downlink) -> None:
        """Return once the server, or its broker, has the downlink.

        Raises `NotSentError`, `UncertainError`, `RefusedError`; `ValueError` for what cannot be a downlink.
        """
        ...


class Publishing(Protocol):
    """What `MqttChannel` needs of a connection: `ingest.mqtt.connection.BrokerConnection` has it."""

    @property
    def is_connected(self) -> bool:
        """Whether a message would go out now."""
        ...

    async def publish(self, topic: str, payload: bytes, timeout_s: float) -> None:
        """Return once the broker has the message. Raises `ConnectionError`."""
        ...


class MqttChannel:
    """Downlinks over the connection to the broker that the events come from."""

    way: Way = "mqtt"

    def __init__(self, connection: Publishing, puback_timeout_s: float = 5.0) -> None:
        self._connection = connection
        self._puback_timeout_s = puback_timeout_s

    async def send(self, server: Server, address: Address, downlink: Downlink) -> None:
        """See `Channel`."""
        if server is Server.CHIRPSTACK:
            topic = topics.chirpstack_downlink(address.application, address.device, address.prefix)
            payload = downlinks.chirpstack(downlink, address.device, address.encoding)
        else:
            topic = topics.things_stack_downlink(address.application, address.device)
            payload = downlinks.things_stack([downlink])
        if not self._connection.is_connected:
            raise NotSentError("the MQTT broker is not connected")
        try:
            await self._connection.publish(topic, payload, self._puback_timeout_s)
        except ConnectionError as error:
            raise UncertainError(str(error)) from error


class Downlinks:
    """One for each process and way. `clock` returns microseconds since 1970 UTC."""

    def __init__(
        self, channel: Channel, *, pool: Pool, bus: Client, clock: Callable[[], int], holding: Holding
    ) -> None:
        self._channel = channel
        self._pool = pool
        self._bus = bus
        self._clock = clock
        self._holding = holding
        self._waiting: set[int] = set()  # devices with commands, as of the last sweep
        # a device's commands go out one after the other: all of a device go the same lane
        self._lanes: list[asyncio.Queue[int]] = [asyncio.Queue(WAITING_MAX) for _ in range(LANES)]
        self._queued: set[int] = set()

    def heard(self, device: Device, event: NetworkEvent) -> None:
        """A device was heard: what waits for it goes out now, where its way was not known before."""
        if device.id in self._waiting:
            self._enqueue(device.id)

    async def run(self) -> None:
        """Send what waits: at start, when told on the bus, when a device was heard, and by the clock."""
        subscription = await self._bus.subscribe(SUBJECT, cb=self._nudged)
        try:
            async with asyncio.TaskGroup() as group:
                for lane in self._lanes:
                    group.create_task(self._serve(lane))
                await self._sweep()
        finally:
            if not self._bus.is_closed:
                await subscription.unsubscribe()

    async def _nudged(self, message: Msg) -> None:
        parts = message.subject.split(".")
        if len(parts) == _SUBJECT_PARTS and parts[2].isascii() and parts[2].isdigit():
            self._enqueue(int(parts[2]))

    def _enqueue(self, device_id: int) -> None:
        lane = self._lanes[device_id % LANES]
        if device_id not in self._queued and not lane.full():  # the sweep finds it again
            self._queued.add(device_id)
            lane.put_nowait(device_id)

    async def _serve(self, lane: asyncio.Queue[int]) -> None:
        while True:
            device_id = await lane.get()
            self._queued.discard(device_id)
            await self._holding.until_there(partial(self._send_all, device_id))

    async def _sweep(self) -> None:
        while True:
            self._waiting = await self._holding.until_there(self._find_waiting)
            for device_id in self._waiting:
                self._enqueue(device_id)
            await asyncio.sleep(SWEEP_S)

    async def _find_waiting(self) -> set[int]:
        found: list[int] = []
        async with self._pool.connection() as connection:
            while len(found) < WAITING_MAX:
                page = await device_commands.devices_with_waiting(
                    connection, to_datetime(self._clock()), after_id=found[-1] if found else 0, limit=PAGE
                )
                found.extend(page)
                if len(page) < PAGE:
                    break
        return set(found)

    async def _send_all(self, device_id: int) -> None:
        async with self._pool.connection() as connection:
            link = await device_links.get_link(connection, device_id)
        address = None if link is None else read_address(link.address)
        server = None if link is None else _SERVERS.get(link.source)
        if server is None or address is None or address.way != self._channel.way:
            return  # never heard, or another shell's
        for _ in range(COMMANDS_MAX):
            async with self._pool.connection() as connection:
                command = await device_commands.take_next(connection, device_id, to_datetime(self._clock()))
            if command is None or not await self._send(server, address, command):
                return

    async def _send(self, server: Server, address: Address, command: DeviceCommand) -> bool:
        """Send one command that was taken; whether the next one has a chance."""
        try:
            downlink = Downlink(
                command.id,
                command.port,
                command.payload,
                command.is_confirmed,
                from_datetime(command.expires_at),
            )
            await self._channel.send(server, address, downlink)
        except NotSentError as error:
            await self._mark(command, "pending", str(error))
            return False
        except UncertainError as error:
            await self._mark(command, "sent", f"not known to have arrived: {error}")
        except (RefusedError, ValueError) as error:
            log.warning("device_command_failed", command=str(command.id), detail=str(error))
            await self._mark(command, "failed", str(error))
        else:
            log.info("device_command_sent", command=str(command.id), device_id=command.device_id)
        return True

    async def _mark(self, command: DeviceCommand, state: device_commands.State, detail: str) -> None:
        async def write() -> None:
            async with self._pool.connection() as connection:
                at = to_datetime(self._clock())
                await device_commands.mark(connection, command.id, state, at, detail)

        await self._holding.until_there(write)
