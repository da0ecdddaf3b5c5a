"""Warranty certificates: what they say, signed with Ed25519 (RFC 8032), and the address in their QR code.

The signed bytes are a JSON object with sorted names, no spaces, in UTF-8: whoever has the certificate and
the public key can check it without us. Used by the API and `stream.documents.certificate_pdf`; pure.
"""

import base64
import binascii
import functools
import io
import json
from dataclasses import asdict, dataclass
from datetime import date
from typing import Literal
from urllib.parse import quote, urlencode

import segno
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stream.derived_keys import derive_key

PURPOSE = "warranty-certificate"
SIGNATURE_CHARACTERS = 86  # of 64 bytes in base64url without padding
QR_SCALE = 8  # pixels of a module
QR_BORDER = 4  # modules of white around it (ISO/IEC 18004)


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is signed; days are both within the warranty."""

    certificate_number: str
    serial: str
    model: str
    starts_on: date
    expires_on: date

    def signed_bytes(self) -> bytes:
        """The bytes that the signature is of."""
        facts = {
            **asdict(self),
            "starts_on": self.starts_on.isoformat(),
            "expires_on": self.expires_on.isoformat(),
        }
        return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sign(secret_key: str, certificate: Certificate) -> bytes:
    """Return the 64 bytes of the signature, the same for the same certificate."""
    return _key(secret_key).sign(certificate.signed_bytes())


def is_genuine(secret_key: str, certificate: Certificate, signature: str) -> bool:
    """Whether `signature` (as in the QR code) is ours and of this certificate; any text is taken."""
    try:
        raw = base64.b64decode(signature + "==", altchars=b"-_", validate=True)
        _key(secret_key).public_key().verify(raw, certificate.signed_bytes())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return printed(raw) == signature  # the last character has bits to spare, which are to be as we wrote them


def printed(signature: bytes) -> str:
    """The signature as text: base64url without padding."""
    return base64.urlsafe_b64encode(signature).rstrip(b"=").decode()


def public_key(secret_key: str) -> bytes:
    """The 32 bytes that anybody may check certificates with."""
    return _key(secret_key).public_key().public_bytes_raw()


def verification_url(public_url: str, certificate: Certificate, signature: bytes) -> str:
    """The address in the QR code: it answers whether the certificate is genuine and what became of it."""
    query = urlencode({"certificate": certificate.certificate_number, "signature": printed(signature)})
    return f"{public_url}/api/warranty/verify/{quote(certificate.serial, safe='')}/?{query}"


def draw_qr(url: str, kind: Literal["png", "svg"]) -> bytes:
    """Draw the QR code of an address; the same bytes for the same address."""
    target = io.BytesIO()
    segno.make(url, error="m", micro=False).save(target, kind=kind, scale=QR_SCALE, border=QR_BORDER)
    return target.getvalue()


@functools.lru_cache(maxsize=4)
def _key(secret_key: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(derive_key(secret_key, PURPOSE))
