"""What the warranty endpoints of Lithovolt take and give (LI-015 to LI-017, LI-X06)."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.fields import Email, Storable, Text
from api.lithovolt.schemas import Time
from storage.queries.warranties import Warranty
from stream.lending.terms import today
from stream.warranty.activation import certificate_of
from stream.warranty.certificates import SIGNATURE_CHARACTERS, verification_url
from stream.warranty.terms import LIMITS, Status, Terms, status_of

SERIAL_CHARACTERS_MAX = 64

Serial = Annotated[str, Field(min_length=1, max_length=SERIAL_CHARACTERS_MAX), Storable]
Phone = Annotated[str, Field(min_length=1, max_length=32, examples=["+919876543210"]), Storable]
Signature = Annotated[str, Field(min_length=1, max_length=2 * SIGNATURE_CHARACTERS), Storable]
Signed = Literal["valid"]

_LIMITS = {"max_temperature_c": 60, "min_soc_pct": 5, "min_cell_voltage_v": 2.5}
_TERM: dict[str, Any] = {"starts_on": "2026-01-15", "expires_on": "2029-01-15"}
_SERIAL = "LV48000000017"


def _example(**example: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


class ActivationIn(BaseModel):
    """A wholesaler names the customer; a consumer is the customer, and the fields are his account's."""

    model_config = _example(
        serial=_SERIAL, customer_name="Asha Rao", customer_phone="+919876543210", purchase_date="2026-01-15"
    )
    serial: Serial
    customer_name: Text | None = None
    customer_phone: Phone | None = None
    customer_email: Email | None = None
    purchase_date: Annotated[
        date | None, Field(description="Today unless it is given; not in the future, at most 60 days ago")
    ] = None


class LinkIn(BaseModel):
    """What only somebody who holds the certificate can know."""

    model_config = _example(
        serial=_SERIAL, certificate_number="LVW-2026-000001", signature="Jx3...(86 characters)"
    )
    serial: Serial
    certificate_number: Text
    signature: Annotated[Signature, Field(description="As in the QR code and on the certificate")]


class VoidIn(BaseModel):
    """Why a warranty ends before its time."""

    model_config = _example(reason="The serial number was entered by mistake.")
    reason: Text


class TermsOut(BaseModel):
    """`months` that the model's warranties run, and the limits of use that a claim is judged by."""

    months: int
    limits: Annotated[dict[str, float], Field(description=f"By name: {', '.join(LIMITS)}")]


class WarrantyOut(BaseModel):
    """A warranty; it still runs on the day `expires_on`. `days_left` is 0 on it, and null when it is over."""

    model_config = _example(
        id=1,
        certificate_number="LVW-2026-000001",
        serial=_SERIAL,
        model="LV48-100",
        status="active",
        **_TERM,
        days_left=1096,
        terms={"months": 36, "limits": _LIMITS},
        customer_name="Asha Rao",
        customer_phone="+919876543210",
        customer_email=None,
        consumer_id=12,
        seller_id=7,
        seller="Rao Traders",
        void_reason=None,
        activated_at="2026-01-15T10:30:00Z",
        verification_url="https://api.example.com/api/warranty/verify/LV48000000017/?certificate=...",
    )
    id: int
    certificate_number: str
    serial: str
    model: str
    status: Status
    starts_on: date
    expires_on: date
    days_left: int | None
    terms: TermsOut
    customer_name: str
    customer_phone: str | None
    customer_email: str | None
    consumer_id: int | None
    seller_id: int | None
    seller: str | None
    void_reason: str | None
    activated_at: Time
    verification_url: str

    @classmethod
    def of(cls, warranty: Warranty, public_url: str, now: datetime) -> "WarrantyOut":
        """As of now; `public_url` begins the address of the verification."""
        day, terms = today(now), Terms.of(warranty.terms)
        status = status_of(warranty.expires_on, day, is_void=warranty.is_void)
        return cls(
            id=warranty.id,
            certificate_number=warranty.certificate_number,
            serial=warranty.serial,
            model=terms.model,
            status=status,
            starts_on=warranty.starts_on,
            expires_on=warranty.expires_on,
            days_left=(warranty.expires_on - day).days if status == "active" else None,
            terms=TermsOut(months=terms.months, limits=dict(terms.limits)),
            customer_name=warranty.customer_name,
            customer_phone=warranty.customer_phone,
            customer_email=warranty.customer_email,
            consumer_id=warranty.consumer_id,
            seller_id=warranty.seller_id,
            seller=warranty.seller,
            void_reason=warranty.void_reason,
            activated_at=warranty.activated_at,
            verification_url=verification_url(public_url, certificate_of(warranty), warranty.signature),
        )


class VerificationOut(BaseModel):
    """What anybody may know of a serial number; no person. Null where no warranty was activated.

    `signature` is "valid" where one was given, and null otherwise.
    """

    model_config = _example(
        serial=_SERIAL,
        model="LV48-100",
        status="active",
        **_TERM,
        certificate_number="LVW-2026-000001",
        signature="valid",
    )
    serial: str
    model: str
    status: Status | Literal["not_activated"]
    starts_on: date | None
    expires_on: date | None
    certificate_number: str | None
    signature: Signed | None


class PublicKeyOut(BaseModel):
    """What certificates are checked with: the key of Ed25519 (RFC 8032), 32 bytes in base64url and as PEM.

    Signed is the UTF-8 text of a JSON object with the names of `fields`, sorted, without spaces.
    """

    model_config = _example(
        algorithm="Ed25519",
        public_key="11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        pem="-----BEGIN PUBLIC KEY-----\n...\n-----END PUBLIC KEY-----\n",
        fields=["certificate_number", "expires_on", "model", "serial", "starts_on"],
    )
    algorithm: Literal["Ed25519"]
    public_key: str
    pem: str
    fields: list[str]
