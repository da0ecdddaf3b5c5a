"""Keys of their own purpose, from the process's secret key by HKDF (RFC 5869).

Used by `api.sealing` and `stream.warranty.certificates`. A new secret key makes all of them new.
"""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32


def derive_key(secret_key: str, purpose: str) -> bytes:
    """Return the 32 bytes that are for this purpose (as in "kyc") and no other."""
    derivation = HKDF(SHA256(), KEY_BYTES, salt=None, info=f"gridwire:{purpose}".encode())
    return derivation.derive(secret_key.encode())
