"""DLMS/COSEM push: DataNotification APDUs of meters, plain or ciphered.

Used through `protocols.payloads.DECODERS`. The body is read as what it holds: pairs of OBIS code and value
(with or without scaler and unit), a push object list with its values, a list by position, or rows of a
profile buffer. `Payload.key` is the global unicast encryption key.

Options: `authentication_key` (bytes or hex), `clock` (of clocks without deviation, see `times`),
`objects` (OBIS codes by position for lists without any; own scaler, unit, quantity or channel of a code),
`columns` (what the rows of a buffer hold), `step_s` (between rows whose clock is null).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from protocols.measurements import MEASUREMENTS_MAX, Decoded, Measurement, Payload
from protocols.payloads import dlms_objects
from protocols.payloads.dlms_data import (
    ARRAY,
    CLOCK_BYTES,
    DATE_TIME,
    ENUM,
    INTEGER,
    LONG_UNSIGNED,
    NULL,
    OCTET_STRING,
    STRUCTURE,
    Data,
    Reader,
    clock_us,
)
from protocols.payloads.dlms_frames import DATA_NOTIFICATION, apdus, opened
from protocols.payloads.dlms_objects import Obis, Object, objects_of
from protocols.payloads.times import WARNINGS_MAX, Clock, clock_of, place, series_options, to_text, trusted
from protocols.quantities import CODES, QUANTITIES
from protocols.samples import DecodeError

_VALUE_ATTRIBUTE, _SCALER_UNIT_ATTRIBUTE = 2, 3
# Medium 0 or 1: serial numbers, in the order in which they are believed.
_SERIALS = ((0, 96, 1, 0), (1, 0, 0, 5), (0, 42, 0, 0), (1, 0, 0, 0))
_SERIAL_MAX = 64


@dataclass(frozen=True, slots=True)
class _Entry:
    """One object of the body with its value."""

    obis: Obis
    value: Data
    scaler: int | None = None
    unit: int | None = None


@dataclass(slots=True)
class _Push:
    """What one datagram has said so far."""

    options: Mapping[str, Any]
    clock: Clock
    heard_at_us: int
    own: Mapping[Obis, Object]
    measurements: list[Measurement] = field(default_factory=list)
    data: list[Any] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    serial: str | None = None

    def warn(self, text: str) -> None:
        if text not in self.warnings and len(self.warnings) < WARNINGS_MAX:
            self.warnings.append(text)


def decode(payload: Payload) -> Decoded:
    """Every notification in a datagram. The identity is the system title in hex, else the meter's serial.

    Raises `DecodeError`: no frame, no key, not authentic, no DataNotification, data that is none.
    """
    own = {each.obis: each for each in objects_of(payload.options, "objects") if each.obis is not None}
    push = _Push(payload.options, clock_of(payload.options), payload.heard_at_us, own)
    title: bytes | None = None
    authentication_key = _authentication_key(payload.options)
    for apdu in apdus(payload.data):
        plain, ciphered, is_verified = opened(apdu, payload.key, authentication_key)
        if ciphered is not None:
            title = ciphered.system_title
            if not is_verified:
                push.warn("the payload is not authenticated")
        _notification(plain, push, is_ciphered=ciphered is not None)
    identity = title.hex().upper() if title else push.serial
    return Decoded(push.data, tuple(push.measurements), tuple(push.warnings), identity)


def _authentication_key(options: Mapping[str, Any]) -> bytes | None:
    key = options.get("authentication_key")
    try:
        return bytes.fromhex(key) if isinstance(key, str) else key
    except ValueError:
        raise DecodeError("options", "authentication_key", "is no hexadecimal text") from None


def _notification(apdu: bytes, push: _Push, *, is_ciphered: bool) -> None:
    """IEC 62056-5-3: tag, long-invoke-id-and-priority, date-time, body."""
    reader = Reader(apdu)
    if not apdu or reader.byte() != DATA_NOTIFICATION:
        reason = "wrong key" if is_ciphered else "no DataNotification"
        raise DecodeError(
            "key" if is_ciphered else "apdu", "", f"{reason}: the APDU begins with {apdu[:1].hex()!r}"
        )
    invoke_id = int.from_bytes(reader.take(4), "big") & 0xFFFFFF
    size = reader.byte()
    if size == OCTET_STRING:  # Kaifa sends the time as tagged data
        size = reader.byte()
    if size not in (0, CLOCK_BYTES):
        raise DecodeError("apdu", "date-time", f"{size} bytes, a date-time has {CLOCK_BYTES} or none")
    notified_us = trusted(clock_us(reader.take(size), push.clock), push.heard_at_us, push.warnings)
    body = reader.data()
    push.data.append(
        {
            "invoke_id": invoke_id,
            "date_time": None if notified_us is None else to_text(notified_us),
            "body": _json(body),
        }
    )
    _body(body, notified_us, push)


def _body(body: Data, notified_us: int | None, push: _Push) -> None:
    columns = objects_of(push.options, "columns")
    if _is_buffer(body):
        _buffer(body, columns, push)
        return
    entries = list(_entries(body, push))
    if not entries:
        entries = list(_by_position(body, push.options))
    if not entries:
        push.warn("no OBIS codes in the body: name them by position in the option objects")
    entries = _scaled(entries, body)
    ts_us = notified_us
    for entry in entries:
        if (
            entry.obis[0] == 0
            and entry.obis[2:5] == dlms_objects.CLOCK
            and isinstance(entry.value.value, bytes)
        ):
            own_us = clock_us(entry.value.value, push.clock)
            ts_us = trusted(own_us, push.heard_at_us, push.warnings) or notified_us
    for entry in entries:
        if _is_buffer(entry.value):
            _buffer(entry.value, columns, push)
        else:
            _take(entry, ts_us, push)
            _serial(entry, push)


def _entries(data: Data, push: _Push) -> Iterator[_Entry]:
    """Pairs of code and value wherever they stand, and the values behind a push object list."""
    items = data.items
    at = 0
    if items and _is_object_list(items[0]):
        yield from _listed(items[0], items[1:])
        return
    while at < len(items):
        code = items[at]
        if code.tag == OCTET_STRING and isinstance(code.value, bytes) and dlms_objects.is_obis(code.value):
            if at + 1 >= len(items):
                push.warn("the last OBIS code has no value")
                return
            a, b, c, d, e, f = code.value
            scaler, unit = _scaler_unit(items[at + 2]) if at + 2 < len(items) else (None, None)
            yield _Entry((a, b, c, d, e, f), items[at + 1], scaler, unit)
            at += 2 if scaler is None else 3
        else:
            yield from _entries(code, push)
            at += 1


def _is_object_list(data: Data) -> bool:
    """The first element of a push: an array of class, logical name, attribute and index."""
    return data.tag == ARRAY and bool(data.items) and all(_is_descriptor(each) for each in data.items)


def _is_descriptor(data: Data) -> bool:
    tags = [each.tag for each in data.items[:4]]
    is_one = data.tag == STRUCTURE and tags == [LONG_UNSIGNED, OCTET_STRING, INTEGER, LONG_UNSIGNED]
    return is_one and dlms_objects.is_obis(data.items[1].value)


def _listed(objects: Data, values: Sequence[Data]) -> Iterator[_Entry]:
    scalers: dict[bytes, tuple[int | None, int | None]] = {}
    named = [
        (each.items[1].value, each.items[2].value, value)
        for each, value in zip(objects.items, values, strict=False)
    ]
    for code, attribute, value in named:
        if attribute == _SCALER_UNIT_ATTRIBUTE and isinstance(code, bytes):
            scalers[code] = _scaler_unit(value)
    for code, attribute, value in named:
        if attribute == _VALUE_ATTRIBUTE and isinstance(code, bytes):
            a, b, c, d, e, f = code
            yield _Entry((a, b, c, d, e, f), value, *scalers.get(code, (None, None)))


def _by_position(body: Data, options: Mapping[str, Any]) -> Iterator[_Entry]:
    """A list without codes: the profile's objects, else the lists that Kaifa meters send."""
    objects = objects_of(options, "objects")
    items = body.items if body.is_list else (body,)
    if not objects and _version(body).startswith("KFM_"):
        objects = dlms_objects.KAIFA_LISTS.get(len(items), ())
    for each, value in zip(objects, items, strict=False):
        if each.obis is not None:
            yield _Entry(each.obis, value, each.scaler, each.unit)


def _scaled(entries: list[_Entry], body: Data) -> list[_Entry]:
    """Entries without a scaler get the vendor's, where the list says whose it is."""
    version = _version(body)
    for prefix, scalers in dlms_objects.VENDOR_SCALERS.items():
        if version.startswith(prefix):
            return [
                each
                if each.scaler is not None
                else replace(each, scaler=scalers.get((each.obis[2], each.obis[3])))
                for each in entries
            ]
    return entries


def _version(body: Data) -> str:
    """The list's version identifier: the first text of the body, bare or behind its code."""
    for item in body.items[:2]:
        value = item.items[1].value if len(item.items) == 2 else item.value
        if isinstance(value, bytes) and not dlms_objects.is_obis(value):
            return value.decode("ascii", "replace")
        if isinstance(value, str):
            return value
    return ""


def _scaler_unit(data: Data) -> tuple[int | None, int | None]:
    if data.tag != STRUCTURE or [each.tag for each in data.items] != [INTEGER, ENUM]:
        return None, None
    scaler, unit = data.items[0].value, data.items[1].value
    return (scaler, unit) if isinstance(scaler, int) and isinstance(unit, int) else (None, None)


def _take(entry: _Entry, ts_us: int | None, push: _Push) -> None:
    own = push.own.get(entry.obis)
    value = entry.value.value
    meant = dlms_objects.meaning(entry.obis, own)
    if meant is None or not isinstance(value, int | float):
        return
    scaler, unit = entry.scaler, entry.unit
    if own is not None:
        scaler = own.scaler if own.scaler is not None else scaler
        unit = own.unit if own.unit is not None else unit
    number = dlms_objects.scaled(value, scaler, unit)
    quantity, channel = meant
    if number is None:
        push.warn(f"{dlms_objects.obis_text(entry.obis)}: unit {unit} is not read")
    elif not math.isfinite(number):
        push.warn(f"{dlms_objects.obis_text(entry.obis)}: is no finite number")
    elif QUANTITIES[CODES[quantity]].is_register and number < 0:
        push.warn(f"{dlms_objects.obis_text(entry.obis)}: a register below zero is left out")
    else:
        push.measurements.append(Measurement(quantity, number, ts_us, channel))
    if len(push.measurements) > MEASUREMENTS_MAX:
        raise DecodeError("too_many", "", f"more than {MEASUREMENTS_MAX} values")


def _serial(entry: _Entry, push: _Push) -> None:
    a, _, c, d, e, _ = entry.obis
    value = entry.value.value
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    if push.serial is None and (a, c, d, e) in _SERIALS and isinstance(text, str):
        text = text.strip("\0 ")
        if text.isascii() and text.isprintable() and 0 < len(text) <= _SERIAL_MAX:
            push.serial = text


def _is_buffer(data: Data) -> bool:
    """Rows of a profile: an array of structures whose first column is a clock, or null after the first."""
    if data.tag != ARRAY or not data.items:
        return False
    width = len(data.items[0].items)
    return width > 1 and all(
        row.tag == STRUCTURE
        and len(row.items) == width
        and (row.items[0].tag == NULL or _is_clock(row.items[0]))
        for row in data.items
    )


def _is_clock(data: Data) -> bool:
    has_tag = data.tag in (OCTET_STRING, DATE_TIME)
    return has_tag and isinstance(data.value, bytes) and len(data.value) == CLOCK_BYTES


def _buffer(data: Data, columns: Sequence[Object], push: _Push) -> None:
    """Rows with their own clocks; a null clock is the row before plus the period."""
    if not columns:
        push.warn("rows of a profile: name them in the option columns")
        return
    step_s, _ = series_options(push.options)
    times: list[int | None] = []
    for row in data.items:
        raw = row.items[0].value
        us = clock_us(raw, push.clock) if isinstance(raw, bytes) else None
        if us is None and raw is None and times and times[-1] is not None and step_s:
            us = times[-1] + int(step_s * 1_000_000)
        times.append(us)
    placed = place(times, push.heard_at_us, step_s=step_s, newest_first=False, warnings=push.warnings)
    named = {column.obis: column for column in columns if column.obis is not None}
    read_so = replace(push, own={**push.own, **named})
    for row, ts_us in zip(data.items, placed, strict=True):
        for column, value in zip(columns, row.items, strict=False):
            if column.obis is not None and ts_us is not None:
                _take(_Entry(column.obis, value), ts_us, read_so)


def _json(data: Data) -> Any:
    if data.is_list:
        return [_json(each) for each in data.items]
    value = data.value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if not isinstance(value, bytes):
        return value
    if data.tag == OCTET_STRING and dlms_objects.is_obis(value):
        return dlms_objects.obis_text(value)
    text = value.decode("ascii", "replace")
    return (
        text if len(value) != CLOCK_BYTES and text.isascii() and text.isprintable() and text else value.hex()
    )
