"""How payloads name the device that sent them: keys in JSON and CBOR, URNs, IMEIs.

Used by the decoders that set `Decoded.identity` and by `protocols.payloads.identity`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

IDENTITY_MAX = 64
_DEPTH_MAX = 3
_OBJECTS_MAX = 50
# Keys without regard to case, `_`, `-` and space, in the order in which they are believed.
_KEYS = (
    "imei",
    "deveui",
    "serialnumber",
    "serialno",
    "serial",
    "sn",
    "meterserial",
    "meternumber",
    "meterno",
    "meterid",
    "deviceid",
    "deviceserial",
    "devid",
    "endpoint",
    "ep",
    "eui",
    "mac",
)
# Keys that may name something else, so these are looked for when none of the others is there.
_WEAK_KEYS = ("uid", "device", "name", "id")
_IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:\-]{0,63}", re.ASCII)
_IMEI = re.compile(r"\d{15}", re.ASCII)
# RFC 9039 (urn:dev:...) and LwM2M endpoint names (urn:imei:...).
_URN = re.compile(
    r"urn:(?:dev:)?(imei|mac|ow|org|os|ops|ser|esn|uuid)[:\-]([A-Za-z0-9.\-]{1,64})", re.ASCII | re.I
)


def identity_text(value: object) -> str | None:
    """A value as a device's identity; None where it can be none (empty, too long, other letters)."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value).strip() if isinstance(value, str) or abs(value) < 10**IDENTITY_MAX else ""
    urn = urn_identity(text)
    return urn or (text if _IDENTITY.fullmatch(text) else None)


def urn_identity(text: str) -> str | None:
    """The device in a URN such as `urn:dev:mac:0024befffe804ff1` or `urn:imei:...`; None in other texts."""
    match = _URN.match(text[: 4 * IDENTITY_MAX])
    if match is None:
        return None
    return match.group(2).rstrip(".-") or None


def is_imei(text: str) -> bool:
    """15 digits of which the last is the check digit (3GPP TS 23.003 annex B)."""
    if not _IMEI.fullmatch(text):
        return False
    doubled = [int(digit) * (1 + index % 2) for index, digit in enumerate(text)]
    return sum(each // 10 + each % 10 for each in doubled) % 10 == 0


def bcd_imei(raw: bytes) -> str | None:
    """An IMEI packed into 8 bytes, with a filler (0 or F) before or behind it; None where it is none."""
    text = raw.hex()
    if len(text) != 16:
        return None
    candidates = ((text[0], text[1:]), (text[-1], text[:-1]))
    return next((digits for filler, digits in candidates if filler in "0f" and is_imei(digits)), None)


def device_name(data: Any) -> str | None:
    """What an object (or the first objects of an array) calls its device, looked for in width, boundedly."""
    return _named(data, _KEYS) or _named(data, _WEAK_KEYS)


def _named(data: Any, keys: Sequence[str]) -> str | None:
    level = [data]
    for _ in range(_DEPTH_MAX):
        objects = [each for item in level for each in _objects(item)][:_OBJECTS_MAX]
        found: dict[str, str] = {}
        for each in objects:
            for name, value in each.items():
                text = identity_text(value) if _bare(name) in keys else None
                if text is not None:
                    found.setdefault(_bare(name), text)
        if found:
            return found[min(found, key=keys.index)]
        level = [value for each in objects for value in each.values() if isinstance(value, dict | list)]
    return None


def _objects(item: Any) -> list[Mapping[str, Any]]:
    if isinstance(item, dict):
        return [item]
    return [each for each in item[:_OBJECTS_MAX] if isinstance(each, dict)] if isinstance(item, list) else []


def _bare(name: object) -> str:
    text = str(name) if isinstance(name, str) and len(name) <= IDENTITY_MAX else ""
    return text.lower().replace("_", "").replace("-", "").replace(" ", "")
