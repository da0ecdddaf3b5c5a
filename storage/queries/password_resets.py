"""Tokens that set a new password, kept as SHA-256, each good for one use; used by the Lithovolt sign-in."""

from datetime import datetime

from storage.database import Connection, fetch_value

_DELETE_EXPIRED = "DELETE FROM password_resets WHERE user_id = %(user_id)s AND expires_at <= %(now)s"

_INSERT = """
INSERT INTO password_resets (token_hash, user_id, expires_at)
VALUES (%(token_hash)s, %(user_id)s, %(expires_at)s)
"""

_TAKE = """
DELETE FROM password_resets WHERE token_hash = %(token_hash)s AND expires_at > %(now)s RETURNING user_id
"""

_DELETE_ALL = "DELETE FROM password_resets WHERE user_id = %(user_id)s"


async def insert_reset(
    connection: Connection, token_hash: bytes, *, user_id: int, expires_at: datetime, now: datetime
) -> None:
    """Keep a new token; what of this user's has expired goes."""
    await connection.execute(_DELETE_EXPIRED, {"user_id": user_id, "now": now})
    facts = {"token_hash": token_hash, "user_id": user_id, "expires_at": expires_at}
    await connection.execute(_INSERT, facts)


async def take_reset(connection: Connection, token_hash: bytes, now: datetime) -> int | None:
    """Return whose token this is and use it up, and every other one of his; None for one that is not good."""
    user_id = await fetch_value(connection, _TAKE, {"token_hash": token_hash, "now": now})
    if user_id is None:
        return None
    await connection.execute(_DELETE_ALL, {"user_id": user_id})
    return int(user_id)
