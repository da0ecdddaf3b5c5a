"""Which device a payload comes from, found in the payload before anything is known of the device.

Used by the shells of NB-IoT (CoAP, UDP, callbacks): the source address says nothing there. The identity is
the one that the decoder of the format gives in `Decoded.identity`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from protocols.measurements import Payload
from protocols.payloads import dlms_frames, dlms_push, lwm2m, mbus
from protocols.payloads.names import bcd_imei, device_name, is_imei, urn_identity
from protocols.payloads.senml import name_identity
from protocols.payloads.structured import PAYLOAD_BYTES_MAX, read_cbor, read_json
from protocols.samples import DecodeError

_IMEI_DIGITS = 15
_Reader = Callable[[bytes, Mapping[str, object]], str | None]
_HEX_BYTES_MAX = 4_096
_CBOR_CONTAINERS = (4, 5)  # major types array and map
_NO_CLOCK = {"clock": "none"}


@dataclass(frozen=True, slots=True)
class Identified:
    """`decoder`: a name of `protocols.payloads.DECODERS` where the format is plain to see, else None."""

    identity: str | None = None
    decoder: str | None = None


def identify(payload: bytes, hints: Mapping[str, object] = MappingProxyType({})) -> Identified:
    """Find the identity; both fields are None where the payload says nothing.

    `hints`: `content_format` (CoAP's number) or `decoder` (a name) where the shell knows the format, `path`
    for LwM2M. Raises nothing: what cannot be read names no device.
    """
    if not 0 < len(payload) <= PAYLOAD_BYTES_MAX:
        return Identified()
    decoder = hints.get("decoder") or _CONTENT_FORMATS.get(hints.get("content_format"))
    read = _READERS.get(decoder) if isinstance(decoder, str) else None
    if read is not None and isinstance(decoder, str):
        return Identified(_quietly(read, payload, hints), decoder)
    raw = _unhexed(payload)
    found = Identified() if raw is None else _sniffed(raw, hints)
    return found if found.identity is not None else _sniffed(payload, hints)


def _sniffed(payload: bytes, hints: Mapping[str, object]) -> Identified:
    """The formats from the one that is hardest to mistake to the one that is easiest."""
    text = payload.lstrip(b"\0\r\n\t ")[:1]
    if text in (b"{", b"["):
        return _json(payload)
    for decoder in ("mbus", "dlms_push", "binary", "wmbus"):
        identity = _quietly(_READERS[decoder], payload, hints)
        if identity is not None:
            return Identified(identity, decoder)
    if payload[0] >> 5 in _CBOR_CONTAINERS:
        return _cbor(payload)
    start = payload[:_IMEI_DIGITS].decode("ascii", "replace")
    return Identified(start if is_imei(start) else urn_identity(payload[:256].decode("ascii", "replace")))


def _quietly(read: _Reader, raw: bytes, hints: Mapping[str, object]) -> str | None:
    try:
        return read(raw, hints)
    except DecodeError:
        return None


def _json(payload: bytes) -> Identified:
    try:
        data = read_json(payload)
    except DecodeError:
        return Identified()
    if _is_pack(data, "bn", "n"):
        return Identified(_pack_name(data, "bn", "n"), "senml_json")
    return Identified(device_name(data), "json")


def _cbor(payload: bytes) -> Identified:
    try:
        data = read_cbor(payload)
    except DecodeError:
        return Identified()
    if _is_pack(data, "-2", "0"):
        return Identified(_pack_name(data, "-2", "0"), "senml_cbor")
    return Identified(device_name(data), "cbor")


def _is_pack(data: Any, base: str, name: str) -> bool:
    is_list = isinstance(data, list) and bool(data) and all(isinstance(each, dict) for each in data[:2])
    return is_list and (isinstance(data[0].get(base), str) or isinstance(data[0].get(name), str))


def _pack_name(data: list[dict[str, Any]], base: str, name: str) -> str | None:
    first = data[0].get(base)
    if isinstance(first, str) and first:
        return name_identity(first)
    return urn_identity(str(data[0].get(name, "")))


def _binary(raw: bytes, _: Mapping[str, object]) -> str | None:
    return bcd_imei(raw[:8])


def _dlms(raw: bytes, _: Mapping[str, object]) -> str | None:
    """The system title of a ciphered push, else what a plain one says of its meter."""
    for apdu in dlms_frames.apdus(raw):
        if apdu[:1] and apdu[0] in dlms_frames.CIPHERED:
            title = dlms_frames.parse_ciphered(apdu).system_title
            return title.hex().upper() if len(title) == dlms_frames.TITLE_BYTES else None
    return dlms_push.decode(Payload(raw, 0, options=_NO_CLOCK)).identity


def _lwm2m(raw: bytes, hints: Mapping[str, object]) -> str | None:
    options = {**_NO_CLOCK, **({"path": hints["path"]} if "path" in hints else {})}
    return lwm2m.decode(Payload(raw, 0, options=options)).identity


_READERS: Mapping[str, _Reader] = MappingProxyType(
    {
        "json": lambda raw, _: device_name(read_json(raw)),
        "cbor": lambda raw, _: device_name(read_cbor(raw)),
        "senml_json": lambda raw, _: _json(raw).identity,
        "senml_cbor": lambda raw, _: _cbor(raw).identity,
        "mbus": lambda raw, _: mbus.wired_identity(raw),
        "wmbus": lambda raw, _: mbus.wireless_identity(raw),
        "dlms_push": _dlms,
        "lwm2m_tlv": _lwm2m,
        "binary": _binary,
        "lorawan_wrapped": _binary,
    }
)
# RFC 7252, RFC 8428 and OMA: numbers of content formats.
_CONTENT_FORMATS: Mapping[object, str] = MappingProxyType(
    {50: "json", 60: "cbor", 110: "senml_json", 112: "senml_cbor", 11542: "lwm2m_tlv"}
)


def _unhexed(payload: bytes) -> bytes | None:
    """A payload that a modem has sent as hexadecimal text."""
    if len(payload) > 2 * _HEX_BYTES_MAX:
        return None
    try:
        return bytes.fromhex(payload.decode("ascii")) or None
    except ValueError:
        return None
