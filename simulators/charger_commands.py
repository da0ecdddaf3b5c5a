"""What a central system orders a simulated charger: checked, carried out and answered.

Used by `simulators.charger`. The tables of actions are `simulators.v16.commands` and
`simulators.v2.commands`; a handler returns the answer's payload and what is to happen once it has left.
"""

from typing import TYPE_CHECKING

from protocols.ocpp.frames import Call, ErrorCode, serialise_error, serialise_result
from protocols.ocpp.schemas import SchemaError, check_call
from protocols.ocpp.surface import TO_CHARGER
from simulators.answers import Afterwards
from simulators.v2.commands import HANDLERS as HANDLERS_2
from simulators.v16.commands import HANDLERS as HANDLERS_16

if TYPE_CHECKING:
    from simulators.charger import ChargePoint


def obey(charger: "ChargePoint", call: Call) -> tuple[str, Afterwards]:
    """The answering frame, and what is to happen once it has left."""
    if call.action not in TO_CHARGER[charger.version]:
        return _refuse(charger, call, ErrorCode.NOT_IMPLEMENTED, f"{call.action} is unknown here"), None
    try:
        check_call(charger.version, call.action, call.payload)
    except SchemaError as wrong:
        return _refuse(charger, call, wrong.code, str(wrong)), None
    handlers = HANDLERS_2 if charger.version.is_2 else HANDLERS_16
    payload, afterwards = handlers[call.action](charger, call.payload)
    return serialise_result(call.message_id, payload).decode(), afterwards


def _refuse(charger: "ChargePoint", call: Call, code: ErrorCode, description: str) -> str:
    return serialise_error(call.message_id, code.spelled(charger.version), description).decode()
