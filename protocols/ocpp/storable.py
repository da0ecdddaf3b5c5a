"""What of a message may be stored: texts that the database takes, and no secrets.

Used where payloads become rows or events: `ingest.ocpp.jobs`, `ingest.ocpp.variables`, `ingest.ocpp.results`.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from protocols.ocpp.redaction import hide_secrets

DEPTH_MAX = 32


def clipped(text: str, characters_max: int) -> str:
    """At most so many characters, and none that PostgreSQL's text cannot hold."""
    return text[:characters_max].replace("\0", "\ufffd").encode(errors="replace").decode()


def storable(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The payload as jsonb can hold it; what lies deeper than `DEPTH_MAX` is None."""
    return {_clean_text(name): _clean(value, DEPTH_MAX) for name, value in payload.items()}


def shown(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The payload as jsonb can hold it, with its passwords and keys hidden."""
    hidden: dict[str, Any] = orjson.loads(hide_secrets(orjson.dumps(storable(payload))))
    return hidden


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, (dict, list)) and depth == 0:
        return None
    if isinstance(value, dict):
        return {_clean_text(name): _clean(inner, depth - 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_clean(inner, depth - 1) for inner in value]
    return value


def _clean_text(text: str) -> str:
    return clipped(text, len(text))
