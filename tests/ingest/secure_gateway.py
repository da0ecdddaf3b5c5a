"""A gateway's TLS material, a charger's ways to identify itself, and its answers to our calls."""

import base64
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from cryptography import x509
from nats.aio.client import Client
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from ingest.ocpp.security import authority, material
from ingest.ocpp.security.authority import Authority, PrivateKey
from ingest.ocpp.security.tls import TlsConfig
from storage.database import Pool
from storage.queries.charger_security import set_profile
from stream.bus import ChargerOfflineError, call_charger
from tests.ingest.charger_keys import EC_KEY, ROOT, RSA_KEY, csr_pem
from tests.ingest.ocpp_gateway import RawCharger, Running, raw_charger

HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash
PASSWORD = "0123456789ABCDEF0123456789ABCDEF"
NEW = "FEDCBA9876543210FEDCBA9876543210"
NOW = datetime.now(UTC)
ISSUER = Authority(authority.make_root(ROOT, "Test root", 1, NOW), ROOT)
STRANGER = Authority(authority.make_root(EC_KEY, "Foreign root", 1, NOW), EC_KEY)
SUBPROTOCOLS = {"1.6": "ocpp1.6", "2.0.1": "ocpp2.0.1", "2.1": "ocpp2.1"}


@dataclass(frozen=True)
class Tls:
    folder: Path
    config: TlsConfig
    root: Path

    def client(self, certificate: Path | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.root))
        if certificate is not None:
            context.load_cert_chain(certificate)
        return context

    def certificate(self, name: str, key: PrivateKey = RSA_KEY, issuer: Authority = ISSUER) -> Path:
        """A file with key and chain of a client certificate for `name`."""
        request = authority.check_request(csr_pem(key, name), [name], None)
        leaf = authority.sign_request(issuer, request, name, x509.random_serial_number(), NOW)
        path = self.folder / f"{name}-{leaf.serial_number}.pem"
        path.write_text(authority.key_pem(key) + authority.certificate_pem(leaf, issuer.certificate))
        return path


def make_tls(tmp_path: Path) -> Tls:
    root = tmp_path / "root.pem"
    root.write_text(authority.certificate_pem(ISSUER.certificate))
    servers = []
    for kind in ("rsa", "ecdsa"):
        path = tmp_path / f"server-{kind}.pem"
        path.write_text(material.new_server(ISSUER, kind, ["localhost"], NOW))
        servers.append(path)
    config = TlsConfig(0, tuple(servers), client_authorities=root, authority=ISSUER, check_s=0.05)
    return Tls(tmp_path, config, root)


def basic(username: str, password: str | bytes) -> dict[str, Any]:
    raw = password.encode() if isinstance(password, str) else password
    encoded = base64.b64encode(username.encode() + b":" + raw).decode()
    return {"additional_headers": {"Authorization": f"Basic {encoded}"}}


async def attempt(url: str, **options: Any) -> tuple[int, str]:
    """Status and text of a handshake: 101 if it was let in, 0 if TLS itself refused."""
    try:
        async with raw_charger(url, **options) as charger:
            answer = await charger.call("Heartbeat", {})
            assert "currentTime" in answer
            return 101, ""
    except InvalidStatus as error:
        return error.response.status_code, error.response.body.decode()
    except (InvalidHandshake, ConnectionClosed, ssl.SSLError, OSError) as error:
        return 0, repr(error)


def wss(running: Running) -> str:
    return f"wss://localhost:{running.gateway.tls_port}"


async def configure(pool: Pool, device_id: int, profile: int, *, may_upgrade: bool = False) -> None:
    async with pool.connection() as connection:
        await set_profile(connection, device_id, profile, may_upgrade=may_upgrade)


async def answer(charger: RawCharger, action: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Take our next call, which must be `action`, and answer it; returns its payload."""
    kind, message_id, called, request = await charger.receive()
    assert (kind, called) == (2, action)
    await charger.send([3, message_id, payload])
    assert isinstance(request, dict)
    return request


async def is_reachable(bus: Client, device_id: int) -> bool:
    """Whether the gateway takes calls for this charger; a call that is none disturbs nobody."""
    try:
        await call_charger(bus, device_id, "NoSuchAction", {}, 0.5)
    except ChargerOfflineError:
        return False
    return True
