"""SenML (RFC 8428) in JSON and CBOR: base values resolved, units to quantities; LwM2M Send and Notify too.

Used through `protocols.payloads.DECODERS` ("senml_json", "senml_cbor"). A name that ends in an LwM2M path
(`/3424/0/1`) is read by the object's resources, with the instance as channel.

Options: `names` (the end of a name -> `{"quantity", "channel", "scale"}`), `units` (unit -> quantity, for
instance `{"m3": "gas_m3"}`), `step_s`, `newest_first` and `clock` (see `times`).
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from protocols.measurements import CHANNEL_MAX, MEASUREMENTS_MAX, Decoded, Measurement, Payload
from protocols.payloads.lwm2m_objects import resource
from protocols.payloads.names import identity_text, urn_identity
from protocols.payloads.structured import read_cbor, read_json
from protocols.payloads.times import WARNINGS_MAX, clock_of, series_options, settle, to_text
from protocols.quantities import CODES
from protocols.samples import DecodeError
from protocols.timestamps import US_PER_SECOND

RECORDS_MAX = MEASUREMENTS_MAX
NAME_MAX = 512
_VERSION_MAX = 10  # RFC 8428 section 4.4
_RELATIVE_MAX_S = 1 << 28  # section 4.5.3: below, a time is relative to now
_TIME_MAX_S = 253_402_300_799
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*", re.ASCII)
_LWM2M = re.compile(r"/(\d{1,5})/(\d{1,5})/(\d{1,5})$", re.ASCII)
_LWM2M_BARE = re.compile(r"(\d{1,5})/(\d{1,5})/(\d{1,5})$", re.ASCII)
# Section 6: CBOR's labels; keys have become text on the way here.
_CBOR_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "-1": "bver",
        "-2": "bn",
        "-3": "bt",
        "-4": "bu",
        "-5": "bv",
        "-6": "bs",
        "0": "n",
        "1": "u",
        "2": "v",
        "3": "vs",
        "4": "vb",
        "5": "s",
        "6": "t",
        "7": "ut",
        "8": "vd",
    }
)
_BASES = ("bn", "bt", "bu", "bv", "bs", "bver")
_TEXTS = ("bn", "bu", "n", "u", "vs", "vd")
_NUMBERS = ("bt", "bv", "bs", "bver", "v", "s", "t", "ut")
# RFC 8428 section 12.1 and RFC 8798: unit -> (quantity, factor, offset).
_UNITS: Mapping[str, tuple[str, float, float]] = MappingProxyType(
    {
        "Cel": ("temperature_c", 1, 0),
        "K": ("temperature_c", 1, -273.15),
        "%RH": ("humidity_pct", 1, 0),
        "%EL": ("battery_pct", 1, 0),
        "m3": ("water_m3", 1, 0),
        "l": ("water_m3", 0.001, 0),
        "m3/s": ("flow_m3_per_h", 3600, 0),
        "l/s": ("flow_m3_per_h", 3.6, 0),
        "J": ("energy_import_wh", 1 / 3600, 0),
        "Wh": ("energy_import_wh", 1, 0),
        "kWh": ("energy_import_wh", 1000, 0),
        "varh": ("reactive_energy_varh", 1, 0),
        "kvarh": ("reactive_energy_varh", 1000, 0),
        "kVAh": ("apparent_energy_vah", 1000, 0),
        "W": ("power_w", 1, 0),
        "kW": ("power_w", 1000, 0),
        "var": ("reactive_power_var", 1, 0),
        "kvar": ("reactive_power_var", 1000, 0),
        "VA": ("apparent_power_va", 1, 0),
        "kVA": ("apparent_power_va", 1000, 0),
        "V": ("voltage_v", 1, 0),
        "mV": ("voltage_v", 0.001, 0),
        "A": ("current_a", 1, 0),
        "mA": ("current_a", 0.001, 0),
        "Hz": ("frequency_hz", 1, 0),
        "Pa": ("pressure_pa", 1, 0),
        "hPa": ("pressure_pa", 100, 0),
        "lx": ("illuminance_lx", 1, 0),
        "dBm": ("rssi_dbm", 1, 0),
        "count": ("pulses", 1, 0),
        "m": ("distance_m", 1, 0),
        "mm": ("distance_m", 0.001, 0),
        "lat": ("latitude_deg", 1, 0),
        "lon": ("longitude_deg", 1, 0),
    }
)


@dataclass(frozen=True, slots=True)
class Record:
    """One resolved record (section 4.6): full name, unit, absolute time, one value or a sum."""

    name: str
    unit: str | None
    ts_us: int | None
    value: float | str | bool | None
    sum: float | None = None


def decode_json(payload: Payload) -> Decoded:
    """Raises `DecodeError` for what is no SenML pack in JSON."""
    return _decode(read_json(payload.data), payload)


def decode_cbor(payload: Payload) -> Decoded:
    """Raises `DecodeError` for what is no SenML pack in CBOR."""
    pack = read_cbor(payload.data)
    if isinstance(pack, list):
        pack = [
            {_CBOR_LABELS.get(key, key): value for key, value in each.items()}
            if isinstance(each, dict)
            else each
            for each in pack
        ]
    return _decode(pack, payload)


def resolve(pack: Any, now_us: int) -> list[Record]:
    """Resolve a pack's base fields and relative times (section 4.6). Raises `DecodeError` (`senml`)."""
    if not isinstance(pack, list) or not pack:
        raise _wrong("", "a pack is an array of records")
    if len(pack) > RECORDS_MAX:
        raise DecodeError("too_many", "", f"{len(pack)} records, at most {RECORDS_MAX} are read")
    base: dict[str, Any] = {}
    found: list[Record] = []
    for index, record in enumerate(pack):
        _check(record, f"[{index}]")
        base.update({key: record[key] for key in _BASES if key in record})
        if base.get("bver", _VERSION_MAX) > _VERSION_MAX:
            raise _wrong(f"[{index}].bver", f"version {base['bver']} is not known")
        resolved = _resolved(record, base, now_us, f"[{index}]")
        if resolved is not None:
            found.append(resolved)
    return found


def name_identity(name: str) -> str | None:
    """The device that a name or base name begins with: its URN's, else all of a base name that can be one."""
    return urn_identity(name) or identity_text(name.rstrip(":/_-."))


def _resolved(record: Mapping[str, Any], base: Mapping[str, Any], now_us: int, at: str) -> Record | None:
    value = record.get("v", record.get("vb", record.get("vs", record.get("vd"))))
    total = record.get("s")
    if value is None and total is None:
        return None  # a record of base fields alone
    if "v" in record:
        value = value + base.get("bv", 0)
    if total is not None:
        total = total + base.get("bs", 0)
    name = str(base.get("bn", "")) + str(record.get("n", ""))
    if len(name) > NAME_MAX or not _NAME.fullmatch(name.removeprefix("/")):
        raise _wrong(f"{at}.n", f"{name[:80]!r} is no name")
    seconds = base.get("bt", 0) + record.get("t", 0)
    return Record(name, record.get("u", base.get("bu")), _absolute(seconds, now_us, at), value, total)


def _absolute(seconds: float, now_us: int, at: str) -> int | None:
    """None for now itself: a record without any time."""
    if not math.isfinite(seconds) or abs(seconds) > _TIME_MAX_S:
        raise _wrong(f"{at}.t", "is no time")
    if seconds == 0:
        return None
    us = round(seconds * US_PER_SECOND)
    return us if seconds >= _RELATIVE_MAX_S else now_us + us


def _check(record: Any, at: str) -> None:
    if not isinstance(record, dict):
        raise _wrong(at, "is not an object")
    for key, value in record.items():
        if key in _TEXTS and not isinstance(value, str):
            raise _wrong(f"{at}.{key}", "is not a text")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if key in _NUMBERS and not (is_number and abs(value) <= 1e300):
            raise _wrong(f"{at}.{key}", "is not a number")
        if key == "vb" and not isinstance(value, bool):
            raise _wrong(f"{at}.vb", "is not a boolean")
        if key.endswith("_"):
            raise _wrong(f"{at}.{key[:80]}", "must be understood and is not known")


def _wrong(at: str, message: str) -> DecodeError:
    return DecodeError("senml", at, message)


def _decode(pack: Any, payload: Payload) -> Decoded:
    records = resolve(pack, payload.heard_at_us)
    if not records:
        raise DecodeError("empty", "", "a pack without a value")
    warnings: list[str] = []
    names, units = _names(payload.options), _units(payload.options)
    found = [each for record in records for each in _measured(record, names, units)]
    _warn_of_clashes(found, warnings)
    step_s, newest_first = series_options(payload.options)
    measurements = settle(
        found,
        clock_of(payload.options),
        payload.heard_at_us,
        step_s=step_s,
        newest_first=newest_first,
        warnings=warnings,
    )
    first = next((each["bn"] for each in pack if "bn" in each), "")
    identity = name_identity(first) or urn_identity(records[0].name) or _serial(records)
    return Decoded(_data(records), tuple(measurements), tuple(warnings), identity)


def _serial(records: Sequence[Record]) -> str | None:
    """The serial number resource of LwM2M's device object."""
    return next((identity_text(each.value) for each in records if each.name.endswith("/3/0/2")), None)


def _data(records: Sequence[Record]) -> list[dict[str, Any]]:
    return [
        {
            "n": each.name,
            **({"u": each.unit} if each.unit is not None else {}),
            **({"t": to_text(each.ts_us)} if each.ts_us is not None else {}),
            **({"v": each.value} if each.value is not None else {}),
            **({"s": each.sum} if each.sum is not None else {}),
        }
        for each in records
    ]


_Meaning = tuple[str, float, float, int]  # quantity, factor, offset, channel


def _measured(
    record: Record, names: Mapping[str, _Meaning], units: Mapping[str, tuple[str, float, float]]
) -> Iterator[Measurement]:
    value = record.value if record.value is not None else record.sum
    meant = _meaning(record, names, units)
    if meant is None or isinstance(value, str) or value is None:
        return
    quantity, factor, offset, channel = meant
    number = float(value) * factor + offset
    if math.isfinite(number) and channel <= CHANNEL_MAX:
        yield Measurement(quantity, number, record.ts_us, channel)


def _meaning(
    record: Record, names: Mapping[str, _Meaning], units: Mapping[str, tuple[str, float, float]]
) -> _Meaning | None:
    """The profile's names first, then LwM2M's resources, then the unit."""
    for ending, meant in names.items():
        if record.name.endswith(ending):
            return meant
    path = _LWM2M.search(record.name) or _LWM2M_BARE.fullmatch(record.name)
    if path is not None:
        known = resource(int(path.group(1)), int(path.group(3)))
        if known is not None:
            return None if known.quantity is None else (known.quantity, known.factor, 0.0, int(path.group(2)))
    unit = units.get(record.unit or "")
    return None if unit is None else (*unit, 0)


def _names(options: Mapping[str, Any]) -> dict[str, _Meaning]:
    names = options.get("names", {})
    if not isinstance(names, Mapping):
        raise DecodeError("options", "names", "is an object of name endings")
    found: dict[str, _Meaning] = {}
    for ending, each in names.items():
        entry = {"quantity": each} if isinstance(each, str) else each
        at = f"names.{ending}"[:80]
        quantity = entry.get("quantity") if isinstance(entry, Mapping) else None
        if not isinstance(entry, Mapping) or not isinstance(quantity, str) or quantity not in CODES:
            raise DecodeError("options", at, "has no quantity that is stored")
        scale, channel = entry.get("scale", 1), entry.get("channel", 0)
        if not isinstance(scale, int | float) or not math.isfinite(scale) or not isinstance(channel, int):
            raise DecodeError("options", at, "has a scale and a channel that are numbers")
        found[str(ending)] = (quantity, float(scale), 0.0, channel)
    return found


def _units(options: Mapping[str, Any]) -> Mapping[str, tuple[str, float, float]]:
    """The units of the RFC, with the profile's own quantities for some of them (the factor stays)."""
    own = options.get("units", {})
    if not isinstance(own, Mapping):
        raise DecodeError("options", "units", "is an object of unit and quantity")
    found = dict(_UNITS)
    for unit, quantity in own.items():
        if not isinstance(quantity, str) or quantity not in CODES:
            raise DecodeError("options", f"units.{unit}"[:80], "is no quantity that is stored")
        _, factor, offset = _UNITS.get(str(unit), ("", 1.0, 0.0))
        found[str(unit)] = (quantity, factor, offset)
    return found


def _warn_of_clashes(measurements: Sequence[Measurement], warnings: list[str]) -> None:
    seen: set[tuple[str, int, int | None]] = set()
    for each in measurements:
        place = (each.quantity, each.channel, each.ts_us)
        if place in seen and len(warnings) < WARNINGS_MAX:
            warnings.append(f"{each.quantity}: several values at one time, give their names channels")
            return
        seen.add(place)
