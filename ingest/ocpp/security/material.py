"""Keys and certificates as PEM text and files; used by `gridwire.py` (first use, start) and `tls` (renewal).

Here, and not in `authority`, randomness comes in: new keys and serial numbers.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ingest.ocpp.security import authority
from ingest.ocpp.security.authority import Authority, PrivateKey

KeyKind = Literal["rsa", "ecdsa"]
RSA_BITS = 2048
ROOT_RSA_BITS = 3072  # RSA: every charger can check it
ROOT_NAME = "Gridwire charger CA"


def new_key(kind: KeyKind, rsa_bits: int = RSA_BITS) -> PrivateKey:
    """Return a fresh key: RSA, or ECDSA on P-256."""
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=rsa_bits)
    return ec.generate_private_key(ec.SECP256R1())


def new_root(now: datetime) -> tuple[str, str]:
    """Return certificate and key of a fresh root, as PEM."""
    key = new_key("rsa", ROOT_RSA_BITS)
    root = authority.make_root(key, ROOT_NAME, x509.random_serial_number(), now)
    return authority.certificate_pem(root), authority.key_pem(key)


def new_server(issuer: Authority, kind: KeyKind, hosts: Sequence[str], now: datetime) -> str:
    """Return key and chain of a fresh TLS server certificate for `hosts`, as one PEM text."""
    key = new_key(kind)
    leaf = authority.make_server(issuer, key, hosts, x509.random_serial_number(), now)
    return authority.key_pem(key) + authority.certificate_pem(leaf, issuer.certificate)


def read_authority(certificate_pem: str, key_pem: str, organization: str | None = None) -> Authority:
    """Return the authority of these texts. Raises `ValueError` where they do not belong together."""
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    key = serialization.load_pem_private_key(key_pem.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ValueError("the key of the certificate authority is neither RSA nor ECDSA")
    if key.public_key() != certificate.public_key():
        raise ValueError("the key of the certificate authority does not belong to its certificate")
    return Authority(certificate, key, organization)


def load_authority(certificate: Path, key: Path, organization: str | None = None) -> Authority:
    """The same from files. Raises `OSError` and `ValueError`."""
    return read_authority(certificate.read_text(), key.read_text(), organization)


def read_leaf(pem: str) -> x509.Certificate:
    """Return the first certificate of a PEM text. Raises `ValueError`."""
    return x509.load_pem_x509_certificates(pem.encode())[0]


def key_kind_of(certificate: x509.Certificate) -> KeyKind:
    """The kind of key of a server certificate."""
    return "rsa" if isinstance(certificate.public_key(), rsa.RSAPublicKey) else "ecdsa"


def hosts_of(certificate: x509.Certificate) -> list[str]:
    """The hosts that a server certificate is for."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return names.get_values_for_type(x509.DNSName) + addresses
