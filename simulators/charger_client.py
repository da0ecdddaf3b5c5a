"""A simulated charger's socket: the shell around `simulators.charger`, over `websockets`.

Used by the fleet and by tests. It connects again whenever the link is lost, with jitter, and reads and writes
independently of each other. Faults of the wire are applied here, to calls.
"""

import asyncio
import base64
import contextlib
import random
from dataclasses import dataclass

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from simulators.charger import ChargePoint
from simulators.faults import NO_FAULTS, Faults, Send, on_wire
from simulators.records import Clock, Counted, Recorder

log = structlog.get_logger()

IDLE_S_MAX = 1.0  # between two looks at the clock
EXTRA_IDS = 1 << 64


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """`url` is the gateway's, without the identity. Waits between attempts double from `retry_s` to
    `retry_s_max`, with jitter; `finish_s` bounds the wait for the last acknowledgements.
    """

    url: str
    password: str | None = None
    retry_s: float = 0.5
    retry_s_max: float = 10.0
    open_timeout_s: float = 10.0
    finish_s: float = 10.0


class ChargerClient:
    """Runs one charge point until `finish` is called. `clock` returns microseconds since 1970 UTC."""

    def __init__(
        self, model: ChargePoint, config: LinkConfig, record: Recorder, clock: Clock, rng: random.Random
    ) -> None:
        self.model = model
        self._config = config
        self._record = record
        self._clock = clock
        self._rng = rng
        self._faults: Faults = model.settings.faults
        self._socket: ClientConnection | None = None
        self._waiting: list[tuple[int, Send]] = []
        self._wake = asyncio.Event()
        self._is_finishing = False

    def finish(self) -> None:
        """End sessions, wait for acknowledgements (bounded), then let `run` return."""
        self._is_finishing = True
        self._wake.set()

    async def run(self) -> None:
        """Be a charger."""
        link = asyncio.create_task(self._keep_linked())
        drive = asyncio.create_task(self._drive())
        try:
            await asyncio.wait((link, drive), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (link, drive):
                if not task.done():
                    task.cancel()
            results = await asyncio.gather(link, drive, return_exceptions=True)
            if self._socket is not None:
                self.model.disconnected(self._clock())
            await self._record(self.model.take_records())
        for result in results:
            if isinstance(result, Exception):
                raise result

    # --- the link ---------------------------------------------------------------------------------

    async def _keep_linked(self) -> None:
        failures = 0
        while True:
            try:
                await self._link()
                failures = 0
            except (OSError, WebSocketException, TimeoutError) as error:
                failures = failures + 1 if self._socket is None else 0
                log.debug("charger_link_lost", identity=self.model.settings.identity, error=str(error))
            if self._socket is not None:
                self._socket = None
                self.model.disconnected(self._clock())
            bound_s = min(self._config.retry_s_max, self._config.retry_s * 2 ** min(failures, 16))
            await asyncio.sleep(bound_s * self._rng.uniform(0.5, 1.0))

    async def _link(self) -> None:
        async with connect(
            f"{self._config.url.rstrip('/')}/{self.model.settings.identity}",
            subprotocols=[Subprotocol(self.model.version.subprotocol)],
            additional_headers=self._authorization(),
            compression=None,
            proxy=None,
            open_timeout=self._config.open_timeout_s,
            close_timeout=1,
        ) as socket:
            self._socket = socket
            self._waiting.clear()
            self.model.connected(self._clock())
            self._wake.set()
            async for message in socket:
                data = message.encode() if isinstance(message, str) else message
                self.model.receive(data, self._clock())
                self._wake.set()

    def _authorization(self) -> dict[str, str]:
        password = self.model.configuration.password or self._config.password
        if password is None:
            return {}
        pair = f"{self.model.settings.identity}:{password}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    # --- time and sending -------------------------------------------------------------------------

    async def _drive(self) -> None:
        deadline_us: int | None = None
        while True:
            now_us = self._clock()
            if self._is_finishing and deadline_us is None:
                deadline_us = now_us + round(self._config.finish_s * 1_000_000)
                self.model.shut_down(now_us)
            self.model.tick(now_us)
            await self._record(self.model.take_records())
            await self._send(now_us)
            if deadline_us is not None and (self.model.is_settled or now_us >= deadline_us):
                if self._socket is not None:
                    await self._socket.close()
                return
            await self._sleep(self._clock())

    async def _send(self, now_us: int) -> None:
        socket = self._socket
        for frame in self.model.frames_to_send():
            faults = self._faults if frame.action else NO_FAULTS
            for send in on_wire(
                frame.text, faults, self._rng, self._again,
                has_samples=frame.samples is not None, samples=frame.samples,
            ):  # fmt: skip
                self._waiting.append((now_us + round(send.delay_s * 1_000_000), send))
        due = [send for at_us, send in self._waiting if at_us <= now_us]
        self._waiting = [(at_us, send) for at_us, send in self._waiting if at_us > now_us]
        if socket is None:
            return
        with contextlib.suppress(WebSocketException):  # the reading side sees it too
            for send in due:
                await socket.send(send.text)
                if send.is_extra:
                    self.model.record(Counted("charger_extra_frames"))
                if send.drops_link:
                    self.model.record(Counted("charger_links_dropped"))
                    socket.transport.abort()
                    return
            if self.model.wants_close:
                await socket.close()

    def _again(self, message: object) -> object:
        """The same call under a message id of its own."""
        assert isinstance(message, list)
        return [message[0], f"{self._rng.randrange(EXTRA_IDS):016x}", *message[2:]]

    async def _sleep(self, now_us: int) -> None:
        dues = [at_us for at_us, _ in self._waiting]
        if self.model.next_due_us is not None:
            dues.append(self.model.next_due_us)
        delay_s = min(IDLE_S_MAX, (min(dues) - now_us) / 1_000_000 if dues else IDLE_S_MAX)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, delay_s)):
                await self._wake.wait()
        self._wake.clear()
