"""JK (Jikong): TLV frames of the serial port (`4E 57`) and 300-byte frames of Bluetooth (`55 AA EB 90`).

`4E 57`: "BMS communication protocol" (GPS and RS485 port), values by tag, checksum the sum of all bytes.
The Bluetooth form (JK02) has two layouts, for 24 and 32 cells, which a frame does not name: the mask of
cells in use and their mean must agree with the cells. Its checksum is the low byte of the sum. Used by
`protocols.battery.frames`.
"""

from dataclasses import dataclass

from protocols.battery.flags import BIT
from protocols.battery.frames.parts import Frame, Part, bits, check, take, u16
from protocols.battery.telemetry import Sample
from protocols.samples import DecodeError

NAME = "jk"
HEADER = rb"NW[\x00-\x03]|\x55\xaa\xeb\x90"
JK02_SIZE = 300
_TLV_OVERHEAD = 20  # head, terminal, command, source, kind, record number, end, checksum
_TLV_SIZE_MAX = 1_024
_CELL_INFO = 2
_CELLS_TAG = 0x79
# Bytes of the tags that are not 2 bytes long.
_SIZES = {
    **dict.fromkeys((0x85, 0x86, 0x9D, 0xA9, 0xAB, 0xAC, 0xAE, 0xAF, 0xB1, 0xB3, 0xB8, 0xC0), 1),
    **dict.fromkeys((0x89, 0xAA, 0xB5, 0xB6, 0xB9), 4),
    0xB2: 10,
    0xB4: 8,
    0xB7: 15,
    0xBA: 24,
}
_TLV_ALARMS = {
    0: "low_state_of_charge",
    2: "pack_over_voltage",
    3: "pack_under_voltage",
    4: "discharge_over_temperature",
    5: "charge_over_current",
    6: "discharge_over_current",
    7: "cell_imbalance",
    8: "discharge_over_temperature",
    9: "charge_under_temperature",
    10: "cell_over_voltage",
    11: "cell_under_voltage",
}
_JK02_ALARMS = {
    5: "pack_over_voltage",
    6: "charge_over_current",
    7: "short_circuit",
    8: "charge_over_temperature",
    9: "charge_under_temperature",
    11: "cell_under_voltage",
    12: "pack_under_voltage",
    13: "discharge_over_current",
    14: "short_circuit",
    15: "discharge_over_temperature",
    21: "discharge_over_temperature",
    22: "sensor_fault",
    25: "discharge_over_current",
    26: "discharge_over_current",
    27: "discharge_under_temperature",
}


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a JK02 layout has what: slots of cells, the mask of those in use, the values behind them."""

    slots: int
    mask: int
    values: int  # of the battery's voltage
    alarm_bytes: int
    alarms: int


_LAYOUTS = (_Layout(24, 54, 118, 2, 136), _Layout(32, 70, 150, 4, 166))
_NO_SENSOR = -2000


def read(data: bytes, at: int) -> Frame:
    """Read the frame that begins at `at`; raises `DecodeError`."""
    if data[at] == 0x4E:
        return _read_tlv(data, at)
    frame = take(data, at, JK02_SIZE)
    check("JK", at, frame[-1], sum(frame[:-1]) & 0xFF)
    if frame[4] != _CELL_INFO:
        return Frame(JK02_SIZE, 0)  # settings or device information
    return Frame(JK02_SIZE, 1, (_cell_info(frame, at),))


def _read_tlv(data: bytes, at: int) -> Frame:
    size = u16(take(data, at, 4), 2) + 2
    if not _TLV_OVERHEAD <= size <= _TLV_SIZE_MAX:
        raise DecodeError("malformed", f"bytes[{at}]", f"a JK frame of {size} bytes")
    frame = take(data, at, size)
    check("JK", at, int.from_bytes(frame[-4:]), sum(frame[:-4]))
    return Frame(size, 1, (_tlv(_tags(frame[11 : size - 9], at)),))


def _tags(body: bytes, at: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    position = 0
    while position < len(body):
        tag = body[position]
        start = position + 1
        if tag == _CELLS_TAG:
            size = take(body, start, 1)[0]
            start += 1
        else:
            size = _SIZES.get(tag, 2)
        found[tag] = take(body, start, size)
        position = start + size
    if not found:
        raise DecodeError("empty", f"bytes[{at}]", "a JK frame without values")
    return found


def _tlv(tags: dict[int, bytes]) -> Part:
    def number(tag: int) -> int | None:
        return int.from_bytes(tags[tag]) if tag in tags else None

    listed = tags.get(_CELLS_TAG, b"")
    soc, voltage_cv, alarms = number(0x85), number(0x83), number(0x8B)
    return Part(
        voltage_v=None if voltage_cv is None else voltage_cv / 100,
        current_a=_tlv_current_a(number(0x84), number(0xC0)),
        soc_pct=None if soc is None else float(soc),
        cycles=number(0x87),
        flags=None if alarms is None else bits(alarms, _TLV_ALARMS),
        temperatures_c=[_tlv_celsius(value) for value in (number(0x81), number(0x82)) if value is not None],
        cell_voltages_v=[u16(listed, index + 1) / 1000 for index in range(0, len(listed) - 2, 3)],
    )


def _tlv_current_a(raw: int | None, version: int | None) -> float | None:
    """Since version 1 bit 15 is set while charging; what older firmware meant is not documented alike."""
    if raw is None or version != 1:
        return None
    amount_a = (raw & 0x7FFF) / 100
    return amount_a if raw & 0x8000 else -amount_a


def _tlv_celsius(raw: int) -> float:
    return float(raw if raw <= 100 else 100 - raw)


def _cell_info(frame: bytes, at: int) -> Part:
    def little(position: int, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(frame[position : position + size], "little", signed=signed)

    layout = next((layout for layout in _LAYOUTS if _fits(frame, layout)), None)
    if layout is None:
        raise DecodeError("layout", f"bytes[{at}]", "a JK cell frame of no known layout")
    values = layout.values
    count = little(layout.mask, 4).bit_count()
    sensors = [little(values + offset, 2, signed=True) for offset in (12, 14)]
    return Part(
        voltage_v=little(values, 4) / 1000,
        current_a=little(values + 8, 4, signed=True) / 1000,
        soc_pct=float(frame[values + 23]),
        soh_pct=float(frame[values + 40]) or None,
        cycles=min(little(values + 32, 4), 2**31 - 1),
        flags=bits(little(layout.alarms, layout.alarm_bytes), _JK02_ALARMS)
        | (frame[values + 22] > 0) << BIT["balancing"],
        temperatures_c=[value / 10 for value in sensors if value != _NO_SENSOR],
        cell_voltages_v=[little(6 + 2 * index, 2) / 1000 for index in range(count)],
        full_ah=little(values + 28, 4) / 1000,
    )


def _fits(frame: bytes, layout: _Layout) -> bool:
    """Whether mask and mean of this layout agree with the cells (to 5 mV, since the BMS rounds)."""
    mask = int.from_bytes(frame[layout.mask : layout.mask + 4], "little")
    count = mask.bit_count()
    if not mask or mask & (mask + 1) or count > layout.slots:
        return False
    numbers = [
        int.from_bytes(frame[6 + 2 * index : 8 + 2 * index], "little") for index in range(layout.slots)
    ]
    mean = int.from_bytes(frame[layout.mask + 4 : layout.mask + 6], "little")
    return not any(numbers[count:]) and abs(sum(numbers[:count]) / count - mean) <= 5


def encode(sample: Sample) -> bytes:
    """The JK02 cell frame for 32 cells; of the temperatures the first two go into it."""
    voltages = [round(voltage * 1000) for voltage in sample.cell_voltages_v or []]
    sensors = sample.temperatures_c if isinstance(sample.temperatures_c, list) else []
    flags = sample.flags if isinstance(sample.flags, int) else 0
    frame = bytearray(JK02_SIZE)
    layout = _LAYOUTS[1]

    def put(position: int, number: int, size: int) -> None:
        frame[position : position + size] = (number & (1 << 8 * size) - 1).to_bytes(size, "little")

    frame[:5] = b"\x55\xaa\xeb\x90\x02"
    for index, millivolts in enumerate(voltages):
        put(6 + 2 * index, millivolts, 2)
    put(layout.mask, (1 << len(voltages)) - 1, 4)
    put(layout.mask + 4, round(sum(voltages) / max(1, len(voltages))), 2)
    put(layout.values, round((sample.voltage_v or 0) * 1000), 4)
    put(layout.values + 8, round((sample.current_a or 0) * 1000), 4)
    for index in range(2):
        put(
            layout.values + 12 + 2 * index,
            round(sensors[index] * 10) if index < len(sensors) else _NO_SENSOR,
            2,
        )
    put(layout.alarms, sum(1 << bit for bit, name in _JK02_ALARMS.items() if flags >> BIT[name] & 1), 4)
    frame[layout.values + 22] = flags >> BIT["balancing"] & 1
    frame[layout.values + 23] = round(sample.soc_pct or 0)
    put(layout.values + 28, 100_000, 4)
    put(layout.values + 32, sample.cycles or 0, 4)
    frame[layout.values + 40] = round(sample.soh_pct or 0)
    frame[-1] = sum(frame[:-1]) & 0xFF
    return bytes(frame)
