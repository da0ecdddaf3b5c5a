"""RFID cards and app tokens: who may charge; used by the OCPP gateway and the API.

An idToken of OCPP 1.6 is a CiString20Type: compared without case.
"""

from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_one


@dataclass(frozen=True, slots=True)
class IdToken:
    """`status`: Accepted or Blocked; `user_status`: active, blocked or suspended."""

    id_tag_key: str
    user_id: int
    status: str
    expires_at: datetime | None
    user_status: str


_FIND = """
SELECT id_tag_key, user_id, id_tokens.status, expires_at, users.status AS user_status
FROM id_tokens JOIN users ON users.id = user_id
WHERE id_tag_key = lower(%(id_tag)s)
"""

_PUT = """
INSERT INTO id_tokens (id_tag_key, user_id, status, expires_at)
VALUES (lower(%(id_tag)s), %(user_id)s, %(status)s, %(expires_at)s)
ON CONFLICT (id_tag_key) DO UPDATE
SET user_id = EXCLUDED.user_id, status = EXCLUDED.status, expires_at = EXCLUDED.expires_at
"""


async def find_token(connection: Connection, id_tag: str) -> IdToken | None:
    """Return the token as it stands, expired or blocked ones too, or None for an unknown one."""
    return await fetch_one(connection, IdToken, _FIND, {"id_tag": id_tag})


async def put_token(
    connection: Connection,
    id_tag: str,
    user_id: int,
    *,
    status: str = "Accepted",
    expires_at: datetime | None = None,
) -> None:
    """Make the token, or give it to another user, status and expiry."""
    parameters = {"id_tag": id_tag, "user_id": user_id, "status": status, "expires_at": expires_at}
    await connection.execute(_PUT, parameters)
