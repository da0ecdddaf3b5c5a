"""Valid frames of all versions, and how to spoil them; used by the mutation tests, pure and over a socket.

Everything follows from a seed: a frame that did harm can be made again from its number.
"""

import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

from protocols.ocpp.schemas import load_schema
from protocols.ocpp.surface import FROM_CHARGER, Version

# A frame that anybody would take for a CALL.
IS_CALL = re.compile(rb"\s*\[\s*2\s*,")
_TIME = "2026-01-02T03:04:05Z"
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_MEMBER = re.compile(rb'"\w+":(?:"[^"]*"|-?\d+|true|false|null)')
_NUMBERS = (
    b"1e400",
    b"-1e400",
    b"9" * 400,
    b"-0",
    b"1e-400",
    b"18446744073709551616",
    b"0.1",
    b"NaN",
    b"- 1",
)
_BYTES = (
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xc3",
    b"\\",
    b'"',
    b",",
    b":",
    b"\n",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"]",
)
_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63 - 1, 2**64 - 1, 1.5, 1e300, "", "x" * 300, "7", "\x00", "\ud7ff", [], {},
    [[]], [{}], {"a": {"b": []}}, _TIME, "1970-01-01T00:00:00", "nan", "2026-02-30T25:00:00Z",
)  # fmt: skip


def valid_frames() -> list[tuple[Version, bytes]]:
    """A CALL of each action of each version, with its required fields alone and with all of them."""
    return [
        (version, json.dumps([2, f"{action}-{is_full}", action, _example(schema, schema, is_full)]).encode())
        for version in Version
        for action in FROM_CHARGER[version]
        for schema in [load_schema(version, action)]
        for is_full in (False, True)
    ]


def _example(schema: dict[str, Any], root: dict[str, Any], is_full: bool) -> Any:
    """The plainest value that keeps `schema`."""
    if "$ref" in schema:
        return _example(root["definitions"][schema["$ref"].rpartition("/")[2]], root, is_full)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object")
    if kind == "object":
        names = schema.get("properties", {}) if is_full else schema.get("required", ())
        return {name: _example(schema["properties"][name], root, is_full) for name in names}
    if kind == "array":
        return [_example(schema["items"], root, is_full)] * max(1, schema.get("minItems", 1))
    if kind == "string":
        return _TIME if schema.get("format") == "date-time" else "7"[: schema.get("maxLength", 1)]
    return {"integer": 1, "number": min(1.5, schema.get("maximum", 1.5)), "boolean": True}[kind]


def mutated(frames: list[tuple[Version, bytes]], seed: int, count: int) -> Iterator[tuple[Version, bytes]]:
    """`count` spoilt frames, one to three faults each."""
    chance = random.Random(seed)
    for _ in range(count):
        version, data = chance.choice(frames)
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            data = chance.choice(_MUTATIONS)(data, chance)
        yield version, data


def _flip(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) or 1)
    return data[:at] + bytes([(data[at] if data else 0) ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def _delete(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) or 1)
    return data[:at] + data[at + chance.choice((1, 1, 2, 8, 40)) :]


def _insert(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) or 1)
    return data[:at] + chance.choice(_BYTES) + data[at:]


def _truncate(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) or 1)]


def _double_member(data: bytes, chance: random.Random) -> bytes:
    """The same name twice in one object, with another value at times."""
    members = list(_MEMBER.finditer(data))
    if not members:
        return data
    member = chance.choice(members)
    name = member[0].partition(b":")[0]
    again = chance.choice((member[0], name + b":null", name + b":[1]"))
    return data[: member.start()] + again + b"," + data[member.start() :]


def _number(data: bytes, chance: random.Random) -> bytes:
    numbers = list(_NUMBER.finditer(data))
    if not numbers:
        return data
    found = chance.choice(numbers)
    return data[: found.start()] + chance.choice(_NUMBERS) + data[found.end() :]


def _nest(data: bytes, chance: random.Random) -> bytes:
    """A value buried under many levels."""
    members = list(_MEMBER.finditer(data))
    if not members:
        return data
    member = chance.choice(members)
    name = member[0].partition(b":")[0]
    depth = chance.choice((2, 30, 70, 300, 2_000))
    deep = (b"[" * depth, b"]" * depth) if chance.random() < 0.5 else (b'{"a":' * depth, b"}" * depth)
    return data[: member.start()] + name + b":" + deep[0] + b"1" + deep[1] + data[member.end() :]


def _swap(data: bytes, chance: random.Random) -> bytes:
    """One value of the frame for another of any type."""
    try:
        parts = json.loads(data)
    except (ValueError, RecursionError):
        return _flip(data, chance)
    place: Any = parts
    while isinstance(place, (dict, list)) and place:
        key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
        inner = place[key]
        if not isinstance(inner, (dict, list)) or not inner or chance.random() < 0.3:
            place[key] = chance.choice(_VALUES)
            break
        place = inner
    return json.dumps(parts).encode()


def _rename(data: bytes, chance: random.Random) -> bytes:
    members = list(_MEMBER.finditer(data))
    if not members:
        return data
    member = chance.choice(members)
    name = member[0].partition(b":")[0]
    return (
        data[: member.start()]
        + chance.choice((name.upper(), b'"extra"', b'""'))
        + data[member.start() + len(name) :]
    )


_MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip,
    _delete,
    _insert,
    _truncate,
    _double_member,
    _number,
    _nest,
    _swap,
    _swap,
    _rename,
)
