"""What operators' platforms post about a device's message: one table of shapes, from JSON to uplinks.

Used by `ingest.callbacks.nbiot`. The shapes are those of the platforms' own documentation: 1NCE OS (Cloud
Integrator, output format), Soracom Beam (UDP to HTTP) and Funnel, Hologram (data message fields), CTWing AEP
(data report). `docs/nbiot.md` shows them.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec

from protocols.payloads.names import identity_text
from protocols.payloads.structured import read_json
from protocols.samples import DecodeError
from protocols.timestamps import parse_timestamp

MESSAGES_MAX = 3_000
_YEAR_2001_MS = 1_000_000_000_000
_META_MAX = 10


@dataclass(frozen=True, slots=True)
class OperatorMessage:
    """A message of a device. `identity` None: the payload has to name it. `heard_at_us` None: not said."""

    payload: bytes
    identity: str | None
    heard_at_us: int | None
    meta: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shape:
    """Where a platform puts things: paths of keys, `.` between them, the first that is there is taken.

    `headers`: of the request, for what is not in its body. `kind`: key and value of the messages that bear
    data; others are taken and say nothing. `items`: whether the body may be an array.
    """

    payload: Sequence[str]
    identity: Sequence[str]
    heard_at: Sequence[str] = ()
    meta: Sequence[str] = ()
    headers: Sequence[str] = ()
    kind: tuple[str, str] | None = None


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "generic": Shape(
            payload=("payload", "data", "payload_hex", "payload_base64"),
            identity=("imei", "serial", "sn", "identity", "device_id", "device.imei", "device.serial"),
            heard_at=("received_at", "timestamp", "time", "ts"),
            meta=("rssi_dbm", "iccid", "imsi"),
            headers=("x-device-imei", "x-device-id"),
        ),
        "1nce": Shape(
            payload=("payload",),
            identity=("device.imei", "device.iccid"),
            heard_at=("received",),
            meta=("id", "source", "device.iccid", "device.imsi", "device.ip"),
            kind=("type", "TELEMETRY_DATA"),
        ),
        "soracom": Shape(
            payload=("payloads", "payload"),
            identity=("imei", "simId", "imsi"),
            heard_at=("timestamp",),
            meta=("operatorId", "sourceProtocol", "imsi", "simId"),
            headers=("x-soracom-imei", "x-soracom-sim-id", "x-soracom-imsi"),
        ),
        "hologram": Shape(
            payload=("data",),
            identity=("imei", "device.imei", "device.name", "device.id"),
            heard_at=("received",),
            meta=("device.id", "device.name", "source", "authtype"),
        ),
        "ctwing": Shape(
            payload=("payload.APPdata", "payload.serviceData", "payload"),
            identity=("IMEI", "payload.IMEI", "deviceId"),
            heard_at=("timestamp",),
            meta=("deviceId", "productId", "protocol", "IMSI"),
            kind=("messageType", "dataReport"),
        ),
    }
)


def decode(shape: Shape, body: bytes, headers: Mapping[str, str]) -> list[OperatorMessage]:
    """Read a request's body. Raises `DecodeError` for what is no JSON, or a message without its payload."""
    data = read_json(body)
    items = data if isinstance(data, list) else [data]
    if len(items) > MESSAGES_MAX:
        raise DecodeError("too_many", "", f"{len(items)} messages, at most {MESSAGES_MAX} are taken")
    named = next((headers[name] for name in shape.headers if headers.get(name)), None)
    found = []
    for at, item in enumerate(items):
        where = f"[{at}]." if isinstance(data, list) else ""
        if not isinstance(item, dict):
            raise DecodeError("invalid", where.rstrip("."), "is no object")
        if shape.kind is None or item.get(shape.kind[0], shape.kind[1]) == shape.kind[1]:
            found.append(_message(shape, item, named, where))
    return found


def _message(shape: Shape, item: dict[str, Any], named: str | None, where: str) -> OperatorMessage:
    path, value = _first(item, shape.payload)
    if value is None:
        raise DecodeError("missing", f"{where}{shape.payload[0]}", "there is no payload")
    identity = identity_text(named) if named is not None else None
    if identity is None:
        _, given = _first(item, shape.identity)
        identity = identity_text(given)
    meta = {name: found for name in shape.meta[:_META_MAX] if (found := _at(item, name)) is not None}
    heard_path, heard = _first(item, shape.heard_at)
    return OperatorMessage(
        _payload(value, path, f"{where}{path}"),
        identity,
        None if heard is None else _time_us(heard, f"{where}{heard_path}"),
        meta,
    )


def _first(item: Mapping[str, Any], names: Sequence[str]) -> tuple[str, Any]:
    for name in names:
        found = _at(item, name)
        if found is not None and found != "":
            return name, found
    return "", None


def _at(item: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(item, dict):
            return None
        item = item.get(key)
    return item


def _payload(value: Any, name: str, where: str) -> bytes:
    """Text is bytes as base64 or hexadecimal digits; an object is JSON that the platform has read already."""
    if isinstance(value, dict) and isinstance(value.get("value"), str | dict | list) and "type" in value:
        return _typed(value["type"], value["value"], where)
    if isinstance(value, dict | list):
        return msgspec.json.encode(value)
    if not isinstance(value, str):
        raise DecodeError("invalid", where, "is neither text nor an object")
    return _bytes(value, where, is_hex=name.endswith("_hex"))


def _typed(kind: object, value: Any, where: str) -> bytes:
    """1NCE's payload: `type` says what `value` is."""
    if not isinstance(value, str):
        return msgspec.json.encode(value)
    if str(kind).upper() in ("TEXT", "STRING", "PLAIN"):
        return value.encode()
    return _bytes(value, where, is_hex=str(kind).upper() == "HEX")


def _bytes(text: str, where: str, *, is_hex: bool) -> bytes:
    """An even number of hexadecimal digits is hexadecimal, all else base64 (of either alphabet)."""
    compact = "".join(text.split())
    try:
        return bytes.fromhex(compact)
    except ValueError:
        if is_hex:
            raise DecodeError("hex", where, "is no text of hexadecimal digits") from None
    try:
        padded = compact.replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise DecodeError("base64", where, "is neither base64 nor hexadecimal digits") from None


def _time_us(value: Any, where: str) -> int:
    """Seconds or milliseconds since 1970, as a number or as text; or a timestamp of RFC 3339."""
    if isinstance(value, str) and not value.strip().lstrip("-").isdigit():
        return parse_timestamp(value, where)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise DecodeError("time", where, "is no time")
    number = float(value) if abs(float(value)) < 1e15 else 0.0
    return round(number * (1_000 if abs(number) >= _YEAR_2001_MS / 10 else 1_000_000))
