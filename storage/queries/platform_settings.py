"""What differs from the platform's default settings, as JSON; typed by `stream.platform_settings`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_one


@dataclass(frozen=True, slots=True)
class _Row:
    settings: dict[str, Any]


_GET = "SELECT settings FROM platform_settings"

_LOCK = _GET + " FOR UPDATE"

_PUT = """
UPDATE platform_settings
SET settings = %(settings)s, version = version + 1, updated_by = %(updated_by)s, updated_at = %(now)s
"""


async def get_stored(connection: Connection) -> dict[str, Any]:
    """Return what differs from the defaults."""
    row = await fetch_one(connection, _Row, _GET, {})
    return {} if row is None else row.settings


async def lock_stored(connection: Connection) -> dict[str, Any]:
    """Return the same, held until commit."""
    row = await fetch_one(connection, _Row, _LOCK, {})
    return {} if row is None else row.settings


async def put_stored(
    connection: Connection, settings: Mapping[str, Any], *, updated_by: int, now: datetime
) -> None:
    """Keep what differs from the defaults; whoever calls has checked it."""
    await connection.execute(_PUT, {"settings": Jsonb(dict(settings)), "updated_by": updated_by, "now": now})
