"""Validators of all messages, compiled at import from the JSON schemas that the `ocpp` package ships.

Used by the gateway: what chargers send (`check_request`, by way of `protocols.ocpp.quirks`), what we send
them (`check_call`) and what they answer (`check_result`). Only requests of chargers have their date-times
checked: a stamp without a zone is a repair that is counted.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import jsonschema_rs
import orjson

from protocols.ocpp.frames import ErrorCode
from protocols.ocpp.surface import FROM_CHARGER, TO_CHARGER, Version
from protocols.timestamps import is_rfc3339

_FOLDERS = {Version.V16: "v16", Version.V201: "v201", Version.V21: "v21"}
# Asked for a decision, not told: a broken one is refused. The rest is kept even when it breaks the schema in
# form: a refusal would lose it, for chargers do not mend a message, they send it again or drop it.
DECISIONS = frozenset(
    {
        "Authorize",
        "Get15118EVCertificate",
        "GetCertificateChainStatus",
        "GetCertificateStatus",
        "SignCertificate",
        "VatNumberValidation",
    }
)
# Rules that a lenient check leaves out: lengths, vocabularies, ranges, fields unheard of.
_FORM_ONLY = frozenset(
    {"additionalProperties", "enum", "format", "maxItems", "maxLength", "maximum", "minItems", "minimum"}
)
# Of an answer: its words say whether the charger did as it was told.
_FORM_ONLY_OF_ANSWERS = _FORM_ONLY - {"enum"}
# Words without which a message has no meaning: what happened to the transaction (OCPP 2.0.1 part 2, E01).
_KEPT = frozenset({"TransactionEventEnumType"})
# Left to the decoders of meter values, which refuse sample by sample.
SAMPLED = frozenset({"meterValue", "transactionData"})
# OCPP 1.6 ids are 32 bits wide, and ours are positive. Others are met in the field: kept, and counted.
_TRANSACTION_ID = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}

# `protocols.timestamps.is_rfc3339` for the engine of the schemas: a call of Python for each date-time costs
# half as much again as the rest of a check.
_RFC3339 = (
    "^[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    "[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:[.][0-9]{1,9})?"
    "(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])$"
)

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


def _without(schema: Any, rules: frozenset[str]) -> Any:
    """The schema without these rules, and with sampled values left open."""
    if isinstance(schema, list):
        return [_without(item, rules) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {} if key in SAMPLED else value if key in _KEPT else _without(value, rules)
        for key, value in schema.items()
        if key not in rules
    }


def _dated(schema: Any) -> Any:
    """The schema without formats other than date-time: the rest of them says nothing that we rely on."""
    if isinstance(schema, list):
        return [_dated(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _dated(value)
        for key, value in schema.items()
        if key != "format" or isinstance(value, dict) or value == "date-time"
    }


def load_schema(version: Version, action: str, *, is_answer: bool = False) -> Any:
    """The JSON schema of an action's request or answer, as the standard publishes it."""
    names = [f"{action}Response"] if is_answer else [f"{action}Request", action]
    path = next(path for name in names if (path := _folder(version) / f"{name}.json").exists())
    return orjson.loads(path.read_bytes())


def _request_schema(version: Version, action: str) -> Any:
    schema = _dated(load_schema(version, action))
    if version is Version.V16 and "transactionId" in schema["properties"]:
        schema["properties"]["transactionId"] = _TRANSACTION_ID
    return schema


def _patterned(schema: Any) -> Any:
    """A dated schema with a pattern for each date-time: for a yes or no, as its faults name the pattern."""
    if isinstance(schema, list):
        return [_patterned(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "date-time":
        return {**{key: value for key, value in schema.items() if key != "format"}, "pattern": _RFC3339}
    return {key: _patterned(value) for key, value in schema.items()}


def _compile_strict(schema: Any, outline: Validator) -> Validator:
    """A validator for a yes or no alone; that of its outline where it has neither date-times nor samples."""
    patterned = _patterned(schema)
    if patterned == _without(schema, frozenset()):
        return outline
    options = jsonschema_rs.RegexOptions()  # of two engines the faster one, which has no look-around
    validator: Validator = jsonschema_rs.validator_for(
        patterned, validate_formats=False, pattern_options=options
    )
    return validator


def _compile(schema: Any, *, is_dated: bool = False) -> Validator:
    validator: Validator = jsonschema_rs.validator_for(
        schema, validate_formats=is_dated, formats={"date-time": is_rfc3339}
    )
    return validator


@dataclass(frozen=True, slots=True)
class _Validators:
    """Of one version, by action: what the charger sends, strictly (for a yes or no), without its samples, and
    loosely; what we send; its answers, strictly and loosely; the names of a request's fields; our requests'
    schemas.
    """

    requests: Mapping[str, Validator]
    outlines: Mapping[str, Validator]
    relaxed: Mapping[str, Validator]
    calls: Mapping[str, Validator]
    results: Mapping[str, Validator]
    relaxed_results: Mapping[str, Validator]
    fields: Mapping[str, frozenset[str]]
    call_schemas: Mapping[str, Any]


def _validators(version: Version) -> _Validators:
    schemas = {action: _request_schema(version, action) for action in FROM_CHARGER[version]}
    outlines = {
        action: _compile(_without(schema, frozenset()), is_dated=True) for action, schema in schemas.items()
    }
    relaxed = {
        action: outlines[action] if action in DECISIONS else _compile(_without(schema, _FORM_ONLY))
        for action, schema in schemas.items()
    }
    relaxed["MeterValues"] = _compile({"type": "object"})  # its decoder judges it alone
    calls = {action: load_schema(version, action) for action in TO_CHARGER[version]}
    answers = {action: load_schema(version, action, is_answer=True) for action in TO_CHARGER[version]}
    return _Validators(
        {action: _compile_strict(schema, outlines[action]) for action, schema in schemas.items()},
        outlines,
        relaxed,
        {action: _compile(schema) for action, schema in calls.items()},
        {action: _compile(schema) for action, schema in answers.items()},
        {action: _compile(_without(schema, _FORM_ONLY_OF_ANSWERS)) for action, schema in answers.items()},
        {action: frozenset(schema["properties"]) for action, schema in schemas.items()},
        calls,
    )


_VALIDATORS = {version: _validators(version) for version in Version}


def is_strict(version: Version, action: str, payload: Mapping[str, object]) -> bool:
    """Whether a charger's request keeps the schema to the letter, date-times included."""
    return _VALIDATORS[version].requests[action].is_valid(payload)


def request_faults(
    version: Version, action: str, payload: Mapping[str, object]
) -> Iterator[jsonschema_rs.ValidationError]:
    """Each way in which a charger's request breaks the schema, sampled values aside."""
    return iter(_VALIDATORS[version].outlines[action].iter_errors(payload))


def request_fields(version: Version, action: str) -> frozenset[str]:
    """The names that the fields of a charger's request may have."""
    return _VALIDATORS[version].fields[action]


def check_request(version: Version, action: str, payload: Mapping[str, object]) -> bool:
    """Whether a charger's request keeps the schema to the letter; False if it only breaks it in form.

    Raises `SchemaError` if it cannot be used. `action` must be one of `FROM_CHARGER[version]`.
    """
    if is_strict(version, action, payload):
        return True
    _check(_VALIDATORS[version].relaxed[action], action, payload)
    return False


def check_call(version: Version, action: str, payload: Mapping[str, object]) -> None:
    """Raises `SchemaError` unless `payload` may be sent as a request of `action`."""
    validator = _VALIDATORS[version].calls.get(action)
    if validator is None:
        message = f"{action:.60} is not a call that this system sends over OCPP {version}"
        raise SchemaError(ErrorCode.NOT_SUPPORTED, message)
    _check(validator, action, payload)


def in_schema_order(version: Version, action: str, payload: Mapping[str, object]) -> dict[str, object]:
    """A request of ours with its fields in the order of the schema, which some parsers take for granted."""
    schema = _VALIDATORS[version].call_schemas[action]
    ordered: dict[str, object] = _ordered(schema, schema.get("definitions", {}), payload)
    return ordered


def _ordered(schema: Any, definitions: Mapping[str, Any], value: Any) -> Any:
    schema = definitions.get(str(schema.get("$ref", "")).rpartition("/")[2], schema)
    if isinstance(value, list):
        return [_ordered(schema.get("items", {}), definitions, item) for item in value]
    if not isinstance(value, Mapping):
        return value
    known = schema.get("properties", {})
    names = [*(name for name in known if name in value), *(name for name in value if name not in known)]
    return {name: _ordered(known.get(name, {}), definitions, value[name]) for name in names}


def is_strict_result(version: Version, action: str, payload: Mapping[str, object]) -> bool:
    """Whether a charger's answer keeps the schema to the letter."""
    return _VALIDATORS[version].results[action].is_valid(payload)


def result_faults(
    version: Version, action: str, payload: Mapping[str, object]
) -> Iterator[jsonschema_rs.ValidationError]:
    """Each way in which a charger's answer breaks the schema."""
    return iter(_VALIDATORS[version].results[action].iter_errors(payload))


def check_result(version: Version, action: str, payload: Mapping[str, object]) -> None:
    """Raises `SchemaError` unless `payload` answers a call of `action`, if not in form."""
    _check(_VALIDATORS[version].relaxed_results[action], action, payload)


def _check(validator: Validator, action: str, payload: Mapping[str, object]) -> None:
    error = next(iter(validator.iter_errors(payload)), None)
    if error is None:
        return
    where = "/".join(str(step) for step in error.instance_path)
    code = _CODES.get(error.kind.name, ErrorCode.PROPERTY_CONSTRAINT_VIOLATION)
    raise SchemaError(code, f"{action}{'.' if where else ''}{where}: {error.message:.200}")
