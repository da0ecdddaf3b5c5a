"""The TLS side of the gateway's second listener; used by `ingest.ocpp.server` and the handshake.

OCPP 2.0.1 part 2, A00 (security profiles 2 and 3); OCPP 1.6 security whitepaper edition 3, sections 2.4
and 2.5. Certificates that were renewed are taken up while chargers stay connected: each new connection
gets what was loaded last.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog
from cryptography import x509

from ingest.ocpp.security import material
from ingest.ocpp.security.authority import Authority, names_of, organizations_of
from protocols.timestamps import from_datetime, to_datetime
from stream.charger_certificates import RENEW_BEFORE

log = structlog.get_logger()

# Those that A00.FR.318 has a central system support, and ChaCha20 for chargers without AES in hardware.
# The two without forward secrecy are among them: embedded clients have nothing else.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:AES128-GCM-SHA256:AES256-GCM-SHA384"


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """Where TLS listens, and with what.

    `certificates`: PEM files, each a private key and its chain, one for each kind of key (RSA, ECDSA).
    `client_authorities`: PEM file of the roots that client certificates must come from; None takes none.
    `authority`: signs what chargers and this server need; None signs nothing. Files are looked at every
    `check_s`.
    """

    port: int
    certificates: tuple[Path, ...]
    client_authorities: Path | None = None
    authority: Authority | None = None
    check_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a socket; `certificate` has been verified by then."""

    address: str
    is_tls: bool = False
    certificate: "PeerCertificate | None" = None


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What a client certificate says: for whom (lower case), whose, until when."""

    names: frozenset[str]
    organizations: tuple[str, ...]
    until: datetime


def server_context(config: TlsConfig) -> ssl.SSLContext:
    """Return a context for TLS 1.2 and later. Raises `OSError` (`ssl.SSLError` too) for unfit files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    _load(context, config)
    if config.client_authorities is not None:
        context.load_verify_locations(cafile=config.client_authorities)
        context.verify_mode = ssl.CERT_OPTIONAL  # profile 2 has none, profile 3 asks for one at the handshake
    return context


def peer_of(address: str, ssl_object: ssl.SSLObject | None) -> Peer:
    """Describe the other end of a socket by what its TLS layer knows."""
    if ssl_object is None:
        return Peer(address)
    der = ssl_object.getpeercert(binary_form=True)
    if der is None:
        return Peer(address, is_tls=True)
    certificate = x509.load_der_x509_certificate(der)
    organizations = tuple(organizations_of(certificate))
    shown = PeerCertificate(names_of(certificate), organizations, certificate.not_valid_after_utc)
    return Peer(address, is_tls=True, certificate=shown)


async def watch(context: ssl.SSLContext, config: TlsConfig, clock: Callable[[], int]) -> None:
    """Renew the server's certificates before they end, and load what changed, until cancelled."""
    loaded = _stamps(config)
    while True:
        await asyncio.sleep(config.check_s)
        try:
            await asyncio.to_thread(renew_server, config, to_datetime(clock()))
            stamps = _stamps(config)
            if stamps != loaded:
                server_context(config)  # a file that is unfit must not spoil the context in use
                _load(context, config)
                loaded = stamps
                log.info("tls_reloaded", certificates=[str(path) for path in config.certificates])
        except (OSError, ValueError) as error:
            log.error("tls_not_reloaded", error=str(error), action="mend the files; the old ones stay in use")


def renew_server(config: TlsConfig, now: datetime) -> list[Path]:
    """Write new certificates for those that end within `RENEW_BEFORE`; returns the files.

    Only those that our own authority issued: what an operator brought is the operator's to renew, and is
    named in the log. Raises `OSError` and `ValueError`.
    """
    renewed = []
    for path in config.certificates:
        leaf = material.read_leaf(path.read_text())
        if leaf.not_valid_after_utc - now > RENEW_BEFORE:
            continue
        issuer = config.authority
        if issuer is None or leaf.issuer != issuer.certificate.subject:
            until_us = from_datetime(leaf.not_valid_after_utc)
            log.warning("tls_certificate_ends", path=str(path), until_us=until_us, action="renew it")
            continue
        pem = material.new_server(issuer, material.key_kind_of(leaf), material.hosts_of(leaf), now)
        # key and chain are one file, replaced at once: no reader sees the one without the other
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(pem)
        fresh.replace(path)
        log.info("tls_certificate_renewed", path=str(path))
        renewed.append(path)
    return renewed


def _load(context: ssl.SSLContext, config: TlsConfig) -> None:
    for path in config.certificates:
        context.load_cert_chain(path)


def _stamps(config: TlsConfig) -> list[tuple[int, int]]:
    facts = [path.stat() for path in config.certificates]
    return [(each.st_mtime_ns, each.st_ino) for each in facts]
