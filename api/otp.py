"""One-time passwords: made, hashed and sent; used by the Ienerzy sign-in.

A sender is whatever has `send`. `SmsSender` texts the code by the configured provider: through the outbox, so
that it is tried again, and blanked once it has gone. `LogSender` writes it to the log, and says so.
"""

import hashlib
import hmac
import secrets
from datetime import datetime
from typing import Protocol

import structlog

from storage.database import Connection
from storage.queries.users import User
from stream.notices import Message, enqueue

log = structlog.get_logger()

CODE_DIGITS = 6
KEY_BYTES = 8


class OtpSender(Protocol):
    """Brings a code to an account's phone."""

    async def send(self, connection: Connection, user: User, code: str, now: datetime) -> None:
        """Send, in the transaction that keeps the code; raise when it cannot be on its way."""


class LogSender:
    """For development and demonstrations: whoever reads the log can sign in."""

    async def send(self, connection: Connection, user: User, code: str, now: datetime) -> None:
        """Write the code to the log."""
        log.warning("one_time_password", phone=user.phone, code=code, action="no SMS sender: read it here")


class SmsSender:
    """By the SMS provider of the jobs role; the text goes when the transaction has committed."""

    async def send(self, connection: Connection, user: User, code: str, now: datetime) -> None:
        """Enqueue the text; each code is a message of its own."""
        assert user.phone is not None, "found by its phone"
        body = f"{code} is your one-time password. It is good for a few minutes: tell it to nobody."
        key = f"otp:{secrets.token_hex(KEY_BYTES)}"
        message = Message(key, "otp", "sms", user.phone, body, has_secret=True)
        await enqueue(connection, user.id, message, now)


def new_code() -> str:
    """Six random digits."""
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"


def hash_code(secret_key: str, phone: str, code: str) -> bytes:
    """Keyed, for a million plain hashes are tried in a second by whoever reads the table."""
    return hmac.digest(secret_key.encode(), f"otp:{phone}:{code}".encode(), hashlib.sha256)
