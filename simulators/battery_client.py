"""The MQTT connection of a simulated battery, or of a few that share it: shell around `simulators.battery`.

Used by the fleet and by tests. A batch counts as acknowledged only when its PUBACK came (QoS 1); after a lost
connection it is published again.
"""

import asyncio
import math
import random
from collections.abc import Sequence

import aiomqtt

from protocols.battery import topics
from protocols.battery.topics import Channel
from protocols.samples import DecodeError
from simulators.battery import Batch, Battery
from simulators.mqtt_link import IDLE_S_MAX, QOS, BrokerConfig, MqttLink
from simulators.records import Clock, Recorder


class BatteryClient(MqttLink):
    """Runs its batteries until `finish` is called. `clock` returns microseconds since 1970 UTC."""

    def __init__(
        self,
        batteries: Sequence[Battery],
        config: BrokerConfig,
        record: Recorder,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        first, is_shared = batteries[0].settings.serial, len(batteries) > 1
        super().__init__(
            config,
            clock,
            rng,
            identifier=f"sim-{first}-{len(batteries)}" if is_shared else f"sim-{first}",
            # commands wait for a battery that is away; a shared connection may be dealt out anew
            is_clean=is_shared,
            calls_max=len(batteries),
        )
        self.batteries = {battery.settings.serial: battery for battery in batteries}
        self._record = record

    def _topics(self) -> list[str]:
        return [topics.build(serial, Channel.COMMAND) for serial in self.batteries]

    async def _obey(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            battery = self._addressee(str(message.topic))
            if battery is None or not isinstance(message.payload, bytes):
                continue
            answer = battery.execute(message.payload)
            if answer is not None:
                topic = topics.build(battery.settings.serial, Channel.ANSWER)
                await client.publish(topic, answer, qos=QOS)

    def _addressee(self, topic: str) -> Battery | None:
        try:
            serial, _ = topics.parse(topic)
        except DecodeError:
            return None
        return self.batteries.get(serial)

    async def _speak(self, client: aiomqtt.Client) -> None:
        while True:
            now_us = self._clock()
            async with asyncio.TaskGroup() as sending:
                for battery in self.batteries.values():
                    if self._is_finishing:
                        battery.flush()
                    else:
                        battery.tick(now_us)
                    batch = battery.outgoing()
                    if batch is not None:
                        sending.create_task(self._send(client, battery, batch))
            await self._save()
            if self._is_finishing and all(battery.is_settled for battery in self.batteries.values()):
                return
            await self._nap(self._pause_s())

    async def _send(self, client: aiomqtt.Client, battery: Battery, batch: Batch) -> None:
        for parcel in batch.parcels(battery.settings.faults, self._rng):
            await self._publish(client, batch.topic, parcel)
            if not parcel.is_extra:
                battery.acknowledge()

    async def _save(self) -> None:
        for battery in self.batteries.values():
            records = battery.take_records()
            if records:
                await self._record(records)

    def _pause_s(self) -> float:
        if self._is_finishing:
            return 0.0
        due_us = min((battery.next_due_us for battery in self.batteries.values()), default=math.inf)
        return min(IDLE_S_MAX, max(0.0, (due_us - self._clock()) / 1_000_000))
