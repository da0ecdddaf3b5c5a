"""Messages to people, one row a message and channel; used by `stream.notices`, which sends them.

The key says what is told to whom and how: a message with a key that was there is not made again. A body
with a secret is blanked when the message has gone, or will not go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NotRequired, TypedDict, Unpack

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class Notice:
    """`channel`: sms, push or email; `address`: a phone in E.164, a push token or an e-mail address.

    `state`: pending, sent, delivered, failed. Only e-mail has a `subject`, and maybe an `attachment`:
    `{"kind", "id"}`.
    """

    id: int
    user_id: int | None
    channel: str
    address: str
    kind: str
    body: str | None
    state: str
    provider: str | None
    provider_id: str | None
    detail: str | None
    created_at: datetime
    done_at: datetime | None
    subject: str | None = None
    attachment: dict[str, Any] | None = None
    delivered_at: datetime | None = None


class NewNotice(TypedDict):
    """What a message to be sent is made of."""

    key: str
    user_id: int | None
    channel: str
    address: str
    kind: str
    body: str
    has_secret: bool
    now: datetime
    subject: NotRequired[str | None]
    attachment: NotRequired[Mapping[str, Any] | None]


_COLUMNS = """
id, user_id, channel, address, kind, body, state, provider, provider_id, detail, created_at, done_at,
subject, attachment, delivered_at
"""

_INSERT = """
INSERT INTO notices (key, user_id, channel, address, kind, body, has_secret, subject, attachment, created_at)
VALUES (%(key)s, %(user_id)s, %(channel)s, %(address)s, %(kind)s, %(body)s, %(has_secret)s, %(subject)s,
        %(attachment)s, %(now)s)
ON CONFLICT (key) DO NOTHING
RETURNING id
"""

_LOCK = "SELECT" + _COLUMNS + "FROM notices WHERE id = %(id)s FOR UPDATE"

_CLOSE = """
UPDATE notices
SET state = %(state)s, provider = %(provider)s, provider_id = %(provider_id)s, detail = %(detail)s,
    done_at = %(now)s, body = CASE WHEN has_secret THEN NULL ELSE body END
WHERE id = %(id)s
"""

_DELIVERED = """
UPDATE notices
SET state = 'delivered', delivered_at = %(now)s, done_at = coalesce(done_at, %(now)s),
    provider = %(provider)s, provider_id = %(provider_id)s, detail = NULL,
    body = CASE WHEN has_secret THEN NULL ELSE body END
WHERE id = %(id)s
"""

_UNDELIVERED = "UPDATE notices SET state = 'failed', detail = %(detail)s WHERE id = %(id)s AND state = 'sent'"

_SENT = (
    "SELECT"
    + _COLUMNS
    + """
FROM notices
WHERE (%(user_id)s::bigint IS NULL OR user_id = %(user_id)s) AND kind = ANY(%(kinds)s)
  AND (%(id)s::bigint IS NULL OR id = %(id)s)
ORDER BY id DESC LIMIT %(limit)s
"""
)

_LIST = (
    "SELECT"
    + _COLUMNS
    + """
FROM notices
WHERE user_id = %(user_id)s AND (%(before_id)s::bigint IS NULL OR id < %(before_id)s)
ORDER BY id DESC LIMIT %(limit)s
"""
)

_PUT_ADDRESS = """
INSERT INTO push_tokens (token, user_id, platform) VALUES (%(token)s, %(user_id)s, %(platform)s)
ON CONFLICT (token) DO UPDATE SET user_id = EXCLUDED.user_id, platform = EXCLUDED.platform
"""

# The oldest ones go: a person has so many phones and no more.
_TRIM_ADDRESSES = """
DELETE FROM push_tokens WHERE user_id = %(user_id)s AND token NOT IN (
    SELECT token FROM push_tokens WHERE user_id = %(user_id)s ORDER BY created_at DESC, token LIMIT %(limit)s)
"""

_DELETE_ADDRESS = "DELETE FROM push_tokens WHERE token = %(token)s AND user_id = %(user_id)s"

_ADDRESSES = "SELECT token FROM push_tokens WHERE user_id = %(user_id)s ORDER BY created_at LIMIT %(limit)s"

TOKENS_MAX = 10  # of one user


async def insert_notice(connection: Connection, **facts: Unpack[NewNotice]) -> int | None:
    """Write a message to be sent; returns its id, None where the key was there."""
    attachment = facts.get("attachment")
    parameters = {
        **facts,
        "subject": facts.get("subject"),
        "attachment": None if attachment is None else Jsonb(dict(attachment)),
    }
    found = await fetch_value(connection, _INSERT, parameters)
    return None if found is None else int(found)


async def lock_notice(connection: Connection, notice_id: int) -> Notice | None:
    """Return the message, held until commit, or None."""
    return await fetch_one(connection, Notice, _LOCK, {"id": notice_id})


async def close_notice(
    connection: Connection,
    notice_id: int,
    state: str,
    *,
    provider: str,
    provider_id: str | None = None,
    detail: str | None = None,
    now: datetime,
) -> None:
    """Note what became of it (sent or failed), and blank a secret body."""
    facts = {"id": notice_id, "state": state, "provider": provider, "now": now}
    await connection.execute(_CLOSE, {**facts, "provider_id": provider_id, "detail": detail})


async def note_delivered(
    connection: Connection, notice_id: int, *, provider: str, provider_id: str, now: datetime
) -> None:
    """Note that it arrived, and blank a secret body."""
    facts = {"id": notice_id, "provider": provider, "provider_id": provider_id, "now": now}
    await connection.execute(_DELIVERED, facts)


async def note_undelivered(connection: Connection, notice_id: int, detail: str | None) -> None:
    """Note that what was sent did not arrive."""
    await connection.execute(_UNDELIVERED, {"id": notice_id, "detail": detail})


async def list_sent(
    connection: Connection,
    kinds: Sequence[str],
    *,
    user_id: int | None,
    notice_id: int | None = None,
    limit: int,
) -> list[Notice]:
    """Return messages of these kinds, newest first, of one user or of all; `notice_id`: this one only."""
    where = {"kinds": list(kinds), "user_id": user_id, "id": notice_id, "limit": limit}
    return await fetch_all(connection, Notice, _SENT, where)


async def list_notices(
    connection: Connection, user_id: int, *, before_id: int | None, limit: int
) -> list[Notice]:
    """Return the user's messages before this id, newest first."""
    parameters = {"user_id": user_id, "before_id": before_id, "limit": limit}
    return await fetch_all(connection, Notice, _LIST, parameters)


async def put_push_token(connection: Connection, user_id: int, token: str, platform: str) -> None:
    """Give the token to this user, whoever had it: a phone has one user. Keeps the newest `TOKENS_MAX`."""
    await connection.execute(_PUT_ADDRESS, {"token": token, "user_id": user_id, "platform": platform})
    await connection.execute(_TRIM_ADDRESSES, {"user_id": user_id, "limit": TOKENS_MAX})


async def delete_push_token(connection: Connection, user_id: int, token: str) -> None:
    """Forget the token, if it is this user's."""
    await connection.execute(_DELETE_ADDRESS, {"user_id": user_id, "token": token})


async def push_tokens(connection: Connection, user_id: int) -> list[str]:
    """Return the user's tokens."""
    rows = await connection.execute(_ADDRESSES, {"user_id": user_id, "limit": TOKENS_MAX})
    return [token async for (token,) in rows]
