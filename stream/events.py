"""Rows of `device_events`, the series of what happened to devices; made here so that all have one form.

Used by `stream.log.Publisher.refuse`, `stream.writer` (frames that cannot be read) and the shells.
"""

import base64
from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from protocols.samples import DecodeError, Rows
from storage.hypertables import DEVICE_EVENTS

EXCERPT_BYTES_MAX = 512
MESSAGE_CHARACTERS_MAX = 300


def device_event(kind: str, detail: Mapping[str, object], ts_us: int) -> Rows:
    """Return one event at `ts_us` (microseconds since 1970); `detail` goes to JSON.

    The digest covers `detail`: the same event sent twice has the same key and is stored once.
    """
    body = msgspec.json.encode(detail)
    columns: dict[str, list[object]] = {
        "ts": [ts_us],
        "kind": [kind.encode()],
        "digest": [_digest(body)],
        "detail": [body],
    }
    return Rows(DEVICE_EVENTS.name, columns, count=1, samples=0)


def payload_refused(error: DecodeError, payload: bytes, source: str, received_at_us: int) -> Rows:
    """Return the event that tells of a payload which could not be decoded, with its first bytes."""
    detail = {
        "source": source,
        "reason": _clean(error.reason),
        "field": _clean(error.field),
        "message": _clean(str(error)),
        "bytes": len(payload),
        "payload_digest": f"{_digest(payload) & (1 << 64) - 1:016x}",
        **excerpt(payload),
    }
    return device_event("payload_refused", detail, received_at_us)


def excerpt(payload: bytes) -> dict[str, str]:
    """Return the first bytes as `text` if they are readable text, else as `base64`."""
    head = payload[:EXCERPT_BYTES_MAX]
    # a character cut in half at the end is not the sender's fault
    text = head.decode(errors="ignore")
    whole = text.encode() == head or (len(payload) > len(head) and len(head) - len(text.encode()) < 4)
    if whole and all(character.isprintable() or character in "\r\n\t" for character in text):
        return {"payload_text": text}
    return {"payload_base64": base64.b64encode(head).decode()}


def _digest(body: bytes) -> int:
    """Return 64 bits of BLAKE2b as PostgreSQL's signed bigint."""
    return int.from_bytes(blake2b(body, digest_size=8).digest(), "little", signed=True)


def _clean(text: str) -> str:
    """Make text that jsonb can hold: no lone surrogates, no NUL."""
    return text[:MESSAGE_CHARACTERS_MAX].encode(errors="replace").decode().replace("\0", "\ufffd")
