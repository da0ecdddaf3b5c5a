"""One-time passwords: made, hashed and sent; used by the Ienerzy sign-in.

A sender is whatever has `send`. The one here writes the code to the log, and says so: no SMS goes out.
"""

import hashlib
import hmac
import secrets
from typing import Protocol

import structlog

log = structlog.get_logger()

CODE_DIGITS = 6


class OtpSender(Protocol):
    """Brings a code to a phone."""

    async def send(self, phone: str, code: str) -> None:
        """Return when the code is on its way to `phone` (E.164); raise when it is not."""


class LogSender:
    """For development and demonstrations: whoever reads the log can sign in."""

    async def send(self, phone: str, code: str) -> None:
        """Write the code to the log."""
        log.warning("one_time_password", phone=phone, code=code, action="no SMS sender: read it here")


def new_code() -> str:
    """Six random digits."""
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"


def hash_code(secret_key: str, phone: str, code: str) -> bytes:
    """Keyed, for a million plain hashes are tried in a second by whoever reads the table."""
    return hmac.digest(secret_key.encode(), f"otp:{phone}:{code}".encode(), hashlib.sha256)
