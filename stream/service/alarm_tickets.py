"""Tickets that alarms of batteries open; `stream.health.job` enqueues, `stream.jobs` carries out.

An alarm opens one ticket at most. While the battery has a ticket of the same category that is not resolved,
another alarm is noted on that one: it is as urgent as the worst of them, and its dealer hears of the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from storage.database import Connection
from storage.queries import outbox, service_tickets
from storage.queries.service_tickets import AlarmedBattery
from stream.service import news
from stream.service.sla import RESOLVE_WITHIN, Priority, due_at
from stream.service.tickets import NewTicket, open_ticket

KIND = "alarm_ticket"
SEVERITY = "critical"  # what is less waits for the next service


@dataclass(frozen=True, slots=True)
class Job:
    """What an alarm of a kind means for whoever has to mend it."""

    issue_category: str
    priority: Priority = "high"


_OTHER = Job("other")
# The kinds of `stream.health.alarms`.
JOBS: Mapping[str, Job] = {
    "cell_over_voltage": Job("charging"),
    "pack_over_voltage": Job("charging"),
    "cell_under_voltage": Job("performance"),
    "pack_under_voltage": Job("performance"),
    "over_temperature": Job("performance", "critical"),
    "charge_under_temperature": Job("charging"),
    "charge_over_current": Job("charging"),
    "discharge_over_current": Job("electrical"),
    "short_circuit": Job("electrical", "critical"),
    "insulation_fault": Job("electrical", "critical"),
    "sensor_fault": Job("electrical"),
    "tamper": Job("mechanical"),
}


async def follow_alarm(
    connection: Connection, alarm_id: int, *, severity: str, dealer_id: int | None
) -> None:
    """Have a ticket opened for an alarm, in the transaction that writes it, if it is bad and a dealer's."""
    if severity == SEVERITY and dealer_id is not None:
        await outbox.enqueue(connection, KIND, {"alarm_id": alarm_id})


async def open_for_alarm(connection: Connection, alarm_id: int, now: datetime) -> None:
    """Open the ticket of an alarm, or note the alarm on the ticket that there is. Idempotent."""
    alarm = await service_tickets.get_alarm(connection, alarm_id)
    if alarm is None or await service_tickets.ticket_of_alarm(connection, alarm_id) is not None:
        return
    # of two alarms at a time one comes after the other, and finds its ticket
    battery = await service_tickets.lock_ticket_battery(connection, alarm.battery_id)
    if battery is None or battery.dealer_id is None:
        return
    job = JOBS.get(alarm.kind, _OTHER)
    active_id = await service_tickets.active_ticket_of(connection, battery.id, job.issue_category)
    if active_id is not None:
        await _note(connection, active_id, alarm_id, alarm, job, now)
        return
    new = NewTicket(job.issue_category, _description(alarm), priority=job.priority, alarm_id=alarm_id)
    ticket, _ = await open_ticket(connection, battery, new, now)
    await news.tell_dealer_of_alarm(connection, ticket, alarm, now)


async def _note(
    connection: Connection, ticket_id: int, alarm_id: int, alarm: AlarmedBattery, job: Job, now: datetime
) -> None:
    ticket = await service_tickets.get_ticket(connection, ticket_id)
    assert ticket is not None, "it is held"
    if RESOLVE_WITHIN[job.priority] < RESOLVE_WITHIN[ticket.priority]:
        due = due_at(ticket.created_at, job.priority)
        urgent = replace(ticket, priority=job.priority, sla_due_at=due, updated_at=now)
        ticket = await service_tickets.save_ticket(connection, urgent)
    detail = {
        "alarm_id": alarm_id,
        "alarm": alarm.kind,
        "text": _description(alarm),
        "priority": ticket.priority,
    }
    await service_tickets.add_event(connection, ticket_id, "noted", actor_id=None, detail=detail, at=now)
    await news.tell_dealer_of_alarm(connection, ticket, alarm, now)


def _description(alarm: AlarmedBattery) -> str:
    cell = "" if alarm.cell is None else f", cell {alarm.cell}"
    words = alarm.kind.replace("_", " ")
    return f"The battery reports {words}{cell}: {alarm.worst:g} at {alarm.opened_at:%Y-%m-%d %H:%M:%S} UTC"
