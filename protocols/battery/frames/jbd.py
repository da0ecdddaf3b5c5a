"""JBD (Jiabaida), sold as Xiaoxiang and Overkill Solar: `DD <function> <status> <length> data checksum 77`.

Clauses are those of "Jiabaida communication protocol V4": register 03 basic information, 04 cell voltages,
05 hardware version. The checksum is the two's complement of the sum of status, length and data, so it does
not cover the function: cells are checked for what can be a cell's voltage. Used by
`protocols.battery.frames`.
"""

from protocols.battery.flags import BIT
from protocols.battery.frames.parts import (
    CELL_MV_MAX,
    Frame,
    Part,
    bits,
    cells,
    check,
    i16,
    kelvins,
    take,
    u16,
)
from protocols.battery.telemetry import Sample
from protocols.samples import DecodeError

NAME = "jbd"
HEADER = rb"\xdd[\x03\x04\x05][\x00\x80]"
_BASIC, _CELLS, _VERSION = 3, 4, 5
_BASIC_SIZE = 23  # before the sensors
_END = 0x77
_PROTECTION = {
    0: "cell_over_voltage",
    1: "cell_under_voltage",
    2: "pack_over_voltage",
    3: "pack_under_voltage",
    4: "charge_over_temperature",
    5: "charge_under_temperature",
    6: "discharge_over_temperature",
    7: "discharge_under_temperature",
    8: "charge_over_current",
    9: "discharge_over_current",
    10: "short_circuit",
    11: "sensor_fault",
    12: "immobilised",  # the MOSFETs are locked by software
}


def read(data: bytes, at: int) -> Frame:
    """Read the frame that begins at `at`; raises `DecodeError`."""
    function, status, length = take(data, at, 4)[1:]
    frame = take(data, at, length + 7)
    if frame[-1] != _END:
        raise DecodeError("malformed", f"bytes[{at}]", f"the frame ends with {frame[-1]:#04x}, not 0x77")
    check("JBD", at, u16(frame, length + 4), -sum(frame[2 : length + 4]) & 0xFFFF)
    if status:
        raise DecodeError("status", f"bytes[{at}]", f"the BMS answered status {status:#04x}")
    body = frame[4 : 4 + length]
    if function == _BASIC:
        return Frame(len(frame), _BASIC, (_basic(body, at),))
    if function == _CELLS:
        return Frame(len(frame), _CELLS, (_cells(body, at),))
    if not body.rstrip(b"\0").decode("latin-1").isprintable():
        raise DecodeError("malformed", f"bytes[{at}]", "this is no name of a hardware version")
    return Frame(len(frame), _VERSION)


def _basic(body: bytes, at: int) -> Part:
    sensors = body[22] if len(body) >= _BASIC_SIZE else 0
    if len(body) < _BASIC_SIZE + 2 * sensors:
        raise DecodeError("malformed", f"bytes[{at}]", f"basic information of {len(body)} bytes")
    protection = bits(u16(body, 16), _PROTECTION)
    balancing = 1 << BIT["balancing"] if any(body[12:16]) else 0
    return Part(
        voltage_v=u16(body, 0) / 100,
        current_a=i16(body, 2) / 100,
        soc_pct=float(body[19]),
        cycles=u16(body, 8),
        flags=protection | balancing,
        temperatures_c=kelvins(body, _BASIC_SIZE, sensors),
        full_ah=u16(body, 6) / 100,
    )


def _cells(body: bytes, at: int) -> Part:
    voltages = cells(body, 0, len(body) // 2)
    if len(body) % 2 or any(voltage * 1000 > CELL_MV_MAX for voltage in voltages):
        raise DecodeError("malformed", f"bytes[{at}]", "these are no cell voltages")
    return Part(cell_voltages_v=voltages)


def encode(sample: Sample) -> bytes:
    """The two frames with which such a BMS answers: basic information and cells; temperatures as a list."""
    voltages = sample.cell_voltages_v or []
    sensors = sample.temperatures_c if isinstance(sample.temperatures_c, list) else []
    flags = sample.flags if isinstance(sample.flags, int) else 0
    protection = sum(1 << bit for bit, name in _PROTECTION.items() if flags >> BIT[name] & 1)
    full_cah = 10_000
    remaining_cah = round(full_cah * (sample.soc_pct or 0) / 100)
    numbers = [
        round((sample.voltage_v or 0) * 100),
        round((sample.current_a or 0) * 100) & 0xFFFF,
        remaining_cah,
        full_cah,
        sample.cycles or 0,
        0,  # date of production
        flags >> BIT["balancing"] & 1,
        0,
        protection,
    ]
    basic = b"".join(number.to_bytes(2) for number in numbers)
    basic += bytes([0x10, round(sample.soc_pct or 0), 3, len(voltages), len(sensors)])
    basic += b"".join(round(value * 10 + 2731).to_bytes(2) for value in sensors)
    return _frame(_BASIC, basic) + _frame(_CELLS, b"".join(round(v * 1000).to_bytes(2) for v in voltages))


def _frame(function: int, body: bytes) -> bytes:
    covered = bytes([0, len(body)]) + body
    return bytes([0xDD, function]) + covered + (-sum(covered) & 0xFFFF).to_bytes(2) + bytes([_END])
