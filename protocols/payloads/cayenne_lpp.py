"""Cayenne LPP: channel, type, value, repeated; the twelve frozen types and the extensions in wide use.

Used through `protocols.payloads.DECODERS`. The type numbers are IPSO object ids less 3200.
"""

from dataclasses import dataclass

from protocols.measurements import Decoded, Measurement, Payload
from protocols.samples import DecodeError

_STANDARD_GRAVITY = 9.80665  # m/s2 of one g


@dataclass(frozen=True, slots=True)
class _Part:
    """One number of a type: big-endian, divided by `divisor` as the format says, times `factor` to be SI."""

    name: str
    size: int
    divisor: int = 1
    is_signed: bool = False
    quantity: str | None = None
    factor: float = 1.0


def _axes(name: str, divisor: int, quantity: str | None, factor: float) -> tuple[_Part, ...]:
    return tuple(
        _Part(f"{name}_{axis}", 2, divisor, True, quantity and quantity.format(axis), factor)
        for axis in "xyz"
    )


_TYPES: dict[int, tuple[_Part, ...]] = {
    0: (_Part("digital_in", 1, quantity="digital_input"),),
    1: (_Part("digital_out", 1, quantity="digital_output"),),
    2: (_Part("analog_in", 2, 100, True, "analog_input"),),
    3: (_Part("analog_out", 2, 100, True, "analog_output"),),
    100: (_Part("generic", 4),),
    101: (_Part("illuminance", 2, quantity="illuminance_lx"),),
    102: (_Part("presence", 1, quantity="presence"),),
    103: (_Part("temperature", 2, 10, True, "temperature_c"),),
    104: (_Part("humidity", 1, 2, quantity="humidity_pct"),),
    113: _axes("accelerometer", 1000, "acceleration_{}_m_per_s2", _STANDARD_GRAVITY),
    115: (_Part("barometer", 2, 10, quantity="pressure_pa", factor=100),),
    116: (_Part("voltage", 2, 100, quantity="voltage_v"),),
    117: (_Part("current", 2, 1000, quantity="current_a"),),
    118: (_Part("frequency", 4, quantity="frequency_hz"),),
    120: (_Part("percentage", 1),),
    121: (_Part("altitude", 2, 1, True, "altitude_m"),),
    122: (_Part("load", 3, 1000, True),),
    125: (_Part("concentration", 2, quantity="co2_ppm"),),
    128: (_Part("power", 2, quantity="power_w"),),
    130: (_Part("distance", 4, 1000, quantity="distance_m"),),
    131: (_Part("energy", 4, 1000, quantity="energy_import_wh", factor=1000),),
    132: (_Part("direction", 2),),
    133: (_Part("unix_time", 4),),
    134: _axes("gyrometer", 100, None, 1.0),
    135: (_Part("red", 1), _Part("green", 1), _Part("blue", 1)),
    136: (
        _Part("latitude", 3, 10_000, True, "latitude_deg"),
        _Part("longitude", 3, 10_000, True, "longitude_deg"),
        _Part("altitude", 3, 100, True, "altitude_m"),
    ),
    142: (_Part("switch", 1, quantity="relay_on"),),
}


def decode(payload: Payload) -> Decoded:
    """Decode a whole payload; the channel of a value is Cayenne's.

    Raises `DecodeError` for a type that is none of the format's (what follows it cannot be found) and for a
    payload that ends inside a value.
    """
    data: list[dict[str, object]] = []
    measurements: list[Measurement] = []
    at = 0
    while at < len(payload.data):
        at = _item(payload.data, at, data, measurements)
    if not data:
        raise DecodeError("empty", "", "a payload without a value")
    return Decoded(data, tuple(measurements))


def _item(raw: bytes, at: int, data: list[dict[str, object]], measurements: list[Measurement]) -> int:
    if at + 2 > len(raw):
        raise DecodeError("truncated", f"byte {at}", "the payload ends after a channel")
    channel, kind = raw[at], raw[at + 1]
    parts = _TYPES.get(kind)
    if parts is None:
        raise DecodeError("type", f"byte {at + 1}", f"{kind} is no type of Cayenne LPP")
    at += 2
    if at + sum(part.size for part in parts) > len(raw):
        raise DecodeError("truncated", f"byte {at}", f"the payload ends inside {parts[0].name}")
    item: dict[str, object] = {"channel": channel, "type": kind}
    for part in parts:
        number = int.from_bytes(raw[at : at + part.size], "big", signed=part.is_signed) / part.divisor
        item[part.name] = number
        if part.quantity is not None:
            measurements.append(Measurement(part.quantity, number * part.factor, channel=channel))
        at += part.size
    data.append(item)
    return at
