"""Daly: 13-byte frames of UART and RS485 (`A5`), and the register frames of newer boards (`D2 03`).

Clauses are those of "Daly RS485+UART Protocol" V1.2: 90 voltage, current and charge, 93 state, 94 counts,
95 cells (three a frame), 96 sensors (seven a frame), 97 balancing, 98 failures; checksum: the low byte of
the sum. In the `A5` form the current above 30000 discharges, in the `D2` form it charges; where the BMS
names the direction itself that wins. Registers of `D2` are those of "Daly Modbus protocol", CRC-16/MODBUS.
Used by `protocols.battery.frames`.
"""

from protocols.battery.flags import BIT
from protocols.battery.frames.parts import Frame, Part, bits, cells, check, crc16_modbus, take, u16
from protocols.battery.telemetry import Sample
from protocols.samples import DecodeError

NAME = "daly"
HEADER = rb"\xa5\x01[\x90-\x98]\x08|\xd2\x03."
SIZE = 13
_STATUS = 0x94
_DIRECTION = {1: 1, 2: -1}
_CELLS_A_FRAME, _SENSORS_A_FRAME = 3, 7
_KINDS_A_COMMAND = 32  # frames 1 to 16 of 95 and 1 to 3 of 96 stay in order
_REGISTERS_MIN = 62
# Bytes 0 to 6 of 98 as one little-endian number; warnings of stage one and alarms of stage two alike.
_FAILURES = {
    0: "cell_over_voltage",
    1: "cell_over_voltage",
    2: "cell_under_voltage",
    3: "cell_under_voltage",
    4: "pack_over_voltage",
    5: "pack_over_voltage",
    6: "pack_under_voltage",
    7: "pack_under_voltage",
    8: "charge_over_temperature",
    9: "charge_over_temperature",
    10: "charge_under_temperature",
    11: "charge_under_temperature",
    12: "discharge_over_temperature",
    13: "discharge_over_temperature",
    14: "discharge_under_temperature",
    15: "discharge_under_temperature",
    16: "charge_over_current",
    17: "charge_over_current",
    18: "discharge_over_current",
    19: "discharge_over_current",
    22: "low_state_of_charge",
    23: "low_state_of_charge",
    24: "cell_imbalance",
    25: "cell_imbalance",
    34: "sensor_fault",
    35: "sensor_fault",
    40: "sensor_fault",
    41: "sensor_fault",
    42: "sensor_fault",
    48: "sensor_fault",
    49: "sensor_fault",
    50: "short_circuit",
}


def read(data: bytes, at: int) -> Frame:
    """Read the frame that begins at `at`; raises `DecodeError`."""
    if data[at] == 0xD2:
        return _registers(data, at)
    frame = take(data, at, SIZE)
    check("Daly", at, frame[-1], sum(frame[:-1]) & 0xFF)
    command, body = frame[2], frame[4:12]
    kind = command * _KINDS_A_COMMAND + (body[0] % _KINDS_A_COMMAND if command in {0x95, 0x96} else 0)
    part = _part(command, body)
    return Frame(SIZE, kind, () if part is None else (part,))


def _part(command: int, body: bytes) -> Part | None:  # noqa: PLR0911 (one for each command)
    match command:
        case 0x90:
            voltage_v, current_a = u16(body, 0) / 10, (30_000 - u16(body, 4)) / 10
            return Part(voltage_v=voltage_v, current_a=current_a, soc_pct=u16(body, 6) / 10)
        case 0x93:
            return Part(direction=_DIRECTION.get(body[0]))
        case 0x94:
            return Part(cell_count=body[0], sensor_count=body[1], cycles=u16(body, 5))
        case 0x95:
            found = cells(body, 1, _CELLS_A_FRAME)
            return Part(cell_voltages_v=found, is_padded=True) if body[0] != 0xFF else None
        case 0x96:
            sensors = [float(value - 40) for value in body[1:]]
            return Part(temperatures_c=sensors, is_padded=True) if body[0] != 0xFF else None
        case 0x97:
            return Part(flags=1 << BIT["balancing"] if any(body[:6]) else 0)
        case 0x98:
            return Part(flags=bits(int.from_bytes(body[:7], "little"), _FAILURES))
    return None


def _registers(data: bytes, at: int) -> Frame:
    size = take(data, at, 3)[2]
    frame = take(data, at, size + 5)
    check("Daly", at, int.from_bytes(frame[-2:], "little"), crc16_modbus(frame[:-2]))
    body = frame[3:-2]
    if size < 2 * _REGISTERS_MIN or not u16(body, 98) <= 32 or not u16(body, 100) <= 8:
        return Frame(len(frame), 0)  # settings or versions
    part = Part(
        voltage_v=u16(body, 80) / 10,
        current_a=(u16(body, 82) - 30_000) / 10,
        direction=_DIRECTION.get(u16(body, 94)),
        soc_pct=u16(body, 84) / 10,
        cycles=u16(body, 102),
        flags=bits(int.from_bytes(body[116:123], "little"), _FAILURES)
        | (u16(body, 104) > 0) << BIT["balancing"],
        cell_voltages_v=cells(body, 0, u16(body, 98)),
        temperatures_c=[float(u16(body, 64 + 2 * index) - 40) for index in range(u16(body, 100))],
    )
    return Frame(len(frame), 1, (part,))


def encode(sample: Sample) -> bytes:
    """The frames with which such a BMS answers all of 90 to 98 that we read; temperatures as a list."""
    voltages = sample.cell_voltages_v or []
    sensors = sample.temperatures_c if isinstance(sample.temperatures_c, list) else []
    flags = sample.flags if isinstance(sample.flags, int) else 0
    current_da = round((sample.current_a or 0) * 10)
    state = 0 if current_da == 0 else 1 if current_da > 0 else 2
    first = [round((sample.voltage_v or 0) * 10), 0, 30_000 - current_da, round((sample.soc_pct or 0) * 10)]
    failures = sum(1 << bit for bit, name in _FAILURES.items() if flags >> BIT[name] & 1)
    frames = [
        _frame(0x90, b"".join(number.to_bytes(2) for number in first)),
        _frame(0x93, bytes([state, 1, 1, 0])),
        _frame(_STATUS, bytes([len(voltages), len(sensors), 0, 0, 0]) + (sample.cycles or 0).to_bytes(2)),
        _frame(0x97, bytes([flags >> BIT["balancing"] & 1])),
        _frame(0x98, failures.to_bytes(8, "little")),
    ]
    for index in range(0, len(voltages), _CELLS_A_FRAME):
        three = voltages[index : index + _CELLS_A_FRAME]
        numbers = b"".join(round(voltage * 1000).to_bytes(2) for voltage in three)
        frames.append(_frame(0x95, bytes([index // _CELLS_A_FRAME + 1]) + numbers))
    for index in range(0, len(sensors), _SENSORS_A_FRAME):
        seven = bytes(round(value) + 40 for value in sensors[index : index + _SENSORS_A_FRAME])
        frames.append(_frame(0x96, bytes([index // _SENSORS_A_FRAME + 1]) + seven))
    return b"".join(frames)


def _frame(command: int, body: bytes) -> bytes:
    if len(body) > SIZE - 5:
        raise DecodeError("too_large", "", f"{len(body)} bytes do not fit into a frame")
    frame = bytes([0xA5, 0x01, command, 8]) + body.ljust(8, b"\0")
    return frame + bytes([sum(frame) & 0xFF])
