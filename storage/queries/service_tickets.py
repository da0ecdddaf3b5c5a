"""Service tickets of batteries and their history; used by `stream.service` and the Ienerzy API.

Whoever changes a ticket holds it first (`lock_ticket`), then the technicians (`storage.queries.technicians`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypedDict, Unpack

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class Ticket:
    """`status`: open, assigned, in_progress or resolved. `consumer_id`: who had the battery when it began.

    `opened_by` is None where an alarm opened it. `satisfaction`: 1 to 5, of the consumer.
    """

    id: int
    dealer_id: int
    battery_id: int
    battery_serial: str
    device_id: int | None
    consumer_id: int | None
    consumer_name: str | None
    consumer_phone: str | None
    issue_category: str
    description: str
    location: str | None
    skill_required: str | None
    priority: str
    status: str
    assigned_to: int | None
    technician_name: str | None
    alarm_id: int | None
    opened_by: int | None
    sla_due_at: datetime
    assigned_at: datetime | None
    started_at: datetime | None
    resolved_at: datetime | None
    resolution_notes: str | None
    parts_used: str | None
    parts_cost_minor: int | None
    labor_hours: Decimal | None
    satisfaction: int | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TicketEvent:
    """`kind`: opened, assigned, status, noted or rated; `actor_id` None: nobody but the platform."""

    id: int
    kind: str
    actor_id: int | None
    detail: dict[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class TicketBattery:
    """What a ticket takes from its battery."""

    id: int
    serial_number: str
    dealer_id: int | None
    owner_id: int | None


@dataclass(frozen=True, slots=True)
class AlarmedBattery:
    """An alarm and the battery that raised it."""

    kind: str
    severity: str
    worst: float
    cell: int | None
    opened_at: datetime
    battery_id: int


class NewTicket(TypedDict):
    """What a ticket begins with; open, nobody's."""

    dealer_id: int
    battery_id: int
    consumer_id: int | None
    issue_category: str
    description: str
    location: str | None
    skill_required: str | None
    priority: str
    alarm_id: int | None
    opened_by: int | None
    sla_due_at: datetime
    now: datetime


class Whose(TypedDict):
    """Whose tickets; None: whoever's."""

    dealer_id: int | None
    consumer_id: int | None
    technician_id: int | None


_SELECT = """
SELECT ticket.id, ticket.dealer_id, ticket.battery_id, batteries.serial_number AS battery_serial,
       batteries.device_id, ticket.consumer_id, consumer.name AS consumer_name,
       consumer.phone AS consumer_phone, issue_category, description, location, skill_required, priority,
       ticket.status, assigned_to, technician.name AS technician_name, alarm_id, opened_by, sla_due_at,
       assigned_at, started_at, resolved_at, resolution_notes, parts_used, parts_cost_minor, labor_hours,
       satisfaction, ticket.created_at, ticket.updated_at
FROM service_tickets AS ticket
JOIN batteries ON batteries.id = battery_id
LEFT JOIN users AS consumer ON consumer.id = ticket.consumer_id
LEFT JOIN users AS technician ON technician.id = assigned_to
"""

_GET = _SELECT + "WHERE ticket.id = %(id)s"

_HOLD = "SELECT id FROM service_tickets WHERE id = %(id)s FOR NO KEY UPDATE"

_LIST = (
    _SELECT
    + """
WHERE (%(dealer_id)s::bigint IS NULL OR ticket.dealer_id = %(dealer_id)s)
  AND (%(consumer_id)s::bigint IS NULL OR ticket.consumer_id = %(consumer_id)s)
  AND (%(technician_id)s::bigint IS NULL OR assigned_to = %(technician_id)s)
  AND (NOT %(is_active)s OR ticket.status <> 'resolved')
ORDER BY ticket.id DESC LIMIT %(limit)s
"""
)

_INSERT = """
INSERT INTO service_tickets (dealer_id, battery_id, consumer_id, issue_category, description, location,
                             skill_required, priority, alarm_id, opened_by, sla_due_at, created_at,
                             updated_at)
VALUES (%(dealer_id)s, %(battery_id)s, %(consumer_id)s, %(issue_category)s, %(description)s, %(location)s,
        %(skill_required)s, %(priority)s, %(alarm_id)s, %(opened_by)s, %(sla_due_at)s, %(now)s, %(now)s)
RETURNING id
"""

_SAVE = """
UPDATE service_tickets
SET description = %(description)s, location = %(location)s, skill_required = %(skill_required)s,
    priority = %(priority)s, status = %(status)s, assigned_to = %(assigned_to)s, sla_due_at = %(sla_due_at)s,
    assigned_at = %(assigned_at)s, started_at = %(started_at)s, resolved_at = %(resolved_at)s,
    resolution_notes = %(resolution_notes)s, parts_used = %(parts_used)s,
    parts_cost_minor = %(parts_cost_minor)s, labor_hours = %(labor_hours)s, satisfaction = %(satisfaction)s,
    updated_at = %(updated_at)s
WHERE id = %(id)s
"""
_SAVED = (
    *("id", "description", "location", "skill_required", "priority", "status", "assigned_to", "sla_due_at"),
    *("assigned_at", "started_at", "resolved_at", "resolution_notes", "parts_used", "parts_cost_minor"),
    *("labor_hours", "satisfaction", "updated_at"),
)

_BATTERY = "SELECT id, serial_number, dealer_id, owner_id FROM batteries WHERE id = %(id)s"

_HOLD_BATTERY = _BATTERY + " FOR NO KEY UPDATE"

_ALARM = "SELECT kind, severity, worst, cell, opened_at, battery_id FROM battery_alarms WHERE id = %(id)s"

_OF_ALARM = "SELECT id FROM service_tickets WHERE alarm_id = %(alarm_id)s"

_ACTIVE_OF = """
SELECT id FROM service_tickets
WHERE battery_id = %(battery_id)s AND issue_category = %(issue_category)s AND status <> 'resolved'
ORDER BY id DESC LIMIT 1
FOR NO KEY UPDATE
"""

_ADD_EVENT = """
INSERT INTO service_ticket_events (ticket_id, kind, actor_id, detail, at)
VALUES (%(ticket_id)s, %(kind)s, %(actor_id)s, %(detail)s, %(at)s)
RETURNING id
"""

_EVENTS = """
SELECT id, kind, actor_id, detail, at FROM service_ticket_events
WHERE ticket_id = %(ticket_id)s ORDER BY id DESC LIMIT %(limit)s
"""


async def find_ticket_battery(connection: Connection, battery_id: int) -> TicketBattery | None:
    """Return the battery, or None."""
    return await fetch_one(connection, TicketBattery, _BATTERY, {"id": battery_id})


async def lock_ticket_battery(connection: Connection, battery_id: int) -> TicketBattery | None:
    """Return the battery, held until commit, or None."""
    return await fetch_one(connection, TicketBattery, _HOLD_BATTERY, {"id": battery_id})


async def get_alarm(connection: Connection, alarm_id: int) -> AlarmedBattery | None:
    """Return the alarm, or None."""
    return await fetch_one(connection, AlarmedBattery, _ALARM, {"id": alarm_id})


async def ticket_of_alarm(connection: Connection, alarm_id: int) -> int | None:
    """Return the id of the ticket that this alarm opened, or None."""
    found = await fetch_value(connection, _OF_ALARM, {"alarm_id": alarm_id})
    return None if found is None else int(found)


async def active_ticket_of(connection: Connection, battery_id: int, issue_category: str) -> int | None:
    """Return the id of the battery's newest active ticket of this category, held until commit, or None."""
    where = {"battery_id": battery_id, "issue_category": issue_category}
    found = await fetch_value(connection, _ACTIVE_OF, where)
    return None if found is None else int(found)


async def insert_ticket(connection: Connection, **facts: Unpack[NewTicket]) -> int:
    """Write an open ticket; returns its id."""
    return int(await fetch_value(connection, _INSERT, facts))


async def get_ticket(connection: Connection, ticket_id: int) -> Ticket | None:
    """Return the ticket, or None."""
    return await fetch_one(connection, Ticket, _GET, {"id": ticket_id})


async def lock_ticket(connection: Connection, ticket_id: int) -> Ticket | None:
    """Return the ticket as it is once it is held, until commit, or None."""
    if await fetch_value(connection, _HOLD, {"id": ticket_id}) is None:
        return None
    return await get_ticket(connection, ticket_id)


async def save_ticket(connection: Connection, ticket: Ticket) -> Ticket:
    """Write what may change of a ticket that the caller holds; returns it with its names as they are now."""
    await connection.execute(_SAVE, {name: getattr(ticket, name) for name in _SAVED})
    saved = await get_ticket(connection, ticket.id)
    assert saved is not None
    return saved


async def list_tickets(
    connection: Connection, *, is_active: bool = False, limit: int, **whose: Unpack[Whose]
) -> list[Ticket]:
    """Return tickets, the newest first; `is_active`: those that are not resolved."""
    return await fetch_all(connection, Ticket, _LIST, {**whose, "is_active": is_active, "limit": limit})


async def add_event(
    connection: Connection,
    ticket_id: int,
    kind: str,
    *,
    actor_id: int | None,
    detail: Mapping[str, Any],
    at: datetime,
) -> int:
    """Write what happened to a ticket; returns the event's id."""
    facts = {"ticket_id": ticket_id, "kind": kind, "actor_id": actor_id, "at": at}
    return int(await fetch_value(connection, _ADD_EVENT, {**facts, "detail": Jsonb(dict(detail))}))


async def list_events(connection: Connection, ticket_id: int, limit: int) -> list[TicketEvent]:
    """Return what happened to a ticket, the newest first."""
    return await fetch_all(connection, TicketEvent, _EVENTS, {"ticket_id": ticket_id, "limit": limit})
