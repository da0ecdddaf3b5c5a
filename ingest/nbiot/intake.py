"""What becomes of a message of an NB-IoT device, whatever carried it.

Used by `ingest.nbiot.coap`, `.udp` and `.mqtt`. A message is stored before it is answered. One that comes
again within seconds gets the answer that the first one had, or waits with it; one that was held back goes on
being stored, and is stored once however often its device sends it again.
"""

import asyncio
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b

import structlog

from ingest.holding import Holding
from ingest.nbiot.answers import Answers
from ingest.nbiot.commands import Commands
from ingest.nbiot.rates import Rates
from ingest.registry import Registry, RegistryBusyError, admitted
from ingest.remembered import Remembered
from ingest.uplinks import KIND, Uplink, Uplinks
from protocols.payloads.identity import identify
from protocols.samples import DecodeError
from storage.queries.device_commands import DeviceCommand
from storage.queries.devices import Device
from stream.device_import import token_secret
from stream.log import Publisher
from stream.metrics import NBIOT_MESSAGES

log = structlog.get_logger()

OPEN_UDP_OPTION = "is_open_udp"
_BUSY = "busy"


class Verdict(Enum):
    """What is said of a message."""

    STORED = "stored"
    UNIDENTIFIED = "unidentified"
    UNAUTHORIZED = "unauthorized"
    UNWELCOME = "unwelcome"
    TOO_MANY = "too_many"
    HELD_BACK = "held_back"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as its shell read it. `way`: coap, udp or mqtt.

    `identity`: of path or topic, None where the payload has to name it; `hints`: see `identify`.
    `is_vouched`: somebody else (a broker) has checked who sends it. `takes_commands`: an answer can bear one.
    """

    way: str
    payload: bytes
    received_at_us: int
    identity: str | None = None
    token: str | None = field(default=None, repr=False)
    event: str = "uplink"
    hints: Mapping[str, object] = field(default_factory=dict)
    meta: Mapping[str, object] = field(default_factory=dict)
    address: Mapping[str, object] | None = None
    is_vouched: bool = False
    takes_commands: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say to the device. `detail` names the field that was wrong; `options` are the profile's."""

    verdict: Verdict
    detail: str = ""
    device: Device | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    command: DeviceCommand | None = None


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """`window` messages are under way at a time, each is waited for `hold_s` at most (None: without end).

    The same bytes of a device within `same_s` of their answer are one message; an answer that nobody was
    there to hear is kept `unheard_s`. `per_minute`: messages of one device (None: any number).
    `refusals_per_minute`: events that tell of messages without a device; what goes beyond is only counted.
    """

    window: int = 2_000
    hold_s: float | None = 8.0
    same_s: float = 30.0
    unheard_s: float = 900.0
    answers_max: int = 20_000
    per_minute: int | None = 60
    refusals_per_minute: int = 600


@dataclass(slots=True)
class Parts:
    """What an intake works with, of one process."""

    publisher: Publisher
    registry: Registry
    uplinks: Uplinks
    holding: Holding
    commands: Commands
    keys: Remembered[Mapping[str, bytes]]  # of devices: their secrets by kind


class Intake:
    """Takes messages of one way. `clock` returns microseconds since 1970 UTC."""

    def __init__(self, limits: IntakeLimits, parts: Parts, clock: Callable[[], int]) -> None:
        self._limits = limits
        self._parts = parts
        self._answers = Answers[Answer](clock, limits.answers_max, limits.unheard_s)
        self._rates = None if limits.per_minute is None else Rates(clock, limits.per_minute)
        self._refusals = Rates(clock, limits.refusals_per_minute)
        self._is_draining = False

    @property
    def commands(self) -> Commands:
        """What the shell tells of the commands that its answers bear."""
        return self._parts.commands

    async def take(self, arrival: Arrival) -> Answer:
        """Return what to answer once the message is durable, refused, or held back.

        Raises `PublisherClosedError`.
        """
        answer = await self._take(arrival)
        NBIOT_MESSAGES.labels(arrival.way, answer.verdict.value).inc()
        return answer

    async def drain(self, timeout_s: float) -> None:
        """Let what is under way be stored; what comes from now on is held back."""
        self._is_draining = True
        await self._answers.drain(timeout_s)

    async def _take(self, arrival: Arrival) -> Answer:
        identity = arrival.identity or identify(arrival.payload, arrival.hints).identity
        key = _key(arrival, identity)
        task = self._answers.find(key)
        if task is None:
            if self._is_draining or self._answers.under_way >= self._limits.window:
                return Answer(Verdict.HELD_BACK, "too many messages wait for the log")
            work = self._nameless(arrival) if identity is None else self._store(arrival, identity)
            task = self._answers.begin(key, work)
        done, _ = await asyncio.wait([task], timeout=self._limits.hold_s)
        if not done:
            return Answer(Verdict.HELD_BACK, "the log or the database does not answer")
        answer = task.result()
        is_kept = answer.verdict is Verdict.STORED
        self._answers.given(key, self._limits.same_s if is_kept else 0.0)
        return answer

    async def _nameless(self, arrival: Arrival) -> Answer:
        error = DecodeError("identity", "identity", "neither path nor payload names a device")
        await self._refuse(error, arrival)
        return Answer(Verdict.UNIDENTIFIED, str(error))

    async def _store(self, arrival: Arrival, identity: str) -> Answer:
        try:
            device = await self._admitted(identity)
            options = await self._authorized(arrival, device)
        except DecodeError as error:
            return await self._refused(error, arrival)
        if self._rates is not None and not self._rates.allows(device.id):
            return Answer(Verdict.TOO_MANY, f"at most {self._limits.per_minute} messages a minute")
        uplink = Uplink(
            identity=identity,
            source=arrival.way,
            heard_at_us=arrival.received_at_us,
            received_at_us=arrival.received_at_us,
            payload=arrival.payload,
            event=arrival.event,
            meta=arrival.meta,
            address=arrival.address,
        )
        if await self._parts.uplinks.take(uplink) is None:
            return Answer(Verdict.UNWELCOME, "identity: the device was shut out")
        command = None
        if arrival.takes_commands:
            command = await self._parts.commands.next(device.id, arrival.received_at_us)
        return Answer(Verdict.STORED, "", device, options, command)

    async def _admitted(self, identity: str) -> Device:
        async def resolve() -> Device | None:
            try:
                return await self._parts.registry.resolve(KIND, identity)
            except RegistryBusyError as error:
                raise DecodeError(_BUSY, "identity", str(error)) from error

        return admitted(await self._parts.holding.until_there(resolve), KIND, identity)

    async def _authorized(self, arrival: Arrival, device: Device) -> Mapping[str, object]:
        """Return the profile's options. Raises `DecodeError` where the device has a token that is not given.

        A plain datagram can bear none: it is taken where the profile says so, or where its payload is
        encrypted with a key of the device's own.
        """
        equipment = await self._parts.uplinks.equipment(device)
        options = {} if equipment is None else equipment.profile.options
        if arrival.is_vouched:
            return options
        keys = await self._parts.holding.until_there(lambda: self._parts.keys.of(device.id))
        if "token" not in keys:
            return options
        if arrival.way == "udp" and arrival.token is None:
            if options.get(OPEN_UDP_OPTION) is True or "payload_aes" in keys:
                return options
            message = (
                f"the device has one, UDP bears none, and its profile's options say no {OPEN_UDP_OPTION}"
            )
            raise DecodeError("token", "token", message)
        if not hmac.compare_digest(token_secret(arrival.token or ""), keys["token"]):
            raise DecodeError("token", "token", "is wrong" if arrival.token else "is missing")
        return options

    async def _refused(self, error: DecodeError, arrival: Arrival) -> Answer:
        if error.reason == _BUSY:
            return Answer(Verdict.HELD_BACK, "too many unknown devices came this minute")
        await self._refuse(error, arrival)
        verdict = Verdict.UNAUTHORIZED if error.reason == "token" else Verdict.UNWELCOME
        return Answer(verdict, str(error))

    async def _refuse(self, error: DecodeError, arrival: Arrival) -> None:
        """Tell of it in the log: the payload is kept there. A flood of garbage must not fill it."""
        if self._refusals.allows(0):
            await self._parts.publisher.refuse(error, arrival.payload, received_at_us=arrival.received_at_us)


def _key(arrival: Arrival, identity: str | None) -> bytes:
    """What makes two messages the same: who sends it by which way, and every byte of what it says."""
    parts = (arrival.way, arrival.event, (identity or "").lower(), arrival.token or "")
    digest = blake2b("\0".join(parts).encode("utf-8", "replace") + b"\0", digest_size=16)
    digest.update(arrival.payload)
    return digest.digest()
