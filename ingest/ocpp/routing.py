"""How a call of a charger becomes its answer, whatever the version; used by `ingest.ocpp.link`.

To add an action: its handler in `ingest/ocpp/v16/` or `ingest/ocpp/v2/`, its line in the `ROUTES` there,
its test. Its name and schema are known already (`protocols.ocpp.surface`).
"""

from collections.abc import Mapping

import structlog

from ingest.ocpp.context import ActionError, Context, Handler, Payload, is_outage
from ingest.ocpp.v2.routes import ROUTES_21, ROUTES_201
from ingest.ocpp.v16.routes import ROUTES as ROUTES_16
from protocols.ocpp.frames import Call, ErrorCode
from protocols.ocpp.schemas import SchemaError, check_request
from protocols.ocpp.surface import FROM_CHARGER, Version

log = structlog.get_logger()

ROUTES: Mapping[Version, Mapping[str, Handler]] = {
    Version.V16: ROUTES_16,
    Version.V201: ROUTES_201,
    Version.V21: ROUTES_21,
}
ACCEPTED, REPAIRED = "accepted", "repaired"


async def respond(context: Context, call: Call) -> tuple[Payload, str]:
    """The answer to a call, and whether the call kept its schema (`accepted`) or not (`repaired`).

    Raises `ActionError` for a call that is to be refused, whatever the reason; nothing else.
    """
    version = context.version
    handler = ROUTES[version].get(call.action)
    if handler is None:
        is_known = call.action in FROM_CHARGER[version]
        code = ErrorCode.NOT_SUPPORTED if is_known else ErrorCode.NOT_IMPLEMENTED
        raise ActionError(code, f"{call.action} is not an action of this system over OCPP {version}")
    try:
        is_strict = check_request(version, call.action, call.payload)
        return await handler(context, call.payload), ACCEPTED if is_strict else REPAIRED
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
