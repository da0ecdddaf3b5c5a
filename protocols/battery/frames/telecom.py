"""The ASCII frame of Pylontech and Seplos V2 (YD/T 1363.3): `~ VER ADR 46 CID2 LENGTH INFO CHKSUM CR`.

All but the tilde and the CR is upper-case hex. LENGTH is 12 bits of characters in INFO below 4 bits of
their checksum; CHKSUM is the two's complement of the sum of the characters before it. Used by `pylontech`
and `seplos`.
"""

import re
from dataclasses import dataclass

from protocols.battery.frames.parts import check, take
from protocols.samples import DecodeError

HEADER = rb"~[0-9A-F]{4}46"
_HEAD_SIZE = 13  # with the tilde
_CHECKSUM_SIZE = 4
_HEX = re.compile(rb"[0-9A-F]*")


@dataclass(frozen=True, slots=True)
class Telegram:
    """An answer: `info` is its content as bytes, `size` its length on the line."""

    size: int
    address: int
    info: bytes


def read(data: bytes, at: int) -> Telegram:
    """Read the answer that begins at `at`; raises `DecodeError`, reason `status` where the BMS refused."""
    head = _text(take(data, at, _HEAD_SIZE)[1:], at)
    length = int(head[9:12], 16)
    digits = (length & 0xF) + (length >> 4 & 0xF) + (length >> 8)
    check("LENGTH", at, int(head[8:9], 16), -digits & 0xF)
    size = _HEAD_SIZE + length + _CHECKSUM_SIZE
    text = _text(take(data, at, size)[1:], at)
    said = int(text[-_CHECKSUM_SIZE:], 16)
    check("CHKSUM", at, said, -sum(text[:-_CHECKSUM_SIZE]) & 0xFFFF)
    end = data[at + size : at + size + 1]
    if end not in {b"\r", b""} or length % 2:
        raise DecodeError("malformed", f"bytes[{at}]", "the frame does not end with CR")
    if head[6:8] != b"00":
        raise DecodeError("status", f"bytes[{at}]", f"the BMS answered RTN {head[6:8].decode()}")
    info = bytes.fromhex(text[len(head) : -_CHECKSUM_SIZE].decode())
    return Telegram(size + len(end), int(head[2:4], 16), info)


def _text(characters: bytes, at: int) -> bytes:
    if _HEX.fullmatch(characters) is None:
        raise DecodeError("malformed", f"bytes[{at}]", "characters that are no upper-case hex")
    return characters


def build(version: int, address: int, info: bytes) -> bytes:
    """An answer with RTN 00."""
    content = info.hex().upper().encode()
    length = len(content)
    checked = -((length & 0xF) + (length >> 4 & 0xF) + (length >> 8)) & 0xF
    text = f"{version:02X}{address:02X}4600{checked:X}{length:03X}".encode() + content
    return b"~" + text + f"{-sum(text) & 0xFFFF:04X}\r".encode()
