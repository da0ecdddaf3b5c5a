"""One charger's socket: bytes between `websockets` and the connection state machine, calls to handlers.

Used by `ingest.ocpp.server`, one `Link` a socket. Frames are taken as they come off the transport, so that
an answer to one of our calls is seen while a handler waits for the log; the charger's own calls wait in
their order for `Link.work`, the one task of the socket. When too many wait, reading stops.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import structlog
from prometheus_client import Counter
from websockets.asyncio.server import ServerConnection
from websockets.frames import DATA_OPCODES, CloseCode, Frame, Opcode
from websockets.protocol import OPEN, Event

from ingest.ocpp.compression import extensions_for
from ingest.ocpp.context import ActionError, Context, Payload, Services
from ingest.ocpp.limits import TokenBucket
from ingest.ocpp.liveness import Liveness
from ingest.ocpp.makes import booted
from ingest.ocpp.registration import Registration
from ingest.ocpp.routing import REFUSED, ROUTES, respond
from protocols.ocpp.connection import (
    CallEnded,
    CallReceived,
    Connection,
    FrameRefused,
    Ignored,
    Lost,
    Outcome,
)
from protocols.ocpp.frames import Call, ErrorCode
from protocols.ocpp.quirks.registry import quirks_for
from protocols.ocpp.surface import Version
from protocols.samples import DecodeError
from storage.queries.devices import Device
from storage.queries.messages import Direction
from stream.errors import StreamError
from stream.message_log import Channel
from stream.metrics import ACK_SECONDS, OCPP_MESSAGES

log = structlog.get_logger()

_US = 1_000_000
_US_PER_MS = 1_000
_IN, _OUT = Direction.FROM_CHARGER.value, Direction.TO_CHARGER.value
_TELLS_INTERVAL = frozenset({"ChangeConfiguration", "SetVariables"})  # a charger may beat otherwise after it


@dataclass(frozen=True, slots=True)
class _Broken:
    """A frame that could not be read, waiting to be counted in its turn."""

    message: str
    data: bytes


class Link:
    """See the module. `new_id` makes fresh message ids. `generation` is 0 until the database gave one."""

    def __init__(
        self, services: Services, device: Device, version: Version, address: str, new_id: Callable[[], str]
    ) -> None:
        config = services.config
        now_us = config.clock()
        self.device = device
        self.version = version
        self.address = address
        self.life = Liveness(
            config.ping_s, config.idle_s, config.idle_s_min, heard_us=now_us, pinged_us=now_us
        )
        self.opened_us = now_us
        self.close_reason = ""
        self._services = services
        self._new_id = new_id
        self._socket: ChargerSocket | None = None
        self._connection = Connection(config.connection, version)
        self._registration = Registration()
        self._channel = Channel(device.id, version)
        # a list, however it is used: it is short, and an empty deque would be 760 bytes for each socket
        self._todo: list[tuple[Call | _Broken, int]] = []
        self._futures: dict[str, asyncio.Future[Outcome]] = {}
        self._wake: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_paused = False
        self._is_held = False
        self._is_throttled = False
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._rate = TokenBucket(config.messages_per_s, config.messages_burst, self._now_us())

    @property
    def generation(self) -> int:
        """Of this socket among the charger's; see the class."""
        return self._channel.generation

    @generation.setter
    def generation(self, generation: int) -> None:
        self._channel.generation = generation

    @property
    def heard_us(self) -> int:
        """When the last frame came, of whatever kind."""
        return self.life.heard_us

    # --- from the socket -----------------------------------------------------------------------

    def attach(self, socket: "ChargerSocket") -> None:
        """Give it the socket whose handshake it was made for, before the upgrade."""
        self._socket = socket
        socket.protocol.available_extensions = extensions_for(self.version)

    def heard(self) -> None:
        """Note that some frame came."""
        self.life.heard_us = self._services.config.clock()

    def received(self, data: bytes, *, is_text: bool) -> None:
        """Take one whole message off the socket."""
        now_us = self._now_us()
        wait_s = self._rate.take(now_us)
        if data:
            self._log(_IN, self.heard_us, data)
        events = self._connection.receive(data, now_us, is_text=is_text)
        for event in events:
            self._on_event(event)
        self._flush()
        if self._connection.has_queued:
            self._arm()  # an answer came: the next call may have to keep a gap
        if wait_s:
            self._throttle(wait_s)
        elif self._connection.should_pause:
            self._pause()

    def _log(self, direction: int, now_us: int, data: bytes) -> None:
        if self._services.messages is not None:
            self._services.messages.add(self._channel, direction, now_us, data)

    def _throttle(self, wait_s: float) -> None:
        """Read no more for a while: the charger sends more than it may."""
        self._pause()
        if not self._is_throttled:
            self._is_throttled = True
            self._count("none", "throttled")
            self._loop.call_later(wait_s, self._unthrottle)

    def _unthrottle(self) -> None:
        self._is_throttled = False
        self._resume()

    def hold(self, is_held: bool) -> None:
        """Stop reading for good, or go on."""
        self._is_held = is_held
        if is_held:
            self._pause()
        else:
            self._resume()

    def _pause(self) -> None:
        if not self._is_paused and self._socket is not None and not self._socket.transport.is_closing():
            self._is_paused = True
            self._socket.transport.pause_reading()

    def _resume(self) -> None:
        may_read = not (self._is_held or self._is_throttled or self._connection.should_pause)
        if self._is_paused and may_read and self._socket is not None:
            self._is_paused = False
            if not self._socket.transport.is_closing():
                self._socket.transport.resume_reading()

    def closed(self) -> None:
        """The socket is gone; what was received is still worked off."""
        self._is_closed = True
        for event in self._connection.close():
            self._on_event(event)
        if self._timer is not None:
            self._timer.cancel()
        self._wake_up()

    def _on_event(self, event: CallReceived | CallEnded | FrameRefused | Ignored) -> None:
        match event:
            case CallReceived(call):
                self._todo.append((call, self.heard_us))
                self._wake_up()
            case CallEnded(message_id, action, outcome):
                self._count(action, type(outcome).__name__.lower())
                self._futures.pop(message_id).set_result(outcome)
            case FrameRefused(error, data):
                self._count("none", "unreadable")
                if len(self._todo) < self._services.config.connection.inbound:
                    self._todo.append((_Broken(str(error), data), self.heard_us))
                    self._wake_up()
            case Ignored(why):
                self._count("none", why)

    def _count(self, action: str, result: str) -> None:
        _counter(self.version, action, result).inc()

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # --- the charger's calls -------------------------------------------------------------------

    async def work(self) -> None:
        """Handle what the charger asks, in its order, until its socket is gone."""
        while True:
            while self._todo:
                item, received_at_us = self._todo.pop(0)
                context = Context(self._services, self.device, received_at_us, self.version)
                if isinstance(item, Call):
                    await self._answer(context, item)
                else:
                    await _count_broken(context, item)
                self._resume()
            if self._is_closed:
                return
            self._wake = self._loop.create_future()
            await self._wake

    async def _answer(self, context: Context, call: Call) -> None:
        try:
            self._check_accepted(context, call.action)
            payload, result = await respond(context, call)
            self.device = booted(self.device, call)
            self._registration.answered(call.action, payload)
            if not call.is_send:
                self._connection.answer(payload, self._now_us())
        except ActionError as error:
            if not call.is_send:
                self._connection.refuse(error.code, str(error))
            result = REFUSED
        self._flush()
        if call.action == "Heartbeat":
            self.life.beat(context.received_at_us)
        self._count(call.action if call.action in ROUTES[self.version] else "other", result)
        ACK_SECONDS.observe((self._services.config.clock() - context.received_at_us) / _US)
        socket = self._socket
        if socket is not None and socket.paused and not self._is_closed:
            await socket.drain()  # a charger that does not read its answers is not asked for more

    def _check_accepted(self, context: Context, action: str) -> None:
        """Raises `ActionError` for what a station of 2.x says too early; one in quarantine is heard."""
        if context.version.is_2 and context.is_active and not self._registration.may_say(action):
            raise ActionError(ErrorCode.SECURITY_ERROR, f"{action} before this station was accepted")

    # --- our calls -----------------------------------------------------------------------------

    async def call(self, action: str, payload: Payload, timeout_s: float) -> Outcome:
        """Ask the charger and wait for what becomes of it. Raises `QueueFullError`."""
        if self._is_closed:
            return Lost(was_sent=False)
        if action in _TELLS_INTERVAL:
            self.life.forget()
        self._registration.asked(action, payload)
        message_id = self._new_id()
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._futures[message_id] = future
        try:
            timeout_us = int(timeout_s * _US)
            behaviour = quirks_for(self.device.vendor, self.device.model, self.device.firmware)
            gap_us = behaviour.call_gap_ms * _US_PER_MS
            events = self._connection.call(message_id, action, payload, self._now_us(), timeout_us, gap_us)
        except BaseException:
            del self._futures[message_id]
            raise
        for event in events:
            self._on_event(event)
        self._flush()
        self._arm()
        return await future

    def _arm(self) -> None:
        """Have `_tick` called at the next deadline."""
        if self._timer is not None:
            self._timer.cancel()
        deadline_us = self._connection.next_deadline()
        self._timer = None
        if deadline_us is not None and not self._is_closed:
            self._timer = self._loop.call_at(deadline_us / _US, self._tick)

    def _tick(self) -> None:
        for event in self._connection.tick(self._now_us()):
            self._on_event(event)
        self._flush()
        self._arm()

    @property
    def timeouts_in_row(self) -> int:
        """Calls in a row that the charger did not answer in time."""
        return self._connection.timeouts_in_row

    # --- to the socket -------------------------------------------------------------------------

    def _now_us(self) -> int:
        """Monotonic: a step of the wall clock ends no call."""
        return int(self._loop.time() * _US) + 1

    def _flush(self) -> None:
        socket = self._socket
        for data in self._connection.data_to_send():
            if socket is not None and socket.protocol.state is OPEN:
                self._log(_OUT, self._services.config.clock(), data)
                socket.protocol.send_text(data)
                socket.send_data()

    def ping(self, now_us: int) -> None:
        """Ask for a sign of life; whatever frame comes next is one."""
        self.life.pinged(now_us)
        if self._socket is not None and self._socket.protocol.state is OPEN:
            self._socket.protocol.send_ping(b"")
            self._socket.send_data()

    @property
    def is_busy(self) -> bool:
        """Whether calls of the charger wait for their answer."""
        return self._connection.in_hand > 0

    async def close(self, code: CloseCode, reason: str) -> None:
        """Close the socket; returns once it is gone, at the latest after the close timeout."""
        if self._socket is not None:
            await self._socket.close(code, reason)


class ChargerSocket(ServerConnection):
    """A server connection that hands messages to its link as they come, instead of queueing them."""

    link: Link | None = None

    def process_event(self, event: Event) -> None:
        """Take data frames for the link; the rest is the base class's."""
        link = self.link
        if link is None or not isinstance(event, Frame):
            super().process_event(event)
            return
        link.heard()
        if event.opcode is Opcode.PONG:
            link.life.ponged()
        if event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        if event.opcode is not Opcode.CONT:
            self._is_text, self._parts = event.opcode is Opcode.TEXT, []
        self._parts.append(bytes(event.data))  # `max_size` bounds their sum
        if event.fin:
            data, self._parts = b"".join(self._parts), []
            link.received(data, is_text=self._is_text)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the link as well."""
        super().connection_lost(exc)
        if self.link is not None:
            self.link.closed()

    _is_text = True
    _parts: list[bytes]


@lru_cache(maxsize=2048)
def _counter(version: Version, action: str, result: str) -> Counter:
    return OCPP_MESSAGES.labels(version.value, action, result)


async def _count_broken(context: Context, broken: _Broken) -> None:
    try:
        await context.refuse(DecodeError("frame", "", broken.message), broken.data)
    except StreamError as error:
        log.warning("ocpp_refusal_not_counted", charger=context.device.identity, error=str(error))
