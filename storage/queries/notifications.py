"""What EV-CMS users read in the app, and by which channels they want to hear of what; see `stream.notify`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_one


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


_COLUMNS = "id, user_id, type, title, message, data, read_at, created_at"

_INSERT = f"""
INSERT INTO notifications (key, user_id, type, title, message, data, created_at)
VALUES (%(key)s, %(user_id)s, %(type)s, %(title)s, %(message)s, %(data)s, %(now)s)
ON CONFLICT (user_id, key) DO NOTHING
RETURNING {_COLUMNS}
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
