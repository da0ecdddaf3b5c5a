"""What a central system may order a simulated charger to do: OCPP 1.6 section 5, core profile and triggers.

Used by `simulators.charger`. One literal table: action to request and handler. A handler returns the answer's
payload and what is to happen after the answer has left.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from protocols.ocpp.frames import Call, ErrorCode, serialise_error, serialise_result
from simulators.charger_settings import VENDOR

if TYPE_CHECKING:
    from simulators.charger import ChargePoint

Answer = tuple[dict[str, object], Callable[[], None] | None]


class _Request(msgspec.Struct, rename="camel"):
    pass


class _RemoteStart(_Request):
    id_tag: str
    connector_id: int | None = None


class _RemoteStop(_Request):
    transaction_id: int


class _Reset(_Request):
    type: Literal["Soft", "Hard"]


class _Unlock(_Request):
    connector_id: int


class _ChangeAvailability(_Request):
    connector_id: int
    type: Literal["Operative", "Inoperative"]


class _GetConfiguration(_Request):
    key: list[str] = []


class _ChangeConfiguration(_Request):
    key: str
    value: str


class _Trigger(_Request):
    requested_message: str
    connector_id: int | None = None


class _DataTransfer(_Request):
    vendor_id: str
    message_id: str | None = None
    data: str | None = None


def _remote_start(charger: "ChargePoint", request: _RemoteStart) -> Answer:
    is_accepted = charger.remote_start(request.id_tag, request.connector_id)
    return _status("Accepted" if is_accepted else "Rejected"), None


def _remote_stop(charger: "ChargePoint", request: _RemoteStop) -> Answer:
    connector = charger.connector_of(request.transaction_id)
    if connector is None:
        return _status("Rejected"), None
    return _status("Accepted"), lambda: connector.stop("Remote")


def _reset(charger: "ChargePoint", request: _Reset) -> Answer:
    return _status("Accepted"), lambda: charger.reset(request.type)


def _unlock(charger: "ChargePoint", request: _Unlock) -> Answer:
    connector = charger.connectors.get(request.connector_id)
    return _status("NotSupported" if connector is None else connector.unlock()), None


def _change_availability(charger: "ChargePoint", request: _ChangeAvailability) -> Answer:
    found = [c for n, c in charger.connectors.items() if request.connector_id in {0, n}]
    answers = {c.set_operative(is_operative=request.type == "Operative") for c in found}
    return _status("Scheduled" if "Scheduled" in answers else "Accepted" if found else "Rejected"), None


def _get_configuration(charger: "ChargePoint", request: _GetConfiguration) -> Answer:
    return charger.configuration.report(request.key), None


def _change_configuration(charger: "ChargePoint", request: _ChangeConfiguration) -> Answer:
    status = charger.configuration.change(request.key, request.value)
    return _status(status), charger.configuration_changed if status == "Accepted" else None


def _trigger(charger: "ChargePoint", request: _Trigger) -> Answer:
    trigger = charger.triggers.get(request.requested_message)
    if trigger is None:
        return _status("NotImplemented"), None
    number = request.connector_id
    if number is not None and number not in {0, *charger.connectors}:
        return _status("Rejected"), None
    return _status("Accepted"), lambda: trigger(number)


def _clear_cache(_charger: "ChargePoint", _request: _Request) -> Answer:
    return _status("Accepted"), None


def _data_transfer(_charger: "ChargePoint", request: _DataTransfer) -> Answer:
    if request.vendor_id != VENDOR:
        return _status("UnknownVendorId"), None
    if request.message_id != "Echo":
        return _status("UnknownMessageId"), None
    return _status("Accepted") | ({} if request.data is None else {"data": request.data}), None


def _status(status: str) -> dict[str, object]:
    return {"status": status}


_HANDLERS: Mapping[str, tuple[type[_Request], Callable[[Any, Any], Answer]]] = {
    "ChangeAvailability": (_ChangeAvailability, _change_availability),
    "ChangeConfiguration": (_ChangeConfiguration, _change_configuration),
    "ClearCache": (_Request, _clear_cache),
    "DataTransfer": (_DataTransfer, _data_transfer),
    "GetConfiguration": (_GetConfiguration, _get_configuration),
    "RemoteStartTransaction": (_RemoteStart, _remote_start),
    "RemoteStopTransaction": (_RemoteStop, _remote_stop),
    "Reset": (_Reset, _reset),
    "TriggerMessage": (_Trigger, _trigger),
    "UnlockConnector": (_Unlock, _unlock),
}


def obey(charger: "ChargePoint", call: Call) -> tuple[str, Callable[[], None] | None]:
    """The answering frame, and what is to happen once it has left."""
    if call.action not in _HANDLERS:
        error = serialise_error(call.message_id, ErrorCode.NOT_IMPLEMENTED, f"{call.action} is unknown here")
        return error.decode(), None
    shape, handler = _HANDLERS[call.action]
    try:
        request = msgspec.convert(call.payload, shape)
    except msgspec.ValidationError as wrong:
        code = ErrorCode.TYPE_CONSTRAINT_VIOLATION
        return serialise_error(call.message_id, code, str(wrong)).decode(), None
    payload, afterwards = handler(charger, request)
    return serialise_result(call.message_id, payload).decode(), afterwards
