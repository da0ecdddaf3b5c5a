"""Raw binary payloads, read by a layout: fixed fields, many back-dated samples, checksum, identity.

Used through `protocols.payloads.DECODERS` ("binary").

Options: `layout` (a layout, see `binary_layout`, or the name of one of `layouts`), `clock` (see `times`),
`step_s` (between the items of groups, in place of the layout's).
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from protocols.measurements import MEASUREMENTS_MAX, Decoded, Measurement, Payload
from protocols.payloads.binary_layout import (
    BYTES_MAX,
    ITEMS_MAX,
    Checksum,
    Field,
    Group,
    Layout,
    Source,
    TimeField,
    read_layout,
    wrong,
)
from protocols.payloads.checksums import CRC16
from protocols.payloads.layouts import LAYOUTS
from protocols.payloads.names import identity_text
from protocols.payloads.times import WARNINGS_MAX, Clock, clock_of, place, series_options, trusted
from protocols.samples import DecodeError
from protocols.timestamps import US_PER_SECOND

_READY = {name: read_layout(each) for name, each in LAYOUTS.items()}
_CENTURY = 2000
_Raw = int | float | str | None


@dataclass(slots=True)
class _Reading:
    """What one payload has said so far."""

    raw: bytes
    heard_at_us: int
    clock: Clock
    time_us: int | None = None
    measurements: list[Measurement] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    raws: dict[str, Decimal] = field(default_factory=dict)

    def warn(self, text: str) -> None:
        if len(self.warnings) < WARNINGS_MAX:
            self.warnings.append(text)


def decode(payload: Payload) -> Decoded:
    """Raises `DecodeError`: a layout that is wrong, a payload that is too short for it, a checksum."""
    return read(payload, layout_of(payload.options))[0]


def read(payload: Payload, layout: Layout) -> tuple[Decoded, int | None]:
    """The payload by a layout, and the payload's own time where it has one that can be trusted."""
    if len(payload.data) > BYTES_MAX:
        raise DecodeError("too_large", "", f"{len(payload.data)} bytes, at most {BYTES_MAX} are read")
    reading = _Reading(payload.data, payload.heard_at_us, clock_of(payload.options))
    if layout.checksum is not None:
        _check(payload.data, layout.checksum)
    if layout.time is not None:
        found = _time(reading.raw, layout.time, reading.clock)
        reading.time_us = trusted(found, reading.heard_at_us, reading.warnings)
    fields, groups = list(layout.fields), list(layout.groups)
    for case in layout.cases:
        if _raw(payload.data, case.source, "when") == case.equals:
            fields += case.fields
            groups += case.groups
    step_s, _ = series_options(payload.options)
    if step_s is not None:
        groups = [replace(each, step_s=step_s) for each in groups]
    data: dict[str, Any] = {"fields": _fields(reading, fields)}
    if groups:
        data["groups"] = [list(_group(reading, group)) for group in groups]
    identity = (
        None if layout.identity is None else identity_text(_raw(payload.data, layout.identity, "identity"))
    )
    decoded = Decoded(data, tuple(reading.measurements), tuple(reading.warnings), identity)
    return decoded, reading.time_us


def layout_of(options: Mapping[str, Any]) -> Layout:
    """The profile's layout, checked. Raises `DecodeError` (`layout`) that names the wrong field."""
    value = options.get("layout")
    if isinstance(value, str):
        ready = _READY.get(value)
        if ready is None:
            raise wrong("layout", f"{value[:80]!r} is none of {', '.join(_READY)}")
        return ready
    return read_layout(value)


def _check(raw: bytes, checksum: Checksum) -> None:
    said = _raw(raw, checksum.source, "checksum")
    if CRC16[checksum.name](raw[checksum.start : checksum.end]) != said:
        raise DecodeError("checksum", "checksum", f"{checksum.name} is not {said:04X}")


def _fields(reading: _Reading, fields: Sequence[Field]) -> dict[str, _Raw]:
    values: dict[str, _Raw] = {}
    for each in fields:
        raw = _raw(reading.raw, each.source, each.name)
        values[each.name] = _value(raw, each)
        if isinstance(raw, int) and raw not in each.invalid:
            reading.raws[each.name] = Decimal(raw)
        _store(reading, each, values[each.name], reading.time_us)
    return values


def _value(raw: _Raw, each: Field) -> _Raw:
    if raw is None or isinstance(raw, str):
        return raw
    return None if raw in each.invalid or not math.isfinite(raw) else _scaled(Decimal(raw), each)


def _scaled(raw: Decimal, each: Field) -> float | None:
    """Exact until the end, so that 123 x 0.1 is 12.3."""
    value = float(raw * each.scale + each.offset)
    return value if math.isfinite(value) else None


def _store(reading: _Reading, each: Field, value: _Raw, ts_us: int | None) -> None:
    if each.quantity is None or not isinstance(value, int | float):
        return
    reading.measurements.append(Measurement(each.quantity, float(value), ts_us, each.channel))
    if len(reading.measurements) > MEASUREMENTS_MAX:
        raise DecodeError("too_many", each.name, f"more than {MEASUREMENTS_MAX} values")


def _group(reading: _Reading, group: Group) -> Iterator[dict[str, _Raw]]:
    items = _items(reading, group)
    times = [None if group.time is None else _time(item, group.time, reading.clock) for item in items]
    age = 0 if group.step_s is None else int(group.first_age * group.step_s * US_PER_SECOND)
    reference = reading.heard_at_us if reading.time_us is None or group.time is not None else reading.time_us
    warnings: list[str] = reading.warnings if group.time is not None else []
    placed = place(
        times, reference - age, step_s=group.step_s, newest_first=group.newest_first, warnings=warnings
    )
    running = dict(reading.raws)
    for item, ts_us in zip(items, placed, strict=True):
        values: dict[str, _Raw] = {}
        for each in group.fields:
            raw = _raw(item, each.source, each.name)
            if each.delta_of is None:
                values[each.name] = _value(raw, each)
            else:
                register = _counted(raw, each, running, is_back=group.newest_first)
                values[each.name] = None if register is None else _scaled(register, each)
            if ts_us is not None:
                _store(reading, each, values[each.name], ts_us)
        yield values


def _counted(raw: _Raw, each: Field, running: dict[str, Decimal], *, is_back: bool) -> Decimal | None:
    """A register from the difference to the one before; once a difference is missing, so is the rest."""
    last = running.get(each.delta_of or "")
    if last is None or not isinstance(raw, int) or raw in each.invalid:
        running.pop(each.delta_of or "", None)
        return None
    now = last - raw if is_back else last + raw
    running[each.delta_of or ""] = now
    return now


def _items(reading: _Reading, group: Group) -> list[bytes]:
    end = len(reading.raw) - group.tail
    room = max(end - group.at, 0)
    if group.count is None:
        count = room // group.size
        if room % group.size:
            reading.warn(f"{room % group.size} bytes behind the last item are not read")
    else:
        said = group.count if isinstance(group.count, int) else _raw(reading.raw, group.count, "count")
        count = said if isinstance(said, int) else 0
    if count > ITEMS_MAX or count * group.size > room:
        raise DecodeError(
            "truncated", "groups", f"{count} items of {group.size} bytes, {room} bytes are there"
        )
    items = [reading.raw[group.at + index * group.size :][: group.size] for index in range(count)]
    if group.empty_byte is None:
        return items
    return [item for item in items if item != bytes([group.empty_byte]) * group.size]


def _time(raw: bytes, each: TimeField, clock: Clock) -> int | None:
    if each.source.kind.startswith("calendar"):
        return _calendar(_bytes(raw, each.source, "time"), each.source.kind == "calendar_bcd", clock)
    value = _raw(raw, each.source, "time")
    if not isinstance(value, int):
        return None
    seconds = Decimal(value) * each.unit_s + each.epoch_s
    return clock.epoch_us(float(seconds), is_seconds=True)


def _calendar(raw: bytes, is_bcd: bool, clock: Clock) -> int | None:
    numbers = [_bcd(raw[index : index + 1]) if is_bcd else raw[index] for index in range(6)]
    if any(each is None for each in numbers):
        return None
    year, month, day, hour, minute, second = (each or 0 for each in numbers)
    try:
        return clock.wall_us(datetime(_CENTURY + year, month, day, hour, minute, second))  # noqa: DTZ001
    except ValueError:
        return None


def _bytes(raw: bytes, source: Source, name: str) -> bytes:
    at = source.at if source.at >= 0 else len(raw) + source.at
    if at < 0 or at + source.size > len(raw):
        raise DecodeError("truncated", name, f"bytes {source.at} to {source.at + source.size} of {len(raw)}")
    return raw[at : at + source.size]


def _raw(raw: bytes, source: Source, name: str) -> _Raw:
    part = _bytes(raw, source, name)
    if source.kind in ("unsigned", "signed"):
        number = int.from_bytes(part, source.endian, signed=source.kind == "signed")
        if source.bits is None:
            return number
        return number >> source.bits[0] & ((1 << source.bits[1]) - 1)
    if source.kind == "float":
        order = ">" if source.endian == "big" else "<"
        real: float = struct.unpack(order + ("f" if source.size == 4 else "d"), part)[0]
        return real
    if source.kind == "bcd":
        return _bcd(part if source.endian == "big" else part[::-1])
    return _text(part, source.kind)


def _text(part: bytes, kind: str) -> str | None:
    if kind == "ascii":
        text = part.strip(b"\0 ").decode("ascii", "replace")
        return text if text.isprintable() else None
    digits = part.hex()
    if kind != "imei":
        return digits
    digits = digits[1:] if digits[0] in "0f" else digits[:15]
    return digits if digits.isdecimal() else None


def _bcd(part: bytes) -> int | None:
    digits = part.hex()
    return int(digits) if digits.isdecimal() else None
