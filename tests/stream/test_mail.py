"""E-mail against a real SMTP server: with and without TLS and sign-in, refusing, and away."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from api.operations.providers import senders
from deploy.messages import SetupError
from deploy.settings import Settings
from deploy.temporary import free_port
from stream.mail import Attachment, LogMail, MailMessage, MailSettings, SmtpMail
from stream.providers import ProviderAwayError, ProviderRefusedError

SENDER = "Gridwire <no-reply@example.com>"
AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
MESSAGE = MailMessage(41, "driver@example.org", "Booking confirmed", "Hello ü", "<p>Hello ü</p>", AT)


class Mailbox:
    """Keeps what it is sent, and answers as it was told."""

    def __init__(self) -> None:
        self.kept: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []
        self.on_recipient = "250 OK"
        self.on_data = "250 OK"

    async def handle_RCPT(  # noqa: N802 (the server calls it so)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.on_recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.on_recipient

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        self.envelopes.append(envelope)
        self.kept.append(message_from_bytes(content, policy=default))
        return self.on_data


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


Serve = Callable[..., Awaitable[int]]


@pytest.fixture
async def serve(mailbox: Mailbox) -> AsyncIterator[Serve]:
    """Start a server with these options; returns its port."""
    running: list[asyncio.Server] = []

    async def start(tls_from_the_first_byte: ssl.SSLContext | None = None, **options: Any) -> int:
        server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(mailbox, **options), "127.0.0.1", 0, ssl=tls_from_the_first_byte
        )
        running.append(server)
        return int(server.sockets[0].getsockname()[1])

    before = asyncio.all_tasks()
    yield start
    for server in running:
        server.close()
        await server.wait_closed()
    if (
        sessions := asyncio.all_tasks()
        - before
        - {current for current in [asyncio.current_task()] if current}
    ):
        await asyncio.wait(sessions, timeout=5)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("mail") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
def offered(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trust(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


def sign_in(server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any) -> AuthResult:
    is_good = isinstance(given, LoginPassword) and (given.login, given.password) == (b"gridwire", b"secret")
    return AuthResult(success=is_good, handled=False)


def settings(port: int, **changes: Any) -> MailSettings:
    return MailSettings(
        **{"host": "127.0.0.1", "sender": SENDER, "port": port, "security": "none", **changes}
    )


async def test_a_message_has_both_texts_its_attachment_and_the_same_name_each_time(
    mailbox: Mailbox, serve: Serve
) -> None:
    provider = SmtpMail(settings(await serve()))
    pdf = Attachment("INV-7.pdf", b"%PDF-1.7 \x00\xff")
    message = MailMessage(41, "driver@example.org", "Två\r\nBcc: x@y.z", "Hello ü", "<p>ü</p>", AT, pdf)
    assert await provider.send(message) == await provider.send(message) == "<notice-41@example.com>"
    first, second = mailbox.kept
    assert first["Message-ID"] == second["Message-ID"] == "<notice-41@example.com>"
    assert first["From"] == SENDER
    assert first["To"] == "driver@example.org"
    assert first["Subject"] == "Två Bcc: x@y.z"
    assert first["Bcc"] is None
    assert first["Date"].datetime == AT
    assert first["Auto-Submitted"] == "auto-generated"
    plain, html = first.get_body(("plain",)), first.get_body(("html",))
    assert plain is not None
    assert plain.get_content().strip() == "Hello ü"
    assert html is not None
    assert html.get_content().strip() == "<p>ü</p>"
    (attached,) = first.iter_attachments()
    assert attached.get_content() == pdf.content
    assert (attached.get_filename(), attached.get_content_type()) == ("INV-7.pdf", "application/pdf")
    assert mailbox.envelopes[0].mail_from == "no-reply@example.com"
    assert mailbox.envelopes[0].rcpt_tos == ["driver@example.org"]


async def test_starttls_with_sign_in(
    mailbox: Mailbox, serve: Serve, offered: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    port = await serve(tls_context=offered, require_starttls=True, auth_required=True, authenticator=sign_in)
    own = settings(port, security="starttls", user="gridwire", password="secret")
    await SmtpMail(own, trust).send(MESSAGE)
    assert len(mailbox.kept) == 1
    with pytest.raises(ProviderAwayError, match="SMTPAuthenticationError"):
        await SmtpMail(settings(port, security="starttls", user="gridwire", password="wrong"), trust).send(
            MESSAGE
        )
    with pytest.raises(ProviderAwayError, match="certificate"):
        await SmtpMail(own).send(MESSAGE)
    with pytest.raises(ProviderAwayError):
        await SmtpMail(settings(port)).send(MESSAGE)
    assert len(mailbox.kept) == 1


async def test_tls_from_the_first_byte(
    mailbox: Mailbox, serve: Serve, offered: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    port = await serve(offered)
    await SmtpMail(settings(port, security="tls"), trust).send(MESSAGE)
    assert len(mailbox.kept) == 1


async def test_a_server_without_starttls_is_not_spoken_to_in_the_clear(
    mailbox: Mailbox, serve: Serve
) -> None:
    with pytest.raises(ProviderAwayError, match="STARTTLS"):
        await SmtpMail(settings(await serve(), security="starttls")).send(MESSAGE)
    assert mailbox.kept == []


@pytest.mark.parametrize(
    ("step", "answer", "expected"),
    [
        ("on_recipient", "550 5.1.1 no such mailbox", ProviderRefusedError),
        ("on_recipient", "450 4.2.0 greylisted", ProviderAwayError),
        ("on_recipient", "452 4.2.2 mailbox full", ProviderAwayError),
        ("on_data", "554 5.7.1 not wanted", ProviderRefusedError),
        ("on_data", "451 4.3.0 later", ProviderAwayError),
    ],
)
async def test_what_may_be_tried_again_and_what_may_not(
    mailbox: Mailbox, serve: Serve, step: str, answer: str, expected: type[Exception]
) -> None:
    setattr(mailbox, step, answer)
    with pytest.raises(expected, match=answer.split(maxsplit=2)[2]):
        await SmtpMail(settings(await serve())).send(MESSAGE)


@pytest.mark.parametrize("address", ["dräver@example.org", "a@b.c, d@e.f", "a\nb@example.org"])
async def test_an_address_that_is_none_is_refused(serve: Serve, address: str) -> None:
    message = MailMessage(1, address, "Subject", "text", "<p>text</p>", AT)
    with pytest.raises(ProviderRefusedError):
        await SmtpMail(settings(await serve())).send(message)


async def test_a_server_that_is_not_there_or_says_nothing_is_away() -> None:
    with pytest.raises(ProviderAwayError, match="SMTPConnectError"):
        await SmtpMail(settings(free_port())).send(MESSAGE)

    ended = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with silent:
        with pytest.raises(ProviderAwayError, match="Timeout"):
            await SmtpMail(settings(port, timeout_s=0.2)).send(MESSAGE)
        await ended.wait()


async def test_the_default_writes_to_the_log() -> None:
    assert await LogMail().send(MESSAGE) == "log-41"


def test_settings_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="is no e-mail address"):
        SmtpMail(MailSettings("host", "Gridwire"))
    with pytest.raises(ValueError, match="starttls or tls"):
        SmtpMail(settings(25, password="secret"))


def test_the_environment_names_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(senders(Settings()).mail, LogMail)
    monkeypatch.setenv("GRIDWIRE_SMTP_HOST", "mail.example.com")
    with pytest.raises(SetupError, match="is no e-mail address"):
        senders(Settings())
    monkeypatch.setenv("GRIDWIRE_SMTP_FROM", SENDER)
    assert isinstance(senders(Settings()).mail, SmtpMail)
    monkeypatch.setenv("GRIDWIRE_SMTP_SECURITY", "none")
    monkeypatch.setenv("GRIDWIRE_SMTP_PASSWORD", "secret")
    with pytest.raises(SetupError, match="starttls or tls"):
        senders(Settings())


def test_no_secret_is_printed() -> None:
    assert "secret" not in repr(settings(25, password="secret"))
    assert "Hello" not in repr(MESSAGE)
