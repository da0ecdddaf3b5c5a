"""The MQTT connection of a simulated battery, or of a few that share it: shell around `simulators.battery`.

Used by the fleet and by tests. A batch counts as acknowledged only when its PUBACK came (QoS 1); after a lost
connection it is published again.
"""

import asyncio
import contextlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import aiomqtt
import structlog

from protocols.battery import topics
from protocols.battery.topics import Channel
from protocols.samples import DecodeError
from simulators.battery import Batch, Battery
from simulators.faults import on_wire
from simulators.records import Clock, Recorder

log = structlog.get_logger()

QOS = 1
KEEPALIVE_S = 30
IDLE_S_MAX = 1.0
INCOMING_MAX = 1_000
IN_FLIGHT_MAX = 64
MQTT_PORT = 1883


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """`url` is `mqtt://[user:password@]host[:port]`. Waits between attempts double from `retry_s` to
    `retry_s_max`, with jitter; `finish_s` bounds the wait for the last acknowledgements.
    """

    url: str
    retry_s: float = 0.5
    retry_s_max: float = 10.0
    ack_timeout_s: float = 10.0
    finish_s: float = 10.0


class BatteryClient:
    """Runs its batteries until `finish` is called. `clock` returns microseconds since 1970 UTC."""

    def __init__(
        self,
        batteries: Sequence[Battery],
        config: BrokerConfig,
        record: Recorder,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self.batteries = {battery.settings.serial: battery for battery in batteries}
        self._config = config
        self._record = record
        self._clock = clock
        self._rng = rng
        self._wake = asyncio.Event()
        self._is_finishing = False
        self._is_finished = False
        self.is_connected = False

    def finish(self) -> None:
        """Stop sampling, wait for acknowledgements (bounded), then let `run` return."""
        self._is_finishing = True
        self._wake.set()

    async def run(self) -> None:
        """Be these batteries."""
        link = asyncio.create_task(self._keep_linked())
        try:
            while not self._is_finishing and not link.done():
                await self._nap(IDLE_S_MAX)
            await asyncio.wait((link,), timeout=self._config.finish_s)
        finally:
            link.cancel()
            (result,) = await asyncio.gather(link, return_exceptions=True)
            await self._save()
        if isinstance(result, Exception):
            raise result

    async def _keep_linked(self) -> None:
        failures = 0
        while not self._is_finished:
            try:
                await self._link()
            except* (aiomqtt.MqttError, OSError) as errors:
                failures = 0 if self.is_connected else failures + 1
                log.debug(
                    "battery_link_lost", serial=next(iter(self.batteries)), error=str(errors.exceptions[0])
                )
            self.is_connected = False
            if not self._is_finished:
                bound_s = min(self._config.retry_s_max, self._config.retry_s * 2 ** min(failures, 16))
                await asyncio.sleep(bound_s * self._rng.uniform(0.5, 1.0))

    async def _link(self) -> None:
        async with self._client() as client:
            commands = [(topics.build(serial, Channel.COMMAND), QOS) for serial in self.batteries]
            await client.subscribe(commands)
            self.is_connected = True
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(self._obey(client))
                await self._speak(client)
                listening.cancel()

    def _client(self) -> aiomqtt.Client:
        url = urlsplit(self._config.url)
        first = next(iter(self.batteries))
        is_shared = len(self.batteries) > 1
        client = aiomqtt.Client(
            url.hostname or "127.0.0.1",
            url.port or MQTT_PORT,
            username=unquote(url.username) if url.username else None,
            password=unquote(url.password) if url.password else None,
            identifier=f"sim-{first}-{len(self.batteries)}" if is_shared else f"sim-{first}",
            # commands wait for a battery that is away; a shared connection may be dealt out anew
            clean_session=is_shared,
            keepalive=KEEPALIVE_S,
            timeout=self._config.ack_timeout_s,
            max_queued_incoming_messages=INCOMING_MAX,
            max_inflight_messages=IN_FLIGHT_MAX,
        )
        client.pending_calls_threshold = IN_FLIGHT_MAX + len(self.batteries)  # beyond it, it warns
        return client

    # --- both directions --------------------------------------------------------------------------

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
                self._is_finished = True
                return
            await self._nap(self._pause_s())

    async def _send(self, client: aiomqtt.Client, battery: Battery, batch: Batch) -> None:
        topic = topics.build(battery.settings.serial, Channel.TELEMETRY)
        for send in on_wire(batch.text, battery.settings.faults, self._rng):
            await asyncio.sleep(send.delay_s)
            # a link that is dropped has written the message and never sees its PUBACK
            timeout_s = 0.0 if send.drops_link else None
            await client.publish(topic, send.text.encode(), qos=QOS, timeout=timeout_s)
            if not send.is_extra:
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

    async def _nap(self, delay_s: float) -> None:
        if self._is_finishing:
            await asyncio.sleep(0)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._wake.wait()
