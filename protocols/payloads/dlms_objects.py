"""What COSEM objects mean: OBIS codes to quantities, units to factors, lists that are sent without units.

Used by `protocols.payloads.dlms_push`. IEC 62056-6-1 (OBIS) and IEC 62056-6-2 table 4 (units).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from protocols.measurements import CHANNEL_MAX
from protocols.quantities import CODES
from protocols.samples import DecodeError

Obis = tuple[int, int, int, int, int, int]
CURRENT = 255  # value group F: not a stored value of an earlier billing period
CLOCK: tuple[int, int, int] = (1, 0, 0)  # C, D, E in medium 0
EXPORT_CHANNELS = 100  # instantaneous values of what is delivered, reactive energy of the other direction
_SCALER_MAX = 30
_OBIS = re.compile(r"(\d{1,3})-(\d{1,3}):(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:[.*](\d{1,3}))?")

# unit of IEC 62056-6-2 -> (symbol, factor to the unit of our quantities)
UNITS: Mapping[int, tuple[str, float]] = MappingProxyType(
    {
        4: ("d", 86_400.0),
        5: ("h", 3_600.0),
        6: ("min", 60.0),
        7: ("s", 1.0),
        9: ("Cel", 1.0),
        13: ("m3", 1.0),
        14: ("m3", 1.0),
        15: ("m3/h", 1.0),
        16: ("m3/h", 1.0),
        17: ("m3/d", 1 / 24),
        19: ("l", 0.001),
        23: ("Pa", 1.0),
        24: ("bar", 1e5),
        25: ("J", 1 / 3_600),
        26: ("J/h", 1 / 3_600),
        27: ("W", 1.0),
        28: ("VA", 1.0),
        29: ("var", 1.0),
        30: ("Wh", 1.0),
        31: ("VAh", 1.0),
        32: ("varh", 1.0),
        33: ("A", 1.0),
        35: ("V", 1.0),
        44: ("Hz", 1.0),
        56: ("%", 1.0),
        255: ("", 1.0),
    }
)
_UNIT_OF_SYMBOL = {symbol: code for code, (symbol, _) in reversed(list(UNITS.items())) if symbol}


@dataclass(frozen=True, slots=True)
class Object:
    """How one object is read: `scaler` is a power of ten, `unit` of `UNITS`; None is not said."""

    obis: Obis | None
    scaler: int | None = None
    unit: int | None = None
    quantity: str | None = None
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class _Register:
    """`is_tariff`: value group E is the tariff and becomes the channel, added to `channel`."""

    quantity: str
    channel: int = 0
    is_tariff: bool = False


def _electricity() -> dict[tuple[int, int], _Register]:
    """(C, D) of medium 1."""
    energies = {
        1: "energy_import_wh",
        2: "energy_export_wh",
        3: "reactive_energy_varh",
        9: "apparent_energy_vah",
    }
    found = {(c, 8): _Register(name, 0, True) for c, name in energies.items()}
    for c in (4, 5, 6, 7, 8):
        found[c, 8] = _Register("reactive_energy_varh", c * EXPORT_CHANNELS, True)
    found[10, 8] = _Register("apparent_energy_vah", EXPORT_CHANNELS, True)
    for phase, first in enumerate((1, 21, 41, 61)):
        found[first, 7] = _Register("power_w", phase)
        found[first + 1, 7] = _Register("power_w", phase + EXPORT_CHANNELS)
        found[first + 2, 7] = _Register("reactive_power_var", phase)
        found[first + 3, 7] = _Register("reactive_power_var", phase + EXPORT_CHANNELS)
        found[first + 8, 7] = _Register("apparent_power_va", phase)
        found[first + 10, 7] = _Register("current_a", phase)
        found[first + 11, 7] = _Register("voltage_v", phase)
        found[first + 12, 7] = _Register("power_factor", phase)
    found[14, 7] = _Register("frequency_hz")
    for phase, first in enumerate((21, 41, 61), start=1):
        found[first, 8] = _Register("energy_import_wh", phase * EXPORT_CHANNELS, True)
        found[first + 1, 8] = _Register("energy_export_wh", phase * EXPORT_CHANNELS, True)
    return found


_THERMAL = {
    2: _Register("water_m3", 0, True),
    8: _Register("power_w"),
    9: _Register("flow_m3_per_h"),
    10: _Register("temperature_c"),
    11: _Register("return_temperature_c"),
}
_WATER = {1: _Register("water_m3", 0, True), 2: _Register("flow_m3_per_h"), 3: _Register("temperature_c")}
_BY_C: Mapping[int, Mapping[int, _Register]] = MappingProxyType(
    {
        5: {1: _Register("cooling_wh", 0, True), **_THERMAL},
        6: {1: _Register("heat_wh", 0, True), **_THERMAL},
        7: {3: _Register("gas_m3", 0, True)},
        8: _WATER,
        9: _WATER,
    }
)
_ELECTRICITY = MappingProxyType(_electricity())
_ELECTRICITY_MEDIUM = 1


def meaning(obis: Obis, own: Object | None = None) -> tuple[str, int] | None:
    """(quantity, channel) of an object, the profile's own word first; None: it is not stored.

    Value group B above 1 is a further measuring channel and adds 1000 for each.
    """
    medium, measured_by, c, d, e, f = obis
    if own is not None and own.quantity is not None:
        return own.quantity, own.channel or 0
    if f != CURRENT:
        return None
    if medium == _ELECTRICITY_MEDIUM:
        register = _ELECTRICITY.get((c, d))
    else:
        register = _BY_C.get(medium, {}).get(c) if d == 0 else None
    if register is None or (e and not register.is_tariff):
        return None
    channel = register.channel + (e if register.is_tariff else 0) + 1_000 * max(measured_by - 1, 0)
    if own is not None and own.channel is not None:
        channel = own.channel
    return (register.quantity, channel) if channel <= CHANNEL_MAX else None


def is_obis(raw: object) -> bool:
    """Whether an octet-string can be an OBIS code: 6 bytes, a medium that exists."""
    return isinstance(raw, bytes) and len(raw) == 6 and raw[0] < 16


def obis_text(obis: Sequence[int]) -> str:
    """`1-0:1.8.0`, and `*F` where it is not 255."""
    text = "{}-{}:{}.{}.{}".format(*obis)
    return text if obis[5] == CURRENT else f"{text}*{obis[5]}"


def objects_of(options: Mapping[str, Any], key: str) -> tuple[Object, ...]:
    """Read a list of objects from a profile: an OBIS code, null for "not read", or an object with
    `obis`, `scaler`, `unit` (a symbol), `quantity`, `channel`. Raises `DecodeError` naming the wrong one."""
    found = options.get(key, ())
    if not isinstance(found, list | tuple):
        raise DecodeError("options", key, "is a list")
    return tuple(_object(each, f"{key}[{index}]") for index, each in enumerate(found))


def _object(each: Any, field: str) -> Object:
    if each is None:
        return Object(None)
    entry = {"obis": each} if isinstance(each, str) else each
    if not isinstance(entry, Mapping):
        raise DecodeError("options", field, "is an OBIS code or an object with obis")
    match = _OBIS.fullmatch(str(entry.get("obis", "")))
    numbers = [CURRENT if part is None else int(part) for part in match.groups()] if match else []
    if len(numbers) != 6 or max(numbers) > 255:
        raise DecodeError("options", f"{field}.obis", 'is no OBIS code such as "1-0:1.8.0"')
    scaler, unit = entry.get("scaler"), entry.get("unit")
    if scaler is not None and not (isinstance(scaler, int) and abs(scaler) <= _SCALER_MAX):
        raise DecodeError(
            "options", f"{field}.scaler", f"is a whole number of -{_SCALER_MAX} to {_SCALER_MAX}"
        )
    if unit is not None and unit not in _UNIT_OF_SYMBOL:
        raise DecodeError("options", f"{field}.unit", f"is none of {', '.join(_UNIT_OF_SYMBOL)}")
    quantity, channel = entry.get("quantity"), entry.get("channel")
    if quantity is not None and quantity not in CODES:
        raise DecodeError("options", f"{field}.quantity", "is no quantity that is stored")
    if channel is not None and not (isinstance(channel, int) and 0 <= channel <= CHANNEL_MAX):
        raise DecodeError("options", f"{field}.channel", f"is not 0 to {CHANNEL_MAX}")
    a, b, c, d, e, f = numbers
    return Object((a, b, c, d, e, f), scaler, _UNIT_OF_SYMBOL.get(unit) if unit else None, quantity, channel)


def scaled(value: float, scaler: int | None, unit: int | None) -> float | None:
    """A register's value in our unit; None for a unit that has no quantity here."""
    factor = 1.0 if unit is None else UNITS.get(unit, (None, None))[1]
    power = scaler or 0
    if factor is None or abs(power) > _SCALER_MAX:
        return None
    # dividing by a power of ten keeps 2337 x 10^-1 at 233.7
    return (value * 10.0**power if power >= 0 else value / 10.0**-power) * factor


# Lists without units: (C, D) -> scaler, by how the list's version identifier begins.
VENDOR_SCALERS: Mapping[str, Mapping[tuple[int, int], int]] = MappingProxyType(
    {
        "Kamstrup_V": {**{(c, 8): 1 for c in (1, 2, 3, 4)}, **{(c, 7): -2 for c in (31, 51, 71)}},
        "KFM_": {**{(c, 7): -3 for c in (31, 51, 71)}, **{(c, 7): -1 for c in (32, 52, 72)}},
    }
)


def _electric(*codes: str | None) -> tuple[Object, ...]:
    return tuple(_object(None if code is None else code, "list") for code in codes)


_KAIFA_POWERS = ("1-0:1.7.0", "1-0:2.7.0", "1-0:3.7.0", "1-0:4.7.0")
_KAIFA_1_PHASE = ("1-0:31.7.0", "1-0:32.7.0")
_KAIFA_3_PHASES = ("1-0:31.7.0", "1-0:51.7.0", "1-0:71.7.0", "1-0:32.7.0", "1-0:52.7.0", "1-0:72.7.0")
_KAIFA_HOURLY = ("0-0:1.0.0", "1-0:1.8.0", "1-0:2.8.0", "1-0:3.8.0", "1-0:4.8.0")
# Lists without OBIS codes, by their length: version, meter number, model, then values by position.
KAIFA_LISTS: Mapping[int, tuple[Object, ...]] = MappingProxyType(
    {
        len(codes): _electric(*codes)
        for codes in (
            (None, "0-0:96.1.0", None, *_KAIFA_POWERS, *_KAIFA_1_PHASE),
            (None, "0-0:96.1.0", None, *_KAIFA_POWERS, *_KAIFA_3_PHASES),
            (None, "0-0:96.1.0", None, *_KAIFA_POWERS, *_KAIFA_1_PHASE, *_KAIFA_HOURLY),
            (None, "0-0:96.1.0", None, *_KAIFA_POWERS, *_KAIFA_3_PHASES, *_KAIFA_HOURLY),
        )
    }
)
