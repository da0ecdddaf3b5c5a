"""How requests to and from an NBFC are signed: HMAC-SHA256 over timestamp, event id and body, points between.

Where there is no event id, over timestamp and body. Where the one ends and the other begins cannot be moved:
the body is a JSON object, and no end of one is another.

Used by `stream.nbfc`, by the webhook of the Ienerzy API and by the sandbox in `simulators.nbfc`.
`docs/nbfc.md` documents it for those who connect a real NBFC.
"""

import hashlib
import hmac
from typing import Literal

TIMESTAMP_HEADER = "X-NBFC-Timestamp"  # whole seconds since 1970 UTC
SIGNATURE_HEADER = "X-NBFC-Signature"
EVENT_HEADER = "X-NBFC-Event-Id"
TOLERANCE_S = 300
_SCHEME = "sha256="
_DIGITS_MAX = 12

Refusal = Literal["signature", "timestamp"]


def signature(secret: str, timestamp: str, body: bytes, event_id: str = "") -> str:
    """Return the value of the signature's header."""
    parts = (
        [timestamp.encode(), event_id.encode("utf-8", "replace"), body]
        if event_id
        else [timestamp.encode(), body]
    )
    signed = b".".join(parts)
    return _SCHEME + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def signed_headers(secret: str, body: bytes, now_s: int, event_id: str = "") -> dict[str, str]:
    """Return the headers that go with a body of JSON sent now."""
    timestamp = str(now_s)
    return {
        "Content-Type": "application/json",
        TIMESTAMP_HEADER: timestamp,
        SIGNATURE_HEADER: signature(secret, timestamp, body, event_id),
        **({EVENT_HEADER: event_id} if event_id else {}),
    }


def refusal(
    secret: str, timestamp: str, signed: str, body: bytes, now_s: int, event_id: str = ""
) -> Refusal | None:
    """Return what is wrong with a signature, in constant time; None where it is good and not too old."""
    if not secret or not hmac.compare_digest(
        signature(secret, timestamp, body, event_id).encode(), signed.encode("utf-8", "replace")
    ):
        return "signature"
    is_number = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _DIGITS_MAX
    if not is_number or abs(now_s - int(timestamp)) > TOLERANCE_S:
        return "timestamp"
    return None
