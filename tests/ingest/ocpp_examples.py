"""Messages that the schemas of OCPP take: required fields only or all, the first word of each vocabulary."""

from typing import Any

from protocols.ocpp.schemas import load_schema
from protocols.ocpp.surface import Version

TIME = "2026-01-02T03:04:05Z"
LEAST: dict[str, Any] = {"integer": 1, "number": 1.5, "boolean": True}


def least_request(version: Version, action: str) -> dict[str, Any]:
    """Only what is required."""
    return _request(version, action, is_full=False)


def full_request(version: Version, action: str) -> dict[str, Any]:
    """Every field that there is."""
    return _request(version, action, is_full=True)


def example_answer(version: Version, action: str, *, is_full: bool) -> dict[str, Any]:
    """Of a charger to a call of ours: every field that there is, or only what is required."""
    return _of(load_schema(version, action, is_answer=True), is_full=is_full)


def _request(version: Version, action: str, *, is_full: bool) -> dict[str, Any]:
    return _of(load_schema(version, action), is_full=is_full)


def _of(schema: Any, *, is_full: bool) -> dict[str, Any]:
    example = _example(schema, schema.get("definitions", {}), is_full)
    assert isinstance(example, dict)
    return example


def _example(schema: Any, definitions: dict[str, Any], is_full: bool) -> Any:
    if "$ref" in schema:
        return _example(definitions[schema["$ref"].rpartition("/")[2]], definitions, is_full)
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        names = properties.keys() - {"customData"} if is_full else schema.get("required", [])
        return {name: _example(properties[name], definitions, is_full) for name in sorted(names)}
    if schema.get("type") == "array":
        return [_example(schema["items"], definitions, is_full)] * schema.get("minItems", 1)
    if schema.get("type") == "string":
        return TIME if schema.get("format") == "date-time" else "text"[: schema.get("maxLength")]
    least = max(LEAST.get(schema.get("type"), 1), schema.get("minimum", 0))
    return min(least, schema.get("maximum", least))
