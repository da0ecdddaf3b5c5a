"""The certificates that a simulated charger was given, and the key of its own.

Used by `simulators.charger` and the security commands. The ids are those of OCSP (CertificateHashDataType):
hashes of the issuer's name and key, and the serial number.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

INSTALLED_MAX = 50


@dataclass(frozen=True, slots=True)
class Installed:
    """One certificate: what it is for (InstallCertificateUseEnumType) and its hash data."""

    kind: str
    hash_data: Mapping[str, str]


class Certificates:
    """Those that are installed. `chain`: the charger's own (PEM), once one was signed."""

    def __init__(self) -> None:
        self.chain: str | None = None
        self._key: ec.EllipticCurvePrivateKey | None = None
        self._installed: list[Installed] = []

    def request(self, identity: str, organisation: str) -> str:
        """A certificate signing request (PEM, A02) of a new key. Keys come from the system's dice."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        names = ((NameOID.COMMON_NAME, identity), (NameOID.ORGANIZATION_NAME, organisation))
        subject = x509.Name([x509.NameAttribute(oid, text) for oid, text in names])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()

    def accept(self, chain: str) -> bool:
        """Whether the first certificate of the chain is of the key that a request was made for."""
        own = _first(chain)
        if own is None or self._key is None or _key_bits(own) != _bits(self._key.public_key()):
            return False
        self.chain = chain
        return True

    def install(self, kind: str, pem: str) -> str:
        """Returns the InstallCertificateStatusEnumType."""
        certificate = _first(pem)
        if certificate is None:
            return "Rejected"
        one = Installed(kind, _hash_data(certificate))
        if one not in self._installed:
            if len(self._installed) >= INSTALLED_MAX:
                return "Failed"
            self._installed.append(one)
        return "Accepted"

    def of(self, kinds: Collection[str]) -> list[Installed]:
        """Those of these kinds; none is all."""
        return [one for one in self._installed if not kinds or one.kind in kinds]

    def delete(self, hash_data: Mapping[str, str]) -> str:
        """Returns the DeleteCertificateStatusEnumType."""
        names = ("issuerNameHash", "issuerKeyHash", "serialNumber")
        wanted = [hash_data[name].casefold() for name in names]
        for one in self._installed:
            if [one.hash_data[name].casefold() for name in names] == wanted:
                self._installed.remove(one)
                return "Accepted"
        return "NotFound"


def is_certificate(pem: str) -> bool:
    """Whether the text begins with an X.509 certificate."""
    return _first(pem) is not None


def _first(pem: str) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        return None


def _hash_data(certificate: x509.Certificate) -> Mapping[str, str]:
    """As OCSP has it (RFC 6960 section 4.1.1). Roots are signed by themselves; so their own key counts."""
    return {
        "hashAlgorithm": "SHA256",
        "issuerNameHash": hashlib.sha256(certificate.issuer.public_bytes()).hexdigest(),
        "issuerKeyHash": hashlib.sha256(_key_bits(certificate)).hexdigest(),
        "serialNumber": f"{certificate.serial_number:x}",
    }


def _key_bits(certificate: x509.Certificate) -> bytes:
    return _bits(certificate.public_key())


def _bits(key: object) -> bytes:
    """The BIT STRING of a public key; empty for a kind that nobody here uses."""
    if isinstance(key, rsa.RSAPublicKey):
        return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return b""
