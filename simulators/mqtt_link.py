"""A simulated device's MQTT connection that comes back whenever it is lost.

Used by `simulators.battery_client` and `simulators.lorawan_client`, which say what is subscribed to, spoken
and obeyed.
"""

import asyncio
import contextlib
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import aiomqtt
import structlog

from simulators.faults import Parcel
from simulators.records import Clock

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


class MqttLink(ABC):
    """Runs until `finish` is called. `clock` returns microseconds since 1970 UTC.

    `identifier`: the client's, unique on its broker. `is_clean`: nothing waits there while it is away.
    `calls_max`: publishes at a time.
    """

    def __init__(
        self,
        config: BrokerConfig,
        clock: Clock,
        rng: random.Random,
        *,
        identifier: str,
        is_clean: bool,
        calls_max: int,
    ) -> None:
        self._config = config
        self._clock = clock
        self._rng = rng
        self._identifier = identifier
        self._is_clean = is_clean
        self._calls_max = calls_max
        self._wake = asyncio.Event()
        self._is_finishing = False
        self._is_finished = False
        self.is_connected = False

    def finish(self) -> None:
        """Measure no more, wait for acknowledgements (bounded), then let `run` return."""
        self._is_finishing = True
        self._wake.set()

    async def run(self) -> None:
        """Be these devices."""
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

    @abstractmethod
    def _topics(self) -> list[str]:
        """What to subscribe to."""

    @abstractmethod
    async def _obey(self, client: aiomqtt.Client) -> None:
        """Carry out what comes, without end."""

    @abstractmethod
    async def _speak(self, client: aiomqtt.Client) -> None:
        """Say what there is to say, until `_is_finishing` and all of it is said."""

    @abstractmethod
    async def _save(self) -> None:
        """Tell the ledger what was acknowledged."""

    async def _keep_linked(self) -> None:
        failures = 0
        while not self._is_finished:
            try:
                await self._link()
            except* (aiomqtt.MqttError, OSError) as errors:
                failures = 0 if self.is_connected else failures + 1
                log.debug("mqtt_link_lost", client=self._identifier, error=str(errors.exceptions[0]))
            self.is_connected = False
            if not self._is_finished:
                bound_s = min(self._config.retry_s_max, self._config.retry_s * 2 ** min(failures, 16))
                await asyncio.sleep(bound_s * self._rng.uniform(0.5, 1.0))

    async def _link(self) -> None:
        async with self._client() as client:
            await client.subscribe([(topic, QOS) for topic in self._topics()])
            self.is_connected = True
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(self._obey(client))
                await self._speak(client)
                listening.cancel()
            self._is_finished = True

    def _client(self) -> aiomqtt.Client:
        url = urlsplit(self._config.url)
        client = aiomqtt.Client(
            url.hostname or "127.0.0.1",
            url.port or MQTT_PORT,
            username=unquote(url.username) if url.username else None,
            password=unquote(url.password) if url.password else None,
            identifier=self._identifier,
            clean_session=self._is_clean,
            keepalive=KEEPALIVE_S,
            timeout=self._config.ack_timeout_s,
            max_queued_incoming_messages=INCOMING_MAX,
            max_inflight_messages=IN_FLIGHT_MAX,
        )
        client.pending_calls_threshold = IN_FLIGHT_MAX + self._calls_max  # beyond it, it warns
        return client

    async def _publish(self, client: aiomqtt.Client, topic: str, parcel: Parcel) -> None:
        """Return once the broker has it; a link that is dropped has written it and never sees its PUBACK."""
        await asyncio.sleep(parcel.delay_s)
        await client.publish(topic, parcel.payload, qos=QOS, timeout=0.0 if parcel.drops_link else None)

    async def _nap(self, delay_s: float) -> None:
        if self._is_finishing:
            await asyncio.sleep(0)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._wake.wait()
