"""Calls to chargers that come over the bus, for the sockets that this gateway holds; used by the server.

Request and reply are described in `docs/architecture.md` (Names on the bus). `ask` is the one way to a
charger, for these and for the durable commands of `ingest.ocpp.delivery`.
"""

import asyncio

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as BusProblem

from ingest.ocpp import remote_starts
from ingest.ocpp.context import Context, Payload, Services, is_outage
from ingest.ocpp.link import Link
from ingest.ocpp.results import RESULTS
from protocols.ocpp.connection import Answered, Lost, Outcome, QueueFullError, Refused, TimedOut
from protocols.ocpp.frames import ErrorCode
from protocols.ocpp.quirks.calls import check_suited
from protocols.ocpp.quirks.normalise import normalise_result
from protocols.ocpp.quirks.registry import quirks_for
from protocols.ocpp.schemas import SchemaError, check_call, in_schema_order
from stream.bus import CallOutcome, CallRequest, call_subject
from stream.metrics import count_repairs

log = structlog.get_logger()

TIMEOUT_S_MAX = 300.0
CALLS_MAX = 32  # of one charger under way, those included that its queue will refuse


class Commands:
    """The calls to one charger; one a link."""

    def __init__(self, services: Services, link: Link) -> None:
        self._services = services
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
        outcome = await call(self._services, self._link, request)
        log.info(
            "ocpp_call",
            charger=self._link.device.identity,
            action=request.action,
            outcome=outcome.outcome,
            code=outcome.code,
        )
        await _reply(message, outcome)


async def call(services: Services, link: Link, request: CallRequest) -> CallOutcome:
    """Carry out a call of the bus."""
    timeout_s = min(max(request.timeout_s, 0.0), TIMEOUT_S_MAX)
    try:
        outcome = await ask(services, link, request.action, request.payload, timeout_s)
    except SchemaError as error:
        return CallOutcome("error", code=error.code, description=str(error))
    except QueueFullError as error:
        return CallOutcome("error", code=ErrorCode.GENERIC_ERROR, description=str(error))
    match outcome:
        case Answered(payload):
            return CallOutcome("result", payload=payload)
        case Refused(code, description):
            return CallOutcome("error", code=code, description=description)
        case TimedOut():
            return CallOutcome("timeout")
        case Lost():
            return CallOutcome("error", code="ConnectionLost", description="the charger hung up")


async def ask(services: Services, link: Link, action: str, payload: Payload, timeout_s: float) -> Outcome:
    """Check the call, send it, check its answer, and store what follows from that.

    An answer that cannot be used is a `Refused`; a start is not sent while the database is away.
    Raises `SchemaError` for a call that may not be sent, or that this make of charger fails on,
    `QueueFullError` where too many wait.
    """
    device = link.device
    behaviour = quirks_for(device.vendor, device.model, device.firmware)
    check_call(link.version, action, payload)
    check_suited(behaviour, link.version, action, payload)
    if action == "RequestStartTransaction":
        try:
            await remote_starts.note(services, device.id, payload)
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("remote_start_not_noted", charger=device.identity, error=repr(error))
            return TimedOut(was_sent=False)
    outcome = await link.call(action, in_schema_order(link.version, action, payload), timeout_s)
    if not isinstance(outcome, Answered):
        return outcome
    try:
        now_us = services.config.clock()
        answer = normalise_result(link.version, action, outcome.payload, behaviour, now_us)
    except SchemaError as error:
        return Refused(error.code, str(error))
    if answer.tags:
        count_repairs(device.vendor, device.model, answer.tags)
    await _follow(services, link, action, payload, answer.payload)
    return Answered(dict(answer.payload))


async def _follow(services: Services, link: Link, action: str, sent: Payload, answer: Payload) -> None:
    """Its failure is ours, not the caller's: the charger has answered."""
    context = Context(services, link.device, services.config.clock(), link.version)
    try:
        await RESULTS[link.version][action](context, sent, answer)
    except Exception as error:
        charger = link.device.identity
        away = is_outage(error)
        log.error(
            "ocpp_result_not_stored", charger=charger, action=action, error=repr(error), exc_info=not away
        )


async def _reply(message: Msg, outcome: CallOutcome) -> None:
    try:
        await message.respond(msgspec.json.encode(outcome))
    except BusProblem as error:
        log.warning("call_reply_lost", subject=message.subject, error=repr(error))
