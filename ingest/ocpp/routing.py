"""How a call of a charger becomes its answer, whatever the version; used by `ingest.ocpp.link`.

To add an action: its handler in `ingest/ocpp/v16/` or `ingest/ocpp/v2/`, its line in the `ROUTES` there,
its test. Its name and schema are known already (`protocols.ocpp.surface`).
"""

import asyncio
from collections.abc import Mapping

import structlog

from ingest.ocpp.context import ActionError, Context, Handler, Payload, is_outage
from ingest.ocpp.makes import booted
from ingest.ocpp.v2.routes import ROUTES_21, ROUTES_201
from ingest.ocpp.v16.routes import ROUTES as ROUTES_16
from protocols.ocpp.frames import Call, ErrorCode
from protocols.ocpp.quirks.normalise import Normalised, normalise
from protocols.ocpp.quirks.registry import Behaviour, quirks_for
from protocols.ocpp.schemas import DECISIONS, SchemaError
from protocols.ocpp.surface import FROM_CHARGER, Version
from stream.metrics import count_repairs

log = structlog.get_logger()

ROUTES: Mapping[Version, Mapping[str, Handler]] = {
    Version.V16: ROUTES_16,
    Version.V201: ROUTES_201,
    Version.V21: ROUTES_21,
}
ACCEPTED, REPAIRED, REFUSED = "accepted", "repaired", "refused"
# Their answers depend on the make of the charger.
_SUITED = frozenset({"BootNotification", "StartTransaction"})


async def respond(context: Context, call: Call) -> tuple[Payload, str]:
    """The answer to a call, and whether the call kept its schema (`accepted`) or was mended (`repaired`).

    Raises `ActionError` for a call that is to be refused, whatever the reason; nothing else.
    """
    version = context.version
    handler = ROUTES[version].get(call.action)
    if handler is None:
        is_known = call.action in FROM_CHARGER[version]
        code = ErrorCode.NOT_SUPPORTED if is_known else ErrorCode.NOT_IMPLEMENTED
        raise ActionError(code, f"{call.action} is not an action of this system over OCPP {version}")
    try:
        device = booted(context.device, call)
        behaviour = quirks_for(device.vendor, device.model, device.firmware)
        request = _normalised(context, call, behaviour)
        if call.mended or request.tags:
            count_repairs(device.vendor, device.model, (*call.mended, *request.tags))
        answer = await handler(context, request.payload)
        if call.action in _SUITED:
            answer = await _suited(call.action, answer, behaviour)
        return answer, ACCEPTED if request.is_strict and not call.mended else REPAIRED
    except SchemaError as error:
        raise ActionError(error.code, str(error)) from error
    except ActionError:
        raise
    except Exception as error:
        # the database or the log is away, or a bug: the charger keeps the message and sends it again
        log.error(
            "ocpp_action_failed",
            charger=context.device.identity,
            action=call.action,
            error=repr(error),
            exc_info=not is_outage(error),
        )
        raise ActionError(ErrorCode.INTERNAL_ERROR, "could not be stored now; send it again") from error


def _normalised(context: Context, call: Call, behaviour: Behaviour) -> Normalised:
    """Raises `SchemaError`."""
    if "invalid_utf8" in call.mended and call.action in DECISIONS:
        # a token with a character that had to be guessed is nobody's
        raise SchemaError(ErrorCode.FORMATION_VIOLATION, f"{call.action} is not UTF-8")
    return normalise(context.version, call.action, call.payload, behaviour, context.received_at_us)


async def _suited(action: str, answer: Payload, behaviour: Behaviour) -> Payload:
    """The answer as this make of charger can bear it."""
    if action == "StartTransaction" and behaviour.start_answer_ms:
        await asyncio.sleep(behaviour.start_answer_ms / 1000)
    interval_s = answer.get("interval")
    if action == "BootNotification" and isinstance(interval_s, int):
        return {**answer, "interval": behaviour.heartbeat_s(interval_s)}
    return answer
