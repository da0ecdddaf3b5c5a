"""SMS and push providers against a local HTTP server that speaks each one's documented form."""

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from stream.providers import ProviderAwayError, ProviderRefusedError
from stream.push import Fcm, FcmSettings, PushMessage
from stream.sms import PROVIDERS, SmsSettings, TextMessage, sms_provider

MESSAGE = TextMessage(41, "+27821234567", "Your password is Abc12345 & more")


@dataclass
class Heard:
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """Answers every POST with what it was told last."""

    url: str = ""
    status: int = 200
    answer: Any = None
    heard: list[Heard] = field(default_factory=list)

    def last(self) -> Heard:
        return self.heard[-1]


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            told.heard.append(Heard(parts.path, parse_qs(parts.query), headers, body))
            answer = told.answer if isinstance(told.answer, bytes) else json.dumps(told.answer).encode()
            self.send_response(told.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None:
            return

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    told.url = f"http://127.0.0.1:{listening.server_address[1]}"
    yield told
    listening.shutdown()
    listening.server_close()
    thread.join()


def basic(user: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()


@pytest.mark.parametrize(("sender", "name"), [("+27870000000", "From"), ("MG0123", "MessagingServiceSid")])
async def test_twilio(server: Server, sender: str, name: str) -> None:
    server.status, server.answer = 201, {"sid": "SM123", "status": "queued", "error_code": None}
    provider = sms_provider(SmsSettings("twilio", "AC1", "token", sender, server.url))
    assert await provider.send(MESSAGE) == "SM123"
    heard = server.last()
    assert heard.path == "/2010-04-01/Accounts/AC1/Messages.json"
    assert heard.headers["authorization"] == basic("AC1", "token")
    assert heard.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(heard.body.decode()) == {"To": [MESSAGE.phone], name: [sender], "Body": [MESSAGE.body]}


async def test_clickatell(server: Server) -> None:
    one = {"apiMessageId": "77fb", "accepted": True, "to": "27821234567", "error": None}
    server.status, server.answer = 202, {"messages": [one], "error": None}
    provider = sms_provider(SmsSettings("clickatell", "", "key", "", server.url))
    assert await provider.send(MESSAGE) == "77fb"
    heard = server.last()
    assert heard.path == "/v1/message"
    assert heard.headers["authorization"] == "key"
    assert json.loads(heard.body) == {
        "messages": [
            {"channel": "sms", "to": "27821234567", "content": MESSAGE.body, "clientMessageId": "41"}
        ]
    }
    refused = {"accepted": False, "to": "27821234567", "error": {"code": 13, "description": "bad number"}}
    server.status, server.answer = 207, {"messages": [refused]}
    with pytest.raises(ProviderRefusedError, match="bad number"):
        await provider.send(MESSAGE)


async def test_bulksms(server: Server) -> None:
    server.status, server.answer = 201, [{"id": "4023", "to": "27821234567", "status": {"type": "ACCEPTED"}}]
    provider = sms_provider(SmsSettings("bulksms", "id", "secret", "", server.url))
    assert await provider.send(MESSAGE) == "4023"
    heard = server.last()
    assert heard.path == "/v1/messages"
    assert heard.query == {"deduplication-id": ["41"], "auto-unicode": ["true"]}
    assert heard.headers["authorization"] == basic("id", "secret")
    assert json.loads(heard.body) == {"to": MESSAGE.phone, "body": MESSAGE.body}


@pytest.mark.parametrize("name", ["twilio", "clickatell", "bulksms"])
async def test_what_may_be_tried_again_and_what_may_not(server: Server, name: str) -> None:
    provider = sms_provider(SmsSettings(name, "a", "s", "f", server.url))
    server.answer = {"code": 21211, "message": "Invalid 'To' number"}
    for status in (400, 422):
        server.status = status
        with pytest.raises(ProviderRefusedError, match=r"Invalid 'To'"):
            await provider.send(MESSAGE)
    for status in (401, 402, 403, 404, 429, 500, 503):
        server.status = status
        with pytest.raises(ProviderAwayError, match=str(status)):
            await provider.send(MESSAGE)
    server.status, server.answer = 400, b"no\0where"  # what it said is stored, and the database has no NUL
    with pytest.raises(ProviderRefusedError, match="nowhere"):
        await provider.send(MESSAGE)
    server.status = 200
    for answer in (b"<html>", b"\xff", b"null", b"[]", b"{}", b'{"messages": {}}', b'[{"id": 1}]'):
        server.answer = answer
        with pytest.raises((ProviderAwayError, ProviderRefusedError)):
            await provider.send(MESSAGE)


async def test_a_provider_that_does_not_answer_is_away() -> None:
    provider = sms_provider(SmsSettings("clickatell", "", "key", "", "http://127.0.0.1:9"))
    with pytest.raises(ProviderAwayError, match="clickatell does not answer"):
        await provider.send(MESSAGE)


async def test_the_default_writes_to_the_log() -> None:
    assert await sms_provider(SmsSettings()).send(MESSAGE) == "log-41"


def test_settings_name_what_is_missing() -> None:
    with pytest.raises(ValueError, match="choose one of log, twilio, clickatell, bulksms"):
        sms_provider(SmsSettings("pigeon"))
    for name, (_, needed) in PROVIDERS.items():
        if needed:
            with pytest.raises(ValueError, match=f"{name} needs {' and '.join(needed)}"):
                sms_provider(SmsSettings(name))


def test_no_secret_is_printed() -> None:
    assert "Abc12345" not in repr(MESSAGE)
    assert "token" not in repr(SmsSettings("twilio", "AC1", "token", "x"))


async def test_fcm_fetches_a_token_once_while_it_is_good(server: Server) -> None:
    key = rsa.generate_private_key(65_537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    now_s = [1_000_000.0]
    settings = FcmSettings("project", "robot@example.com", pem, f"{server.url}/token", server.url)
    provider = Fcm(settings, clock_s=lambda: now_s[0])
    server.answer = {"access_token": "ya29", "expires_in": 3600, "name": "projects/project/messages/7"}
    for _ in range(2):
        sent = await provider.send(PushMessage(7, "phone-token", "wallet_low", "The wallet is low"))
        assert sent == "projects/project/messages/7"
    assert [heard.path for heard in server.heard] == ["/token", *["/v1/projects/project/messages:send"] * 2]
    grant = parse_qs(server.heard[0].body.decode())
    claims = jwt.decode(
        grant["assertion"][0],
        key.public_key(),
        algorithms=["RS256"],
        audience=settings.token_uri,
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims["iss"] == "robot@example.com"
    assert server.last().headers["authorization"] == "Bearer ya29"
    message = json.loads(server.last().body)["message"]
    assert message == {
        "token": "phone-token",
        "notification": {"body": "The wallet is low"},
        "data": {"kind": "wallet_low"},
    }
    now_s[0] += 3_600
    await provider.send(PushMessage(8, "phone-token", "wallet_low", "The wallet is low"))
    assert [heard.path for heard in server.heard].count("/token") == 2
