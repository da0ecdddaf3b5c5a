"""Seplos: V2, ASCII telegrams (CID2 42 and 44), and V3, Modbus RTU answers (functions 01 and 04).

V2 is "SEPLOS BMS Communication Protocol V2.0". V3 is "XZH BMS Modbus-RTU Protocol V0.1": PIA (17 registers,
pack values), PIB (26, cells and temperatures), EIA (26, the whole stack), PIC and EIC (coils, events). A
Modbus answer does not name its registers: the blocks are told apart by length and content. Used by
`protocols.battery.frames`.
"""

from protocols.battery.frames import telecom
from protocols.battery.frames.parts import (
    CELL_MV_MAX,
    SYSTEM,
    Frame,
    Part,
    bits,
    cells,
    check,
    crc16_modbus,
    i16,
    kelvins,
    take,
    u16,
)
from protocols.samples import DecodeError

NAME = "seplos"
HEADER = telecom.HEADER + rb"|[\x00-\x10](?:\x04[\x22\x34]|\x01[\x0a\x12])"
_ANALOG, _ALARM, _PIA, _PIB, _EIA, _EVENTS = 1, 2, 3, 4, 5, 6
_CELLS_MAX = 32
_BOARD_SENSORS = 2  # environment and power stage, behind those of the cells
_ITEMS_MIN = 5  # up to rated capacity and cycles
_V3_CELLS, _V3_SENSORS = 16, 4
_PIA_SIZE = 34
_EVENT_BYTES = 10
_KELVIN_10 = range(2231, 3932)  # -50 to 120 degrees Celsius
_VOLTAGE = {
    0: "cell_over_voltage",
    1: "cell_over_voltage",
    2: "cell_under_voltage",
    3: "cell_under_voltage",
    4: "pack_over_voltage",
    5: "pack_over_voltage",
    6: "pack_under_voltage",
    7: "pack_under_voltage",
}
_TEMPERATURE = {
    0: "charge_over_temperature",
    1: "charge_over_temperature",
    2: "charge_under_temperature",
    3: "charge_under_temperature",
    4: "discharge_over_temperature",
    5: "discharge_over_temperature",
    6: "discharge_under_temperature",
    7: "discharge_under_temperature",
}
_V2_FAULT = {0: "sensor_fault", 1: "sensor_fault", 2: "sensor_fault", 4: "cell_imbalance"}
_V2_CURRENT = {
    0: "charge_over_current",
    1: "charge_over_current",
    2: "discharge_over_current",
    3: "discharge_over_current",
    4: "discharge_over_current",
    5: "short_circuit",
    7: "short_circuit",
}
_V2_CAPACITY = {2: "low_state_of_charge", 3: "low_state_of_charge"}
_V3_CURRENT = {
    0: "charge_over_current",
    1: "charge_over_current",
    2: "charge_over_current",
    3: "discharge_over_current",
    4: "discharge_over_current",
    5: "discharge_over_current",
    6: "short_circuit",
}
_V3_CAPACITY = {2: "low_state_of_charge", 3: "low_state_of_charge", 4: "cell_imbalance"}
_V3_FAULT = {0: "sensor_fault", 1: "sensor_fault", 4: "cell_imbalance"}


def read(data: bytes, at: int) -> Frame:
    """Read the frame that begins at `at`; raises `DecodeError`, reason `layout` where it is another's."""
    if data[at] != 0x7E:
        return _modbus(data, at)
    telegram = telecom.read(data, at)
    analog = _analog(telegram.info, telegram.address)
    if analog is not None:
        return Frame(telegram.size, _ANALOG, (analog,))
    alarm = _alarm(telegram.info, telegram.address)
    if alarm is None:
        raise DecodeError("layout", f"bytes[{at}]", "neither analog values nor alarms of a Seplos pack")
    return Frame(telegram.size, _ALARM, (alarm,))


def _analog(info: bytes, address: int) -> Part | None:
    if len(info) < 4 or not 0 < info[2] <= _CELLS_MAX:
        return None
    count = info[2]
    sensors_at = 3 + 2 * count
    sensor_count = info[sensors_at] if sensors_at < len(info) else 0
    tail = sensors_at + 1 + 2 * sensor_count
    if tail + 7 > len(info) or info[tail + 6] < _ITEMS_MIN or len(info) != tail + 7 + 2 * info[tail + 6]:
        return None
    items = [u16(info, tail + 7 + 2 * index) for index in range(info[tail + 6])]
    sensors = kelvins(info, sensors_at + 1, sensor_count)
    return Part(
        unit=address,
        voltage_v=u16(info, tail + 2) / 100,
        current_a=i16(info, tail) / 100,
        soc_pct=items[1] / 10,
        soh_pct=items[4] / 10,
        cycles=items[3],
        temperatures_c=sensors[:-_BOARD_SENSORS] or sensors,
        cell_voltages_v=cells(info, 3, count),
        full_ah=items[0] / 100,
    )


def _alarm(info: bytes, address: int) -> Part | None:
    if len(info) < 4:
        return None
    sensors_at = 3 + info[2]
    events_at = sensors_at + 1 + info[sensors_at] + 2 if sensors_at < len(info) else len(info)
    if events_at + 7 > len(info) or len(info) != events_at + 1 + info[events_at]:
        return None
    fault, voltage, temperature, _, current, capacity = info[events_at + 1 : events_at + 7]
    flags = bits(fault, _V2_FAULT) | bits(voltage, _VOLTAGE) | bits(temperature, _TEMPERATURE)
    return Part(unit=address, flags=flags | bits(current, _V2_CURRENT) | bits(capacity, _V2_CAPACITY))


def _modbus(data: bytes, at: int) -> Frame:
    address, function, size = take(data, at, 3)
    frame = take(data, at, size + 5)
    check("Modbus", at, int.from_bytes(frame[-2:], "little"), crc16_modbus(frame[:-2]))
    body = frame[3:-2]
    if function == 1:
        return Frame(len(frame), _EVENTS, (_events(body[-_EVENT_BYTES:], address),))
    if size == _PIA_SIZE:
        return Frame(len(frame), _PIA, (_pack(body, address),))
    voltages = cells(body, 0, _V3_CELLS)
    sensors = [u16(body, 2 * _V3_CELLS + 2 * index) for index in range(_V3_SENSORS)]
    if all(value in _KELVIN_10 for value in sensors) and max(voltages) * 1000 <= CELL_MV_MAX:
        part = Part(
            unit=address,
            temperatures_c=kelvins(body, 2 * _V3_CELLS, _V3_SENSORS),
            cell_voltages_v=[voltage for voltage in voltages if voltage],
        )
        return Frame(len(frame), _PIB, (part,))
    return Frame(len(frame), _EIA, (_system(body),))


def _pack(body: bytes, address: int) -> Part:
    return Part(
        unit=address,
        voltage_v=u16(body, 0) / 100,
        current_a=i16(body, 2) / 100,
        soc_pct=u16(body, 10) / 10,
        soh_pct=u16(body, 12) / 10,
        cycles=u16(body, 14),
        full_ah=u16(body, 6) / 100,
    )


def _system(body: bytes) -> Part:
    def swapped(at: int, *, signed: bool = False) -> int:
        return int.from_bytes(body[at + 2 : at + 4] + body[at : at + 2], signed=signed)

    return Part(
        unit=SYSTEM,
        voltage_v=swapped(0) / 100,
        current_a=swapped(4, signed=True) / 10,
        soc_pct=u16(body, 48) / 10,
        soh_pct=u16(body, 50) / 10,
        cycles=u16(body, 46),
    )


def _events(events: bytes, address: int) -> Part:
    _, voltage, temperature, _, current, _, capacity, _, _, fault = events
    flags = bits(voltage, _VOLTAGE) | bits(temperature, _TEMPERATURE) | bits(current, _V3_CURRENT)
    flags |= bits(capacity, _V3_CAPACITY) | bits(fault, _V3_FAULT)
    return Part(unit=address, flags=flags)
