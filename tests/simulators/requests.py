"""Requests that keep a message's JSON schema, by dice: the fields it requires, and some of the others."""

import random
from pathlib import Path
from typing import Any

import orjson
from ocpp import messages

from protocols.ocpp.surface import Version

SOON = "2030-01-01T00:00:00.000Z"
SCHEMAS = {Version.V16: "v16", Version.V201: "v201", Version.V21: "v21"}


def schema_of(version: Version, action: str) -> dict[str, Any]:
    folder = Path(messages.__file__).parent / SCHEMAS[version] / "schemas"
    path = next(
        path for path in (folder / f"{action}Request.json", folder / f"{action}.json") if path.exists()
    )
    schema: dict[str, Any] = orjson.loads(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    return schema


def request_of(version: Version, action: str, rng: random.Random | None = None) -> dict[str, Any]:
    """The shortest request; with dice, one with some optional fields and any words."""
    schema = schema_of(version, action)
    made = _make(schema, schema.get("definitions", {}), rng)
    assert isinstance(made, dict)
    return made


def _make(  # noqa: PLR0911  # a line for each kind
    schema: dict[str, Any], definitions: dict[str, Any], rng: random.Random | None
) -> Any:
    if "$ref" in schema:
        return _make(definitions[schema["$ref"].rpartition("/")[2]], definitions, rng)
    if "enum" in schema:
        return rng.choice(schema["enum"]) if rng else schema["enum"][0]
    match schema.get("type"):
        case "object":
            required = schema.get("required", ())
            return {
                name: _make(field, definitions, rng)
                for name, field in schema.get("properties", {}).items()
                if name in required or (rng is not None and name != "customData" and rng.random() < 0.4)
            }
        case "array":
            count = max(1, schema.get("minItems", 1)) if rng is None else rng.randint(1, 2)
            return [_make(schema["items"], definitions, rng) for _ in range(count)]
        case "string":
            return SOON if schema.get("format") == "date-time" else "x"
        case "integer":
            return max(int(schema.get("minimum", 0)), rng.choice((0, 1, 2)) if rng else 1)
        case "number":
            return min(schema.get("maximum", 16.0), rng.choice((0.0, 16.0)) if rng else 16.0)
        case "boolean":
            return rng.choice((True, False)) if rng else True
    return "x"
