"""From a DLMS/COSEM datagram to plain APDUs: WRAPPER, HDLC and M-Bus transport, LLC, AES-GCM.

Used by `protocols.payloads.dlms_push` and, without a key, by `protocols.payloads.identity`.
IEC 62056-47 (WRAPPER), IEC 62056-46 (HDLC), EN 13757-3 CI 00 to 1F (M-Bus), IEC 62056-5-3 (ciphering).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from dlms_cosem.exceptions import DecryptionError  # type: ignore[import-untyped]
from dlms_cosem.security import SecurityControlField, decrypt  # type: ignore[import-untyped]

from protocols.payloads.checksums import crc16_x25
from protocols.payloads.dlms_data import Reader
from protocols.samples import DecodeError

APDU_BYTES_MAX = 65_535
FRAMES_MAX = 256  # of one message
KEY_BYTES = (16, 32)

DATA_NOTIFICATION = 0x0F
_GENERAL_GLO, _GENERAL_DED, _GENERAL = 0xDB, 0xDC, 0xDD
_BLOCK_TRANSFER = 0xE0
CIPHERED = (_GENERAL_GLO, _GENERAL_DED, _GENERAL)
_LAST_BLOCK = 0x80

_HDLC_FLAG = 0x7E
_HDLC_TYPE = 0xA0
_HDLC_SEGMENTED = 0x08
_MBUS_START, _MBUS_STOP = 0x68, 0x16
_MBUS_LAST_SEGMENT = 0x10
_MBUS_SEGMENT_CI_MAX = 0x1F
_WRAPPER_VERSION = b"\x00\x01"
_WRAPPER_BYTES = 8
_LLC = (b"\xe6\xe7\x00", b"\xe6\xe6\x00")

_TAG_BYTES = 12
TITLE_BYTES = 8
_SYSTEM_KEY_ID = 0


@dataclass(frozen=True, slots=True)
class Ciphered:
    """A ciphered APDU taken apart; `additional` is what general-ciphering authenticates besides (DD)."""

    system_title: bytes
    control: int
    counter: int
    text: bytes
    additional: bytes = b""


def apdus(datagram: bytes) -> list[bytes]:
    """The APDUs in a datagram, still ciphered where they are.

    Raises `DecodeError`: truncated, checksum, unknown, segment missing.
    """
    if not datagram:
        raise DecodeError("empty", "", "an empty datagram")
    if len(datagram) > APDU_BYTES_MAX:
        raise DecodeError("too_large", "", f"{len(datagram)} bytes, at most {APDU_BYTES_MAX} are read")
    if datagram[0] == _HDLC_FLAG:
        return [_without_llc(each) for each in _hdlc(datagram)]
    if datagram[0] == _MBUS_START:
        return [_without_llc(each) for each in _mbus(datagram)]
    if datagram[:2] == _WRAPPER_VERSION:
        return list(_wrapped(datagram))
    return [_without_llc(datagram)]


def opened(
    apdu: bytes, key: bytes | None, authentication_key: bytes | None
) -> tuple[bytes, Ciphered | None, bool]:
    """(plain APDU, what it was ciphered with, whether it was verified).

    Encryption without authentication, or with it but no authentication key, cannot be verified. Raises
    `DecodeError`: no key, wrong key, a suite that is not known.
    """
    if apdu[:1] == bytes([_BLOCK_TRANSFER]):
        apdu = _block(apdu)
    if not apdu or apdu[0] not in CIPHERED:
        return apdu, None, False
    ciphered = parse_ciphered(apdu)
    plain, is_verified = _decrypted(ciphered, key, authentication_key)
    return plain, ciphered, is_verified


def parse_ciphered(apdu: bytes) -> Ciphered:
    """Take a general-glo-, general-ded- or general-ciphering APDU apart. Raises `DecodeError`."""
    reader = Reader(apdu)
    additional = b""
    if reader.byte() == _GENERAL:
        fields = [reader.octets() for _ in range(5)]  # transaction, originator, recipient, time, other
        title = fields[1]
        additional = b"".join(bytes([len(each) & 0xFF]) + each for each in fields)
        if reader.byte() and (reader.byte() != 0 or reader.byte() != _SYSTEM_KEY_ID):
            raise DecodeError("security", "key-info", "only the global unicast key is known here")
    else:
        title = reader.octets()
    content = Reader(reader.octets())
    control, counter = content.byte(), int.from_bytes(content.take(4), "big")
    return Ciphered(title, control, counter, content.take(content.left), additional)


def _decrypted(ciphered: Ciphered, key: bytes | None, authentication_key: bytes | None) -> tuple[bytes, bool]:
    is_authenticated, is_encrypted = bool(ciphered.control & 0x10), bool(ciphered.control & 0x20)
    if ciphered.control & 0x80:
        raise DecodeError("security", "security-control", "compressed content is not read")
    if not is_authenticated and not is_encrypted:
        return ciphered.text, False
    if key is None:
        raise DecodeError("encrypted", "", "the payload is ciphered and the device has no key")
    if len(key) not in KEY_BYTES or len(ciphered.system_title) != TITLE_BYTES:
        raise DecodeError("key", "", "a key has 16 or 32 bytes and a system title 8")
    if is_authenticated and len(ciphered.text) < _TAG_BYTES:
        raise DecodeError("truncated", "", "the payload ends before its authentication tag")
    if not is_authenticated:
        return _counted(ciphered, key, ciphered.text), False
    if authentication_key is None:
        text = ciphered.text[:-_TAG_BYTES]
        return (_counted(ciphered, key, text) if is_encrypted else text), False
    return _verified(ciphered, key, authentication_key, is_encrypted=is_encrypted), True


def _verified(ciphered: Ciphered, key: bytes, authentication_key: bytes, *, is_encrypted: bool) -> bytes:
    text, tag = ciphered.text[:-_TAG_BYTES], ciphered.text[-_TAG_BYTES:]
    try:
        if is_encrypted and not ciphered.additional:
            return bytes(
                decrypt(
                    security_control=SecurityControlField.from_bytes(bytes([ciphered.control])),
                    system_title=ciphered.system_title,
                    invocation_counter=ciphered.counter,
                    key=key,
                    cipher_text=ciphered.text,
                    auth_key=authentication_key,
                )
            )
        mode = modes.GCM(_nonce(ciphered), tag, min_tag_length=_TAG_BYTES)
        decryptor = Cipher(algorithms.AES(key), mode).decryptor()
        head = bytes([ciphered.control]) + authentication_key + ciphered.additional
        decryptor.authenticate_additional_data(head if is_encrypted else head + text)
        plain = decryptor.update(text if is_encrypted else b"")
        decryptor.finalize()
        return plain if is_encrypted else text
    except (DecryptionError, InvalidTag, ValueError, KeyError):
        raise DecodeError("key", "", "the payload is not authentic: wrong key or damaged") from None


def _counted(ciphered: Ciphered, key: bytes, text: bytes) -> bytes:
    """GCM without its tag is counter mode that begins at 2 (NIST SP 800-38D clause 7.2)."""
    cipher = Cipher(algorithms.AES(key), modes.CTR(_nonce(ciphered) + b"\0\0\0\2"))
    return cipher.decryptor().update(text)


def _nonce(ciphered: Ciphered) -> bytes:
    return ciphered.system_title + ciphered.counter.to_bytes(4, "big")


def _block(apdu: bytes) -> bytes:
    """IEC 62056-5-3 general-block-transfer; a message in one block is read, one in several is not."""
    reader = Reader(apdu)
    reader.byte()
    control, number = reader.byte(), int.from_bytes(reader.take(2), "big")
    reader.take(2)
    if number != 1 or not control & _LAST_BLOCK:
        raise DecodeError("fragment", "", "a message in several blocks is not put together")
    return reader.octets()


def _without_llc(apdu: bytes) -> bytes:
    return apdu[3:] if apdu[:3] in _LLC else apdu


def _wrapped(datagram: bytes) -> Iterator[bytes]:
    at, count = 0, 0
    while at < len(datagram):
        end = at + _WRAPPER_BYTES + int.from_bytes(datagram[at + 6 : at + 8], "big")
        is_whole = datagram[at : at + 2] == _WRAPPER_VERSION and at + _WRAPPER_BYTES < end <= len(datagram)
        count += 1
        if not is_whole or count > FRAMES_MAX:
            raise DecodeError("truncated", f"byte {at}", "no whole WRAPPER message begins here")
        yield datagram[at + _WRAPPER_BYTES : end]
        at = end


def _hdlc(datagram: bytes) -> Iterator[bytes]:
    """Frames of type 3; segments of one message are joined."""
    at, message, is_open = 0, b"", False
    while at < len(datagram):
        if datagram[at] == _HDLC_FLAG:
            at += 1
            continue
        if len(datagram) < at + 2 or datagram[at] & 0xF0 != _HDLC_TYPE:
            raise DecodeError("frame", f"byte {at}", "no HDLC frame of type 3 begins here")
        is_open = bool(datagram[at] & _HDLC_SEGMENTED)
        end = at + (int.from_bytes(datagram[at : at + 2], "big") & 0x7FF)
        if end > len(datagram):
            raise DecodeError("truncated", f"byte {at}", "the datagram ends inside an HDLC frame")
        message += _hdlc_information(datagram[at:end], at)
        if not is_open and message:
            yield message
            message = b""
        at = end
    if message:
        raise DecodeError("fragment", "", "the last segment of an HDLC message is missing")


def _hdlc_information(frame: bytes, at: int) -> bytes:
    if len(frame) < 7 or crc16_x25(frame[:-2]) != int.from_bytes(frame[-2:], "little"):
        raise DecodeError("checksum", f"byte {at}", "the checksum of an HDLC frame is wrong")
    head = 2
    for _ in ("destination", "source"):
        while head < len(frame) and not frame[head] & 1:
            head += 1
        head += 1
    return frame[head + 3 : -2]  # behind the control byte and the checksum of the header


def _mbus(datagram: bytes) -> Iterator[bytes]:
    """Long frames 68 L L 68 C A CI STSAP DTSAP ... sum 16; CI says whether more segments follow."""
    at, message, is_last = 0, b"", True
    while at < len(datagram):
        size = datagram[at + 1] if len(datagram) > at + 1 else 0
        frame = datagram[at : at + size + 6]
        is_whole = (
            len(frame) == size + 6 and size > 5 and frame[:4] == bytes([_MBUS_START, size, size, _MBUS_START])
        )
        if not is_whole or frame[-1] != _MBUS_STOP or sum(frame[4:-2]) & 0xFF != frame[-2]:
            raise DecodeError(
                "frame", f"byte {at}", "no whole M-Bus long frame begins here, or its sum is wrong"
            )
        if frame[6] > _MBUS_SEGMENT_CI_MAX:
            raise DecodeError("frame", f"byte {at + 6}", f"CI {frame[6]:02X} carries no COSEM data")
        message += frame[9:-2]
        is_last = bool(frame[6] & _MBUS_LAST_SEGMENT)
        if is_last:
            yield message
            message = b""
        at += len(frame)
    if not is_last:
        raise DecodeError("fragment", "", "the last segment of an M-Bus message is missing")
