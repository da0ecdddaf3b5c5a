"""Keys and signing requests as chargers make them; keys are made once a run, for RSA takes its time."""

from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ROOT = ec.generate_private_key(ec.SECP384R1())


def csr_pem(
    key: Any,
    common_name: str,
    *,
    attributes: Sequence[x509.NameAttribute[Any]] = (),
    extension: x509.ExtensionType | None = None,
) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name), *attributes])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    if extension is not None:
        builder = builder.add_extension(extension, critical=True)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(serialization.Encoding.PEM).decode()
