"""RFID cards, app tokens and contracts: who may charge; used by the OCPP gateway and the API.

Compared without case in all versions: CiString20Type in OCPP 1.6, identifierString of 36 characters in
2.0.1 and 255 in 2.1.
"""

from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class IdToken:
    """`status`: Accepted or Blocked; `user_status`: active, blocked or suspended (blocked: deleted too).

    `type`: an IdTokenEnumType of 2.x, or None for a token of any. `group_id`: tokens with the same one may
    end each other's transactions (parentIdTag of 1.6, groupIdToken of 2.x).
    """

    id_tag_key: str
    user_id: int
    status: str
    expires_at: datetime | None
    user_status: str
    type: str | None
    group_id: str | None


_FIND = """
SELECT id_tag_key, user_id, id_tokens.status, expires_at,
       CASE WHEN users.deleted_at IS NULL THEN users.status ELSE 'blocked' END AS user_status, type, group_id
FROM id_tokens JOIN users ON users.id = user_id
WHERE id_tag_key = lower(%(id_tag)s)
  AND (type IS NULL OR %(type)s::text IS NULL OR lower(type) = lower(%(type)s))
"""

_PUT = """
INSERT INTO id_tokens (id_tag_key, user_id, status, expires_at, type, group_id)
VALUES (lower(%(id_tag)s), %(user_id)s, %(status)s, %(expires_at)s, %(type)s, %(group_id)s)
ON CONFLICT (id_tag_key) DO UPDATE
SET user_id = EXCLUDED.user_id, status = EXCLUDED.status, expires_at = EXCLUDED.expires_at,
    type = EXCLUDED.type, group_id = EXCLUDED.group_id
"""


_GROUP_OF_USER = """
SELECT group_id FROM id_tokens
WHERE user_id = %(user_id)s AND length(group_id) <= %(length)s AND status = 'Accepted'
ORDER BY group_id LIMIT 1
"""


async def group_of_user(connection: Connection, user_id: int, characters_max: int) -> str | None:
    """Return the group that a user's tokens are in, by which a charger knows one for the other, or None."""
    parameters = {"user_id": user_id, "length": characters_max}
    found = await fetch_value(connection, _GROUP_OF_USER, parameters)
    return None if found is None else str(found)


async def find_token(connection: Connection, id_tag: str, type_: str | None = None) -> IdToken | None:
    """Return the token as it stands, expired or blocked ones too, or None for an unknown one.

    `type_` None finds a token of any type (OCPP 1.6 knows none).
    """
    return await fetch_one(connection, IdToken, _FIND, {"id_tag": id_tag, "type": type_})


async def put_token(
    connection: Connection,
    id_tag: str,
    user_id: int,
    *,
    status: str = "Accepted",
    expires_at: datetime | None = None,
    type_: str | None = None,
    group_id: str | None = None,
) -> None:
    """Make the token, or give it to another user, status, expiry, type and group."""
    facts = {"user_id": user_id, "status": status, "expires_at": expires_at}
    parameters = {"id_tag": id_tag, **facts, "type": type_, "group_id": group_id}
    await connection.execute(_PUT, parameters)
