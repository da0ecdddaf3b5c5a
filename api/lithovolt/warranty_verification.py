"""Lithovolt warranties for anybody: /api/warranty/verify/{serial}/ (LI-016), and the key of certificates."""

from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import Path, Query

from api.context import Ctx, Db
from api.errors import not_found
from api.lithovolt.warranty_access import forged
from api.lithovolt.warranty_schemas import PublicKeyOut, VerificationOut
from api.routing import Router
from storage.queries import serial_numbers, warranties
from storage.queries.warranties import Warranty
from stream.lending.terms import today
from stream.warranty.activation import certificate_of
from stream.warranty.certificates import Certificate, is_genuine, printed, public_key
from stream.warranty.terms import status_of

router = Router(prefix="/warranty")

OF_SERIAL_MAX = 20  # warranties of one serial number: each but one was voided by an admin
Asked = Annotated[str | None, Query(max_length=200)]


@router.get("/public-key/")
async def read_public_key(context: Ctx) -> PublicKeyOut:
    """Give the key with which anybody can check a certificate without asking here."""
    raw = public_key(context.config.secret_key)
    pem = Ed25519PublicKey.from_public_bytes(raw).public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    return PublicKeyOut(
        algorithm="Ed25519",
        public_key=printed(raw),
        pem=pem.decode(),
        fields=sorted(Certificate.__dataclass_fields__),
    )


@router.get("/verify/{serial}/")
async def verify(
    serial: Annotated[str, Path(description="In any case of its letters")],
    context: Ctx,
    db: Db,
    certificate: Annotated[Asked, Query(description="The number of a certificate, as in its QR code")] = None,
    signature: Annotated[Asked, Query(description="What is signed there")] = None,
) -> VerificationOut:
    """Say whether a battery is under warranty, and nothing of whose it is.

    With `certificate` and `signature`, as the QR code of a certificate has them: whether that is genuine. A
    forged or altered one is refused with 400.
    """
    number = None if "\0" in serial else await serial_numbers.find_serial(db, serial)
    if number is None:
        raise not_found("Serial", f"No battery has the serial number {serial}")
    found = await warranties.warranties_of_serial(db, serial, OF_SERIAL_MAX)
    is_asked = certificate is not None or signature is not None
    if is_asked:
        found = [each for each in found if each.certificate_number == certificate]
        if not found or not is_genuine(context.config.secret_key, certificate_of(found[0]), signature or ""):
            raise forged()
    if not found:
        return VerificationOut(
            serial=number.serial,
            model=number.model_name,
            status="not_activated",
            starts_on=None,
            expires_on=None,
            certificate_number=None,
            signature=None,
        )
    return _verified(found[0], context, is_signed=is_asked)


def _verified(warranty: Warranty, context: Ctx, *, is_signed: bool) -> VerificationOut:
    return VerificationOut(
        serial=warranty.serial,
        model=certificate_of(warranty).model,
        status=status_of(warranty.expires_on, today(context.now()), is_void=warranty.is_void),
        starts_on=warranty.starts_on,
        expires_on=warranty.expires_on,
        certificate_number=warranty.certificate_number,
        signature="valid" if is_signed else None,
    )
