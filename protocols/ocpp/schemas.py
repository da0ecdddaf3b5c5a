"""Validators of OCPP 1.6 payloads, compiled at import from the JSON schemas that the `ocpp` package ships.

Used by the gateway: what chargers send (`check_request`), what we send them (`check_call`) and what they
answer (`check_result`). Formats are not checked here: `protocols.timestamps` reads date-times its own way.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jsonschema_rs
import orjson

from protocols.ocpp.frames import ErrorCode

# Core profile (OCPP 1.6 section 4): what a charger asks us, and what we ask it.
INBOUND_ACTIONS = frozenset(
    {
        "Authorize",
        "BootNotification",
        "DataTransfer",
        "Heartbeat",
        "MeterValues",
        "StartTransaction",
        "StatusNotification",
        "StopTransaction",
    }
)
OUTBOUND_ACTIONS = frozenset(
    {
        "ChangeAvailability",
        "ChangeConfiguration",
        "ClearCache",
        "DataTransfer",
        "GetConfiguration",
        "RemoteStartTransaction",
        "RemoteStopTransaction",
        "Reset",
        "TriggerMessage",
        "UnlockConnector",
    }
)
# What these tell is kept even when it breaks the schema in form: a refusal would lose it, for chargers
# do not mend a message, they send it again or drop it.
_LENIENT_ACTIONS = frozenset({"BootNotification", "DataTransfer", "StatusNotification", "StopTransaction"})
# Rules that a lenient check leaves out: lengths, vocabularies, fields unheard of.
_FORM_ONLY = frozenset({"additionalProperties", "enum", "maxLength", "minItems"})
# Left to `protocols.ocpp.meter_values`, which refuses sample by sample.
_SAMPLED = "transactionData"

_CODES: Mapping[str, ErrorCode] = MappingProxyType(
    {
        "required": ErrorCode.PROTOCOL_ERROR,  # "payload for Action is incomplete"
        "additionalProperties": ErrorCode.FORMATION_VIOLATION,
        "type": ErrorCode.TYPE_CONSTRAINT_VIOLATION,
        "minItems": ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION,
        "maxItems": ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION,
    }
)


class SchemaError(ValueError):
    """A payload that breaks its schema. `code` is what a CALLERROR says; the message names the field."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def _folder() -> Path:
    """Found without importing the package, which would bring its own router along."""
    spec = find_spec("ocpp")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "v16" / "schemas"


def _relaxed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_relaxed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {} if key == _SAMPLED else _relaxed(value)
        for key, value in schema.items()
        if key not in _FORM_ONLY
    }


def _compile(name: str, *, relaxed: bool = False) -> jsonschema_rs.Draft4Validator:
    schema = orjson.loads((_folder() / f"{name}.json").read_bytes())
    return jsonschema_rs.Draft4Validator(_relaxed(schema) if relaxed else schema, validate_formats=False)


_REQUESTS = {action: _compile(action) for action in sorted(INBOUND_ACTIONS)}
_RELAXED = {
    **{action: _compile(action, relaxed=True) for action in sorted(_LENIENT_ACTIONS)},
    "MeterValues": jsonschema_rs.Draft4Validator({"type": "object"}),  # its decoder judges it alone
}
_CALLS = {action: _compile(action) for action in sorted(OUTBOUND_ACTIONS)}
_RESULTS = {action: _compile(f"{action}Response") for action in sorted(OUTBOUND_ACTIONS)}


def check_request(action: str, payload: Mapping[str, object]) -> bool:
    """Whether a charger's request keeps the schema to the letter; False if it only breaks it in form.

    Raises `SchemaError` if it cannot be used. `action` must be one of `INBOUND_ACTIONS`.
    """
    strict = _REQUESTS[action]
    if strict.is_valid(payload):
        return True
    relaxed = _RELAXED.get(action)
    _check(strict if relaxed is None else relaxed, action, payload)
    return False


def check_call(action: str, payload: Mapping[str, object]) -> None:
    """Raises `SchemaError` unless `payload` may be sent as a request of `action`."""
    if action not in _CALLS:
        raise SchemaError(ErrorCode.NOT_SUPPORTED, f"{action:.60} is not a call that this system sends")
    _check(_CALLS[action], action, payload)


def check_result(action: str, payload: Mapping[str, object]) -> None:
    """Raises `SchemaError` unless `payload` answers a call of `action`."""
    _check(_RESULTS[action], action, payload)


def _check(validator: jsonschema_rs.Draft4Validator, action: str, payload: Mapping[str, object]) -> None:
    error = next(validator.iter_errors(payload), None)
    if error is None:
        return
    where = "/".join(str(step) for step in error.instance_path)
    code = _CODES.get(error.kind.name, ErrorCode.PROPERTY_CONSTRAINT_VIOLATION)
    raise SchemaError(code, f"{action}{'.' if where else ''}{where}: {error.message:.200}")
