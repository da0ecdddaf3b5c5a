"""OMA LwM2M TLV (TS-LightweightM2M 1.1, clause 7.4.3) of the objects that meters have.

Used through `protocols.payloads.DECODERS` ("lwm2m_tlv").

Options: `path` (the path that the payload is of: `/3424/0`; default `/3424`), `clock` (see `times`).
The channel of a value is its object instance.
"""

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from protocols.measurements import CHANNEL_MAX, Decoded, Measurement, Payload
from protocols.payloads.lwm2m_objects import (
    DEVICE,
    FRACTIONAL_TIMESTAMP,
    SERIAL_NUMBER,
    TIMESTAMP,
    WATER_METER,
    resource,
)
from protocols.payloads.names import identity_text
from protocols.payloads.times import Clock, clock_of, trusted
from protocols.samples import DecodeError

ENTRIES_MAX = 10_000
_OBJECT_INSTANCE, _RESOURCE_INSTANCE, _MULTIPLE, _RESOURCE = 0, 1, 2, 3
_PATH = re.compile(r"/(\d{1,5})(?:/(\d{1,5})(?:/(\d{1,5}))?)?/?", re.ASCII)
_FLOATS = {4: ">f", 8: ">d"}
_INTEGER_BYTES = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class _Value:
    """A leaf: its resource, the instance of a multiple resource, its bytes."""

    object_instance: int
    resource_id: int
    resource_instance: int
    raw: bytes


def decode(payload: Payload) -> Decoded:
    """Raises `DecodeError` for what is no TLV, a value whose size its type does not have, a wrong path."""
    match = _PATH.fullmatch(str(payload.options.get("path", f"/{WATER_METER}")))
    if match is None:
        raise DecodeError("options", "path", "is no path such as /3424/0")
    object_id, instance = int(match.group(1)), int(match.group(2) or 0)
    leaves = list(_leaves(payload.data, instance, None))
    if not leaves:
        raise DecodeError("empty", "", "a payload without a resource")
    clock, warnings = clock_of(payload.options), list[str]()
    data: dict[str, dict[str, Any]] = {}
    identity = None
    for leaf in leaves:
        value = _typed(leaf, object_id)
        known = resource(object_id, leaf.resource_id)
        name = known.name if known is not None else str(leaf.resource_id)
        suffix = f"[{leaf.resource_instance}]" if leaf.resource_instance else ""
        data.setdefault(str(leaf.object_instance), {})[name + suffix] = value
        if (object_id, leaf.resource_id) == (DEVICE, SERIAL_NUMBER):
            identity = identity_text(value)
    times = _times(leaves, object_id, clock, payload.heard_at_us, warnings)
    measurements = [each for leaf in leaves for each in _measured(leaf, object_id, times)]
    return Decoded({str(object_id): data}, tuple(measurements), tuple(warnings), identity)


def _leaves(raw: bytes, instance: int, parent: int | None) -> Iterator[_Value]:
    at, count = 0, 0
    while at < len(raw):
        kind, identifier, start, end = _entry(raw, at)
        count += 1
        if count > ENTRIES_MAX:
            raise DecodeError("too_many", f"byte {at}", f"more than {ENTRIES_MAX} entries")
        value = raw[start:end]
        if kind == _OBJECT_INSTANCE and parent is None:
            yield from _leaves_of_instance(value, identifier)
        elif kind == _MULTIPLE and parent is None:
            yield from _leaves(value, instance, identifier)
        elif kind == _RESOURCE_INSTANCE and parent is not None:
            yield _Value(instance, parent, identifier, value)
        elif kind == _RESOURCE and parent is None:
            yield _Value(instance, identifier, 0, value)
        else:
            raise DecodeError("tlv", f"byte {at}", "an entry that does not belong here")
        at = end


def _leaves_of_instance(raw: bytes, instance: int) -> Iterator[_Value]:
    if raw and raw[0] >> 6 == _OBJECT_INSTANCE:
        raise DecodeError("tlv", "", "an object instance inside another")
    yield from _leaves(raw, instance, None)


def _entry(raw: bytes, at: int) -> tuple[int, int, int, int]:
    """(kind, identifier, begin and end of the value) of the entry at `at`."""
    head = raw[at]
    id_bytes = 2 if head & 0x20 else 1
    length_bytes = head >> 3 & 3
    start = at + 1 + id_bytes + length_bytes
    if start > len(raw):
        raise DecodeError("truncated", f"byte {at}", "the payload ends inside an entry's head")
    identifier = int.from_bytes(raw[at + 1 : at + 1 + id_bytes], "big")
    length = int.from_bytes(raw[at + 1 + id_bytes : start], "big") if length_bytes else head & 7
    if start + length > len(raw):
        raise DecodeError("truncated", f"byte {at}", f"{length} bytes of value, {len(raw) - start} are left")
    return head >> 6, identifier, start, start + length


def _typed(leaf: _Value, object_id: int) -> Any:
    """The value as its resource's type; bytes of an unknown resource as hex."""
    known = resource(object_id, leaf.resource_id)
    if known is None:
        return leaf.raw.hex()
    size = len(leaf.raw)
    if known.kind == "string":
        return leaf.raw.decode("utf-8", "replace")
    if known.kind == "float" and size in _FLOATS:
        number = struct.unpack(_FLOATS[size], leaf.raw)[0]
        return number if math.isfinite(number) else None
    if known.kind == "boolean" and size == 1:
        return bool(leaf.raw[0])
    if known.kind in ("integer", "time") and size in _INTEGER_BYTES:
        return int.from_bytes(leaf.raw, "big", signed=True)
    raise DecodeError("tlv", known.name, f"{size} bytes are no {known.kind}")


def _times(
    leaves: list[_Value], object_id: int, clock: Clock, heard_at_us: int, warnings: list[str]
) -> dict[int, int | None]:
    """The timestamp resource of each object instance, with its fraction."""
    found: dict[int, int | None] = {}
    fractions: dict[int, float] = {}
    for leaf in leaves:
        value = _typed(leaf, object_id)
        if leaf.resource_id == TIMESTAMP and isinstance(value, int):
            found[leaf.object_instance] = clock.epoch_us(value)
        elif leaf.resource_id == FRACTIONAL_TIMESTAMP and isinstance(value, float) and 0 <= value < 1:
            fractions[leaf.object_instance] = value
    return {
        instance: trusted(
            None if us is None else us + int(fractions.get(instance, 0.0) * 1_000_000), heard_at_us, warnings
        )
        for instance, us in found.items()
    }


def _measured(leaf: _Value, object_id: int, times: dict[int, int | None]) -> Iterator[Measurement]:
    known = resource(object_id, leaf.resource_id)
    if known is None or known.quantity is None or leaf.resource_instance:
        return
    value = _typed(leaf, object_id)
    if isinstance(value, bool | int | float) and leaf.object_instance <= CHANNEL_MAX:
        ts_us = times.get(leaf.object_instance)
        yield Measurement(known.quantity, float(value) * known.factor, ts_us, leaf.object_instance)
