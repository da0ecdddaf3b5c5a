"""What technicians and dealers are told of tickets, by SMS through the outbox; used by `stream.service`."""

from datetime import datetime

from storage.database import Connection
from storage.queries import users
from storage.queries.service_tickets import AlarmedBattery, Ticket
from storage.queries.technicians import Technician
from stream.lending.terms import ZONE
from stream.notices import Message, enqueue


async def tell_technician(
    connection: Connection, ticket: Ticket, technician: Technician, event_id: int, now: datetime
) -> None:
    """Tell a technician of a ticket that is the technician's now; `event_id` is of that assignment."""
    if technician.phone is None:
        return
    due = f"{ticket.sla_due_at.astimezone(ZONE):%d %b %H:%M}"
    what = f"battery {ticket.battery_serial}, {ticket.issue_category}, priority {ticket.priority}"
    parts = [
        f"Service ticket {ticket.id} is yours: {what}, due {due}.",
        f"Place: {ticket.location}." if ticket.location else "",
        f"Customer: {ticket.consumer_name}, {ticket.consumer_phone}." if ticket.consumer_id else "",
    ]
    message = Message(
        f"ticket-assigned:{event_id}",
        "ticket_assigned",
        "sms",
        technician.phone,
        " ".join(part for part in parts if part),
    )
    await enqueue(connection, technician.id, message, now)


async def tell_former(
    connection: Connection, ticket: Ticket, technician_id: int, event_id: int, now: datetime
) -> None:
    """Tell a technician of a ticket that another one has now; `event_id` is of that assignment."""
    former = await users.get_user(connection, technician_id)
    if former is None or former.phone is None:
        return
    body = f"Service ticket {ticket.id} (battery {ticket.battery_serial}) is no longer yours."
    message = Message(f"ticket-taken:{event_id}", "ticket_taken", "sms", former.phone, body)
    await enqueue(connection, former.id, message, now)


async def tell_dealer_of_alarm(
    connection: Connection, ticket: Ticket, alarm: AlarmedBattery, now: datetime
) -> None:
    """Tell the dealer of the first alarm that a ticket is of, and who has it."""
    dealer = await users.get_user(connection, ticket.dealer_id)
    if dealer is None or dealer.phone is None:
        return
    who = f"{ticket.technician_name} has it" if ticket.assigned_to else "no technician is free"
    body = (
        f"Battery {ticket.battery_serial} reports {alarm.kind.replace('_', ' ')}:"
        f" service ticket {ticket.id} is open, {who}."
    )
    message = Message(f"ticket-alarm:{ticket.id}", "ticket_opened", "sms", dealer.phone, body)
    await enqueue(connection, dealer.id, message, now)
