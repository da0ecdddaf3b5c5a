"""Simulated LoRaWAN meters and the network server between them and a broker: shell around `simulators.meter`.

Used by the fleet and by tests. One connection is one network server (ChirpStack 4 in JSON or protobuf, or The
Things Stack 3) with all of its devices. A message counts as acknowledged when its PUBACK came (QoS 1). Meters
are of class A: a downlink waits for their next uplink.
"""

import asyncio
import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiomqtt

from protocols.samples import DecodeError
from simulators import network_server
from simulators.faults import Parcel, happens, parcels
from simulators.meter import BATTERY_MV_EMPTY, BATTERY_MV_FULL, Message, Meter
from simulators.mqtt_link import IDLE_S_MAX, BrokerConfig, MqttLink
from simulators.network_server import GATEWAYS, Downlink, Event, Reception, Server, Uplink
from simulators.records import Clock, Counted, Recorder

QUEUE_MAX = 16  # downlinks of one device; the oldest go first
STATUS_EACH = 12  # messages from one device status to the next
SPREADING_FACTORS = (7, 7, 8, 9, 10)
FREQUENCIES_HZ = (868_100_000, 868_300_000, 868_500_000)


@dataclass(slots=True)
class _Session:
    """What the network server knows of a device. `first`: the meter's number of its first message."""

    meter: Meter
    first: int = 0
    flying: tuple[Message, Uplink] | None = None
    queue: deque[Downlink] = field(default_factory=lambda: deque(maxlen=QUEUE_MAX))


class LorawanClient(MqttLink):
    """Runs its meters, all behind one network server, until `finish` is called."""

    def __init__(
        self,
        meters: Sequence[Meter],
        server: Server,
        config: BrokerConfig,
        record: Recorder,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        identifier = f"sim-{server.value}-{meters[0].identity}"
        # downlinks wait at the broker for a network server that is away
        super().__init__(config, clock, rng, identifier=identifier, is_clean=False, calls_max=len(meters))
        self.meters = {meter.identity: meter for meter in meters}
        self._server = server
        self._record = record
        self._sessions = {meter.identity: _Session(meter) for meter in meters}

    def _topics(self) -> list[str]:
        return list(network_server.downlink_topics(self._server))

    async def _obey(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            try:
                found = network_server.downlinks(str(message.topic), message.payload)
            except DecodeError:
                await self._record([Counted("downlinks_ignored")])
                continue
            for downlink in found:
                await self._queue(client, downlink)

    async def _queue(self, client: aiomqtt.Client, downlink: Downlink) -> None:
        session = self._sessions.get(downlink.dev_eui)
        if session is None:
            return
        if downlink.is_replacing:
            session.queue.clear()
        session.queue.append(downlink)
        await self._tell(client, network_server.queued(self._server, downlink, self._clock()))

    async def _speak(self, client: aiomqtt.Client) -> None:
        while True:
            async with asyncio.TaskGroup() as sending:
                for session in self._sessions.values():
                    sending.create_task(self._serve(client, session))
            await self._save()
            if self._is_finishing and all(meter.is_settled for meter in self.meters.values()):
                return
            await self._nap(self._pause_s())

    async def _serve(self, client: aiomqtt.Client, session: _Session) -> None:
        """Send what one meter has to say now, one message behind the other."""
        meter = session.meter
        if self._is_finishing:
            meter.flush()
        else:
            meter.tick(self._clock())
        while (message := meter.outgoing(self._clock())) is not None:
            uplink = await self._on_air(client, session, message)
            await self._send(client, session, message, uplink)
            meter.acknowledge()
            await self._answer(client, session)
            if message.counter % STATUS_EACH == 0:
                await self._status(client, meter)

    async def _on_air(self, client: aiomqtt.Client, session: _Session, message: Message) -> Uplink:
        """The message's frame: the same when it is sent again; a meter without a session joins first."""
        if session.flying is not None and session.flying[0] is message:
            return session.flying[1]
        meter = session.meter
        if meter.needs_join:
            await self._tell(client, network_server.join(self._server, meter.identity, self._clock()))
            meter.joined()
            session.first = message.counter
        heard_by = self._rng.sample(GATEWAYS, self._rng.randint(1, len(GATEWAYS)))
        uplink = Uplink(
            meter.identity,
            max(0, message.counter - session.first),
            meter.settings.make.port,
            message.payload,
            message.heard_at_us,
            [self._reception(gateway) for gateway in heard_by],
            self._rng.choice(SPREADING_FACTORS),
            self._rng.choice(FREQUENCIES_HZ),
        )
        session.flying = (message, uplink)
        return uplink

    def _reception(self, gateway: str) -> Reception:
        return Reception(gateway, -self._rng.randint(60, 120), round(self._rng.uniform(-12, 10), 1))

    async def _send(
        self, client: aiomqtt.Client, session: _Session, message: Message, uplink: Uplink
    ) -> None:
        now_us, faults = self._clock(), session.meter.settings.faults
        event = network_server.uplink(self._server, uplink, now_us)

        def altered(payload: bytes, gateways: int) -> bytes:
            few = uplink.receptions[:gateways]
            other = Uplink(
                uplink.dev_eui, uplink.f_cnt, uplink.f_port, payload, uplink.heard_at_us, few,
                uplink.spreading_factor, uplink.frequency_hz,
            )  # fmt: skip
            return network_server.uplink(self._server, other, now_us).payload

        spoilt = None if message.spoilt is None else altered(message.spoilt, len(GATEWAYS))
        # the same frame by a gateway whose copy came after the server had stopped waiting for more
        late = altered(uplink.payload, 1)
        for parcel in parcels(event.payload, faults, self._rng, spoilt=spoilt, again=late):
            await self._publish(client, event.topic, parcel)

    async def _answer(self, client: aiomqtt.Client, session: _Session) -> None:
        """The receive window behind an uplink: downlinks arrive, are obeyed and, if asked for, confirmed."""
        meter = session.meter
        while session.queue:
            downlink = session.queue[0]
            await self._tell(client, network_server.sent(self._server, downlink, self._clock()))
            is_refused = happens(meter.settings.faults.command_refused, self._rng)
            is_obeyed = not is_refused and meter.execute(downlink.payload, self._clock())
            if downlink.is_confirmed:
                word = network_server.acknowledged(self._server, downlink, self._clock(), is_ack=is_obeyed)
                await self._tell(client, word)
            session.queue.popleft()

    async def _status(self, client: aiomqtt.Client, meter: Meter) -> None:
        span_mv = BATTERY_MV_FULL - BATTERY_MV_EMPTY
        battery_pct = round(100 * (meter.battery_mv - BATTERY_MV_EMPTY) / span_mv, 2)
        margin_db = self._rng.randint(-5, 25)
        event = network_server.status(self._server, meter.identity, battery_pct, margin_db, self._clock())
        await self._tell(client, event)

    async def _tell(self, client: aiomqtt.Client, event: Event | None) -> None:
        if event is not None:
            await self._publish(client, event.topic, Parcel(event.payload))

    async def _save(self) -> None:
        for meter in self.meters.values():
            records = meter.take_records()
            if records:
                await self._record(records)

    def _pause_s(self) -> float:
        if self._is_finishing:
            return 0.0
        due_us = min((meter.next_due_us for meter in self.meters.values()), default=math.inf)
        return min(IDLE_S_MAX, max(0.0, (due_us - self._clock()) / 1_000_000))
