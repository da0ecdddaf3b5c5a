"""The whole of what a charger may ask: action to handler, and how a call becomes its answer.

Used by `ingest.ocpp.link`. To add an action: its schema's name in `protocols.ocpp.schemas`, its handler
in `ingest/ocpp/actions/`, its line in `ROUTES`, its test.
"""

from collections.abc import Awaitable, Callable, Mapping

import structlog

from ingest.ocpp.actions import (
    authorize,
    boot_notification,
    data_transfer,
    heartbeat,
    meter_values,
    start_transaction,
    status_notification,
    stop_transaction,
)
from ingest.ocpp.context import ActionError, Context, Payload, is_outage
from protocols.ocpp.frames import Call, ErrorCode
from protocols.ocpp.schemas import SchemaError, check_request

log = structlog.get_logger()

ROUTES: Mapping[str, Callable[[Context, Payload], Awaitable[Payload]]] = {
    "Authorize": authorize.handle,
    "BootNotification": boot_notification.handle,
    "DataTransfer": data_transfer.handle,
    "Heartbeat": heartbeat.handle,
    "MeterValues": meter_values.handle,
    "StartTransaction": start_transaction.handle,
    "StatusNotification": status_notification.handle,
    "StopTransaction": stop_transaction.handle,
}
# Of OCPP 1.6 and its security extension, but not of the core profile.
_NOT_SUPPORTED = frozenset(
    {
        "DiagnosticsStatusNotification",
        "FirmwareStatusNotification",
        "LogStatusNotification",
        "SecurityEventNotification",
        "SignCertificate",
        "SignedFirmwareStatusNotification",
    }
)
ACCEPTED, REPAIRED = "accepted", "repaired"


async def respond(context: Context, call: Call) -> tuple[Payload, str]:
    """The answer to a call, and whether the call kept its schema (`accepted`) or not (`repaired`).

    Raises `ActionError` for a call that is to be refused, whatever the reason; nothing else.
    """
    handler = ROUTES.get(call.action)
    if handler is None:
        code = ErrorCode.NOT_SUPPORTED if call.action in _NOT_SUPPORTED else ErrorCode.NOT_IMPLEMENTED
        raise ActionError(code, f"{call.action} is not an action of this system")
    try:
        is_strict = check_request(call.action, call.payload)
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
