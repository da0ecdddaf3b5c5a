"""Validators of all messages, compiled at import from the JSON schemas that the `ocpp` package ships.

Used by the gateway: what chargers send (`check_request`), what we send them (`check_call`) and what they
answer (`check_result`). Formats are not checked here: `protocols.timestamps` reads date-times its own way.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import jsonschema_rs
import orjson

from protocols.ocpp.frames import ErrorCode
from protocols.ocpp.surface import FROM_CHARGER, TO_CHARGER, Version

_FOLDERS = {Version.V16: "v16", Version.V201: "v201", Version.V21: "v21"}
# Asked for a decision, not told: a broken one is refused.
_OF_AUTHORITY = frozenset({"Authorize", "Get15118EVCertificate", "GetCertificateStatus", "SignCertificate"})
# What these tell is kept even when it breaks the schema in form: a refusal would lose it, for chargers
# do not mend a message, they send it again or drop it.
_LENIENT_ACTIONS: Mapping[Version, frozenset[str]] = MappingProxyType(
    {
        Version.V16: frozenset(
            {
                "BootNotification",
                "DataTransfer",
                "DiagnosticsStatusNotification",
                "FirmwareStatusNotification",
                "LogStatusNotification",
                "SecurityEventNotification",
                "SignedFirmwareStatusNotification",
                "StatusNotification",
                "StopTransaction",
            }
        ),
        Version.V201: frozenset(FROM_CHARGER[Version.V201]) - _OF_AUTHORITY,
        Version.V21: frozenset(FROM_CHARGER[Version.V21]) - _OF_AUTHORITY,
    }
)
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


class Validator(Protocol):
    """What the validators of all drafts of JSON Schema have in common: 1.6 has two, 2.x a third."""

    def is_valid(self, instance: Any) -> bool:
        """Whether `instance` keeps the schema."""

    def iter_errors(self, instance: Any) -> Iterable[jsonschema_rs.ValidationError]:
        """Each way in which it does not."""


class SchemaError(ValueError):
    """A payload that breaks its schema. `code` is what a CALLERROR says; the message names the field."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def _folder(version: Version) -> Path:
    """Found without importing the package, which would bring its own router along."""
    spec = find_spec("ocpp")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / _FOLDERS[version] / "schemas"


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


def _load(version: Version, action: str, *, is_answer: bool = False) -> Any:
    names = [f"{action}Response"] if is_answer else [f"{action}Request", action]
    path = next(path for name in names if (path := _folder(version) / f"{name}.json").exists())
    return orjson.loads(path.read_bytes())


def _compile(schema: Any) -> Validator:
    validator: Validator = jsonschema_rs.validator_for(schema, validate_formats=False)
    return validator


@dataclass(frozen=True, slots=True)
class _Validators:
    """Of one version, by action: what the charger sends, strictly and loosely; what we send; its answers."""

    requests: Mapping[str, Validator]
    relaxed: Mapping[str, Validator]
    calls: Mapping[str, Validator]
    results: Mapping[str, Validator]


def _validators(version: Version) -> _Validators:
    requests = {action: _load(version, action) for action in FROM_CHARGER[version]}
    lenient = requests.keys() & _LENIENT_ACTIONS[version]
    relaxed = {action: _compile(_relaxed(requests[action])) for action in lenient}
    relaxed["MeterValues"] = _compile({"type": "object"})  # its decoder judges it alone
    return _Validators(
        {action: _compile(schema) for action, schema in requests.items()},
        relaxed,
        {action: _compile(_load(version, action)) for action in TO_CHARGER[version]},
        {action: _compile(_load(version, action, is_answer=True)) for action in TO_CHARGER[version]},
    )


_VALIDATORS = {version: _validators(version) for version in Version}


def check_request(version: Version, action: str, payload: Mapping[str, object]) -> bool:
    """Whether a charger's request keeps the schema to the letter; False if it only breaks it in form.

    Raises `SchemaError` if it cannot be used. `action` must be one of `FROM_CHARGER[version]`.
    """
    validators = _VALIDATORS[version]
    strict = validators.requests[action]
    if strict.is_valid(payload):
        return True
    _check(validators.relaxed.get(action, strict), action, payload)
    return False


def check_call(version: Version, action: str, payload: Mapping[str, object]) -> None:
    """Raises `SchemaError` unless `payload` may be sent as a request of `action`."""
    validator = _VALIDATORS[version].calls.get(action)
    if validator is None:
        message = f"{action:.60} is not a call that this system sends over OCPP {version}"
        raise SchemaError(ErrorCode.NOT_SUPPORTED, message)
    _check(validator, action, payload)


def check_result(version: Version, action: str, payload: Mapping[str, object]) -> None:
    """Raises `SchemaError` unless `payload` answers a call of `action`."""
    _check(_VALIDATORS[version].results[action], action, payload)


def _check(validator: Validator, action: str, payload: Mapping[str, object]) -> None:
    error = next(iter(validator.iter_errors(payload)), None)
    if error is None:
        return
    where = "/".join(str(step) for step in error.instance_path)
    code = _CODES.get(error.kind.name, ErrorCode.PROPERTY_CONSTRAINT_VIOLATION)
    raise SchemaError(code, f"{action}{'.' if where else ''}{where}: {error.message:.200}")
