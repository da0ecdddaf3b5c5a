"""Passwords: argon2id, in a thread, for one hash takes tens of milliseconds; used by the sign-ins."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_hasher = PasswordHasher()
# Verified against where there is no account, so that the answer takes as long as for a wrong password.
_NOBODY = _hasher.hash("nobody has this password")


async def hash_password(password: str) -> str:
    """Return the hash to keep."""
    return await asyncio.to_thread(_hasher.hash, password)


async def is_password(password: str, password_hash: str | None) -> bool:
    """Tell whether `password` is the one of `password_hash`; False, as slowly, where there is no hash."""
    matches = await asyncio.to_thread(_verify, password, password_hash or _NOBODY)
    return matches and password_hash is not None


def _verify(password: str, password_hash: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False
