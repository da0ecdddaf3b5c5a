"""SignCertificate: what a charger asks to have signed; used by the handlers of all versions.

OCPP 1.6 security whitepaper edition 3, A02 and A03; OCPP 2.0.1 part 2, A02 and A03. The certificate leaves
later, in a CertificateSigned of its own (`stream.charger_certificates`).
"""

import asyncio
from datetime import datetime, timedelta

import structlog
from cryptography import x509

from ingest.ocpp.context import Services
from ingest.ocpp.security import authority
from ingest.ocpp.security.authority import Authority, RequestError
from protocols.timestamps import to_datetime
from storage.queries.certificates import Signed, count_requests, put_request, waiting_chain
from storage.queries.charger_security import ChargerSecurity, get_security
from storage.queries.devices import Device

log = structlog.get_logger()

# OCPP 2.x CertificateSigningUse; 1.6 and a request without a type mean the first.
CHARGER_KIND = "ChargingStationCertificate"
REQUESTS_PER_DAY_MAX = 50  # of one charger; beyond them nothing is signed and nothing stored
DAY = timedelta(days=1)
# CertificateSigned is a call of ours that must not overtake the answer to SignCertificate.
HEAD_START = timedelta(seconds=0.5)


async def sign(
    services: Services, device: Device, csr_pem: str, kind: str = CHARGER_KIND, request_id: int | None = None
) -> str | None:
    """Sign and keep the request; returns the chain that will be delivered, None for a rejected request.

    `csr_pem`: PKCS#10 as PEM. `request_id`: of OCPP 2.1. A repeat of a request whose chain is still on its
    way gets that chain.
    """
    now = to_datetime(services.config.clock())
    async with services.pool.connection() as connection:
        waiting = await waiting_chain(connection, device.id, kind, csr_pem)
        count = await count_requests(connection, device.id, now - DAY)
        security = await get_security(connection, device.id)
    if waiting is not None:
        return waiting
    if count >= REQUESTS_PER_DAY_MAX:
        log.warning("csr_limit", charger=device.identity, requests=count)
        return None
    try:
        signed = await _sign(services, device, security, csr_pem, kind, now)
    except RequestError as error:
        log.warning("csr_rejected", charger=device.identity, kind=kind, reason=str(error))
        outcome: Signed | str = str(error)
    else:
        log.info("csr_signed", charger=device.identity, kind=kind, serial_number=signed.serial_number)
        outcome = signed
    async with services.pool.connection() as connection:
        await put_request(
            connection,
            device.id,
            kind=kind,
            request_id=request_id,
            csr_pem=csr_pem[: authority.CSR_CHARACTERS_MAX].replace("\0", ""),
            at=now,
            outcome=outcome,
        )
    return outcome.chain_pem if isinstance(outcome, Signed) else None


async def _sign(
    services: Services,
    device: Device,
    security: ChargerSecurity | None,
    csr_pem: str,
    kind: str,
    now: datetime,
) -> Signed:
    tls = services.config.tls
    issuer = None if tls is None else tls.authority
    if issuer is None:
        raise RequestError("this system has no certificate authority")
    if kind != CHARGER_KIND:
        raise RequestError(f"this system's authority signs no {kind}"[:200])
    if device.status != "active":
        raise RequestError("the charger is in quarantine")
    if security is None or security.required == 0:
        # whoever connects without any proof would get a certificate in the charger's name
        raise RequestError("the charger connects without password or certificate: set one first")
    # RSA takes milliseconds: not on the event loop
    return await asyncio.to_thread(_make, issuer, device.identity, security.aliases, csr_pem, now)


def _make(issuer: Authority, identity: str, aliases: list[str], csr_pem: str, now: datetime) -> Signed:
    request = authority.check_request(csr_pem, [identity, *aliases], issuer.organization)
    serial = x509.random_serial_number()
    certificate = authority.sign_request(issuer, request, identity, serial, now)
    return Signed(
        chain_pem=authority.certificate_pem(certificate, issuer.certificate),
        serial_number=authority.serial_text(serial),
        not_after=certificate.not_valid_after_utc,
        due_at=now + HEAD_START,
    )
