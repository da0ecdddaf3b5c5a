"""Refresh tokens, kept as SHA-256: each is good for one use; a second use ends the whole login.

Used by `api.logins`. A family is what one login began: the tokens that came from it by rotation.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from storage.database import Connection, fetch_one, fetch_value


class Rotation(Enum):
    """What became of a refresh token that was presented."""

    DONE = "done"
    UNKNOWN = "unknown"  # never issued, expired or revoked
    REUSED = "reused"  # its family is revoked now


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """One token as it stands; `used_at` is when it was exchanged for the next."""

    token_hash: bytes
    family: UUID
    user_id: int
    expires_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None


_INSERT = """
INSERT INTO refresh_tokens (token_hash, family, user_id, expires_at)
VALUES (%(token_hash)s, %(family)s, %(user_id)s, %(expires_at)s)
"""

_DELETE_EXPIRED = "DELETE FROM refresh_tokens WHERE user_id = %(user_id)s AND expires_at <= %(now)s"

_LOCK = """
SELECT token_hash, family, user_id, expires_at, used_at, revoked_at FROM refresh_tokens
WHERE token_hash = %(token_hash)s FOR UPDATE
"""

# A token that was written while its login ended is not revoked itself: that statement did not see it.
_HAS_ENDED = """
SELECT EXISTS (SELECT FROM refresh_tokens WHERE family = %(family)s AND revoked_at IS NOT NULL)
"""

_USE = "UPDATE refresh_tokens SET used_at = %(now)s WHERE token_hash = %(token_hash)s"

_REVOKE_FAMILY = """
UPDATE refresh_tokens SET revoked_at = %(now)s WHERE family = %(family)s AND revoked_at IS NULL
"""

_REVOKE_OTHERS = """
UPDATE refresh_tokens SET revoked_at = %(now)s
WHERE user_id = %(user_id)s AND family IS DISTINCT FROM %(family)s::uuid AND revoked_at IS NULL
"""


async def insert_token(
    connection: Connection,
    token_hash: bytes,
    *,
    family: UUID,
    user_id: int,
    expires_at: datetime,
    now: datetime,
) -> None:
    """Keep a new token; what of this user's has expired goes, so that the table stays small."""
    await connection.execute(_DELETE_EXPIRED, {"user_id": user_id, "now": now})
    facts = {"token_hash": token_hash, "family": family, "user_id": user_id, "expires_at": expires_at}
    await connection.execute(_INSERT, facts)


async def use_token(
    connection: Connection, token_hash: bytes, now: datetime
) -> tuple[Rotation, RefreshToken | None]:
    """Use a token up. A second use revokes its family: the caller must commit even as it refuses.

    The token comes with each outcome, so that its owner is known, unless nobody was ever given it.
    """
    token = await fetch_one(connection, RefreshToken, _LOCK, {"token_hash": token_hash})
    if token is None or token.expires_at <= now:
        return Rotation.UNKNOWN, token
    if await fetch_value(connection, _HAS_ENDED, {"family": token.family}):
        return Rotation.UNKNOWN, token
    if token.used_at is not None:
        await revoke_family(connection, token.family, now)
        return Rotation.REUSED, token
    await connection.execute(_USE, {"token_hash": token_hash, "now": now})
    return Rotation.DONE, token


async def revoke_family(connection: Connection, family: UUID, now: datetime) -> None:
    """End one login: its refresh tokens and, with them, its access tokens."""
    await connection.execute(_REVOKE_FAMILY, {"family": family, "now": now})


async def revoke_all(connection: Connection, user_id: int, now: datetime) -> None:
    """End all logins of the user."""
    await revoke_others(connection, user_id, None, now)


async def revoke_others(connection: Connection, user_id: int, family: UUID | None, now: datetime) -> None:
    """End all logins of the user but the one of `family`."""
    await connection.execute(_REVOKE_OTHERS, {"user_id": user_id, "family": family, "now": now})
