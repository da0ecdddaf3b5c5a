"""How requests to and from an NBFC are signed: HMAC-SHA256 over timestamp, a point and the body.

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


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return the value of the signature's header."""
    signed = timestamp.encode() + b"." + body
    return _SCHEME + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def signed_headers(secret: str, body: bytes, now_s: int) -> dict[str, str]:
    """Return the headers that go with a body of JSON sent now."""
    timestamp = str(now_s)
    return {
        "Content-Type": "application/json",
        TIMESTAMP_HEADER: timestamp,
        SIGNATURE_HEADER: signature(secret, timestamp, body),
    }


def refusal(secret: str, timestamp: str, signed: str, body: bytes, now_s: int) -> Refusal | None:
    """Return what is wrong with a signature, in constant time; None where it is good and not too old."""
    if not secret or not hmac.compare_digest(
        signature(secret, timestamp, body).encode(), signed.encode("utf-8", "replace")
    ):
        return "signature"
    is_number = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _DIGITS_MAX
    if not is_number or abs(now_s - int(timestamp)) > TOLERANCE_S:
        return "timestamp"
    return None
