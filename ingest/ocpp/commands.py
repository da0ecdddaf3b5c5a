"""Calls to chargers that come over the bus, for the sockets that this gateway holds; used by the server.

Request and reply are described in `docs/architecture.md` (Names on the bus).
"""

import asyncio

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as BusProblem

from ingest.ocpp.link import Link
from protocols.ocpp.connection import Answered, Lost, QueueFullError, Refused, TimedOut
from protocols.ocpp.frames import ErrorCode
from protocols.ocpp.schemas import SchemaError, check_call, check_result
from stream.bus import CallOutcome, CallRequest, call_subject

log = structlog.get_logger()

TIMEOUT_S_MAX = 300.0
CALLS_MAX = 32  # of one charger under way, those included that its queue will refuse


class Commands:
    """The calls to one charger; one a link."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscription: Subscription | None = None

    async def subscribe(self, bus: Client) -> None:
        """Take calls from now on."""
        self._subscription = await bus.subscribe(call_subject(self._link.device.id), cb=self._take)

    async def unsubscribe(self) -> None:
        """Take no more calls: the next caller hears that the charger is offline. Those under way end."""
        if self._subscription is not None:
            try:
                await self._subscription.unsubscribe()
            except BusProblem as error:
                log.debug("unsubscribe_failed", charger=self._link.device.identity, error=repr(error))
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _take(self, message: Msg) -> None:
        if len(self._tasks) >= CALLS_MAX:
            await _reply(message, CallOutcome("error", code="GenericError", description="too many calls"))
            return
        # each on its own: the next call of this subject must not wait for this one's answer
        task = asyncio.create_task(self._run(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, message: Msg) -> None:
        try:
            request = msgspec.json.decode(message.data, type=CallRequest)
        except msgspec.DecodeError as error:
            code = ErrorCode.FORMATION_VIOLATION
            await _reply(message, CallOutcome("error", code=code, description=f"not a call: {error}"))
            return
        outcome = await call(self._link, request)
        log.info(
            "ocpp_call",
            charger=self._link.device.identity,
            action=request.action,
            outcome=outcome.outcome,
            code=outcome.code,
        )
        await _reply(message, outcome)


async def call(link: Link, request: CallRequest) -> CallOutcome:
    """Check the call, send it, check its answer."""
    try:
        check_call(link.version, request.action, request.payload)
        timeout_s = min(max(request.timeout_s, 0.0), TIMEOUT_S_MAX)
        outcome = await link.call(request.action, request.payload, timeout_s)
        match outcome:
            case Answered(payload):
                check_result(link.version, request.action, payload)
                return CallOutcome("result", payload=payload)
            case Refused(code, description):
                return CallOutcome("error", code=code, description=description)
            case TimedOut():
                return CallOutcome("timeout")
            case Lost():
                return CallOutcome("error", code="ConnectionLost", description="the charger hung up")
    except SchemaError as error:
        return CallOutcome("error", code=error.code, description=str(error))
    except QueueFullError as error:
        return CallOutcome("error", code=ErrorCode.GENERIC_ERROR, description=str(error))


async def _reply(message: Msg, outcome: CallOutcome) -> None:
    try:
        await message.respond(msgspec.json.encode(outcome))
    except BusProblem as error:
        log.warning("call_reply_lost", subject=message.subject, error=repr(error))
