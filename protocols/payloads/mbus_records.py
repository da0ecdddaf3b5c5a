"""Data records of an M-Bus meter (EN 13757-3) to measurements.

Used by `protocols.payloads.mbus` for wired and wireless telegrams. The DIF/VIF records are parsed by
`pymbusparser`; here they get their quantity, unit, time and channel.
"""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pymbusparser

from protocols.measurements import CHANNEL_MAX, MEASUREMENTS_MAX, Measurement
from protocols.payloads.mbus_history import (
    STORAGE_STEPS_MAX,
    History,
    Record,
    history_of,
    instant,
    is_profile,
    profile_values,
)
from protocols.payloads.times import WARNINGS_MAX, Clock
from protocols.quantities import CODES, QUANTITIES
from protocols.samples import DecodeError

SUBUNIT_CHANNELS = 100  # channel = tariff + 100 x subunit
_INSTANTANEOUS = "Instantaneous value"
_POSITIVE = "Accumulation only if value is positive"
_NEGATIVE = "Accumulation only if value is negative"
_PHASES = {"At phase L1": 1, "At phase L2": 2, "At phase L3": 3}
_ERROR_FLAGS = "Error flags"

# EN 13757-7 table 1, device types.
_ELECTRICITY = 0x02
_GAS = 0x03
_HEAT = frozenset({0x04, 0x05, 0x0C, 0x0D})
_COOLING = frozenset({0x0A, 0x0B})

_JOULES_OF_WH = 3600
# label of the VIF -> unit -> (quantity, factor); energy and volume depend on the medium, see `_medium`.
_QUANTITY: Mapping[str, Mapping[str | None, tuple[str, float]]] = {
    "Energy": {
        "W.h": ("energy", 1.0),
        "J": ("energy", 1 / _JOULES_OF_WH),
        "cal": ("energy", 4.1868 / _JOULES_OF_WH),
    },
    "Volume": {"m3": ("volume", 1.0), "L": ("volume", 0.001)},
    "Power": {"W": ("power_w", 1.0), "J.h-1": ("power_w", 1 / _JOULES_OF_WH)},
    "Volume flow": {
        "m3.h-1": ("flow_m3_per_h", 1.0),
        "m3.min-1": ("flow_m3_per_h", 60.0),
        "m3.s-1": ("flow_m3_per_h", 3600.0),
    },
    "Flow temperature": {"Cel": ("temperature_c", 1.0)},
    "Return temperature": {"Cel": ("return_temperature_c", 1.0)},
    "External temperature": {"Cel": ("ambient_temperature_c", 1.0)},
    "Relative humidity": {"%": ("humidity_pct", 1.0)},
    "Pressure": {"bar": ("pressure_pa", 1e5)},
    "Voltage": {"V": ("voltage_v", 1.0)},
    "Current": {"A": ("current_a", 1.0)},
    "Frequency": {"Hz": ("frequency_hz", 1.0)},
    "On time": {
        "s": ("uptime_s", 1.0),
        "min": ("uptime_s", 60.0),
        "h": ("uptime_s", 3600.0),
        "d": ("uptime_s", 86_400.0),
    },
    "Operating time": {
        "s": ("operating_s", 1.0),
        "min": ("operating_s", 60.0),
        "h": ("operating_s", 3600.0),
        "d": ("operating_s", 86_400.0),
    },
    "Cumulation counter": {None: ("pulses", 1.0)},
    "Digital input": {None: ("digital_input", 1.0)},
    "Digital output": {None: ("digital_output", 1.0)},
}
_QUIET_LABELS = frozenset({"Binary", _POSITIVE, *_PHASES})


@dataclass(frozen=True, slots=True)
class Telegram:
    """The records of one telegram and what reading them depends on."""

    records: Sequence[Record]
    device_type: int | None
    clock: Clock
    heard_at_us: int


def measurements_of(telegram: Telegram, warnings: list[str]) -> list[Measurement]:
    """Everything in the telegram that is a quantity, historic values at their dates.

    Maxima, minima and values with a manufacturer's own qualifier are left to `data`. A register below zero
    is how meters say "not there". Raises `DecodeError` beyond `MEASUREMENTS_MAX`.
    """
    history = history_of(telegram.records)
    found: list[Measurement] = []
    undated: set[int] = set()
    for record in telegram.records:
        meaning = _meaning(record, telegram.device_type)
        if meaning is None:
            continue
        quantity, factor, channel = meaning
        for storage, moment_us, value in _values(record, telegram, history, warnings):
            if storage and moment_us is None:
                undated.add(storage)
            elif _is_storable(quantity, value * factor):
                found.append(Measurement(quantity, value * factor, moment_us, channel))
        if len(found) > MEASUREMENTS_MAX:
            raise DecodeError("too_many", "records", f"more than {MEASUREMENTS_MAX} values")
    if undated and len(warnings) < WARNINGS_MAX:
        warnings.append(
            f"values of storage {', '.join(map(str, sorted(undated)[:20]))} have no date: left out"
        )
    return found


def error_flags(records: Sequence[Record]) -> int | None:
    """The meter's word of error flags (VIF FD 17) of now, as an unsigned integer."""
    for record in records:
        if record["quantities"] == [_ERROR_FLAGS] and record["storage_number"] == 0 and record["data_hex"]:
            return int.from_bytes(bytes.fromhex(record["data_hex"])[:6], "little")
    return None


def _values(
    record: Record, telegram: Telegram, history: History, warnings: list[str]
) -> Iterator[tuple[int, int | None, float]]:
    """(storage, instant, value) of one record: one, or all of a profile."""
    storage = record["storage_number"]
    dated = history.moment(storage)
    if not is_profile(record):
        value = _number(record)
        if value is not None:
            yield storage, _instant(dated, telegram, warnings), value
        return
    base = _base_of(record, telegram.records)
    header = bytes.fromhex(record["header_hex"])
    for position, step, value in profile_values(record, base, scale_of(header)):
        moment = None if dated is None else step.from_(dated[0], position)
        found = None if moment is None or dated is None else (moment, dated[1])
        yield storage + abs(position), _instant(found, telegram, warnings), value


def _instant(dated: tuple[Any, bool] | None, telegram: Telegram, warnings: list[str]) -> int | None:
    if dated is None:
        return None
    return instant(dated[0], dated[1], telegram.clock, telegram.heard_at_us, warnings)


def _base_of(profile: Record, records: Sequence[Record]) -> float | None:
    place = ("storage_number", "tariff", "subunit")
    for record in records:
        same = all(record[key] == profile[key] for key in place)
        if (
            same
            and record["quantities"] == profile["quantities"][:-1]
            and record["function"] == _INSTANTANEOUS
        ):
            return _number(record)
    return None


def _meaning(record: Record, device_type: int | None) -> tuple[str, float, int] | None:
    """(quantity, factor, channel) of a record; None: it is not stored."""
    labels = [each for each in record["quantities"] if each not in _QUIET_LABELS]
    if is_profile(record):
        labels = labels[:-1]
    elif record["function"] != _INSTANTANEOUS:
        return None
    is_negative = _NEGATIVE in labels
    labels = [each for each in labels if each != _NEGATIVE]
    known = _QUANTITY.get(labels[0], {}).get(record.get("unit")) if len(labels) == 1 else None
    if known is None:
        return None
    quantity = _medium(known[0], device_type, is_negative)
    phase = max((_PHASES.get(each, 0) for each in record["quantities"]), default=0)
    channel = phase or record["tariff"] + SUBUNIT_CHANNELS * record["subunit"]
    return None if quantity is None or channel > CHANNEL_MAX else (quantity, known[1], channel)


def _medium(word: str, device_type: int | None, is_negative: bool) -> str | None:
    """The quantity of a word of `_QUANTITY` in a meter of this type; `is_negative`: what flowed backwards."""
    if word == "energy":
        return _energy(device_type, is_negative)
    if word == "volume" and is_negative:
        return "water_backflow_m3" if device_type != _GAS and device_type not in _HEAT else None
    if word == "volume":
        return "gas_m3" if device_type == _GAS else "water_m3"
    if word == "voltage_v" and device_type not in (None, _ELECTRICITY):
        return "battery_v"  # the only voltage that other meters know
    return None if is_negative else word


def _energy(device_type: int | None, is_negative: bool) -> str:
    if device_type in _COOLING or (device_type in _HEAT and is_negative):
        return "cooling_wh"
    if device_type in _HEAT:
        return "heat_wh"
    return "energy_export_wh" if is_negative else "energy_import_wh"


def _is_storable(quantity: str, value: float) -> bool:
    return math.isfinite(value) and not (QUANTITIES[CODES[quantity]].is_register and value < 0)


def _number(record: Record) -> float | None:
    value = record["value"].get("value")
    try:
        number = float(value) if isinstance(value, str | int | float) else None
    except (ValueError, OverflowError):
        return None
    if number is not None and record["value"]["kind"] == "float":
        return number * scale_of(bytes.fromhex(record["header_hex"]))
    return number


_DIF_EXTENSION = 0x80
_DIF_INT32 = 0x04
_VIFE_PROFILES = frozenset({0x13, 0x1E, 0x1F})


@functools.lru_cache(maxsize=1_024)
def scale_of(header: bytes) -> float:
    """What one count of a record's VIF is worth.

    The library does not scale floats and profiles (0.5.3), so it is asked for an integer 1 with the same VIF.
    """
    at = 1
    while at <= STORAGE_STEPS_MAX and at < len(header) and header[at - 1] & _DIF_EXTENSION:
        at += 1
    vif = bytearray(header[at:])
    if len(vif) > 1 and vif[-1] in _VIFE_PROFILES:
        vif.pop()
        vif[-1] &= 0x7F
    try:
        records = pymbusparser.parse_records(bytes([_DIF_INT32]) + bytes(vif) + b"\x01\0\0\0")
        return float(records[0]["value"]["value"])
    except (pymbusparser.MbusParserError, IndexError, KeyError, ValueError, TypeError):
        return math.nan
