"""Which tickets a caller sees, and what a refused change of one is answered with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.callers import Caller
from api.errors import Problem, not_found
from api.fields import parse_id
from api.ienerzy.callers import reach
from storage.database import Connection
from storage.queries import service_tickets
from storage.queries.service_tickets import Ticket, TicketBattery, Whose
from stream.service.errors import NoTechnicianError, TicketRefusedError, UnknownTechnicianError


def whose(caller: Caller) -> Whose:
    """A dealer's, a consumer's, a technician's own tickets; an admin's are all."""
    own = caller.id
    return {
        "dealer_id": own if caller.role == "dealer" else None,
        "consumer_id": own if caller.role == "consumer" else None,
        "technician_id": own if caller.role == "technician" else None,
    }


async def ticket_of(db: Connection, caller: Caller, reference: str | int, *, is_held: bool = True) -> Ticket:
    """Return the ticket, held until commit unless it is only shown; raises 404, also for another's."""
    ticket_id = parse_id(reference) if isinstance(reference, str) else reference
    find = service_tickets.lock_ticket if is_held else service_tickets.get_ticket
    ticket = None if ticket_id is None else await find(db, ticket_id)
    if ticket is None or not _covers(whose(caller), ticket):
        raise not_found("Ticket", f"No service ticket found with id {reference}")
    return ticket


async def battery_by_id(db: Connection, caller: Caller, battery_id: int) -> TicketBattery:
    """Return the battery with this id; raises 404, also for another dealer's or consumer's."""
    found = await service_tickets.find_ticket_battery(db, battery_id)
    if found is None or not reach(caller).covers(found.dealer_id, found.owner_id):
        raise not_found("Battery", f"No battery found with id {battery_id}")
    return found


@asynccontextmanager
async def refusals() -> AsyncIterator[None]:
    """Turn the refusals of `stream.service` into answers."""
    try:
        yield
    except TicketRefusedError as error:
        raise Problem(400, "Ticket cannot be changed", str(error), "NOT_POSSIBLE") from error
    except UnknownTechnicianError as error:
        raise not_found("Technician", str(error)) from error
    except NoTechnicianError as error:
        raise Problem(404, str(error)) from error


def _covers(own: Whose, ticket: Ticket) -> bool:
    return (
        own["dealer_id"] in {None, ticket.dealer_id}
        and own["consumer_id"] in {None, ticket.consumer_id}
        and own["technician_id"] in {None, ticket.assigned_to}
    )
