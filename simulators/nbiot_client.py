"""Simulated NB-IoT meters on CoAP or plain UDP: shell around `simulators.meter`.

Used by the fleet and by tests. A CoAP message is confirmable and counts as acknowledged by a 2.xx answer;
retransmission is the library's. A datagram counts as acknowledged by one datagram from the server. Either
answer may carry commands.
"""

import asyncio
import contextlib
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import aiocoap  # type: ignore[import-untyped]
import structlog
from aiocoap.error import Error as CoapError  # type: ignore[import-untyped]

from simulators.faults import Faults, parcels
from simulators.meter import Message, Meter
from simulators.records import Clock, Counted, Recorder

log = structlog.get_logger()

UDP_PORT = 5684
UDP_ACK = b"\xa0"  # what the server answers a datagram with, before commands; in the profile of these makes
IDLE_S_MAX = 1.0
DROPPED_S = 0.05


class NotAcknowledgedError(Exception):
    """No answer, or one that says later; `retry_s`: how much later, where it says so."""

    def __init__(self, message: str, retry_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_s = retry_s


@dataclass(frozen=True, slots=True)
class NbiotConfig:
    """`coap_url` is `coap://host[:port]`, `udp_address` `host:port`. `token`: of the meters on CoAP, or None.

    Waits between attempts double from `retry_s` to `retry_s_max`, with jitter; `finish_s` bounds the wait
    for the last acknowledgements. `ack_timeout_s` is that of UDP.
    """

    coap_url: str
    udp_address: str
    token: str | None = field(default=None, repr=False)
    retry_s: float = 0.5
    retry_s_max: float = 10.0
    ack_timeout_s: float = 5.0
    finish_s: float = 10.0


class Carrier(ABC):
    """One meter's way to the server."""

    @abstractmethod
    async def exchange(self, payload: bytes) -> bytes:
        """Send a message and return what its answer carries. Raises `NotAcknowledgedError`, `OSError`."""

    @abstractmethod
    async def utter(self, payload: bytes) -> None:
        """Send a message whose answer means nothing."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the socket."""


class CoapCarrier(Carrier):
    """POST to `/up`, or with a token `/t/<token>`, from a socket of its own.

    A server tells the blocks of two meters apart by where they come from (RFC 7959 section 2.5).
    """

    def __init__(self, url: str, content_format: int, token: str | None = None) -> None:
        self._context: aiocoap.Context | None = None
        self._url = f"{url.rstrip('/')}/" + ("up" if token is None else f"t/{quote(token, safe='')}")
        self._content_format = content_format

    async def exchange(self, payload: bytes) -> bytes:
        """See `Carrier`; 4.xx is an answer too, and sending the same again would change nothing."""
        if self._context is None:
            self._context = await aiocoap.Context.create_client_context()
        try:
            response = await self._context.request(self._message(payload)).response
        except CoapError as error:
            raise NotAcknowledgedError(repr(error)) from error
        if response.code.is_successful():
            return bytes(response.payload)
        max_age_s = 0.0 if response.opt.max_age is None else float(response.opt.max_age)
        raise NotAcknowledgedError(f"{response.code} {response.payload!r}", max_age_s)

    async def utter(self, payload: bytes) -> None:
        """See `Carrier`."""
        with contextlib.suppress(NotAcknowledgedError):
            await self.exchange(payload)

    async def close(self) -> None:
        """See `Carrier`."""
        if self._context is not None:
            await self._context.shutdown()

    def _message(self, payload: bytes) -> aiocoap.Message:
        return aiocoap.Message(
            code=aiocoap.POST, uri=self._url, payload=payload, content_format=self._content_format
        )


class UdpCarrier(Carrier, asyncio.DatagramProtocol):
    """A socket of its own, which `open` makes."""

    def __init__(self, address: str, timeout_s: float) -> None:
        place = urlsplit(f"//{address}")
        self._place = (place.hostname or "127.0.0.1", place.port or UDP_PORT)
        self._timeout_s = timeout_s
        self._transport: asyncio.DatagramTransport | None = None
        self._answer: asyncio.Future[bytes] | None = None

    async def exchange(self, payload: bytes) -> bytes:
        """See `Carrier`."""
        transport = await self._opened()
        self._answer = asyncio.get_running_loop().create_future()
        transport.sendto(payload)
        try:
            answer = await asyncio.wait_for(self._answer, self._timeout_s)
        except TimeoutError:
            await self.close()  # what comes back late must not acknowledge the next message
            raise NotAcknowledgedError("no datagram came back") from None
        return answer.removeprefix(UDP_ACK)

    async def utter(self, payload: bytes) -> None:
        """See `Carrier`."""
        (await self._opened()).sendto(payload)

    async def close(self) -> None:
        """See `Carrier`."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def datagram_received(self, data: bytes, _: tuple[str, int]) -> None:
        """Take the server's answer; one that nobody waits for is of an earlier attempt."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(data)

    def error_received(self, error: Exception) -> None:
        """Take an ICMP error: nobody listens there now."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(NotAcknowledgedError(str(error)))

    async def _opened(self) -> asyncio.DatagramTransport:
        if self._transport is None:
            loop = asyncio.get_running_loop()
            self._transport, _ = await loop.create_datagram_endpoint(lambda: self, remote_addr=self._place)
        return self._transport


class NbiotClient:
    """Runs its meters until `finish` is called: those of `coap` and those of `udp`."""

    def __init__(
        self,
        coap: Sequence[Meter],
        udp: Sequence[Meter],
        config: NbiotConfig,
        record: Recorder,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self.meters = {meter.identity: meter for meter in (*coap, *udp)}
        self._coap, self._udp = coap, udp
        self._config = config
        self._record = record
        self._clock = clock
        self._rng = rng
        self._finishing = asyncio.Event()

    def finish(self) -> None:
        """Measure no more, wait for acknowledgements (bounded), then let `run` return."""
        self._finishing.set()

    async def run(self) -> None:
        """Be these meters."""
        serving = asyncio.create_task(self._serve_all())
        finishing = asyncio.create_task(self._finishing.wait())
        try:
            await asyncio.wait((serving, finishing), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((serving,), timeout=self._config.finish_s)
        finally:
            finishing.cancel()
            serving.cancel()
            (result,) = await asyncio.gather(serving, return_exceptions=True)
            await self._save()
        if isinstance(result, Exception):
            raise result

    async def _serve_all(self) -> None:
        config = self._config
        carriers: list[tuple[Meter, Carrier]] = [
            (meter, CoapCarrier(config.coap_url, meter.settings.make.content_format, config.token))
            for meter in self._coap
        ]
        carriers += [(meter, UdpCarrier(config.udp_address, config.ack_timeout_s)) for meter in self._udp]
        try:
            async with asyncio.TaskGroup() as group:
                for meter, carrier in carriers:
                    group.create_task(self._serve(meter, carrier))
        finally:
            await asyncio.gather(*(carrier.close() for _, carrier in carriers), return_exceptions=True)

    async def _serve(self, meter: Meter, carrier: Carrier) -> None:
        """One meter: what it measures goes out, and out again until it is acknowledged."""
        failures = 0
        while True:
            if self._finishing.is_set():
                meter.flush()
            else:
                meter.tick(self._clock())
            message = meter.outgoing(self._clock())
            if message is None:
                if self._finishing.is_set():
                    return
                await self._nap((meter.next_due_us - self._clock()) / 1_000_000)
                continue
            try:
                commands = await self._send(carrier, message, meter.settings.faults)
            except (NotAcknowledgedError, OSError) as error:
                failures += 1
                await self._retreat(meter, error, failures)
                continue
            failures = 0
            meter.acknowledge()
            if commands:
                meter.execute(commands, self._clock())
            await self._record(meter.take_records())

    async def _send(self, carrier: Carrier, message: Message, faults: Faults) -> bytes:
        """Send a message with what goes wrong beside it; returns what its answer carries."""
        commands = b""
        for parcel in parcels(message.payload, faults, self._rng, spoilt=message.spoilt):
            await asyncio.sleep(parcel.delay_s)
            if parcel.is_extra:
                await carrier.utter(parcel.payload)
            elif parcel.drops_link:
                with contextlib.suppress(TimeoutError, NotAcknowledgedError):
                    await asyncio.wait_for(carrier.exchange(parcel.payload), DROPPED_S)
                raise NotAcknowledgedError("the answer got lost")
            else:
                commands = await carrier.exchange(parcel.payload)
        return commands

    async def _retreat(self, meter: Meter, error: Exception, failures: int) -> None:
        log.debug("meter_not_acknowledged", identity=meter.identity, error=str(error))
        await self._record([Counted("meter_messages_repeated")])
        bound_s = min(self._config.retry_s_max, self._config.retry_s * 2 ** min(failures, 16))
        asked_s = error.retry_s if isinstance(error, NotAcknowledgedError) else 0.0
        await self._nap(max(bound_s * self._rng.uniform(0.5, 1.0), asked_s))

    async def _save(self) -> None:
        for meter in self.meters.values():
            records = meter.take_records()
            if records:
                await self._record(records)

    async def _nap(self, delay_s: float) -> None:
        if self._finishing.is_set():
            await asyncio.sleep(min(max(delay_s, 0.0), self._config.retry_s))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, delay_s)):
                await self._finishing.wait()
