"""The CoAP server (RFC 7252, 7959, 7967, 8516): what devices post into the log, commands in the answers.

Used by `ingest.nbiot.app`. A confirmable request is acknowledged with its answer once the log has what it
said, or with an empty message at first where that takes long.
"""

import asyncio
import logging
import socket
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiocoap import Message  # type: ignore[import-untyped]
from aiocoap.numbers import codes  # type: ignore[import-untyped]
from aiocoap.numbers.codes import Code  # type: ignore[import-untyped]
from aiocoap.numbers.contentformat import ContentFormat  # type: ignore[import-untyped]
from aiocoap.numbers.types import Type  # type: ignore[import-untyped]
from aiocoap.pipe import Pipe  # type: ignore[import-untyped]

from ingest.nbiot.exchanges import TUNING, Endpoint, Exchanges, Server, Tokens
from ingest.nbiot.intake import Answer, Arrival, Intake, Verdict
from protocols.nbiot import paths
from protocols.nbiot.blocks import BlockError, Bodies, TooLargeError
from protocols.nbiot.paths import Target
from protocols.samples import DecodeError
from storage.queries.device_commands import DeviceCommand
from stream.errors import PublisherClosedError

log = structlog.get_logger()

WAY = "coap"
MAX_AGE_S = 60
BLOCK_EXPONENT = 6  # of 1024 bytes: 2 ** (6 + 4)
RECEIVE_BUFFER_BYTES = 4 << 20  # the system may allow less (net.core.rmem_max)
LARGE_MAX = 100  # answers of several blocks that are not fetched yet
ACKNOWLEDGED_S_MAX = TUNING.MAX_TRANSMIT_WAIT
DIAGNOSTIC_BYTES_MAX = 200
_LOGGER = "gridwire.coap"
# Uri-Host, Uri-Port, Uri-Path, Uri-Query, Accept, Block2, Block1: section 5.4.1, odd numbers are critical
_CRITICAL = frozenset({3, 7, 11, 15, 17, 23, 27})

_CODES: dict[Verdict, Code] = {
    Verdict.STORED: codes.CHANGED,
    Verdict.UNIDENTIFIED: codes.BAD_REQUEST,
    Verdict.UNAUTHORIZED: codes.UNAUTHORIZED,
    Verdict.UNWELCOME: codes.FORBIDDEN,
    Verdict.TOO_MANY: codes.TOO_MANY_REQUESTS,
    Verdict.HELD_BACK: codes.SERVICE_UNAVAILABLE,
}
_DONE: dict[str, Code] = {
    "uplink": codes.CHANGED,
    "register": codes.CREATED,
    "update": codes.CHANGED,
    "deregister": codes.DELETED,
}
_EVENTS: dict[str, str] = {"register": "join", "update": "status", "deregister": "leave"}
_REFUSALS: dict[str, Code] = {
    "path": codes.NOT_FOUND,
    "method": codes.METHOD_NOT_ALLOWED,
    "option": codes.BAD_OPTION,
}


@dataclass(frozen=True, slots=True)
class CoapConfig:
    """Where to listen, and how much of a body that comes in blocks is taken."""

    host: str
    port: int
    body_bytes_max: int = 65_536
    bodies_max: int = 1_000


@dataclass(slots=True)
class _Reply:
    message: Message
    command: DeviceCommand | None = None


@dataclass(slots=True)
class CoapServer:
    """One socket and what is answered there. `clock` returns microseconds since 1970 UTC."""

    config: CoapConfig
    intake: Intake
    clock: Callable[[], int]
    is_closed: asyncio.Event
    _bodies: Bodies = field(init=False)
    _large: OrderedDict[Hashable, bytes] = field(default_factory=OrderedDict)
    _telling: set[asyncio.Task[None]] = field(default_factory=set)
    _context: Any = None
    _exchanges: Any = None

    def __post_init__(self) -> None:
        self._bodies = Bodies(
            self.clock, bytes_max=self.config.body_bytes_max, count_max=self.config.bodies_max
        )

    async def open(self) -> None:
        """Listen. Raises `OSError` where the port cannot be had."""
        logging.getLogger(_LOGGER).setLevel(logging.ERROR)  # it tells of every datagram of a scanner
        loop = asyncio.get_running_loop()
        context = Server(self._answer, _LOGGER)
        tokens = Tokens(context)
        exchanges = Exchanges(tokens, self.clock)
        bind = (self.config.host, self.config.port)
        endpoint = await Endpoint.create_server_transport_endpoint(
            exchanges, log=context.log, loop=loop, bind=bind, multicast=[]
        )
        listener = endpoint.transport.get_extra_info("socket")
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        exchanges.message_interface = endpoint
        tokens.token_interface = exchanges
        context.request_interfaces.append(tokens)
        self._context, self._exchanges = context, exchanges

    async def close(self) -> None:
        """Stop listening."""
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)
        if self._context is not None:
            await self._context.shutdown()

    async def _answer(self, pipe: Pipe) -> None:
        request = pipe.request
        try:
            reply = await self._reply(request)
        except Exception:
            log.exception("coap_request_failed", action="answered 5.00; nothing of it was stored for sure")
            reply = _Reply(Message(code=codes.INTERNAL_SERVER_ERROR))
        reply.message.opt.no_response = request.opt.no_response
        reply.message.transport_tuning = TUNING
        pipe.add_response(reply.message, is_last=True)
        if reply.command is None:
            return
        if reply.message.mid is None:  # the device's port was closed meanwhile: nothing went out
            self._tell(self.intake.commands.lost(reply.command, "the device was not there for the answer"))
        else:
            self._tell(self._follow(reply.command, reply.message))

    async def _reply(self, request: Message) -> _Reply:
        received_at_us = self.clock()
        try:
            _check_options(request)
            if request.opt.block2 is not None and request.opt.block2.block_number > 0:
                return _Reply(self._next_block(request))
            target = paths.parse(str(request.code), request.opt.uri_path, request.opt.uri_query)
            payload = self._body(request)
        except DecodeError as error:
            return _Reply(_problem(_REFUSALS.get(error.reason, codes.BAD_REQUEST), str(error)))
        except BlockError as error:
            return _Reply(_problem(codes.REQUEST_ENTITY_INCOMPLETE, str(error)))
        except TooLargeError as error:
            return _Reply(self._too_large(str(error)))
        if payload is None:
            return _Reply(Message(code=codes.CONTINUE, block1=request.opt.block1))
        try:
            answer = await self.intake.take(_arrival(request, target, payload, received_at_us))
        except PublisherClosedError:
            self.is_closed.set()
            answer = Answer(Verdict.HELD_BACK, "the log is closed")
        return self._rendered(request, target, answer)

    def _body(self, request: Message) -> bytes | None:
        """Return the body; None: it is not whole yet."""
        block = request.opt.block1
        if block is None:
            return bytes(request.payload)
        return self._bodies.feed(_key(request), block.start, bytes(request.payload), not block.more)

    def _too_large(self, message: str) -> Message:
        """RFC 7959 section 2.9.3: Size1 says what would be taken."""
        response = _problem(codes.REQUEST_ENTITY_TOO_LARGE, message)
        response.opt.size1 = self.config.body_bytes_max
        return response

    def _rendered(self, request: Message, target: Target, answer: Answer) -> _Reply:
        if answer.verdict is not Verdict.STORED:
            response = _problem(_CODES[answer.verdict], answer.detail)
            if answer.verdict in (Verdict.HELD_BACK, Verdict.TOO_MANY):
                response.opt.max_age = MAX_AGE_S
        else:
            response = Message(code=_DONE[target.action])
            if target.action == "register" and target.identity is not None:
                response.opt.location_path = ("rd", target.identity)
            if answer.command is not None:
                response.opt.content_format = ContentFormat.OCTETSTREAM
                self._fill(request, response, answer.command.payload)
        if request.opt.block1 is not None:
            response.opt.block1 = request.opt.block1
        return _Reply(response, answer.command)

    def _fill(self, request: Message, response: Message, payload: bytes) -> None:
        """Put in the payload, or its first block where it is longer than the device can take."""
        exponent = BLOCK_EXPONENT if request.opt.block2 is None else request.opt.block2.size_exponent
        exponent = min(exponent, BLOCK_EXPONENT)
        size = 2 ** (exponent + 4)
        response.payload = payload[:size]
        if len(payload) > size:
            response.opt.block2 = (0, True, exponent)
            self._large[_key(request)] = payload
            if len(self._large) > LARGE_MAX:
                self._large.popitem(last=False)

    def _next_block(self, request: Message) -> Message:
        """Return a later block of an answer. Raises `BlockError` where there is none."""
        block = request.opt.block2
        exponent = min(block.size_exponent, BLOCK_EXPONENT)
        size = 2 ** (exponent + 4)
        payload = self._large.get(_key(request), b"")
        start = block.block_number * size
        if start >= len(payload):
            raise BlockError(f"no answer of more than {start} bytes is known")
        return Message(
            code=codes.CHANGED,
            payload=payload[start : start + size],
            content_format=ContentFormat.OCTETSTREAM,
            block2=(block.block_number, start + size < len(payload), exponent),
        )

    def _tell(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _follow(self, command: DeviceCommand, response: Message) -> None:
        """Write down that an answer with a command went out, and whether the device has acknowledged it."""
        heard = self._exchanges.acknowledgement(response)
        await self.intake.commands.sent(command, WAY)
        if heard is None:
            return
        try:
            has_it = await asyncio.wait_for(heard, ACKNOWLEDGED_S_MAX)
        except TimeoutError:
            has_it = False
        if has_it:
            await self.intake.commands.confirmed(command)
        else:
            await self.intake.commands.lost(command, "the device did not acknowledge the answer that bore it")


def _check_options(request: Message) -> None:
    """Raises `DecodeError` for what must be understood and is not (RFC 7252 section 5.4.1)."""
    for each in request.opt.option_list():
        if each.number % 2 and each.number not in _CRITICAL:
            raise DecodeError("option", "option", f"number {int(each.number)} is not understood")


def _arrival(request: Message, target: Target, payload: bytes, received_at_us: int) -> Arrival:
    content_format = request.opt.content_format
    hints = {} if content_format is None else {"content_format": int(content_format)}
    path = "/".join(request.opt.uri_path if target.token is None else request.opt.uri_path[:1])
    meta: dict[str, object] = {
        "endpoint": request.remote.hostinfo,
        "path": f"/{path}",
        "is_confirmable": request.mtype is Type.CON,
        **hints,
    }
    return Arrival(
        way=WAY,
        payload=payload,
        received_at_us=received_at_us,
        identity=target.identity,
        token=target.token,
        event=_EVENTS.get(target.action, "uplink"),
        hints=hints,
        meta=meta,
        address={"way": WAY},
        takes_commands=target.action == "uplink" and not request.opt.no_response,
    )


def _problem(code: Code, detail: str) -> Message:
    """RFC 7252 section 5.5.2: a diagnostic payload, for who looks at it."""
    return Message(code=code, payload=detail.encode()[:DIAGNOSTIC_BYTES_MAX])


def _key(request: Message) -> Hashable:
    """What the blocks of one request or answer have in common (RFC 7959 section 2.5)."""
    return (request.remote, request.code, request.opt.uri_path, request.opt.uri_query)
