"""JSON and CBOR payloads, read by the profile's mapping.

Used through `protocols.payloads.DECODERS` ("json", "cbor").

Options: `mapping` (rows of `protocols.mapping`; without any, well-known names are read), `readings`
(a series: `path` of an array, `mapping` of each item, a bare number being `{"value": n}`, `time_path` in it),
`step_s` and `newest_first` for readings without a time, `clock` (see `times`), `identity` (a key path, where
the payload names its device by none of the usual names).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cbor2
import msgspec

from protocols.mapping import LOOKS_MAX, measurements_of, read_mapping, time_of
from protocols.measurements import MEASUREMENTS_MAX, Decoded, Measurement, Payload
from protocols.payloads.names import device_name, identity_text
from protocols.payloads.times import clock_of, series_options, settle
from protocols.samples import DecodeError

PAYLOAD_BYTES_MAX = 1_048_576
DEPTH_MAX = 32
_NODES_MAX = 100_000
_KEY_MAX = 200
_NUMBER_MAX = 1 << 1023  # of a float
_json_decoder = msgspec.json.Decoder()


def decode_json(payload: Payload) -> Decoded:
    """Raises `DecodeError` for what is no JSON, and for options that are wrong."""
    return _decode(read_json(payload.data), payload)


def decode_cbor(payload: Payload) -> Decoded:
    """Raises `DecodeError` for what is no CBOR (RFC 8949), and for options that are wrong."""
    return _decode(read_cbor(payload.data), payload)


def read_json(raw: bytes) -> Any:
    """One JSON value; modems pad with NUL and line ends. Raises `DecodeError`."""
    try:
        return _json_decoder.decode(_bounded(raw).strip(b"\0\r\n\t "))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise DecodeError("json", "", str(error)[:200]) from None


def read_cbor(raw: bytes) -> Any:
    """One CBOR value as JSON values: bytes as hex, times as text, keys as text. Raises `DecodeError`."""
    try:
        value = cbor2.loads(_bounded(raw), max_depth=DEPTH_MAX)
    except Exception as error:  # the readers of single tags raise what they like
        raise DecodeError("cbor", "", f"{type(error).__name__}: {error}"[:200]) from None
    return _Plain().of(value, 0)


def _bounded(raw: bytes) -> bytes:
    if len(raw) > PAYLOAD_BYTES_MAX:
        raise DecodeError("too_large", "", f"{len(raw)} bytes, at most {PAYLOAD_BYTES_MAX} are read")
    return raw


class _Plain:
    """CBOR knows more than JSON; what has no JSON becomes text."""

    def __init__(self) -> None:
        self._left = _NODES_MAX

    def of(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > DEPTH_MAX:
            raise DecodeError("too_large", "", "nested too deep or too many values")
        if isinstance(value, Mapping):
            return {str(key)[:_KEY_MAX]: self.of(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(each, depth + 1) for each in value]
        return _scalar(value)


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return value if abs(value) < _NUMBER_MAX else None  # NaN is not; what is greater is no float
    if isinstance(value, bytes):
        return value.hex()
    return str(value.isoformat()) if hasattr(value, "isoformat") else type(value).__name__


def _decode(data: Any, payload: Payload) -> Decoded:
    options = payload.options
    step_s, newest_first = series_options(options)
    warnings: list[str] = []
    readings, mapping = options.get("readings"), options.get("mapping") or ()
    # the names that speak for themselves are read once: in the message or in its readings
    found = list(measurements_of(data, mapping)) if mapping or readings is None else []
    found += _series(data, readings) if readings is not None else []
    if len(found) > MEASUREMENTS_MAX:
        raise DecodeError("too_many", "", f"more than {MEASUREMENTS_MAX} values")
    measurements = settle(
        found,
        clock_of(options),
        payload.heard_at_us,
        step_s=step_s,
        newest_first=newest_first,
        warnings=warnings,
    )
    return Decoded(data, tuple(measurements), tuple(warnings), _identity(data, options))


def _series(data: Any, readings: Any) -> list[Measurement]:
    """Readings without a mapping of their whole message: each item by itself, in order."""
    if not isinstance(readings, Mapping) or not isinstance(readings.get("path"), str):
        raise DecodeError("options", "readings", "is an object with path and mapping")
    mapping, time_path = read_mapping(readings.get("mapping", ())), readings.get("time_path")
    items = _at(data, readings["path"])
    if not isinstance(items, list):
        return []
    items = items[:MEASUREMENTS_MAX]
    if len(items) * len(mapping) > LOOKS_MAX:
        raise DecodeError("too_many", "", f"{len(items)} readings of {len(mapping)} values")
    found: list[Measurement] = []
    for item in items:
        each = item if isinstance(item, dict) else {"value": item}
        ts_us = time_of(_at(each, time_path)) if isinstance(time_path, str) else None
        found += (
            one if one.ts_us is not None else replace(one, ts_us=ts_us)
            for one in measurements_of(each, mapping)
        )
    return found


def _at(data: Any, path: str) -> Any:
    for key in path.split("."):
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _identity(data: Any, options: Mapping[str, Any]) -> str | None:
    path = options.get("identity")
    return identity_text(_at(data, path)) if isinstance(path, str) else device_name(data)
