"""Work on chargers, planned and done, of the EV-CMS family; used by the API.

A charger is in maintenance (`chargers.maintenance`) while work on it is in progress. A deleted record is not
there for anybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class Record:
    """`status`: scheduled, in-progress, completed or cancelled. `cost_minor` in minor units of INR."""

    id: int
    device_id: int
    charger_identity: str
    charger_name: str | None
    owner_id: int | None
    type: str
    description: str
    status: str
    priority: str
    scheduled_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    assigned_to: str | None
    notes: str | None
    parts_replaced: list[str]
    cost_minor: int | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Named:
    """The charger that a reference names; `device_id` None: there is none. `registry` as in devices."""

    reference: str
    device_id: int | None
    owner_id: int | None
    registry: str | None


@dataclass(frozen=True, slots=True)
class Stats:
    """Records by status; scheduled ones are `overdue` when their time is past, else `pending`."""

    total: int
    pending: int
    in_progress: int
    completed: int
    overdue: int
    cancelled: int


_SELECT = """
SELECT record.id, record.device_id, devices.identity AS charger_identity, devices.name AS charger_name,
       devices.owner_id, type, description, record.status, priority, scheduled_at, started_at, completed_at,
       assigned_to, notes, parts_replaced, cost_minor, record.created_at
FROM maintenance_records AS record JOIN devices ON devices.id = record.device_id
"""

_GET = _SELECT + "WHERE record.id = %(id)s AND deleted_at IS NULL"

_LOCK = _GET + " FOR UPDATE OF record"

_SOME = _SELECT + "WHERE record.id = ANY(%(ids)s) ORDER BY record.id"

_FILTER = """
WHERE deleted_at IS NULL
  AND (%(owner_id)s::bigint IS NULL OR devices.owner_id = %(owner_id)s)
  AND (%(status)s::text IS NULL OR record.status = %(status)s)
  AND (%(device_id)s::bigint IS NULL OR record.device_id = %(device_id)s)
"""

_LIST = _SELECT + _FILTER + "ORDER BY record.id DESC LIMIT %(limit)s OFFSET %(offset)s"

_COUNT = (
    """
SELECT count(*) FROM maintenance_records AS record JOIN devices ON devices.id = record.device_id
"""
    + _FILTER
)

_STATS = """
SELECT count(*) AS total,
       count(*) FILTER (WHERE record.status = 'scheduled' AND scheduled_at >= %(now)s) AS pending,
       count(*) FILTER (WHERE record.status = 'in-progress') AS in_progress,
       count(*) FILTER (WHERE record.status = 'completed') AS completed,
       count(*) FILTER (WHERE record.status = 'scheduled' AND scheduled_at < %(now)s) AS overdue,
       count(*) FILTER (WHERE record.status = 'cancelled') AS cancelled
FROM maintenance_records AS record JOIN devices ON devices.id = record.device_id
WHERE deleted_at IS NULL AND (%(owner_id)s::bigint IS NULL OR devices.owner_id = %(owner_id)s)
"""

# By OCPP identity in any case of letters, else by id.
_NAMED = """
SELECT asked.reference, found.id AS device_id, found.owner_id, found.status AS registry
FROM unnest(%(references)s::text[], %(ids)s::bigint[]) WITH ORDINALITY AS asked (reference, id, place)
LEFT JOIN LATERAL (
    SELECT devices.id, owner_id, status FROM devices JOIN chargers ON chargers.device_id = devices.id
    WHERE kind = 'charger' AND (identity_key = lower(asked.reference) OR devices.id = asked.id)
    ORDER BY (identity_key = lower(asked.reference)) DESC LIMIT 1
) AS found ON true
ORDER BY asked.place
"""

_INSERT = """
INSERT INTO maintenance_records (device_id, type, description, priority, scheduled_at, assigned_to,
                                 created_by, created_at)
SELECT device_id, %(type)s, %(description)s, %(priority)s, %(scheduled_at)s, %(assigned_to)s, %(created_by)s,
       %(now)s
FROM unnest(%(device_ids)s::integer[]) WITH ORDINALITY AS charger (device_id, place) ORDER BY place
RETURNING id
"""

_UPDATE = """
UPDATE maintenance_records
SET status = %(status)s, started_at = %(started_at)s, completed_at = %(completed_at)s, notes = %(notes)s,
    assigned_to = %(assigned_to)s, parts_replaced = %(parts_replaced)s, cost_minor = %(cost_minor)s
WHERE id = %(id)s
"""

_DELETE = "UPDATE maintenance_records SET deleted_at = %(now)s WHERE id = %(id)s"

# Two records of one charger that end at once wait for each other here: the last one sees no other.
_LOCK_CHARGER = "SELECT device_id FROM chargers WHERE device_id = %(device_id)s FOR NO KEY UPDATE"

_SET_CHARGER = """
UPDATE chargers SET maintenance = at_work.is_any
FROM (SELECT EXISTS (
          SELECT FROM maintenance_records
          WHERE device_id = %(device_id)s AND status = 'in-progress' AND deleted_at IS NULL) AS is_any
) AS at_work
WHERE device_id = %(device_id)s AND maintenance <> at_work.is_any
RETURNING maintenance
"""


async def find_chargers(
    connection: Connection, references: Sequence[str], ids: Sequence[int | None]
) -> list[Named]:
    """Return the charger behind each reference, in order; `ids` are the references that spell an id."""
    return await fetch_all(connection, Named, _NAMED, {"references": list(references), "ids": list(ids)})


async def insert_records(
    connection: Connection,
    device_ids: Sequence[int],
    *,
    type_: str,
    description: str,
    priority: str,
    scheduled_at: datetime,
    assigned_to: str | None,
    created_by: int,
    now: datetime,
) -> list[Record]:
    """Plan the same work on each charger; returns the records in their order."""
    facts = {"type": type_, "description": description, "priority": priority, "scheduled_at": scheduled_at}
    more = {"assigned_to": assigned_to, "created_by": created_by, "now": now}
    rows = await connection.execute(_INSERT, {**facts, **more, "device_ids": list(device_ids)})
    ids = [record_id async for (record_id,) in rows]
    return await fetch_all(connection, Record, _SOME, {"ids": ids})


async def get_record(connection: Connection, record_id: int) -> Record | None:
    """Return the record, or None."""
    return await fetch_one(connection, Record, _GET, {"id": record_id})


async def lock_record(connection: Connection, record_id: int) -> Record | None:
    """Return the record, held until commit, or None."""
    return await fetch_one(connection, Record, _LOCK, {"id": record_id})


async def list_records(
    connection: Connection,
    *,
    owner_id: int | None = None,
    status: str | None = None,
    device_id: int | None = None,
    limit: int,
    offset: int = 0,
) -> tuple[list[Record], int]:
    """Return one page, of one owner's chargers or of all, newest first, and how many there are in all."""
    where = {"owner_id": owner_id, "status": status, "device_id": device_id}
    page = await fetch_all(connection, Record, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))


async def record_stats(connection: Connection, owner_id: int | None, now: datetime) -> Stats:
    """Count the records of one owner's chargers or of all."""
    stats = await fetch_one(connection, Stats, _STATS, {"owner_id": owner_id, "now": now})
    assert stats is not None
    return stats


async def update_record(connection: Connection, record: Record) -> None:
    """Keep what may change of a record as `record` has it; whoever calls holds it."""
    facts = {
        "id": record.id,
        "status": record.status,
        "started_at": record.started_at,
        "completed_at": record.completed_at,
        "notes": record.notes,
        "assigned_to": record.assigned_to,
        "parts_replaced": record.parts_replaced,
        "cost_minor": record.cost_minor,
    }
    await connection.execute(_UPDATE, facts)


async def delete_record(connection: Connection, record_id: int, now: datetime) -> None:
    """Take the record away for everybody; whoever calls holds it."""
    await connection.execute(_DELETE, {"id": record_id, "now": now})


async def set_maintenance(connection: Connection, device_id: int) -> bool | None:
    """Put the charger into maintenance if work on it is in progress, else out of it.

    Returns whether it is in maintenance now; None where nothing changed.
    """
    await connection.execute(_LOCK_CHARGER, {"device_id": device_id})
    changed = await fetch_value(connection, _SET_CHARGER, {"device_id": device_id})
    return None if changed is None else bool(changed)
