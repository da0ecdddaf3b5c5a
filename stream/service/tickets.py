"""Service tickets: opened, and given to the technician who suits best or whom the dealer names.

Used by the Ienerzy API and by `stream.service.alarm_tickets`. All of it in the caller's transaction, which
holds the ticket first and then every technician who could take it: loads are counted while nobody else gives
them work, so that no technician gets more than `load_max` and no ticket two technicians.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from storage.database import Connection
from storage.queries import samples, service_tickets, technicians
from storage.queries.service_tickets import Ticket, TicketBattery
from storage.queries.technicians import Technician
from stream.service import news, sla
from stream.service.errors import NoTechnicianError, TicketRefusedError, UnknownTechnicianError
from stream.service.scoring import Candidate, Need, Point, point_of, rank

# A battery that was silent for longer may be anywhere.
POSITION_AGE_MAX = timedelta(hours=24)
# What a ticket asks for where nobody says more than what is wrong.
SKILL_OF = {
    "performance": "battery_maintenance",
    "charging": "electrical",
    "electrical": "electrical",
    "mechanical": "mechanical",
}


@dataclass(frozen=True, slots=True)
class NewTicket:
    """What is wrong, and where; `opened_by` None and `alarm_id`: an alarm says so."""

    issue_category: str
    description: str
    location: str | None = None
    skill_required: str | None = None
    priority: sla.Priority = "medium"
    opened_by: int | None = None
    alarm_id: int | None = None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller says of a ticket that is to be assigned; None leaves it as it is."""

    location: str | None = None
    priority: sla.Priority | None = None
    skill_required: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """A ticket and who has it now, its score and those of the others, the best first."""

    ticket: Ticket
    technician: Technician
    score: float
    others: Sequence[tuple[Technician, float]]


async def open_ticket(
    connection: Connection, battery: TicketBattery, new: NewTicket, now: datetime
) -> tuple[Ticket, Choice | None]:
    """Open a ticket and assign it at once (rule R110); None where nobody is free: it stays open (R111).

    Raises `TicketRefusedError` for a battery that no dealer has.
    """
    if battery.dealer_id is None:
        raise TicketRefusedError(f"Battery {battery.serial_number} has no dealer who could serve it")
    ticket_id = await service_tickets.insert_ticket(
        connection,
        dealer_id=battery.dealer_id,
        battery_id=battery.id,
        consumer_id=battery.owner_id,
        issue_category=new.issue_category,
        description=new.description,
        location=new.location,
        skill_required=new.skill_required,
        priority=new.priority,
        alarm_id=new.alarm_id,
        opened_by=new.opened_by,
        sla_due_at=sla.due_at(now, new.priority),
        now=now,
    )
    detail = {"priority": new.priority, "alarm_id": new.alarm_id}
    await service_tickets.add_event(
        connection, ticket_id, "opened", actor_id=new.opened_by, detail=detail, at=now
    )
    ticket = await service_tickets.get_ticket(connection, ticket_id)
    assert ticket is not None
    need = await _need(connection, ticket, now)
    choice = await _choose(connection, ticket, ticket, need, actor_id=None, now=now)
    return (ticket if choice is None else choice.ticket), choice


async def auto_assign(
    connection: Connection, ticket: Ticket, wishes: Wishes, *, actor_id: int, now: datetime
) -> Choice:
    """Give a ticket, which the caller holds, to whoever suits best now (rule R119).

    A ticket that is assigned may change hands, or stay where it is. Raises `NoTechnicianError`, and
    `TicketRefusedError` once work has begun.
    """
    if ticket.status not in {"open", "assigned"}:
        raise TicketRefusedError(f"Ticket {ticket.id} is {ticket.status}: only what waits can be assigned")
    wanted = _with(ticket, wishes)
    need = await _need(connection, wanted, now)
    if wishes.location is not None:  # somebody says where, whatever the battery reports
        need = replace(need, location=wishes.location, point=point_of(wishes.location))
    choice = await _choose(connection, ticket, wanted, need, actor_id=actor_id, now=now)
    if choice is None:
        raise NoTechnicianError("No available technicians")
    return choice


async def assign_by_hand(
    connection: Connection,
    ticket: Ticket,
    technician_id: int,
    priority: sla.Priority | None,
    *,
    actor_id: int,
    now: datetime,
) -> tuple[Ticket, Technician]:
    """Give a ticket, which the caller holds, to a technician of its dealer or of all, and set its priority.

    Raises `UnknownTechnicianError`, and `TicketRefusedError` for a resolved ticket or a full technician.
    """
    if ticket.status == "resolved":
        raise TicketRefusedError(f"Ticket {ticket.id} is resolved")
    found = await technicians.hold_technician(connection, technician_id, ticket.dealer_id, ticket.id)
    if found is None:
        raise UnknownTechnicianError(f"No technician of yours has the id {technician_id}")
    if found.load >= found.load_max:
        raise TicketRefusedError(
            f"{found.name} has {found.load} tickets in hand already and can have no more"
        )
    wanted = _with(ticket, Wishes(priority=priority))
    given = await _give(connection, ticket, wanted, found, {"by": "hand"}, actor_id, now)
    return given, found


async def _choose(
    connection: Connection,
    before: Ticket,
    wanted: Ticket,
    need: Need,
    *,
    actor_id: int | None,
    now: datetime,
) -> Choice | None:
    held = await technicians.hold_free(connection, before.dealer_id, before.id)
    free = {each.id: each for each in held}
    if not free:
        return None
    best, *others = rank(map(candidate_of, free.values()), need)
    detail = {"by": "score", "score": best.score}
    given = await _give(connection, before, wanted, free[best.id], detail, actor_id, now)
    return Choice(given, free[best.id], best.score, [(free[each.id], each.score) for each in others])


async def _give(
    connection: Connection,
    before: Ticket,
    wanted: Ticket,
    technician: Technician,
    detail: dict[str, object],
    actor_id: int | None,
    now: datetime,
) -> Ticket:
    """Write who has the ticket now, and tell who has it and who had it; one who keeps it hears nothing."""
    is_new = before.assigned_to != technician.id or before.status == "in_progress"
    if is_new:
        wanted = replace(wanted, status="assigned", assigned_to=technician.id, assigned_at=now)
    if wanted == before:
        return before
    saved = await service_tickets.save_ticket(connection, replace(wanted, updated_at=now))
    detail = {**detail, "technician_id": technician.id, "priority": saved.priority}
    kind = "assigned" if is_new else "noted"
    event_id = await service_tickets.add_event(
        connection, saved.id, kind, actor_id=actor_id, detail=detail, at=now
    )
    if is_new:
        await news.tell_technician(connection, saved, technician, event_id, now)
    if before.assigned_to not in {None, technician.id}:
        await news.tell_former(connection, saved, before.assigned_to, event_id, now)
    return saved


def _with(ticket: Ticket, wishes: Wishes) -> Ticket:
    """The ticket as the caller wants it; another priority, another time by which it is due."""
    priority = wishes.priority or ticket.priority
    return replace(
        ticket,
        location=ticket.location if ticket.location is not None else wishes.location,
        skill_required=wishes.skill_required or ticket.skill_required,
        priority=priority,
        sla_due_at=sla.due_at(ticket.created_at, priority),
    )


async def _need(connection: Connection, ticket: Ticket, now: datetime) -> Need:
    location = ticket.location
    point = None if location is None else point_of(location)
    return Need(
        location=location,
        point=point or await _position(connection, ticket, now),
        skill=ticket.skill_required or SKILL_OF.get(ticket.issue_category),
    )


async def _position(connection: Connection, ticket: Ticket, now: datetime) -> Point | None:
    """Where the battery was heard of last, if that is not long ago."""
    sample = None if ticket.device_id is None else await samples.latest_battery(connection, ticket.device_id)
    if sample is None or now - sample.ts > POSITION_AGE_MAX:
        return None
    if sample.latitude_deg is None or sample.longitude_deg is None:
        return None
    return Point(sample.latitude_deg, sample.longitude_deg)


def candidate_of(technician: Technician) -> Candidate:
    """Return what the score looks at."""
    latitude, longitude = technician.latitude, technician.longitude
    return Candidate(
        id=technician.id,
        location=technician.location,
        point=None if latitude is None or longitude is None else Point(latitude, longitude),
        skills=technician.skills,
        rating=float(technician.rating),
        experience_years=float(technician.experience_years),
        load=technician.load,
        load_max=technician.load_max,
    )
