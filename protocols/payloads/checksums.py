"""CRC-16 in the variants that meters and trackers use.

Used by the frames of M-Bus (`crc16_en13757`), HDLC (`crc16_x25`) and by raw layouts (`CRC16`, by name).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

_TOP_BIT = 0x8000


@dataclass(frozen=True, slots=True)
class _Crc16:
    """The parameters of the Rocksoft model; `table` has one step for each byte."""

    table: tuple[int, ...]
    initial: int
    is_reflected: bool
    final_xor: int

    def __call__(self, data: bytes) -> int:
        crc = self.initial
        for byte in data:
            if self.is_reflected:
                crc = (crc >> 8) ^ self.table[(crc ^ byte) & 0xFF]
            else:
                crc = ((crc << 8) & 0xFFFF) ^ self.table[(crc >> 8) ^ byte]
        return crc ^ self.final_xor


def _crc16(polynomial: int, initial: int, *, is_reflected: bool, final_xor: int) -> _Crc16:
    if is_reflected:
        table = tuple(_reflected_step(byte, int(f"{polynomial:016b}"[::-1], 2)) for byte in range(256))
    else:
        table = tuple(_step(byte << 8, polynomial) for byte in range(256))
    return _Crc16(table, initial, is_reflected, final_xor)


def _step(value: int, polynomial: int) -> int:
    for _ in range(8):
        value = (value << 1) ^ polynomial if value & _TOP_BIT else value << 1
    return value & 0xFFFF


def _reflected_step(value: int, polynomial: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ polynomial if value & 1 else value >> 1
    return value


crc16_x25: Callable[[bytes], int] = _crc16(0x1021, 0xFFFF, is_reflected=True, final_xor=0xFFFF)
crc16_en13757: Callable[[bytes], int] = _crc16(0x3D65, 0, is_reflected=False, final_xor=0xFFFF)

CRC16: Mapping[str, Callable[[bytes], int]] = MappingProxyType(
    {
        "crc16_x25": crc16_x25,
        "crc16_en13757": crc16_en13757,
        "crc16_modbus": _crc16(0x8005, 0xFFFF, is_reflected=True, final_xor=0),
        "crc16_arc": _crc16(0x8005, 0, is_reflected=True, final_xor=0),
        "crc16_ccitt_false": _crc16(0x1021, 0xFFFF, is_reflected=False, final_xor=0),
        "crc16_xmodem": _crc16(0x1021, 0, is_reflected=False, final_xor=0),
        "crc16_kermit": _crc16(0x1021, 0, is_reflected=True, final_xor=0),
    }
)
