"""ANT: frames of today (`7E A1 ... AA 55`, little-endian) and of boards until 2019 (`AA 55 AA FF`).

Today's status frame (function 11) has as many cells and sensors as it says, and the values behind them;
CRC-16/MODBUS from the second byte on. The older frame has 140 bytes and the sum of all behind its head. In
both a positive current discharges. Used by `protocols.battery.frames`.
"""

from protocols.battery.flags import BIT
from protocols.battery.frames.parts import (
    CELL_MV_MAX,
    Frame,
    Part,
    cells,
    check,
    crc16_modbus,
    i16,
    take,
    u16,
)
from protocols.samples import DecodeError

NAME = "ant"
HEADER = rb"\x7e\xa1[\x11\x12\x42\x43\x61]|\xaa\x55\xaa\xff"
_STATUS = 0x11
_OVERHEAD = 10
_CELLS_AT = 34
_CELLS_MAX, _SENSORS_MAX = 32, 6
_VALUES_SIZE = 26  # behind the sensors, as far as it is read
_OLD_SIZE = 140
_DIRECTION = {2: 1, 3: -1}
# Why a MOSFET is off.
_CHARGE = {
    2: "cell_over_voltage",
    3: "charge_over_current",
    5: "pack_over_voltage",
    6: "charge_over_temperature",
    0x10: "cell_over_voltage",
    0x11: "charge_under_temperature",
    0x12: "cell_imbalance",
}
_DISCHARGE = {
    2: "cell_under_voltage",
    3: "discharge_over_current",
    4: "discharge_over_current",
    5: "pack_under_voltage",
    6: "discharge_over_temperature",
    0x0C: "short_circuit",
    0x10: "cell_under_voltage",
    0x11: "discharge_under_temperature",
    0x12: "cell_imbalance",
}
_BALANCING = 4


def read(data: bytes, at: int) -> Frame:
    """Read the frame that begins at `at`; raises `DecodeError`."""
    if data[at] == 0xAA:
        return _read_old(data, at)
    size = take(data, at, 6)[5] + _OVERHEAD
    frame = take(data, at, size)
    if frame[2] == 0x12:
        return Frame(size, 0)  # device information; its length field is not the frame's length on every board
    if frame[-2:] != b"\xaa\x55":
        raise DecodeError("malformed", f"bytes[{at}]", "the frame does not end with AA 55")
    check("ANT", at, int.from_bytes(frame[-4:-2], "little"), crc16_modbus(frame[1:-4]))
    return Frame(size, 1, (_status(frame, at),) if frame[2] == _STATUS else ())


def _status(frame: bytes, at: int) -> Part:
    def little(position: int, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(frame[position : position + size], "little", signed=signed)

    sensor_count, cell_count = frame[8], frame[9]
    values = _CELLS_AT + 2 * (cell_count + sensor_count) + 4  # sensors of MOSFET and balancer come between
    if cell_count > _CELLS_MAX or sensor_count > _SENSORS_MAX or len(frame) < values + _VALUES_SIZE:
        raise DecodeError("malformed", f"bytes[{at}]", f"{cell_count} cells in {len(frame)} bytes")
    sensors = _CELLS_AT + 2 * cell_count
    return Part(
        voltage_v=little(values, 2) / 100,
        current_a=-little(values + 2, 2, signed=True) / 10,
        direction=_DIRECTION.get(frame[7]),
        soc_pct=float(little(values + 4, 2)),
        soh_pct=float(little(values + 6, 2)),
        flags=_flags(frame[values + 8], frame[values + 9], frame[values + 10]),
        temperatures_c=[float(little(sensors + 2 * index, 2, signed=True)) for index in range(sensor_count)],
        cell_voltages_v=[little(_CELLS_AT + 2 * index, 2) / 1000 for index in range(cell_count)],
        full_ah=little(values + 12, 4) / 1e6,
    )


def _flags(charge: int, discharge: int, balancer: int) -> int:
    names = {_CHARGE.get(charge), _DISCHARGE.get(discharge), "balancing" if balancer == _BALANCING else None}
    return sum(1 << BIT[name] for name in names if name is not None)


def _read_old(data: bytes, at: int) -> Frame:
    frame = take(data, at, _OLD_SIZE)
    check("ANT", at, u16(frame, 138), sum(frame[4:138]) & 0xFFFF)
    count = frame[123]
    voltages = cells(frame, 6, min(count, _CELLS_MAX))
    if count > _CELLS_MAX or any(voltage * 1000 > CELL_MV_MAX for voltage in voltages):
        raise DecodeError("malformed", f"bytes[{at}]", f"these are no {count} cell voltages")
    part = Part(
        voltage_v=u16(frame, 4) / 10,
        current_a=-int.from_bytes(frame[70:74], signed=True) / 10,
        soc_pct=float(frame[74]),
        flags=_flags(frame[103], frame[104], frame[105]),
        temperatures_c=[float(i16(frame, 91 + 2 * index)) for index in range(4)],
        cell_voltages_v=voltages,
    )
    return Frame(_OLD_SIZE, 1, (part,))
