"""Wired and wireless M-Bus telegrams (EN 13757-2, -3, -4, -7).

Used through `protocols.payloads.DECODERS` ("mbus", "wmbus") and by `protocols.payloads.identity`. The frame
is parsed by `pymbusparser` once `mbus_security` has opened it.

Options: `clock` (see `times`; a meter's clock is usually local winter time), `alarms`: quantity -> mask of
the meter's error flags (of its status byte, where it sends no flags).
"""

from collections.abc import Mapping
from typing import Any

import pymbusparser

from protocols.measurements import Decoded, Measurement, Payload
from protocols.payloads.mbus_records import Telegram, error_flags, measurements_of
from protocols.payloads.mbus_security import address_of, plain_frame, plain_wired_frame
from protocols.payloads.times import clock_of
from protocols.quantities import CODES
from protocols.samples import DecodeError

FRAME_BYTES_MAX = 512
_STATUS_LOW_POWER = 0x04  # EN 13757-7 table 5
_LONG_START, _CI_LONG, _LONG_FRAME_BYTES_MIN = 0x68, 0x72, 21
_FRAME_BYTES_MIN = 12
# SND_NR, SND_IR, ACC_NR, ACC_DMD and RSP_UD: what meters send (EN 13757-4 table 26)
_WIRELESS_C_FIELDS = frozenset({0x44, 0x46, 0x47, 0x48, 0x08, 0x18, 0x28, 0x38})
_NO_INFORMATION = ("Idle filler",)


def decode_wired(payload: Payload) -> Decoded:
    """One long frame, 68 to 16. Raises `DecodeError`."""
    return _decode(payload, plain_wired_frame(_bounded(payload.data), payload.key))


def decode_wireless(payload: Payload) -> Decoded:
    """One frame from its L field on, with or without CRCs. Raises `DecodeError`."""
    return _decode(payload, plain_frame(_bounded(payload.data), payload.key))


def identity_of(frame: Mapping[str, Any]) -> str | None:
    """`<manufacturer>-<identification number>`, for instance KAM-76348799."""
    identity = frame["meter"].get("identity") or {}
    number = identity.get("id")
    if not isinstance(number, str):
        return None
    maker = identity.get("manufacturer_code")
    return f"{maker}-{number}" if isinstance(maker, str) else number


def wireless_identity(frame: bytes) -> str | None:
    """The identity of a wireless frame (not empty), without its key; None for what is none.

    Raises `DecodeError` for a frame with a wrong checksum.
    """
    if not _FRAME_BYTES_MIN <= frame[0] + 1 <= len(frame) or frame[1] not in _WIRELESS_C_FIELDS:
        return None
    address = address_of(frame)
    return None if address is None else _address_text(address)


def wired_identity(frame: bytes) -> str | None:
    """The identity of a wired long frame with a long header (CI 72); None for any other."""
    is_long = len(frame) >= _LONG_FRAME_BYTES_MIN and frame[0] == frame[3] == _LONG_START
    if not is_long or frame[6] != _CI_LONG or frame[1] + 6 != len(frame):
        return None
    return _address_text(frame[11:13] + frame[7:11])


def _address_text(address: bytes) -> str | None:
    """EN 13757-7 clause 7.5.2: three letters of five bits each; the number is BCD, the last digits first."""
    code, number = int.from_bytes(address[:2], "little"), address[2:6][::-1].hex()
    letters = "".join(chr((code >> shift & 0x1F) + ord("@")) for shift in (10, 5, 0))
    return f"{letters}-{number}" if letters.isalpha() and number.isdecimal() else None


def parse_frame(frame: bytes) -> Mapping[str, Any]:
    """The library's reading of a frame without encryption. Raises `DecodeError`."""
    try:
        parsed: Mapping[str, Any] = pymbusparser.parse(frame, include_enrichment=False)
    except pymbusparser.MbusParserError as error:
        raise DecodeError("frame", "", str(error)[:200]) from None
    return parsed


def _bounded(data: bytes) -> bytes:
    if len(data) > FRAME_BYTES_MAX:
        raise DecodeError("too_large", "", f"{len(data)} bytes, at most {FRAME_BYTES_MAX} are read")
    return data


def _decode(payload: Payload, frame: bytes) -> Decoded:
    parsed = parse_frame(frame)
    records = parsed["records"]
    warnings = [f"{each['code']}: {each['message']}" for each in parsed["diagnostics"]][:10]
    if not records:
        raise DecodeError("no_records", "", warnings[0] if warnings else "a telegram without data records")
    device_type = (parsed["meter"].get("identity") or {}).get("device_type_code")
    telegram = Telegram(records, device_type, clock_of(payload.options), payload.heard_at_us)
    measurements = measurements_of(telegram, warnings)
    measurements += _flags(parsed, payload.options)
    return Decoded(_data(parsed), tuple(measurements), tuple(warnings), identity_of(parsed))


def _flags(parsed: Mapping[str, Any], options: Mapping[str, Any]) -> list[Measurement]:
    statuses = parsed["transport"].get("statuses", ())
    status = int(statuses[0]["raw"], 16) if statuses else None
    flags = error_flags(parsed["records"])
    found: list[Measurement] = []
    if status is not None:
        found.append(Measurement("battery_alarm", float(bool(status & _STATUS_LOW_POWER))))
    word = status if flags is None else flags
    if word is None:
        return found
    found.append(Measurement("status_flags", float(word)))
    for quantity, mask in _alarms(options).items():
        found.append(Measurement(quantity, float(bool(word & mask))))
    return found


def _alarms(options: Mapping[str, Any]) -> Mapping[str, int]:
    alarms = options.get("alarms", {})
    if not isinstance(alarms, Mapping):
        raise DecodeError("options", "alarms", "is an object of quantity and mask")
    for quantity, mask in alarms.items():
        if quantity not in CODES or not isinstance(mask, int) or mask <= 0:
            raise DecodeError("options", f"alarms.{quantity}"[:80], "is a quantity with a mask above 0")
    return alarms


def _data(parsed: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("function", "storage_number", "tariff", "subunit", "quantities", "value", "unit")
    records = [
        {key: record[key] for key in keys if key in record}
        for record in parsed["records"]
        if record["function"] not in _NO_INFORMATION
    ]
    return {"meter": parsed["meter"], "status": parsed["transport"].get("statuses", []), "records": records}
