"""The layers of an M-Bus frame that `pymbusparser` does not open: it gets the frame without them.

Used by `protocols.payloads.mbus`. The CRCs of frame formats A and B (EN 13757-4), the extended link layer
with its AES-CTR encryption (EN 13757-4 clause 13.2), security mode 7 with the authentication and
fragmentation layer (EN 13757-7). Mode 5 is decrypted here too, because the library does not look whether the
key was right.
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from protocols.payloads.checksums import crc16_en13757
from protocols.samples import DecodeError

KEY_BYTES = 16
_HEAD_BYTES = 10  # L, C, M (2), A (6)
_LONG_START, _LONG_STOP = b"\x68", 0x16
_LONG_HEAD_BYTES = 6  # 68, L, L, 68, C, A
_FORMAT_B_MAX = 128  # with a second checksum behind these, which no meter met so far sends
_FORMAT_A_BLOCK = 16
_AES_BLOCK = 16

_CI_LONG = 0x72
_CI_LONG_OTHER = 0x73  # the same header before data without DIF and VIF
_CI_SHORT = 0x7A
_CI_COMPACT = (0x79, 0x7B, 0x69, 0x6A)
_CI_AFL = 0x90
# Bytes behind the CI of an extended link layer: CC and ACC, with address, with session number.
_ELL_BYTES = {0x8C: 2, 0x8D: 6, 0x8E: 10, 0x8F: 14}
_ELL_ENCRYPTED = (0x8D, 0x8F)
_MODE_5 = 5
_MODE_7 = 7
_FILLER = b"\x2f\x2f"
_KDF_DYNAMIC = 1  # of the configuration field extension
_KEY_FROM_METER = 0x00
_MAC_KEY_FROM_METER = 0x01
_MAC_BYTES = {3: 2, 4: 4, 5: 8, 6: 12, 7: 16}  # by the type in AFL.MCL


@dataclass(frozen=True, slots=True)
class _Authentication:
    """What the AFL says: `counter` as it stands in the frame, `mac` over what follows the layer."""

    control: bytes = b""
    counter: bytes = b""
    mac: bytes = b""


def plain_frame(frame: bytes, key: bytes | None) -> bytes:
    """A wireless frame without CRCs, extended link layer, AFL and encryption (modes 5 and 7).

    Raises `DecodeError`: truncated, encrypted without a key, wrong key, compact frame, fragment.
    """
    if len(frame) <= _HEAD_BYTES:
        raise DecodeError("truncated", "", f"{len(frame)} bytes are no wireless M-Bus frame")
    frame = _without_crcs(frame)
    head, body = frame[:_HEAD_BYTES], frame[_HEAD_BYTES:]
    if body[0] in _ELL_BYTES:
        body = _without_ell(head, body, key)
    authentication = _Authentication()
    if body[:1] == bytes([_CI_AFL]):
        authentication, body = _without_afl(body)
    if not body:
        raise DecodeError("truncated", "", "a frame without an application layer")
    if body[0] in _CI_COMPACT:
        raise DecodeError("compact_frame", "", "a compact frame cannot be read without its full frame")
    body = _decrypted(head[2:10], body, authentication, key)
    if len(head) + len(body) > 0x100:
        raise DecodeError("length", "", f"{len(head) + len(body)} bytes, a frame has 256 at most")
    return bytes([len(head) + len(body) - 1]) + head[1:] + body


def address_of(frame: bytes) -> bytes | None:
    """M and A (8 bytes) of the meter as far as they stand in the clear; None for what is no frame.

    The long header's address counts before the link layer's, which may be a radio module's.
    """
    if len(frame) <= _HEAD_BYTES:
        return None
    frame = _without_crcs(frame)
    head, body = frame[:_HEAD_BYTES], frame[_HEAD_BYTES:]
    if body[:1] and body[0] in _ELL_BYTES and body[0] not in _ELL_ENCRYPTED:
        body = body[1 + _ELL_BYTES[body[0]] :]
    if body[:1] == bytes([_CI_AFL]):
        _, body = _without_afl(body)
    if body[:1] in (bytes([_CI_LONG]), bytes([_CI_LONG_OTHER])) and len(body) >= 9:
        return body[5:7] + body[1:5] + body[7:9]
    return head[2:10]


def plain_wired_frame(frame: bytes, key: bytes | None) -> bytes:
    """A long frame of EN 13757-2 without encryption; any other is returned as it is. Raises `DecodeError`."""
    if frame[:1] != _LONG_START or len(frame) < _LONG_HEAD_BYTES + 3:
        return frame
    _check_long_frame(frame)  # here, for what is given back has a sum of its own
    body = _decrypted(b"", frame[_LONG_HEAD_BYTES:-2], _Authentication(), key)
    size = len(body) + 2
    if size > 0xFF:
        raise DecodeError("length", "", f"{size} bytes, a long frame has 255 at most")
    inner = frame[4:6] + body
    return _LONG_START + bytes([size, size]) + _LONG_START + inner + bytes([sum(inner) & 0xFF, 0x16])


def _check_long_frame(frame: bytes) -> None:
    """EN 13757-2: 68 L L 68, L bytes from C on, the low byte of their sum, 16."""
    size = frame[1]
    if frame[:4] != bytes([0x68, size, size, 0x68]) or len(frame) != size + 6 or frame[-1] != _LONG_STOP:
        raise DecodeError("frame", "", f"{len(frame)} bytes are no whole long frame of {size}")
    if sum(frame[4:-2]) & 0xFF != frame[-2]:
        raise DecodeError("checksum", "", "the checksum of the long frame is wrong")


def _without_crcs(frame: bytes) -> bytes:
    """Format A has a checksum behind the head and behind every 16 bytes, which the length does not count;
    format B has one at the end, which it counts; receivers hand frames on without any."""
    if _has_crc(frame[: _HEAD_BYTES + 2]):
        parts = [frame[:_HEAD_BYTES]]
        for at in range(_HEAD_BYTES + 2, len(frame), _FORMAT_A_BLOCK + 2):
            block = frame[at : at + _FORMAT_A_BLOCK + 2]
            if not _has_crc(block):
                raise DecodeError("checksum", f"byte {at}", "the checksum of a block of format A is wrong")
            parts.append(block[:-2])
        return b"".join(parts)
    if frame[0] + 1 == len(frame) <= _FORMAT_B_MAX and _has_crc(frame):
        return frame[:-2]
    return frame


def _has_crc(block: bytes) -> bool:
    return len(block) > 2 and crc16_en13757(block[:-2]) == int.from_bytes(block[-2:], "big")


def _without_ell(head: bytes, body: bytes, key: bytes | None) -> bytes:
    size = _ELL_BYTES[body[0]]
    if len(body) <= 1 + size:
        raise DecodeError("truncated", "ell", "the frame ends inside its extended link layer")
    rest = body[1 + size :]
    if body[0] not in _ELL_ENCRYPTED:
        return rest
    session = body[1 + size - 4 : 1 + size]
    is_plain = _has_payload_crc(rest)  # also where a gateway has decrypted it
    if not is_plain and session[3] >> 5:  # ENC, the top three bits of the session number: 1 is AES-128-CTR
        rest = _ctr(head, body[1], session, rest, _needed(key))
        is_plain = _has_payload_crc(rest)
    if not is_plain:
        raise DecodeError("key", "ell", "the checksum of the payload is wrong: wrong key or damaged")
    return rest[2:]


def _has_payload_crc(rest: bytes) -> bool:
    return crc16_en13757(rest[2:]) == int.from_bytes(rest[:2], "little")


def _ctr(head: bytes, communication_control: int, session: bytes, data: bytes, key: bytes) -> bytes:
    """EN 13757-4 clause 13.2.11: the counter block is M, A, CC without its hop bit, SN, FN and BC (zero)."""
    block = head[2:10] + bytes([communication_control & 0xEF]) + session + bytes(3)
    return Cipher(algorithms.AES(key), modes.CTR(block)).decryptor().update(data)


def _without_afl(body: bytes) -> tuple[_Authentication, bytes]:
    """EN 13757-7 clause 6: CI, length, fragmentation control, then what the control's bits name."""
    end = 2 + body[1] if len(body) > 1 else 0
    if not 4 <= end < len(body):
        raise DecodeError("truncated", "afl", "the frame ends inside its authentication layer")
    control = int.from_bytes(body[2:4], "little")
    if control & 0x4000:
        raise DecodeError("fragment", "afl", "a message in several fragments is not put together")
    at = 4
    parts: dict[str, bytes] = {}
    for name, bit, size in (("mcl", 0x2000, 1), ("ki", 0x0200, 2), ("counter", 0x0800, 4)):
        if control & bit:
            parts[name] = body[at : min(at + size, end)]
            at += size
    mcl = parts.get("mcl", b"")
    if control & 0x0400:
        size = _MAC_BYTES.get(mcl[0] & 0x0F, 0) if mcl else 0
        parts["mac"] = body[at : min(at + size, end)]
    return _Authentication(mcl, parts.get("counter", b""), parts.get("mac", b"")), body[end:]


def _decrypted(link_address: bytes, body: bytes, afl: _Authentication, key: bytes | None) -> bytes:
    """Decrypt a body of mode 5 or 7 and give its header mode 0; any other body is returned as it is.

    `link_address` is M and A of the link layer, the meter's where the header has no address of its own; empty
    for a wired frame.
    """
    header = {_CI_LONG: 13, _CI_SHORT: 5}.get(body[0])
    if header is None or len(body) < header:
        return body
    configuration = int.from_bytes(body[header - 2 : header], "little")
    mode = (configuration >> 8) & 0x1F
    if mode == 0:
        return body
    if mode not in (_MODE_5, _MODE_7) and not link_address:
        return body[: header - 2] + bytes(2) + body[header:]  # a word that older wired meters sign with
    if mode not in (_MODE_5, _MODE_7):
        raise DecodeError("security_mode", "configuration", f"mode {mode} is not 0, 5 or 7")
    address = body[5:7] + body[1:5] + body[7:9] if body[0] == _CI_LONG else link_address
    data = body[header + 1 :] if mode == _MODE_7 else body[header:]
    size = (configuration >> 4 & 0x0F) * _AES_BLOCK
    if size and not (key is None and data[:2] == _FILLER):  # then a gateway has decrypted it
        if len(data) < size:
            raise DecodeError("truncated", "", f"{len(data)} bytes, {size} of them are said to be encrypted")
        if mode == _MODE_5:
            plain = _cbc(_needed(key), address + body[header - 4 : header - 3] * 8, data[:size])
        else:
            plain = _mode_7(_needed(key), address, body, header, afl, data[:size])
        if plain[:2] != _FILLER and data[:2] != _FILLER:
            raise DecodeError("key", "", "the decrypted payload does not begin with 2F2F: wrong key")
        if plain[:2] == _FILLER:
            data = plain + data[size:]
    return body[: header - 2] + bytes(2) + data


def _mode_7(key: bytes, address: bytes, body: bytes, header: int, afl: _Authentication, data: bytes) -> bytes:
    extension = body[header]
    if (extension >> 4) & 3 != _KDF_DYNAMIC or len(afl.counter) != 4:
        raise DecodeError("security_mode", "configuration", "mode 7 needs a message counter and KDF-A")
    _check_mac(_derived(key, _MAC_KEY_FROM_METER, afl.counter, address[2:6]), afl, body)
    return _cbc(_derived(key, _KEY_FROM_METER, afl.counter, address[2:6]), bytes(_AES_BLOCK), data)


def _cbc(key: bytes, initial: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.CBC(initial)).decryptor().update(data)


def _derived(master: bytes, constant: int, counter: bytes, meter_id: bytes) -> bytes:
    """EN 13757-7 clause 9.6.2 (KDF-A): CMAC over constant, message counter, meter id and seven times 07."""
    return _cmac(master, bytes([constant]) + counter + meter_id + b"\x07" * 7)


def _check_mac(key: bytes, afl: _Authentication, message: bytes) -> None:
    if afl.mac and _cmac(key, afl.control + afl.counter + message)[: len(afl.mac)] != afl.mac:
        raise DecodeError("key", "afl", "the message authentication code is wrong: wrong key or damaged")


def _cmac(key: bytes, data: bytes) -> bytes:
    cmac = CMAC(algorithms.AES(key))
    cmac.update(data)
    return cmac.finalize()


def _needed(key: bytes | None) -> bytes:
    if key is None:
        raise DecodeError("encrypted", "", "the payload is encrypted and the device has no key")
    if len(key) != KEY_BYTES:
        raise DecodeError("key", "", f"the device's key has {len(key)} bytes, AES-128 needs {KEY_BYTES}")
    return key
