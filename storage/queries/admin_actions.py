"""What admins and brands did, written in the transaction that did it; used by the EV-CMS family."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all


@dataclass(frozen=True, slots=True)
class AdminAction:
    """`action` as in "user.block", `subject` as in "user:12"; `detail` says what changed."""

    id: int
    actor_id: int
    action: str
    subject: str
    detail: dict[str, Any]
    created_at: datetime


_INSERT = """
INSERT INTO admin_actions (actor_id, action, subject, detail, created_at)
VALUES (%(actor_id)s, %(action)s, %(subject)s, %(detail)s, %(now)s)
"""

_LIST = """
SELECT id, actor_id, action, subject, detail, created_at FROM admin_actions
WHERE (%(subject)s::text IS NULL OR subject = %(subject)s)
  AND (%(before_id)s::bigint IS NULL OR id < %(before_id)s)
ORDER BY id DESC LIMIT %(limit)s
"""


async def record_action(
    connection: Connection,
    *,
    actor_id: int,
    action: str,
    subject: str,
    detail: Mapping[str, Any],
    now: datetime,
) -> None:
    """Write what was done into the caller's transaction; never a secret."""
    facts = {"actor_id": actor_id, "action": action, "subject": subject, "now": now}
    await connection.execute(_INSERT, {**facts, "detail": Jsonb(dict(detail))})


async def list_actions(
    connection: Connection, *, subject: str | None = None, before_id: int | None = None, limit: int
) -> list[AdminAction]:
    """Return the actions before this id, newest first, of one subject or of all."""
    where = {"subject": subject, "before_id": before_id, "limit": limit}
    return await fetch_all(connection, AdminAction, _LIST, where)
