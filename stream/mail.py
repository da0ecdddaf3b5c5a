"""E-mail by SMTP (RFC 5321); used by `stream.notices` through the outbox, beside `stream.sms`.

What cannot be mended by a repetition (a mailbox that does not exist, a message that is not taken) is refused;
all else is away: no answer, greylisting, a full mailbox, a sender or credentials that an operator must mend.
"""

import asyncio
import mimetypes
import ssl
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as LINES
from email.utils import format_datetime, parseaddr
from typing import Literal, Protocol

import aiosmtplib
import structlog

from stream.providers import REFUSAL_CHARACTERS_MAX, TIMEOUT_S, ProviderAwayError, ProviderRefusedError

log = structlog.get_logger()

Security = Literal["starttls", "tls", "none"]
SUBJECT_CHARACTERS_MAX = 200
TOTAL_TIMEOUT_S = 60.0
# RFC 5321 section 4.2.1: a permanent refusal; 4yz may be tried again.
_PERMANENT = range(500, 600)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a message; its name tells its type."""

    filename: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MailMessage:
    """`reference`: ours, the same when a message is sent again; `at`: when it was written."""

    reference: int
    address: str
    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)
    at: datetime
    attachment: Attachment | None = None


@dataclass(frozen=True, slots=True)
class MailSettings:
    """`sender` as in "Gridwire <no-reply@example.com>". `tls`: from the first byte on (RFC 8314)."""

    host: str
    sender: str
    port: int = 587
    security: Security = "starttls"
    user: str = ""
    password: str = field(default="", repr=False)
    timeout_s: float = TIMEOUT_S  # of one step of the dialogue


class MailProvider(Protocol):
    """Brings a message to a mailbox."""

    name: str

    async def send(self, message: MailMessage) -> str:
        """Return the name of the message. Raises `ProviderRefusedError`, `ProviderAwayError`."""


class LogMail:
    """For development and demonstrations: whoever reads the log reads the messages."""

    name = "log"

    async def send(self, message: MailMessage) -> str:
        """Write the message to the log."""
        log.info(
            "mail_message",
            address=message.address,
            subject=message.subject,
            body=message.text,
            attachment=message.attachment.filename if message.attachment else None,
            action="no SMTP server: read it here",
        )
        return f"log-{message.reference}"


class SmtpMail:
    """A mail server; `trust` is for servers whose authority the system does not know."""

    name = "smtp"

    def __init__(self, settings: MailSettings, trust: ssl.SSLContext | None = None) -> None:
        _, self._sender = parseaddr(settings.sender)
        if "@" not in self._sender:
            raise ValueError(f"the sender {settings.sender!r} is no e-mail address")
        if settings.password and settings.security == "none":
            raise ValueError("a password needs a connection by starttls or tls")
        self._settings = settings
        self._trust = trust

    async def send(self, message: MailMessage) -> str:
        """Hand the message over; returns its Message-ID."""
        settings = self._settings
        try:
            written = self._write(message)
        except ValueError as error:
            raise _refusal(error, True) from error
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT_S):
                await aiosmtplib.send(
                    written,
                    sender=self._sender,
                    recipients=[message.address],
                    hostname=settings.host,
                    port=settings.port,
                    username=settings.user or None,
                    password=settings.password or None,
                    timeout=settings.timeout_s,
                    use_tls=settings.security == "tls",
                    start_tls=settings.security == "starttls",
                    tls_context=self._trust,
                )
        except aiosmtplib.SMTPRecipientsRefused as error:
            (refused,) = error.recipients
            raise _refusal(refused, refused.code in _PERMANENT) from error
        except aiosmtplib.SMTPDataError as error:
            raise _refusal(error, error.code in _PERMANENT) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise _refusal(error, False) from error
        return str(written["Message-ID"])

    def _write(self, message: MailMessage) -> EmailMessage:
        """Write it as RFC 5322 has it: text, the same as HTML, and what is attached."""
        written = EmailMessage(LINES)
        _, domain = self._sender.rsplit("@", maxsplit=1)
        written["From"] = self._settings.sender
        written["To"] = Address(addr_spec=message.address)
        written["Subject"] = " ".join(message.subject.split())[:SUBJECT_CHARACTERS_MAX]
        written["Date"] = format_datetime(message.at)
        written["Message-ID"] = f"<notice-{message.reference}@{domain}>"
        written["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answering machine answers it
        written.set_content(message.text)
        written.add_alternative(message.html, subtype="html")
        attachment = message.attachment
        if attachment is not None:
            guessed, _ = mimetypes.guess_type(attachment.filename)
            main, sub = (guessed or "application/octet-stream").split("/", maxsplit=1)
            written.add_attachment(
                attachment.content, maintype=main, subtype=sub, filename=attachment.filename
            )
        return written


def _refusal(error: Exception, is_permanent: bool) -> ProviderRefusedError | ProviderAwayError:
    said = f"{type(error).__name__}: {error}"[:REFUSAL_CHARACTERS_MAX]
    if is_permanent:
        return ProviderRefusedError(f"smtp refused the message: {said}")
    return ProviderAwayError(f"smtp did not take the message: {said}")
