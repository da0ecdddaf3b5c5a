"""What the frames of a battery management system say, piece by piece, and how the pieces become one sample.

Used by the protocol modules of this package and by its `decode`. A BMS answers in several frames (basic
values, cells, alarms), so each gives a `Part`; `join` puts the parts of one payload together.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from protocols.battery.flags import BIT
from protocols.battery.telemetry import Sample
from protocols.samples import DecodeError

SYSTEM = -1  # the unit of a part that speaks for a whole stack
CELL_MV_MAX = 5_500  # no lithium cell has more: a number beyond it is no cell voltage
_CHARGING = 1 << BIT["charging"]
_DISCHARGING = 1 << BIT["discharging"]


@dataclass(frozen=True, slots=True)
class Part:
    """What one frame holds, in the units of `telemetry.Sample`; None and empty where it holds nothing.

    `unit` is the module of a stack. `direction`: 1 charging, -1 discharging, where the BMS says so itself:
    then only the amount of `current_a` counts, since firmwares differ in its sign. `is_padded`: cells and
    sensors are filled up, and `cell_count` and `sensor_count` of another frame say how many are there.
    """

    unit: int = 0
    voltage_v: float | None = None
    current_a: float | None = None
    direction: int | None = None
    soc_pct: float | None = None
    soh_pct: float | None = None
    cycles: int | None = None
    flags: int | None = None
    temperatures_c: Sequence[float] = ()
    cell_voltages_v: Sequence[float] = ()
    is_padded: bool = False
    cell_count: int | None = None
    sensor_count: int | None = None
    full_ah: float | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame with a right checksum: `size` bytes; `kind` tells it from the others of the same answer.

    Parts are put together in the order of their kinds. No parts: nothing in it is stored.
    """

    size: int
    kind: int
    parts: tuple[Part, ...] = field(default=())


def crc16_modbus(data: bytes) -> int:
    """CRC-16/MODBUS: polynomial 0xA001 reflected, starting at 0xFFFF."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC16[(crc ^ byte) & 0xFF]
    return crc


def _crc16_entry(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0xA001 if value & 1 else 0)
    return value


_CRC16 = tuple(_crc16_entry(value) for value in range(256))


def take(data: bytes, at: int, size: int) -> bytes:
    """`size` bytes from `at`; raises `DecodeError` (reason `truncated`) where there are fewer."""
    if len(data) < at + size:
        have = len(data) - at
        raise DecodeError("truncated", f"bytes[{at}]", f"the frame has {size} bytes, here are {have}")
    return data[at : at + size]


def check(name: str, at: int, said: int, is_: int) -> None:
    """Raise `DecodeError` (reason `checksum`) where the two differ."""
    if said != is_:
        raise DecodeError("checksum", f"bytes[{at}]", f"{name}: the frame says {said:#06x}, it is {is_:#06x}")


def u16(data: bytes, at: int) -> int:
    """Big-endian, unsigned."""
    return int.from_bytes(data[at : at + 2])


def i16(data: bytes, at: int) -> int:
    """Big-endian, signed."""
    return int.from_bytes(data[at : at + 2], signed=True)


def cells(data: bytes, at: int, count: int) -> tuple[float, ...]:
    """Cell voltages (V) of `count` big-endian numbers in millivolts."""
    return tuple(u16(data, at + 2 * index) / 1000 for index in range(count))


def kelvins(data: bytes, at: int, count: int) -> tuple[float, ...]:
    """Temperatures (degrees Celsius) of `count` big-endian numbers in tenths of a kelvin."""
    return tuple(round((u16(data, at + 2 * index) - 2731) / 10, 1) for index in range(count))


def bits(value: int, names: dict[int, str]) -> int:
    """Our flags for the bits of a BMS; `names` maps a bit's number to the flag's name."""
    return sum({1 << BIT[name] for bit, name in names.items() if value >> bit & 1})


def join(parts: Iterable[Part]) -> Sample:
    """One sample of the parts: those of a unit first, then the units of a stack as connected in parallel.

    A stack's voltage is the mean, its current the sum, its state of charge weighted by capacity, its state of
    health the least, its cycles the most; cells and sensors stand one behind the other in the order of units.
    """
    by_unit: dict[int, list[Part]] = {}
    for part in parts:
        by_unit.setdefault(part.unit, []).append(part)
    units = {unit: _join_unit(unit, by_unit[unit]) for unit in sorted(by_unit)}
    system = units.pop(SYSTEM, None)
    modules = list(units.values())
    if system is not None and not any(module.voltage_v is not None for module in modules):
        modules.insert(0, system)
    return _stack(modules)


def _first(values: Iterable[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)


def _join_unit(unit: int, parts: Sequence[Part]) -> Part:
    cell_count = _first(part.cell_count for part in parts)
    sensor_count = _first(part.sensor_count for part in parts)
    all_cells = [value for part in parts for value in part.cell_voltages_v]
    sensors = [value for part in parts for value in part.temperatures_c]
    is_padded = any(part.is_padded for part in parts)
    current_a = _first(part.current_a for part in parts)
    direction = _first(part.direction for part in parts)
    if current_a is not None and direction:
        current_a = abs(current_a) * direction
    cycles = _first(part.cycles for part in parts)
    flags = [part.flags for part in parts if part.flags is not None]
    return Part(
        unit=unit,
        voltage_v=_first(part.voltage_v for part in parts),
        current_a=current_a,
        soc_pct=_first(part.soc_pct for part in parts),
        soh_pct=_first(part.soh_pct for part in parts),
        cycles=None if cycles is None else int(cycles),
        flags=_union(flags) if flags else None,
        temperatures_c=_there(sensors, sensor_count, is_padded),
        cell_voltages_v=_there(all_cells, cell_count, is_padded),
        full_ah=_first(part.full_ah for part in parts),
    )


def _there(values: Sequence[float], count: float | None, is_padded: bool) -> Sequence[float]:
    """Those that are there; none where a frame is missing, since then nobody knows which cell is which."""
    if not is_padded:
        return values
    return values[: int(count)] if count is not None and len(values) >= count else ()


def incomplete(parts: Sequence[Part]) -> DecodeError | None:
    """What `join` leaves out because a frame of the answer is missing."""
    units: dict[int, list[Part]] = {}
    for part in parts if any(part.is_padded for part in parts) else ():
        units.setdefault(part.unit, []).append(part)
    for unit, own in units.items():
        joined = _join_unit(unit, own)
        if any(part.cell_voltages_v for part in own) and not joined.cell_voltages_v:
            return DecodeError(
                "incomplete", "cell_voltages_v", "a frame with cells or their number is missing"
            )
        if any(part.temperatures_c for part in own) and not joined.temperatures_c:
            return DecodeError(
                "incomplete", "temperatures_c", "a frame with sensors or their number is missing"
            )
    return None


def _union(flags: Iterable[int]) -> int:
    union = 0
    for each in flags:
        union |= each
    return union


def _stack(modules: Sequence[Part]) -> Sample:
    voltages = [module.voltage_v for module in modules if module.voltage_v is not None]
    currents = [module.current_a for module in modules if module.current_a is not None]
    healths = [module.soh_pct for module in modules if module.soh_pct is not None]
    cycles = [module.cycles for module in modules if module.cycles is not None]
    flags = [module.flags for module in modules if module.flags is not None]
    current_a = round(sum(currents), 3) if currents else None
    if current_a:
        flags.append(_CHARGING if current_a > 0 else _DISCHARGING)
    return Sample(
        voltage_v=round(sum(voltages) / len(voltages), 3) if voltages else None,
        current_a=current_a,
        soc_pct=_stack_soc(modules),
        soh_pct=min(healths, default=None),
        cycles=max(cycles, default=None),
        flags=_union(flags) if flags else None,
        temperatures_c=[value for module in modules for value in module.temperatures_c] or None,
        cell_voltages_v=[value for module in modules for value in module.cell_voltages_v] or None,
    )


def _stack_soc(modules: Sequence[Part]) -> float | None:
    known = [(module.soc_pct, module.full_ah) for module in modules if module.soc_pct is not None]
    if not known:
        return None
    weights = [full_ah if all(full for _, full in known) and full_ah else 1.0 for _, full_ah in known]
    mean = sum(soc * weight for (soc, _), weight in zip(known, weights, strict=True)) / sum(weights)
    return round(mean, 2)
