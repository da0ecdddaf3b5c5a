"""Templates of notifications that an admin has changed; all others are `stream.lithovolt_words`' own."""

from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all, fetch_one, fetch_value

SYSTEM = "lithovolt"
TEMPLATES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Template:
    """`channel`: email or sms; only e-mail has a `subject`. One that is not active is not sent at all."""

    kind: str
    channel: str
    subject: str | None
    body: str
    is_active: bool
    version: int
    updated_by: int | None
    updated_at: datetime


_COLUMNS = " kind, channel, subject, body, is_active, version, updated_by, updated_at "

_SELECT = "SELECT" + _COLUMNS + "FROM notification_templates WHERE system = %(system)s "

_LIST = _SELECT + "ORDER BY kind, channel LIMIT %(limit)s"

_OF_KIND = _SELECT + "AND kind = %(kind)s"

_GET = _OF_KIND + " AND channel = %(channel)s"

_PUT = (
    """
INSERT INTO notification_templates (system, kind, channel, subject, body, is_active, updated_by, updated_at)
SELECT %(system)s, %(kind)s, %(channel)s, %(subject)s, %(body)s, %(is_active)s, %(updated_by)s, %(now)s
WHERE coalesce(%(version)s::integer, 0) = 0 OR EXISTS (
    SELECT FROM notification_templates
    WHERE system = %(system)s AND kind = %(kind)s AND channel = %(channel)s)
ON CONFLICT (system, kind, channel) DO UPDATE
SET subject = EXCLUDED.subject, body = EXCLUDED.body, is_active = EXCLUDED.is_active,
    version = notification_templates.version + 1, updated_by = EXCLUDED.updated_by,
    updated_at = EXCLUDED.updated_at
WHERE %(version)s::integer IS NULL OR notification_templates.version = %(version)s
RETURNING"""
    + _COLUMNS
)

_DELETE = """
DELETE FROM notification_templates WHERE system = %(system)s AND kind = %(kind)s AND channel = %(channel)s
RETURNING id
"""


async def list_templates(connection: Connection) -> list[Template]:
    """Return all that were changed."""
    return await fetch_all(connection, Template, _LIST, {"system": SYSTEM, "limit": TEMPLATES_MAX})


async def templates_of(connection: Connection, kind: str) -> dict[str, Template]:
    """Return what was changed of a kind, by channel."""
    found = await fetch_all(connection, Template, _OF_KIND, {"system": SYSTEM, "kind": kind})
    return {template.channel: template for template in found}


async def get_template(connection: Connection, kind: str, channel: str) -> Template | None:
    """Return the changed template, or None where there is none."""
    return await fetch_one(connection, Template, _GET, {"system": SYSTEM, "kind": kind, "channel": channel})


async def put_template(
    connection: Connection,
    *,
    kind: str,
    channel: str,
    subject: str | None,
    body: str,
    is_active: bool,
    updated_by: int,
    now: datetime,
    version: int | None = None,
) -> Template | None:
    """Write a template over the one that was there; its version counts how often.

    With `version` only over that one (0: none was there): None where another is there by now.
    """
    key = {"system": SYSTEM, "kind": kind, "channel": channel, "version": version}
    facts = {"subject": subject, "body": body, "is_active": is_active, "updated_by": updated_by, "now": now}
    return await fetch_one(connection, Template, _PUT, {**key, **facts})


async def delete_template(connection: Connection, kind: str, channel: str) -> bool:
    """Forget what was changed; False where nothing was."""
    key = {"system": SYSTEM, "kind": kind, "channel": channel}
    return await fetch_value(connection, _DELETE, key) is not None
