"""What is wrong with a meter, from when to when; opened and closed by `stream.metering`, shown by the app."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class MeterAlert:
    """`closed_at` is None while it lasts; `detail` says what was seen."""

    id: int
    meter_id: int
    kind: str
    opened_at: datetime
    closed_at: datetime | None
    detail: dict[str, Any]


_OPEN = """
INSERT INTO meter_alerts (meter_id, kind, opened_at, detail)
VALUES (%(meter_id)s, %(kind)s, %(opened_at)s, %(detail)s)
ON CONFLICT (meter_id, kind) WHERE closed_at IS NULL DO NOTHING
RETURNING id
"""

_CLOSE = """
UPDATE meter_alerts SET closed_at = greatest(opened_at, %(closed_at)s)
WHERE meter_id = %(meter_id)s AND kind = %(kind)s AND closed_at IS NULL
"""

_SELECT = "SELECT meter_alerts.id, meter_id, kind, opened_at, closed_at, detail FROM meter_alerts "

_GET = _SELECT + "WHERE meter_alerts.id = %(id)s"

_OF_METERS = (
    _SELECT
    + """
WHERE meter_id = ANY(%(meter_ids)s)
  AND (closed_at IS NULL OR closed_at >= %(since)s)
ORDER BY opened_at DESC, meter_alerts.id DESC LIMIT %(limit)s
"""
)


async def open_alert(
    connection: Connection, meter_id: int, kind: str, opened_at: datetime, detail: Mapping[str, Any]
) -> int | None:
    """Open an alert; returns its id, None where one of this kind is open already."""
    facts = {"meter_id": meter_id, "kind": kind, "opened_at": opened_at, "detail": Jsonb(detail)}
    found = await fetch_value(connection, _OPEN, facts)
    return None if found is None else int(found)


async def close_alert(connection: Connection, meter_id: int, kind: str, closed_at: datetime) -> bool:
    """Close the open alert of this kind; False where none was open."""
    facts = {"meter_id": meter_id, "kind": kind, "closed_at": closed_at}
    return (await connection.execute(_CLOSE, facts)).rowcount > 0


async def get_alert(connection: Connection, alert_id: int) -> MeterAlert | None:
    """Return the alert, or None."""
    return await fetch_one(connection, MeterAlert, _GET, {"id": alert_id})


async def alerts_of(
    connection: Connection, meter_ids: list[int], *, since: datetime, limit: int
) -> list[MeterAlert]:
    """Return the alerts of these meters that are open, or were after `since`, newest first."""
    parameters = {"meter_ids": meter_ids, "since": since, "limit": limit}
    return await fetch_all(connection, MeterAlert, _OF_METERS, parameters)
