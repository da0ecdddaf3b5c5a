"""Secrets that are kept to be read again: AES-256-GCM under a key of their own purpose; used by KYC.

`stream.derived_keys` makes the key of the process's secret key. What was sealed for one
context (as in "user:12:pan") opens in no other, so that a row cannot be moved to somebody else.
"""

import functools
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stream.derived_keys import derive_key

NONCE_BYTES = 12  # NIST SP 800-38D section 8.2.2: random ones are good for 2**32 messages


class UnsealError(Exception):
    """What was sealed does not open: another key, another context, or it was changed."""


def seal(secret_key: str, purpose: str, context: str, text: str) -> bytes:
    """Return nonce and ciphertext of `text`."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + _cipher(secret_key, purpose).encrypt(nonce, text.encode(), context.encode())


def unseal(secret_key: str, purpose: str, context: str, sealed: bytes) -> str:
    """Return what was sealed with the same key, purpose and context; raises `UnsealError`."""
    nonce, ciphertext = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        return _cipher(secret_key, purpose).decrypt(nonce, ciphertext, context.encode()).decode()
    except (InvalidTag, ValueError) as error:
        message = f"{context} ({purpose}) does not open: was GRIDWIRE_SECRET_KEY changed?"
        raise UnsealError(message) from error


@functools.lru_cache(maxsize=16)
def _cipher(secret_key: str, purpose: str) -> AESGCM:
    return AESGCM(derive_key(secret_key, purpose))
