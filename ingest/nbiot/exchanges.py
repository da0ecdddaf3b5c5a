"""CoAP's message layer (RFC 7252 section 4) with bounds, and with an ear for acknowledgements.

Used by `ingest.nbiot.coap`. `aiocoap` does the layer. Replaced here are its memory of messages that were
heard, which has no bound and takes every repeated message id for a retransmission, and its way from an answer
to the acknowledgement that bears it, which is by token: simple devices use one token, or none, for all they
send.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog
from aiocoap.message import Message  # type: ignore[import-untyped]
from aiocoap.messagemanager import MessageManager  # type: ignore[import-untyped]
from aiocoap.numbers import TransportTuning  # type: ignore[import-untyped]
from aiocoap.numbers.types import Type  # type: ignore[import-untyped]
from aiocoap.pipe import Pipe  # type: ignore[import-untyped]
from aiocoap.protocol import Context  # type: ignore[import-untyped]
from aiocoap.tokenmanager import TokenManager  # type: ignore[import-untyped]
from aiocoap.transports.udp6 import MessageInterfaceUDP6  # type: ignore[import-untyped]

from stream.metrics import NBIOT_MESSAGES

log = structlog.get_logger()

HEARD_MAX = 20_000
AWAITED_MAX = 10_000


class Tuning(TransportTuning):  # type: ignore[misc]
    """Section 4.8 for NB-IoT, where a round trip takes seconds and each message costs battery.

    An answer that is there within the device's own timeout (2 s at least) needs no message before it.
    """

    ACK_TIMEOUT = 4.0
    EMPTY_ACK_DELAY = 1.0


TUNING = Tuning()
LIFETIME_US = int(TUNING.EXCHANGE_LIFETIME * 1e6)  # section 4.8.2, 294 s here


@dataclass(slots=True)
class _Heard:
    digest: int
    expires_us: int
    response: Any = None


class Server(Context):  # type: ignore[misc]
    """Runs what answers requests, in tasks that go on when their answer is not wanted any more.

    A device may close its port behind a message: that must not take the message back.
    """

    def __init__(self, answer: Callable[[Pipe], Coroutine[Any, Any, None]], loggername: str) -> None:
        super().__init__(loop=asyncio.get_running_loop(), loggername=loggername)
        self._answer = answer
        self._answering: set[asyncio.Task[None]] = set()

    def render_to_pipe(self, pipe: Pipe) -> None:
        """Answer the request of a pipe."""
        task = asyncio.create_task(self._answer(pipe))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def shutdown(self) -> None:
        """Stop answering, then stop listening."""
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        await super().shutdown()


class Tokens(TokenManager):  # type: ignore[misc]
    """Requests under way by token. Without Observe a request never ends the one before it."""

    def process_request(self, request: Message) -> None:
        """Answer a request, whatever else is under way."""
        self.incoming_requests.pop((request.token, request.remote), None)
        super().process_request(request)


class Exchanges(MessageManager):  # type: ignore[misc]
    """The message layer of one socket. `clock` returns microseconds.

    At most `heard_max` messages are remembered, the oldest is forgotten first: what it said is still known to
    `ingest.nbiot.answers`.
    """

    def __init__(self, tokens: Any, clock: Callable[[], int], heard_max: int = HEARD_MAX) -> None:
        super().__init__(tokens)
        self._clock = clock
        self._heard_max = heard_max
        self._heard: OrderedDict[tuple[Any, int], _Heard] = OrderedDict()
        self._awaited: dict[tuple[Any, int], asyncio.Future[bool]] = {}
        # requests of the last EMPTY_ACK_DELAY
        self._unanswered: dict[tuple[Any, int], tuple[Message, asyncio.TimerHandle]] = {}

    def acknowledgement(self, response: Message) -> asyncio.Future[bool] | None:
        """Return what becomes true when the device acknowledges this separate response, false for a reset.

        None: it is no confirmable one, or too many are waited for.
        """
        if response.mtype is not Type.CON or len(self._awaited) >= AWAITED_MAX:
            return None
        key = (response.remote, response.mid)
        heard: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._awaited[key] = heard
        heard.add_done_callback(lambda _: self._awaited.pop(key, None))
        return heard

    def _process_request(self, request: Message) -> None:
        request.transport_tuning = TUNING
        if request.mtype is Type.CON:
            self._answered(request.remote, request.mid)
            timer = self.loop.call_later(TUNING.EMPTY_ACK_DELAY, self._acknowledge, request)
            self._unanswered[request.remote, request.mid] = (request, timer)
        self.token_manager.process_request(request)

    def _acknowledge(self, request: Message) -> None:
        self._answered(request.remote, request.mid)
        self._send_empty_ack(request.remote, request.mid, "the answer takes time")

    async def shutdown(self) -> None:
        """Stop; nobody is answered any more."""
        for remote, message_id in list(self._unanswered):
            self._answered(remote, message_id)
        await super().shutdown()

    def _deduplicate_message(self, message: Message) -> bool:
        """Answer a retransmission as before (section 4.2).

        A message id that comes again with something else is no retransmission: modems begin to count
        anew when they are switched on, and what they say then must not be lost.
        """
        now_us = self._clock()
        while self._heard and next(iter(self._heard.values())).expires_us <= now_us:
            self._heard.popitem(last=False)
        key = (message.remote, message.mid)
        digest = hash((message.mtype, message.code, message.token, message.opt.encode(), message.payload))
        known = self._heard.get(key)
        if known is None or known.digest != digest:
            self._heard.pop(key, None)
            self._heard[key] = _Heard(digest, now_us + LIFETIME_US)
            if len(self._heard) > self._heard_max:
                self._heard.popitem(last=False)
            return False
        if message.mtype is Type.CON and known.response is not None:
            self._send_initially(known.response)
        return True

    def _answered(self, remote: Any, message_id: int) -> None:
        waiting = self._unanswered.pop((remote, message_id), None)
        if waiting is not None:
            waiting[1].cancel()

    def send_message(self, message: Message, messageerror_monitor: Any) -> None:
        """Send an answer in the acknowledgement of its own request, where that is not out yet (5.2.1)."""
        request = message.request
        if message.code.is_response() and request is not None:
            waiting = self._unanswered.get((request.remote, request.mid))
            if waiting is not None and waiting[0] is request:
                self._answered(request.remote, request.mid)
                self._piggyback_opportunities[message.remote, message.token] = (request.mid, waiting[1])
        super().send_message(message, messageerror_monitor)

    def _store_response_for_duplicates(self, message: Message) -> None:
        known = self._heard.get((message.remote, message.mid))
        if known is not None and message.mtype in (Type.ACK, Type.RST):
            known.response = message

    def _remove_exchange(self, message: Message) -> None:
        super()._remove_exchange(message)
        heard = self._awaited.get((message.remote, message.mid))
        if heard is not None and not heard.done():
            heard.set_result(message.mtype is Type.ACK)


class Endpoint(MessageInterfaceUDP6):  # type: ignore[misc]
    """The socket; what it hears may be anything."""

    def datagram_msg_received(self, data: bytes, ancdata: Any, flags: int, address: Any) -> None:
        """Take a datagram; one that cannot be read is counted."""
        try:
            super().datagram_msg_received(data, ancdata, flags, address)
        except Exception as error:
            NBIOT_MESSAGES.labels("coap", "unreadable").inc()
            log.debug("coap_datagram_unreadable", peer=str(address[:2]), error=repr(error))
