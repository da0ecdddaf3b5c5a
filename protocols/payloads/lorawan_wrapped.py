"""LoRaWAN frames wrapped again for NB-IoT: identity, signal, counter, the frame, time.

Used through `protocols.payloads.DECODERS` ("lorawan_wrapped") and, where the frame inside is one for a
JavaScript codec, by the shells through `unwrap`.

Options: `decoder` and `options` (of the frame inside), `port` (its fPort), `wrapper`: `{"layout", "start",
"end"}`, a layout of the outside and where the frame stands in it. The default is that of Adeunis: IMEI in 8
bytes BCD, signal, global frame counter (2 bytes), frame, time (4 bytes, seconds since 1970).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from protocols.measurements import Decoded, Payload
from protocols.payloads.binary import read
from protocols.payloads.binary_layout import BYTES_MAX, Layout, read_layout
from protocols.samples import DecodeError

PORT_MAX = 255
_START, _END = 11, -4
_ADEUNIS = read_layout(
    {
        "identity": {"at": 0, "type": "imei_bcd"},
        "time": {"at": -4, "type": "u32"},
        "fields": [
            {
                "name": "signal",
                "at": 8,
                "type": "u8",
                "scale": 2,
                "offset": -113,
                "invalid": [99],
                "quantity": "rssi_dbm",
            },
            {"name": "frame_counter", "at": 9, "type": "u16"},
        ],
    }
)


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """`inside` is the frame as the device would send it over LoRaWAN, heard at its own time if it has one."""

    inside: Payload
    outside: Decoded
    time_us: int | None


def unwrap(payload: Payload) -> Unwrapped:
    """Take the wrapper off. Raises `DecodeError`: too short, wrapper or port that are wrong."""
    layout, start, end = _wrapper(payload.options.get("wrapper"))
    outside, time_us = read(payload, layout)
    data = payload.data[start:end]
    if not data:
        raise DecodeError("truncated", "", "no frame inside the wrapper")
    port, options = payload.options.get("port"), payload.options.get("options", {})
    if port is not None and not (type(port) is int and 0 <= port <= PORT_MAX):
        raise DecodeError("options", "port", f"is not 0 to {PORT_MAX}")
    if not isinstance(options, Mapping):
        raise DecodeError("options", "options", "is an object")
    heard_at_us = payload.heard_at_us if time_us is None else time_us
    inside = replace(payload, data=data, heard_at_us=heard_at_us, port=port, options=options)
    return Unwrapped(inside, outside, time_us)


def decoder(decoders: Mapping[str, Callable[[Payload], Decoded]]) -> Callable[[Payload], Decoded]:
    """The decoder, which reads the frame inside by one of `decoders`."""

    def decode(payload: Payload) -> Decoded:
        name = payload.options.get("decoder")
        inner = decoders.get(name) if isinstance(name, str) else None
        if inner is None:
            raise DecodeError("options", "decoder", f"is none of {', '.join(sorted(decoders))}")
        unwrapped = unwrap(payload)
        inside = inner(unwrapped.inside)
        timed = (
            each if each.ts_us is not None else replace(each, ts_us=unwrapped.time_us)
            for each in inside.measurements
        )
        data: Mapping[str, Any] = {**unwrapped.outside.data, "payload": inside.data}
        return Decoded(
            dict(data),
            (*unwrapped.outside.measurements, *timed),
            (*unwrapped.outside.warnings, *inside.warnings),
            unwrapped.outside.identity or inside.identity,
        )

    return decode


def _wrapper(value: Any) -> tuple[Layout, int, int | None]:
    if value is None:
        return _ADEUNIS, _START, _END
    if not isinstance(value, Mapping):
        raise DecodeError("options", "wrapper", "is an object with layout, start and end")
    start, end = value.get("start"), value.get("end")
    if type(start) is not int or not 0 <= start <= BYTES_MAX:
        raise DecodeError("options", "wrapper.start", f"is not 0 to {BYTES_MAX}")
    if end is not None and (type(end) is not int or abs(end) > BYTES_MAX):
        raise DecodeError("options", "wrapper.end", "is no position in the payload")
    return read_layout(value.get("layout")), start, end
