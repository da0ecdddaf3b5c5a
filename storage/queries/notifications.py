"""What EV-CMS users read in the app, and by which channels they want to hear of what; see `stream.notify`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.queries.notices import TOKENS_MAX


@dataclass(frozen=True, slots=True)
class Notification:
    """`type`: booking, session, payment, system or promotion. `read_at` None: unread."""

    id: int
    user_id: int
    type: str
    title: str
    message: str
    data: dict[str, Any]
    read_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where a user can be reached. `profile` is what the account prefers (language, notifications).

    `preferences` has what the user changed of the defaults, by channel and name.
    """

    id: int
    email: str | None
    phone: str | None
    profile: dict[str, Any]
    preferences: dict[str, Any]
    push_tokens: list[str]


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one user: how many suit a filter, and how many are unread in all."""

    found: int
    unread: int


_COLUMNS = "id, user_id, type, title, message, data, read_at, created_at"

_INSERT = f"""
INSERT INTO notifications (key, user_id, type, title, message, data, created_at)
VALUES (%(key)s, %(user_id)s, %(type)s, %(title)s, %(message)s, %(data)s, %(now)s)
ON CONFLICT (user_id, key) DO NOTHING
RETURNING {_COLUMNS}
"""

_RECIPIENT = """
SELECT id, email, phone, users.preferences AS profile,
       coalesce(notification_preferences.preferences, '{}') AS preferences,
       ARRAY(SELECT token FROM push_tokens WHERE push_tokens.user_id = users.id
             ORDER BY created_at LIMIT %(tokens)s) AS push_tokens
FROM users LEFT JOIN notification_preferences ON notification_preferences.user_id = users.id
WHERE id = %(user_id)s AND system = 'evcms' AND deleted_at IS NULL
"""

_KNOWN = """
SELECT id FROM users WHERE id = ANY(%(ids)s) AND system = 'evcms' AND deleted_at IS NULL ORDER BY id
"""

_USERS_AFTER = """
SELECT id FROM users WHERE id > %(after_id)s AND system = 'evcms' AND deleted_at IS NULL
ORDER BY id LIMIT %(limit)s
"""

_GET = f"SELECT {_COLUMNS} FROM notifications WHERE id = %(id)s"

_FILTER = """
FROM notifications
WHERE user_id = %(user_id)s
  AND (%(is_read)s::boolean IS NULL OR (read_at IS NOT NULL) = %(is_read)s)
  AND (%(type)s::text IS NULL OR type = %(type)s)
"""

_LIST = f"SELECT {_COLUMNS} {_FILTER} ORDER BY id DESC LIMIT %(limit)s OFFSET %(offset)s"

_COUNTS = f"""
SELECT (SELECT count(*) {_FILTER}) AS found,
       (SELECT count(*) FROM notifications WHERE user_id = %(user_id)s AND read_at IS NULL) AS unread
"""

_READ = f"""
UPDATE notifications SET read_at = coalesce(read_at, %(now)s) WHERE id = %(id)s RETURNING {_COLUMNS}
"""

_READ_ALL = "UPDATE notifications SET read_at = %(now)s WHERE user_id = %(user_id)s AND read_at IS NULL"

_DELETE = "DELETE FROM notifications WHERE id = %(id)s"

_DELETE_ALL = "DELETE FROM notifications WHERE user_id = %(user_id)s"

_PREFERENCES = "SELECT preferences FROM notification_preferences WHERE user_id = %(user_id)s"

# Channel by channel: what the change does not name stays.
_CHANGE_PREFERENCES = """
INSERT INTO notification_preferences (user_id, preferences, updated_at)
VALUES (%(user_id)s, %(changes)s, %(now)s)
ON CONFLICT (user_id) DO UPDATE
SET updated_at = EXCLUDED.updated_at,
    preferences = notification_preferences.preferences || (
        SELECT coalesce(jsonb_object_agg(
            channel, coalesce(notification_preferences.preferences -> channel, '{}') || changed), '{}')
        FROM jsonb_each(EXCLUDED.preferences) AS changes (channel, changed))
RETURNING preferences
"""


async def insert_notification(
    connection: Connection,
    *,
    key: str,
    user_id: int,
    type_: str,
    title: str,
    message: str,
    data: Mapping[str, Any],
    now: datetime,
) -> Notification | None:
    """Write a notification; None where the user was told of this key before."""
    facts = {"key": key, "user_id": user_id, "type": type_, "title": title, "message": message, "now": now}
    return await fetch_one(connection, Notification, _INSERT, {**facts, "data": Jsonb(dict(data))})


async def get_recipient(connection: Connection, user_id: int) -> Recipient | None:
    """Return where the user is reached; None for a deleted account and for one of another family."""
    return await fetch_one(connection, Recipient, _RECIPIENT, {"user_id": user_id, "tokens": TOKENS_MAX})


async def known_users(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Return those of `ids` that are accounts of the family, in order."""
    rows = await connection.execute(_KNOWN, {"ids": list(ids)})
    return [user_id async for (user_id,) in rows]


async def users_after(connection: Connection, after_id: int, limit: int) -> list[int]:
    """Return the next accounts of the family behind `after_id`, in order."""
    rows = await connection.execute(_USERS_AFTER, {"after_id": after_id, "limit": limit})
    return [user_id async for (user_id,) in rows]


async def get_notification(connection: Connection, notification_id: int) -> Notification | None:
    """Return the notification, or None."""
    return await fetch_one(connection, Notification, _GET, {"id": notification_id})


async def list_notifications(
    connection: Connection,
    user_id: int,
    *,
    is_read: bool | None,
    type_: str | None,
    limit: int,
    offset: int,
) -> tuple[list[Notification], Counts]:
    """Return one page of a user's notifications, newest first, and how many there are."""
    where = {"user_id": user_id, "is_read": is_read, "type": type_}
    page = await fetch_all(connection, Notification, _LIST, {**where, "limit": limit, "offset": offset})
    counts = await fetch_one(connection, Counts, _COUNTS, where)
    assert counts is not None
    return page, counts


async def mark_read(connection: Connection, notification_id: int, now: datetime) -> Notification | None:
    """Note that it was read; the first time stays. None where it is gone."""
    return await fetch_one(connection, Notification, _READ, {"id": notification_id, "now": now})


async def mark_all_read(connection: Connection, user_id: int, now: datetime) -> int:
    """Note that the user has read all; returns how many were unread."""
    return (await connection.execute(_READ_ALL, {"user_id": user_id, "now": now})).rowcount


async def delete_notification(connection: Connection, notification_id: int) -> None:
    """Forget the notification."""
    await connection.execute(_DELETE, {"id": notification_id})


async def delete_notifications(connection: Connection, user_id: int) -> int:
    """Forget all of the user's; returns how many there were."""
    return (await connection.execute(_DELETE_ALL, {"user_id": user_id})).rowcount


async def get_preferences(connection: Connection, user_id: int) -> dict[str, Any]:
    """Return what the user changed of the defaults, by channel and name."""
    found = await fetch_value(connection, _PREFERENCES, {"user_id": user_id})
    return {} if found is None else dict(found)


async def change_preferences(
    connection: Connection, user_id: int, changes: Mapping[str, Mapping[str, bool]], now: datetime
) -> dict[str, Any]:
    """Lay `changes` over what the user changed before; returns all of it."""
    facts = {"user_id": user_id, "changes": Jsonb(dict(changes)), "now": now}
    return dict(await fetch_value(connection, _CHANGE_PREFERENCES, facts))
