"""Pylontech, RS485: analog values (CID2 42) and alarm information (CID2 44) of a module or a stack.

Clauses are those of "RS485-protocol-pylon-low-voltage" V3.3. An answer does not say which command it
answers: the two are told apart by their lengths. The first of a module's temperatures is its board's and is
left out where there are others. Used by `protocols.battery.frames`.
"""

from protocols.battery.flags import BIT
from protocols.battery.frames import telecom
from protocols.battery.frames.parts import CELL_MV_MAX, Frame, Part, bits, cells, i16, kelvins, u16
from protocols.battery.telemetry import Sample
from protocols.samples import DecodeError

NAME = "pylontech"
HEADER = telecom.HEADER
_ANALOG, _ALARM = 1, 2
_CELLS_MAX, _SENSORS_MAX = 32, 16
_TAIL_SIZE = {2: 11, 4: 17}  # behind the sensors, by the number of user-defined items
_STATUSES = 5
_STATUS_1 = {
    0: "pack_over_voltage",
    1: "cell_under_voltage",
    2: "charge_over_current",
    4: "discharge_over_current",
    5: "discharge_over_temperature",
    6: "charge_over_temperature",
    7: "pack_under_voltage",
}
_BELOW, _ABOVE = 1, 2


def read(data: bytes, at: int) -> Frame:
    """Read the frame that begins at `at`; raises `DecodeError`, reason `layout` where it is another's."""
    telegram = telecom.read(data, at)
    modules = _analog(telegram.info, telegram.address)
    if modules is not None:
        return Frame(telegram.size, _ANALOG, modules)
    alarm = _alarm(telegram.info, telegram.address)
    if alarm is None:
        raise DecodeError("layout", f"bytes[{at}]", "neither analog values nor alarms of a Pylontech module")
    return Frame(telegram.size, _ALARM, (alarm,))


def _analog(info: bytes, address: int) -> tuple[Part, ...] | None:
    """The modules one behind the other; None where they do not fill `info` exactly."""
    modules: list[Part] = []
    position = 2  # information flag; address or number of modules
    while position < len(info):
        count = info[position]
        sensors_at = position + 1 + 2 * count
        sensor_count = info[sensors_at] if sensors_at < len(info) else 0
        tail = sensors_at + 1 + 2 * sensor_count
        size = _TAIL_SIZE.get(info[tail + 6] if tail + 6 < len(info) else 0)
        if not 0 < count <= _CELLS_MAX or not 0 < sensor_count <= _SENSORS_MAX or size is None:
            return None
        if tail + size > len(info):
            return None
        modules.append(_module(info, position, tail, address + len(modules)))
        position = tail + size
    is_sane = all(value * 1000 <= CELL_MV_MAX for module in modules for value in module.cell_voltages_v)
    return tuple(modules) if modules and is_sane else None


def _module(info: bytes, position: int, tail: int, unit: int) -> Part:
    count = info[position]
    sensors_at = position + 1 + 2 * count
    temperatures_c = kelvins(info, sensors_at + 1, info[sensors_at])
    remaining_mah, full_mah = u16(info, tail + 4), u16(info, tail + 7)
    if info[tail + 6] == 4:  # modules above 65 Ah
        remaining_mah = int.from_bytes(info[tail + 11 : tail + 14])
        full_mah = int.from_bytes(info[tail + 14 : tail + 17])
    return Part(
        unit=unit,
        voltage_v=u16(info, tail + 2) / 1000,
        current_a=i16(info, tail) / 10,
        soc_pct=round(100 * remaining_mah / full_mah, 2) if full_mah else None,
        cycles=u16(info, tail + 9),
        temperatures_c=temperatures_c[1:] or temperatures_c,
        cell_voltages_v=cells(info, position + 1, count),
        full_ah=full_mah / 1000,
    )


def _alarm(info: bytes, address: int) -> Part | None:
    """The alarm states of one module; None where they do not fill `info` exactly."""
    if len(info) < 4:
        return None
    count = info[2]
    sensors_at = 3 + count
    if sensors_at >= len(info) or len(info) != sensors_at + 1 + info[sensors_at] + 3 + _STATUSES:
        return None
    states = sensors_at + 1 + info[sensors_at]
    charge, voltage, discharge, status_1 = info[states : states + 4]
    found = {
        "cell_under_voltage": _BELOW in info[3:sensors_at],
        "cell_over_voltage": _ABOVE in info[3:sensors_at],
        "discharge_under_temperature": _BELOW in info[sensors_at + 1 : states],
        "discharge_over_temperature": _ABOVE in info[sensors_at + 1 : states],
        "charge_over_current": charge == _ABOVE,
        "discharge_over_current": discharge == _ABOVE,
        "pack_under_voltage": voltage == _BELOW,
        "pack_over_voltage": voltage == _ABOVE,
    }
    return Part(unit=address, flags=_flags(found) | bits(status_1, _STATUS_1))


def _flags(found: dict[str, bool]) -> int:
    return sum(1 << BIT[name] for name, is_set in found.items() if is_set)


def encode(sample: Sample, address: int = 2) -> bytes:
    """The analog values and the alarms of one module of 100 Ah; temperatures as a list."""
    voltages = sample.cell_voltages_v or []
    sensors = sample.temperatures_c if isinstance(sample.temperatures_c, list) else []
    flags = sample.flags if isinstance(sample.flags, int) else 0
    board = sensors[:1] + sensors  # the board's own comes first
    full_mah = 100_000
    remaining_mah = round(full_mah * (sample.soc_pct or 0) / 100)
    analog = bytes([0, address, len(voltages)]) + b"".join(round(v * 1000).to_bytes(2) for v in voltages)
    analog += bytes([len(board)]) + b"".join(round(value * 10 + 2731).to_bytes(2) for value in board)
    analog += round((sample.current_a or 0) * 10).to_bytes(2, signed=True)
    analog += round((sample.voltage_v or 0) * 1000).to_bytes(2) + b"\xff\xff\x04\xff\xff"
    analog += (sample.cycles or 0).to_bytes(2) + remaining_mah.to_bytes(3) + full_mah.to_bytes(3)
    status_1 = sum(1 << bit for bit, name in _STATUS_1.items() if flags >> BIT[name] & 1)
    states = bytes([_ABOVE if flags >> BIT["cell_over_voltage"] & 1 and voltages else 0]).ljust(
        len(voltages), b"\0"
    )
    alarm = (
        bytes([0, address, len(voltages)]) + states[: len(voltages)] + bytes([len(board)]) + bytes(len(board))
    )
    alarm += bytes([0, 0, 0, status_1, 0, 0, 0, 0])
    return telecom.build(0x20, address, analog) + telecom.build(0x20, address, alarm)
