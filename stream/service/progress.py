"""What becomes of a ticket once somebody has it: work, parts, the end, and what the consumer thinks of it.

Used by the Ienerzy API, which holds the ticket. All steps are in `STEPS`; what is not there is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from storage.database import Connection
from storage.queries import service_tickets, technicians
from storage.queries.service_tickets import Ticket
from stream.service.errors import TicketRefusedError

# A ticket that is open has to be assigned, which is no step of these.
STEPS: Mapping[str, frozenset[str]] = {
    "open": frozenset(),
    "assigned": frozenset({"in_progress"}),
    "in_progress": frozenset({"assigned", "resolved"}),
    "resolved": frozenset(),
}
# Only who runs the service may take a ticket up again.
REOPENED = "open"


@dataclass(frozen=True, slots=True)
class Report:
    """What is said of a ticket; None: nothing. `labor_hours` and the parts are of the whole job so far."""

    status: str | None = None
    description: str | None = None
    resolution_notes: str | None = None
    parts_used: str | None = None
    parts_cost_minor: int | None = None
    labor_hours: Decimal | None = None


async def update_ticket(
    connection: Connection,
    ticket: Ticket,
    report: Report,
    *,
    actor_id: int,
    may_reopen: bool,
    now: datetime,
) -> Ticket:
    """Write what is said of a ticket; raises `TicketRefusedError` for a step that there is not.

    The status that it has already is no step: what is said twice changes nothing.
    """
    said = {each.name: value for each in fields(report) if (value := getattr(report, each.name)) is not None}
    changed = {name: value for name, value in said.items() if getattr(ticket, name) != value}
    if not changed:
        return ticket
    step = changed.get("status")
    if step is not None:
        _check_step(ticket, step, may_reopen=may_reopen)
    after = replace(ticket, **{**changed, **_times(ticket, step, now)}, updated_at=now)
    saved = await service_tickets.save_ticket(connection, after)
    detail: dict[str, Any] = {"changed": sorted(set(changed) - {"status"})}
    if step is not None:
        detail |= {"from": ticket.status, "to": step}
    kind = "noted" if step is None else "status"
    await service_tickets.add_event(connection, ticket.id, kind, actor_id=actor_id, detail=detail, at=now)
    return saved


def _check_step(ticket: Ticket, step: str, *, may_reopen: bool) -> None:
    if ticket.status == "resolved" and step == REOPENED and may_reopen:
        return
    if step not in STEPS[ticket.status]:
        allowed = " or ".join(sorted(STEPS[ticket.status])) or "nothing"
        message = f"Ticket {ticket.id} is {ticket.status}: it can become {allowed}, not {step}"
        if ticket.status == "open":
            message += "; assign it to a technician first"
        raise TicketRefusedError(message)


def _times(ticket: Ticket, step: str | None, now: datetime) -> dict[str, Any]:
    """What goes with a step: when work began first, when it ended, and that nobody has an open ticket.

    What was thought of a ticket that is opened again was of other work: its history has it.
    """
    match step:
        case "in_progress":
            return {"started_at": ticket.started_at or now}
        case "resolved":
            return {"resolved_at": now}
        case "open":
            return {"resolved_at": None, "assigned_to": None, "assigned_at": None, "satisfaction": None}
        case _:
            return {}


async def rate_ticket(
    connection: Connection, ticket: Ticket, rating: int, *, consumer_id: int, now: datetime
) -> Ticket:
    """Write what the consumer thinks (1 to 5) of a resolved ticket, once; it moves the technician's rating.

    Raises `TicketRefusedError`.
    """
    if ticket.status != "resolved":
        raise TicketRefusedError(f"Ticket {ticket.id} is {ticket.status}: only what is resolved can be rated")
    if ticket.satisfaction is not None:
        raise TicketRefusedError(f"Ticket {ticket.id} is rated already")
    saved = await service_tickets.save_ticket(
        connection, replace(ticket, satisfaction=rating, updated_at=now)
    )
    await service_tickets.add_event(
        connection, ticket.id, "rated", actor_id=consumer_id, detail={"rating": rating}, at=now
    )
    if ticket.assigned_to is not None:
        await technicians.rate(connection, ticket.assigned_to, rating)
    return saved
