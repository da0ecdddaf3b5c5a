"""One-time passwords: one pending a phone, of the account that asked last.

Used by the Ienerzy sign-in, and by Lithovolt's, where an e-mail address may stand for the phone.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_one


@dataclass(frozen=True, slots=True)
class _Pending:
    user_id: int
    code_hash: bytes


_PUT = """
INSERT INTO one_time_passwords (system, phone, user_id, code_hash, tries_left, expires_at)
VALUES (%(system)s, %(phone)s, %(user_id)s, %(code_hash)s, %(tries)s, %(expires_at)s)
ON CONFLICT (system, phone) DO UPDATE
SET user_id = EXCLUDED.user_id, code_hash = EXCLUDED.code_hash, tries_left = EXCLUDED.tries_left,
    expires_at = EXCLUDED.expires_at
"""

# One statement takes a try away and reads the hash: guesses at the same time cannot share a try.
_TRY = """
UPDATE one_time_passwords SET tries_left = tries_left - 1
WHERE system = %(system)s AND phone = %(phone)s AND tries_left > 0 AND expires_at > %(now)s
RETURNING user_id, code_hash
"""

_DELETE = "DELETE FROM one_time_passwords WHERE system = %(system)s AND phone = %(phone)s"


async def put_code(
    connection: Connection,
    *,
    system: str,
    phone: str,
    user_id: int,
    code_hash: bytes,
    tries: int,
    expires_at: datetime,
) -> None:
    """Keep a new code; an earlier one of this phone is void."""
    key = {"system": system, "phone": phone, "user_id": user_id}
    facts = {"code_hash": code_hash, "tries": tries, "expires_at": expires_at}
    await connection.execute(_PUT, {**key, **facts})


async def try_code(
    connection: Connection, *, system: str, phone: str, code_hash: bytes, now: datetime
) -> int | None:
    """Return the user whose code this is and use it up; None for a wrong, expired or spent one.

    A wrong guess costs a try: the caller must commit even as it refuses.
    """
    key = {"system": system, "phone": phone}
    pending = await fetch_one(connection, _Pending, _TRY, {**key, "now": now})
    if pending is None or not hmac.compare_digest(pending.code_hash, code_hash):
        return None
    await connection.execute(_DELETE, key)
    return pending.user_id
