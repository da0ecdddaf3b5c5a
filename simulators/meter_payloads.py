"""What simulated meters say, as bytes: the formats of `protocols.payloads`, written instead of read.

Used by `simulators.meter_makes`. All integers are big-endian but those of M-Bus. Registers go out in whole
Wh or litres.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import cbor2
import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from protocols.payloads.checksums import CRC16, crc16_en13757
from protocols.timestamps import format_utc_ms, to_datetime

US_PER_S = 1_000_000
_OPEN = 1  # bit of the status byte
_NB_HEAD = ">HHB"  # counter, battery in mV, status
_LPP_ENERGY, _LPP_VOLTAGE, _LPP_SWITCH, _LPP_POWER = 131, 116, 142, 128
_LPP_POWER_MAX = 0xFFFF
_MAKER_SIM = b"\x2d\x4d"  # EN 13757-7 clause 7.5.2: the letters SIM, five bits each


@dataclass(frozen=True, slots=True)
class Reading:
    """What a meter shows at one time. `register`: Wh or litres; `rate`: W or litres an hour."""

    ts_us: int
    register: int
    rate: int
    is_open: bool

    @property
    def ts_s(self) -> int:
        """Whole seconds since 1970."""
        return self.ts_us // US_PER_S


@dataclass(frozen=True, slots=True)
class Head:
    """What is not measured: whose message it is, the how-manieth, and how full the battery is."""

    identity: str
    counter: int
    battery_mv: int
    key: bytes | None = field(default=None, repr=False)


def cayenne_lpp(_: Head, readings: Sequence[Reading]) -> bytes:
    """The newest reading as Cayenne LPP on channel 1: energy in Wh, voltage, power, relay."""
    reading = readings[-1]
    return struct.pack(
        ">BBIBBHBBHBBB",
        *(1, _LPP_ENERGY, reading.register),
        *(1, _LPP_VOLTAGE, 23_000),
        *(1, _LPP_POWER, min(reading.rate, _LPP_POWER_MAX)),
        *(1, _LPP_SWITCH, reading.is_open),
    )


def sim_water(head: Head, readings: Sequence[Reading]) -> bytes:
    """The format of `codecs/sim_water.js`."""
    return struct.pack(">BH", readings[-1].is_open, head.battery_mv) + _items(readings)


def binary(head: Head, readings: Sequence[Reading]) -> bytes:
    """The layout `meter_makes.layout`: counter, battery, status, items, CRC-16/MODBUS."""
    return _with_crc(_nb_head(head, readings) + _items(readings))


def binary_imei(head: Head, readings: Sequence[Reading]) -> bytes:
    """The same behind an IMEI of 8 bytes BCD."""
    return _with_crc(bytes.fromhex(f"{head.identity:0>16}") + _nb_head(head, readings) + _items(readings))


def json(head: Head, readings: Sequence[Reading]) -> bytes:
    """An object with the IMEI and a list of readings, litres at RFC 3339 times."""
    return msgspec.json.encode(
        {
            "imei": head.identity,
            "seq": head.counter,
            "battery_mv": head.battery_mv,
            "valve_open": readings[-1].is_open,
            "log": [{"time": format_utc_ms(each.ts_us), "litres": each.register} for each in readings],
        }
    )


def senml_cbor(head: Head, readings: Sequence[Reading]) -> bytes:
    """A SenML pack (RFC 8428 section 6) with the IMEI as base name: energy in Wh, the relay's state."""
    base, name, unit, value, truth, time_, base_name = -3, 0, 1, 2, 4, 6, -2
    newest = readings[-1]
    pack: list[dict[int, object]] = [
        {base_name: f"urn:imei:{head.identity}:", base: newest.ts_s, name: "relay", truth: newest.is_open}
    ]
    pack += [
        {name: "energy", unit: "Wh", value: each.register, time_: each.ts_s - newest.ts_s}
        for each in readings
    ]
    return cbor2.dumps(pack)


def wmbus_heat(head: Head, readings: Sequence[Reading]) -> bytes:
    """A wireless M-Bus frame of a heat meter, format A, security mode 5 (EN 13757-4, -7).

    Its address is made of the DevEUI's last digits, decimal; the register stands in Wh at the meter's own
    time (type I). Raises `ValueError` without a key of 16 bytes.
    """
    reading = readings[-1]
    records = b"\x04\x03" + reading.register.to_bytes(4, "little")
    records += b"\x06\x6d" + _type_i(reading.ts_us)
    records += b"\x02\x5a" + (550).to_bytes(2, "little")  # flow temperature, 0.1 degrees Celsius
    plain = b"\x2f\x2f" + records
    plain += b"\x2f" * (-len(plain) % 16)
    number = f"{int(head.identity[-6:], 16) % 10**8:08}"
    address = _MAKER_SIM + bytes.fromhex(number)[::-1] + b"\x01\x04"  # version 1, device type 4: heat
    access = head.counter & 0xFF
    if head.key is None:
        raise ValueError(f"meter {head.identity} has no key for its telegrams")
    encryptor = Cipher(algorithms.AES(head.key), modes.CBC(address + bytes([access]) * 8)).encryptor()
    body = struct.pack("<BBBH", 0x7A, access, 0, 0x0500 | len(plain) // 16 << 4) + encryptor.update(plain)
    return _format_a(bytes([len(address) + 1 + len(body), 0x44]) + address, body)


def _type_i(us: int) -> bytes:
    """EN 13757-3 annex A, type I: seconds to year in 48 bits."""
    moment = to_datetime(us)
    year = moment.year % 100
    day_of_week = moment.isoweekday()
    return bytes(
        [
            moment.second,
            moment.minute,
            day_of_week << 5 | moment.hour,
            (year & 7) << 5 | moment.day,
            (year >> 3) << 4 | moment.month,
            0,
        ]
    )


def _format_a(head: bytes, body: bytes) -> bytes:
    blocks = [head, *(body[at : at + 16] for at in range(0, len(body), 16))]
    return b"".join(block + crc16_en13757(block).to_bytes(2, "big") for block in blocks)


def _nb_head(head: Head, readings: Sequence[Reading]) -> bytes:
    status = _OPEN if readings[-1].is_open else 0
    return struct.pack(_NB_HEAD, head.counter & 0xFFFF, head.battery_mv, status)


def _items(readings: Sequence[Reading]) -> bytes:
    return b"".join(struct.pack(">II", max(0, each.ts_s), each.register) for each in readings)


def _with_crc(data: bytes) -> bytes:
    return data + CRC16["crc16_modbus"](data).to_bytes(2, "little")
