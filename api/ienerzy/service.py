"""Ienerzy service: /api/service (IE-025 to IE-031), a ticket's history and its rating (IE-X07)."""

from typing import Annotated

from fastapi import Path, Query

from api.context import Ctx, Db
from api.errors import Problem
from api.fields import Storable
from api.ienerzy.callers import AnyUser, Consumer, DealerOrAdmin, DealerOrConsumer, DealerOrTechnician
from api.ienerzy.service_access import battery_by_id, refusals, ticket_of, whose
from api.ienerzy.service_schemas import (
    SCORING,
    ActiveTickets,
    AssignTicketIn,
    AutoAssigned,
    AutoAssignIn,
    AvailableTechnician,
    AvailableTechnicians,
    OpenedTicket,
    RateIn,
    TicketAssigned,
    TicketDetail,
    TicketIn,
    TicketOut,
    TicketRated,
    TicketUpdated,
    UpdatedTicket,
    UpdateTicketIn,
)
from api.routing import Router
from storage.queries import service_tickets, technicians
from stream.service import progress, tickets
from stream.service.scoring import Need, has_skill, nearness, point_of, rank
from stream.service.tickets import NewTicket, Wishes, candidate_of

router = Router(prefix="/service")

LIST_MAX = 10_000  # the contract has no pages here; whoever has more gets the newest
EVENTS_MAX = 500

Reference = Annotated[str, Path(alias="id")]
Words = Annotated[str | None, Query(max_length=200), Storable]


@router.post("/tickets", status_code=201)
async def open_ticket(body: TicketIn, caller: DealerOrConsumer, context: Ctx, db: Db) -> OpenedTicket:
    """Open a ticket for a battery of the caller's; the technician who suits best has it at once.

    Where nobody is free it stays open, with `assigned_technician` null.
    """
    battery = await battery_by_id(db, caller, body.battery_id)
    new = NewTicket(
        body.issue_category,
        body.description,
        location=body.location or None,
        skill_required=body.skill_required,
        priority=body.priority,
        opened_by=caller.id,
    )
    async with refusals():
        ticket, choice = await tickets.open_ticket(db, battery, new, context.now())
    return OpenedTicket.of(ticket, None if choice is None else choice.technician)


@router.get("/tickets")
async def list_tickets(caller: AnyUser, db: Db) -> list[TicketOut]:
    """List the caller's tickets, the newest first: a technician's are those assigned to the technician."""
    found = await service_tickets.list_tickets(db, limit=LIST_MAX, **whose(caller))
    return [TicketOut.of(ticket) for ticket in found]


@router.get("/tickets/active")
async def active_tickets(caller: AnyUser, context: Ctx, db: Db) -> ActiveTickets:
    """List those of the caller's tickets that are not resolved, the newest first, and count them."""
    found = await service_tickets.list_tickets(db, is_active=True, limit=LIST_MAX, **whose(caller))
    return ActiveTickets.of(found, context.now())


@router.get("/tickets/{id}")
async def ticket(reference: Reference, caller: AnyUser, context: Ctx, db: Db) -> TicketDetail:
    """Show all of a ticket: its service level, what was done, and its history."""
    found = await ticket_of(db, caller, reference, is_held=False)
    events = await service_tickets.list_events(db, found.id, EVENTS_MAX)
    return TicketDetail.of(found, events, context.now())


@router.put("/tickets/{id}/assign")
async def assign(
    reference: Reference, body: AssignTicketIn, caller: DealerOrAdmin, context: Ctx, db: Db
) -> TicketAssigned:
    """Give a ticket to a technician of the dealer, or to one who works for all, who has room for it."""
    found = await ticket_of(db, caller, reference)
    async with refusals():
        after, technician = await tickets.assign_by_hand(
            db, found, body.technician_id, body.priority, actor_id=caller.id, now=context.now()
        )
    return TicketAssigned.of(after, technician)


@router.post("/tickets/{id}/update")
async def update(
    reference: Reference, body: UpdateTicketIn, caller: DealerOrTechnician, context: Ctx, db: Db
) -> TicketUpdated:
    """Say what is new of a ticket: `assigned` becomes `in_progress`, and that `resolved` or `assigned` again.

    What is resolved only its dealer can open again.
    """
    if not body.model_dump(exclude_none=True):
        raise Problem(400, "Missing required fields", "one thing to change is required")
    found = await ticket_of(db, caller, reference)
    async with refusals():
        after = await progress.update_ticket(
            db,
            found,
            body.report(),
            actor_id=caller.id,
            may_reopen=caller.role != "technician",
            now=context.now(),
        )
    return TicketUpdated(message="Ticket updated successfully", ticket=UpdatedTicket.of(after))


@router.post("/tickets/{id}/rate")
async def rate(reference: Reference, body: RateIn, caller: Consumer, context: Ctx, db: Db) -> TicketRated:
    """Say, once, how the service was: the consumer of a resolved ticket; it counts for the technician."""
    found = await ticket_of(db, caller, reference)
    async with refusals():
        await progress.rate_ticket(db, found, body.rating, consumer_id=caller.id, now=context.now())
    return TicketRated(message="Ticket rated successfully", ticket_id=found.id, rating=body.rating)


@router.get("/technicians/available")
async def available_technicians(
    caller: DealerOrAdmin, db: Db, location: Words = None, skill_required: Words = None
) -> AvailableTechnicians:
    """List the technicians who have room for a ticket, the best first.

    `location` is words of a place, or `latitude, longitude`: whoever is nowhere near is left out, as is who
    lacks `skill_required`.
    """
    need = Need(location or None, point_of(location or ""), skill_required or None)
    found = await technicians.list_free(db, whose(caller)["dealer_id"])
    suited = {each.id: each for each in found if need.skill is None or has_skill(each.skills, need.skill)}
    candidates = [candidate_of(each) for each in suited.values()]
    ranked = rank([each for each in candidates if nearness(each, need) > 0], need)
    listed = [AvailableTechnician.of(suited[each.id], each.score) for each in ranked]
    return AvailableTechnicians(available_technicians=listed, count=len(listed), scoring_algorithm=SCORING)


@router.post("/auto-assign")
async def auto_assign(body: AutoAssignIn, caller: DealerOrAdmin, context: Ctx, db: Db) -> AutoAssigned:
    """Give a ticket to the technician who suits best now; 404 where nobody is free.

    A ticket that is assigned may change hands; one that is being worked on does not.
    """
    found = await ticket_of(db, caller, body.ticket_id)
    wishes = Wishes(body.location, body.priority, body.skill_required)
    async with refusals():
        choice = await tickets.auto_assign(db, found, wishes, actor_id=caller.id, now=context.now())
    return AutoAssigned.of(choice)
