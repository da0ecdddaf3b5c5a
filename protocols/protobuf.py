"""Protocol Buffers' wire format by tables: bytes to the values that proto3 JSON would show, and back.

Used by `protocols.lorawan.chirpstack_protobuf`. A message is a table of field numbers. What it gives are
plain values under the field's JSON names, so that one set of typed structures reads both encodings; fields
that are not in the table are skipped, fields at their zero value may be missing.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Any

from protocols.samples import DecodeError
from protocols.timestamps import TimestampError, parse_timestamp, to_datetime

DEPTH_MAX = 32  # of messages in messages; Struct may nest without end
_VARINT_BYTES_MAX = 10
_SECONDS_MIN, _SECONDS_MAX = -62_135_596_800, 253_402_300_799  # years 1 to 9999, as the standard bounds them
_NANOS = 1_000_000_000
_UINT32_MAX = 2**32 - 1
_UINT64_MAX = 2**64 - 1


class Kind(Enum):
    """How a field's value stands on the wire. `STRUCT` and `TIMESTAMP` are the well-known types."""

    UINT32 = auto()
    INT32 = auto()
    INT64 = auto()
    BOOL = auto()
    ENUM = auto()
    FLOAT = auto()
    DOUBLE = auto()
    STRING = auto()
    BYTES = auto()
    MESSAGE = auto()
    STRING_MAP = auto()
    TIMESTAMP = auto()
    STRUCT = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """One field; `message` is a MESSAGE's table, `names` an ENUM's names by number."""

    name: str
    kind: Kind
    message: "Message | None" = None
    is_repeated: bool = False
    names: tuple[str, ...] = ()


Message = Mapping[int, Field]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_WIRE: Mapping[Kind, int] = MappingProxyType(
    {
        Kind.UINT32: _VARINT,
        Kind.INT32: _VARINT,
        Kind.INT64: _VARINT,
        Kind.BOOL: _VARINT,
        Kind.ENUM: _VARINT,
        Kind.FLOAT: _FIXED32,
        Kind.DOUBLE: _FIXED64,
    }
)

_ENTRY: Message = MappingProxyType({1: Field("key", Kind.STRING), 2: Field("value", Kind.STRING)})
_TIMESTAMP: Message = MappingProxyType({1: Field("seconds", Kind.INT64), 2: Field("nanos", Kind.INT32)})
_STRUCT_ENTRY: Message = MappingProxyType({1: Field("key", Kind.STRING), 2: Field("value", Kind.BYTES)})


def decode(data: bytes, message: Message) -> dict[str, Any]:
    """Read one message. Raises `DecodeError`: `malformed` for bytes that are none, with the field's name."""
    return _read_message(data, message, {}, "", 0)


def encode(values: Mapping[str, Any], message: Message) -> bytes:
    """Write fields in order of number, without zero values; times are RFC 3339 text, lists are repeated ones.

    Raises `ValueError` for a name that the table has not, and for a kind that is only read.
    """
    unknown = values.keys() - {field.name for field in message.values()}
    if unknown:
        raise ValueError(f"the message has no field {min(unknown)!r}")
    return b"".join(
        _write_field(number, field, value)
        for number, field in sorted(message.items())
        if values.get(field.name)
        for value in (values[field.name] if field.is_repeated else (values[field.name],))
    )


# --- reading --------------------------------------------------------------------------------------------


def _fields(data: bytes, path: str, depth: int) -> Iterator[tuple[int, int, Any]]:
    """Give number, wire type and raw value (an integer, or bytes) of each field, in the order they came."""
    if depth > DEPTH_MAX:
        raise DecodeError("malformed", path, f"messages nested deeper than {DEPTH_MAX}")
    position = 0
    while position < len(data):
        key, position = _read_varint(data, position, path)
        number, wire = key >> 3, key & 7
        if not 1 <= number < 1 << 29:
            raise DecodeError("malformed", path, f"field number {number} is none")
        raw, position = _read_raw(data, position, wire, path)
        yield number, wire, raw


def _read_message(
    data: bytes, message: Message, into: dict[str, Any], path: str, depth: int
) -> dict[str, Any]:
    """Read fields into `into`: of a scalar that comes twice the last stands, messages are merged."""
    for number, wire, raw in _fields(data, path, depth):
        field = message.get(number)
        if field is not None and wire == _WIRE.get(field.kind, _BYTES):
            _put(into, field, raw, f"{path}.{field.name}" if path else field.name, depth + 1)
    return into


def _put(into: dict[str, Any], field: Field, raw: Any, path: str, depth: int) -> None:
    if field.kind is Kind.MESSAGE:
        assert field.message is not None
        if field.is_repeated:
            into.setdefault(field.name, []).append(_read_message(raw, field.message, {}, path, depth))
        else:
            into[field.name] = _read_message(raw, field.message, into.get(field.name, {}), path, depth)
    elif field.kind is Kind.STRING_MAP:
        entry = _read_message(raw, _ENTRY, {}, path, depth)
        into.setdefault(field.name, {})[entry.get("key", "")] = entry.get("value", "")
    elif field.kind is Kind.STRUCT:
        into[field.name] = {**into.get(field.name, {}), **_read_struct(raw, path, depth)}
    else:
        into[field.name] = _CONVERT[field.kind](field, raw, path)


def _read_varint(data: bytes, position: int, path: str) -> tuple[int, int]:
    """Return an unsigned integer of at most 64 bits and where it ends."""
    value = 0
    for index in range(_VARINT_BYTES_MAX):
        if position >= len(data):
            raise DecodeError("malformed", path, "ends within an integer")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & _UINT64_MAX, position
    raise DecodeError("malformed", path, f"an integer of more than {_VARINT_BYTES_MAX} bytes")


def _read_raw(data: bytes, position: int, wire: int, path: str) -> tuple[Any, int]:
    if wire == _VARINT:
        return _read_varint(data, position, path)
    if wire == _BYTES:
        length, position = _read_varint(data, position, path)
    elif wire in (_FIXED64, _FIXED32):
        length = 8 if wire == _FIXED64 else 4
    else:
        raise DecodeError("malformed", path, f"wire type {wire} is none of proto3")
    end = position + length
    if end > len(data):
        raise DecodeError("malformed", path, f"{length} bytes announced, {len(data) - position} are there")
    return data[position:end], end


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _text(_: Field, raw: bytes, path: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise DecodeError("malformed", path, f"not UTF-8: {error.reason}") from None


def _enum_name(field: Field, raw: int, _: str) -> str:
    number = _signed(raw, 32)
    return field.names[number] if 0 <= number < len(field.names) else str(number)


def _timestamp(_: Field, raw: bytes, path: str) -> str:
    parts = _read_message(raw, _TIMESTAMP, {}, path, 0)
    seconds, nanos = parts.get("seconds", 0), parts.get("nanos", 0)
    if not (_SECONDS_MIN <= seconds <= _SECONDS_MAX and 0 <= nanos < _NANOS):
        raise TimestampError(path, f"{seconds} s and {nanos} ns since 1970 are no time")
    moment = to_datetime(seconds * 1_000_000)
    return f"{moment.year:04}{moment:-%m-%dT%H:%M:%S}.{nanos:09}Z"


_CONVERT: Mapping[Kind, Callable[[Field, Any, str], Any]] = MappingProxyType(
    {
        Kind.UINT32: lambda _, raw, __: raw & _UINT32_MAX,
        Kind.INT32: lambda _, raw, __: _signed(raw, 32),
        Kind.INT64: lambda _, raw, __: _signed(raw, 64),
        Kind.BOOL: lambda _, raw, __: raw != 0,
        Kind.ENUM: _enum_name,
        Kind.FLOAT: lambda _, raw, __: struct.unpack("<f", raw)[0],
        Kind.DOUBLE: lambda _, raw, __: struct.unpack("<d", raw)[0],
        Kind.STRING: _text,
        Kind.BYTES: lambda _, raw, __: raw,
        Kind.TIMESTAMP: _timestamp,
    }
)


# google/protobuf/struct.proto: a Struct is a map of Values in field 1, a ListValue a list of them.


def _read_struct(data: bytes, path: str, depth: int) -> dict[str, Any]:
    found = {}
    for number, wire, raw in _fields(data, path, depth):
        if (number, wire) == (1, _BYTES):
            entry = _read_message(raw, _STRUCT_ENTRY, {}, path, depth + 1)
            found[entry.get("key", "")] = _read_value(entry.get("value", b""), path, depth + 1)
    return found


def _read_list(data: bytes, path: str, depth: int) -> list[Any]:
    items = [raw for number, wire, raw in _fields(data, path, depth) if (number, wire) == (1, _BYTES)]
    return [_read_value(item, path, depth + 1) for item in items]


def _read_value(data: bytes, path: str, depth: int) -> Any:
    """Return one Value, a oneof of six kinds: of several the last stands, without any it is null."""
    value = None
    for number, wire, raw in _fields(data, path, depth):
        match number, wire:
            case 1, 0:
                value = None
            case 2, 1:
                (value,) = struct.unpack("<d", raw)
            case 3, 2:
                value = _text(_STRUCT_ENTRY[1], raw, path)
            case 4, 0:
                value = raw != 0
            case 5, 2:
                value = _read_struct(raw, path, depth + 1)
            case 6, 2:
                value = _read_list(raw, path, depth + 1)
    return value


# --- writing --------------------------------------------------------------------------------------------


def _write_field(number: int, field: Field, value: Any) -> bytes:
    key = _varint(number << 3 | _WIRE.get(field.kind, _BYTES))
    data: bytes
    match field.kind:
        case Kind.UINT32 | Kind.INT32 | Kind.INT64 | Kind.BOOL:
            return key + _varint(int(value))
        case Kind.FLOAT | Kind.DOUBLE:
            return key + struct.pack("<f" if field.kind is Kind.FLOAT else "<d", value)
        case Kind.MESSAGE:
            assert field.message is not None
            data = encode(value, field.message)
        case Kind.STRING:
            data = value.encode()
        case Kind.BYTES:
            data = value
        case Kind.TIMESTAMP:
            seconds, us = divmod(parse_timestamp(value, field.name), 1_000_000)
            data = encode({"seconds": seconds, "nanos": us * 1_000}, _TIMESTAMP)
        case _:
            raise ValueError(f"{field.name}: {field.kind.name} is read, not written")
    return key + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    value &= _UINT64_MAX
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
