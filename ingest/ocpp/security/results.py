"""What follows from answers about certificates and passwords; named in `ingest.ocpp.results`.

OCPP 1.6 security whitepaper edition 3, sections A01, A02 and M03 to M05 by the numbers of OCPP 2.0.1 part 2.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography import x509

from ingest.ocpp.context import Context, Payload
from ingest.ocpp.security.authority import hash_data
from storage.queries.certificates import (
    INSTALLED_MAX,
    InstalledCertificate,
    end_delivery_of,
    forget_installed,
    put_installed,
    remove_installed,
)
from storage.queries.charger_security import (
    PENDING_PASSWORDS_MAX,
    add_password,
    drop_password,
    get_security,
    pending_passwords,
)
from stream.charger_passwords import AUTHORIZATION_KEY, COMPONENT, VARIABLE, hash_secret

log = structlog.get_logger()

Handler = Callable[[Context, Payload, Payload], Awaitable[None]]
ACCEPTED, REBOOT_REQUIRED = "Accepted", "RebootRequired"


async def certificate_signed(context: Context, request: Payload, answer: Payload) -> None:
    """The charger took its new certificate, or did not (A02.FR.12 and 13)."""
    status = str(answer["status"])
    is_taken = status == ACCEPTED
    async with context.services.pool.connection() as connection:
        await end_delivery_of(
            connection,
            context.device.id,
            str(request["certificateChain"]),
            "accepted" if is_taken else "refused",
            None if is_taken else status,
            context.received_at,
        )


async def install_certificate(context: Context, request: Payload, answer: Payload) -> None:
    """A root certificate that the charger took is one that it has (M05)."""
    if answer["status"] != ACCEPTED:
        return
    pem = str(request["certificate"])
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        if certificate.issuer != certificate.subject:
            return  # its issuer's key is not known here: GetInstalledCertificateIds will tell
        described = hash_data(certificate, certificate)
    except ValueError as error:
        log.warning("installed_certificate_unread", charger=context.device.identity, error=str(error))
        return
    await _put(context, [_installed(context, str(request["certificateType"]), described, pem)])


async def get_installed_certificate_ids(context: Context, request: Payload, answer: Payload) -> None:
    """Keep what the charger says it has, and forget what it does not name any more (M03)."""
    installed = [
        _installed(context, kind, described, None) for kind, described in _described(request, answer)
    ][:INSTALLED_MAX]
    await _put(context, installed)
    asked: Any = request.get("certificateType")
    kinds = [asked] if isinstance(asked, str) else asked
    async with context.services.pool.connection() as connection:
        await forget_installed(connection, context.device.id, kinds, context.received_at)


async def delete_certificate(context: Context, request: Payload, answer: Payload) -> None:
    """What was deleted, or is not there, the charger does not have (M04)."""
    if answer["status"] not in {ACCEPTED, "NotFound"}:
        return
    described: Any = request["certificateHashData"]
    async with context.services.pool.connection() as connection:
        await remove_installed(connection, context.device.id, **_hash_fields(described))


def noting_password(handler: Handler) -> Handler:
    """`handler` of ChangeConfiguration or SetVariables, and before it: a password taken is one to accept.

    An operator may set it by a command of his own, past `stream.charger_passwords`: without this the charger
    could not connect any more (A01).
    """

    async def handle(context: Context, request: Payload, answer: Payload) -> None:
        for password in _passwords_taken(request, answer):
            await _accept(context, password)
        await handler(context, request, answer)

    return handle


def _passwords_taken(request: Payload, answer: Payload) -> list[str]:
    taken = {ACCEPTED, REBOOT_REQUIRED}
    if "key" in request:
        is_taken = str(request["key"]).lower() == AUTHORIZATION_KEY.lower() and answer["status"] in taken
        return [str(request["value"])] if is_taken else []
    sent: Any = request["setVariableData"]
    results: Any = answer["setVariableResult"]
    if not any(_is_password(each) and each["attributeStatus"] in taken for each in results):
        return []
    return [str(each["attributeValue"]) for each in sent if _is_password(each)]


def _is_password(item: Mapping[str, Any]) -> bool:
    return (item["component"]["name"], item["variable"]["name"]) == (COMPONENT, VARIABLE)


async def _accept(context: Context, password: str) -> None:
    """Accept the password at the next connection, unless it is accepted already."""
    pool, device_id = context.services.pool, context.device.id
    async with pool.connection() as connection:
        security = await get_security(connection, device_id)
        pending = await pending_passwords(connection, device_id)
    current = security.secret_hash if security is not None else None
    hashes = [current, *(each.secret_hash for each in pending)]
    if await asyncio.to_thread(_is_known, password, [each for each in hashes if each is not None]):
        return
    secret_hash = await hash_secret(password)
    async with pool.connection() as connection:
        if len(pending) >= PENDING_PASSWORDS_MAX:
            await drop_password(connection, pending[-1].id)
        await add_password(connection, device_id, secret_hash, context.received_at)
    log.info("charger_password_noted", charger=context.device.identity)


def _is_known(password: str, hashes: Sequence[str]) -> bool:
    hasher = PasswordHasher()
    for each in hashes:
        try:
            return hasher.verify(each, password)
        except (VerificationError, InvalidHashError):
            continue
    return False


def _described(request: Payload, answer: Payload) -> list[tuple[str, Mapping[str, str]]]:
    """Kind and CertificateHashData of each: 2.x has chains with children, 1.6 a list of one kind."""
    chains: Any = answer.get("certificateHashDataChain")
    if chains is None:
        plain: Any = answer.get("certificateHashData") or []
        return [(str(request["certificateType"]), each) for each in plain]
    found: list[tuple[str, Mapping[str, str]]] = []
    for chain in chains:
        members = [chain["certificateHashData"], *chain.get("childCertificateHashData", [])]
        found.extend((str(chain["certificateType"]), each) for each in members)
    return found


def _installed(
    context: Context, kind: str, described: Mapping[str, str], pem: str | None
) -> InstalledCertificate:
    fields = _hash_fields(described)
    return InstalledCertificate(
        context.device.id, kind, **fields, certificate_pem=pem, stored_at=context.received_at
    )


def _hash_fields(described: Mapping[str, str]) -> dict[str, str]:
    """As they are compared: chargers differ in case, and in leading zeros of the serial number."""
    return {
        "hash_algorithm": described["hashAlgorithm"],
        "issuer_name_hash": described["issuerNameHash"].lower(),
        "issuer_key_hash": described["issuerKeyHash"].lower(),
        "serial_number": described["serialNumber"].lower().lstrip("0"),
    }


async def _put(context: Context, installed: Sequence[InstalledCertificate]) -> None:
    async with context.services.pool.connection() as connection:
        for each in installed:
            await put_installed(connection, each)
