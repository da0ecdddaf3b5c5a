"""Commands that wait for their answer: what a request means, and what is said when none comes.

Used by chargers and sessions. A request is in the words of OCPP 1.6, whatever the charger speaks. No database
connection is held while a charger is waited for.
"""

import secrets
from collections.abc import Mapping
from typing import Any

import structlog

from api.context import Context
from api.errors import FieldError, Problem, invalid
from api.evcms.schemas.chargers import CommandIn, NamedResult
from protocols.ocpp import remote
from protocols.ocpp.command_rules import status_of
from protocols.ocpp.remote import IntentError
from protocols.ocpp.surface import Version
from storage.queries.charger_views import ChargerView
from stream.bus import ChargerOfflineError, call_charger

log = structlog.get_logger()

# The two words of this API that are not OCPP's own.
_ACTIONS = {"Unlock": "UnlockConnector"}
_DEFAULTS: Mapping[str, dict[str, Any]] = {"Reset": {"type": "Soft"}}


async def send(context: Context, charger: ChargerView, command: CommandIn) -> NamedResult:
    """Send the command and return the charger's answer; raises 400 where there is none.

    422 for what a charger of its version cannot be asked.
    """
    action = _ACTIONS.get(command.command, command.command)
    beside = {"connectorId": command.connector_id, "type": command.type}
    given = {name: value for name, value in beside.items() if value is not None}
    intent = {**_DEFAULTS.get(action, {}), **command.params, **given}
    try:
        order = remote.order(version_of(charger), action, intent, fresh_number())
    except IntentError as error:
        field, _, message = str(error).partition(": ")
        raise invalid("/api/v1", [FieldError(f"params.{field}", message)]) from error
    answer = await call(context, charger, order.action, order.payload)
    result = {"command": command.command, **answer, "status": status_of(answer)}
    return NamedResult.model_validate({**result, "result": result})


def version_of(charger: ChargerView) -> Version:
    """What the charger spoke last; 1.6 for one that has never connected, which then is said to be offline."""
    return Version(charger.ocpp_version or Version.V16)


def fresh_number() -> int:
    """A number that no call to a charger had before, as good as certainly."""
    return secrets.randbelow(remote.NUMBER_MAX) + 1


async def call(
    context: Context, charger: ChargerView, action: str, payload: Mapping[str, Any]
) -> dict[str, Any]:
    """Call the charger; its answer's payload, or 400 with what was wrong and what to do."""
    timeout_s = context.config.charger_answer_s
    name = charger.identity
    try:
        outcome = await call_charger(context.bus, charger.device_id, action, payload, timeout_s)
    except ChargerOfflineError as error:
        details = f"Charger {name} is not connected: {action} was not sent. Try again when it is online"
        raise Problem(400, "Charger is offline", details, "CHARGER_OFFLINE") from error
    log.info("charger_commanded", charger=name, action=action, outcome=outcome.outcome)
    if outcome.outcome == "timeout":
        details = (
            f"Charger {name} did not answer {action} within {timeout_s:g} s and may still carry it out:"
            " look at its status before you send it again"
        )
        raise Problem(400, "Charger did not answer", details, "CHARGER_TIMEOUT")
    if outcome.outcome == "error":
        details = f"{action} was refused with {outcome.code}: {outcome.description or 'no description'}"
        raise Problem(400, "Charger refused the command", details, "CHARGER_ERROR")
    return outcome.payload
