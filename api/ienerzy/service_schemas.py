"""Service tickets and technicians as Ienerzy takes and shows them (IE-025 to IE-031)."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.fields import AMOUNT_MAX, OptionalText, Storable, Text, minor_units, money
from api.ienerzy.schemas import BIGINT_MAX, Time, plain
from storage.queries.service_tickets import Ticket, TicketEvent
from storage.queries.technicians import Technician
from stream.service.progress import Report
from stream.service.sla import Priority, is_breached
from stream.service.tickets import Choice

DESCRIPTION_CHARACTERS_MAX = 2_000
LABOR_HOURS_MAX = 1_000
SCORING = "Based on location proximity, skills match, rating, experience, and current workload"

Category = Literal["performance", "charging", "mechanical", "electrical", "other"]
Status = Literal["open", "assigned", "in_progress", "resolved"]
Id = Annotated[int, Field(ge=1, le=BIGINT_MAX)]
Description = Annotated[str, Field(min_length=1, max_length=DESCRIPTION_CHARACTERS_MAX), Storable]
Notes = Annotated[str, Field(max_length=DESCRIPTION_CHARACTERS_MAX), Storable]
Hours = Annotated[Decimal, Field(ge=0, le=LABOR_HOURS_MAX, decimal_places=2)]
Rupees = Annotated[Decimal, Field(ge=0, le=AMOUNT_MAX, decimal_places=2)]


def _example(**body: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [body]})


class TicketIn(BaseModel):
    """A ticket to open; `priority` and `skill_required` are an extension."""

    model_config = _example(
        battery_id=1,
        issue_category="performance",
        description="Battery not holding charge properly",
        location="Bangalore Central",
    )

    battery_id: Id
    issue_category: Category
    description: Description
    location: OptionalText | None = None
    priority: Priority = "medium"
    skill_required: Text | None = None


class AssignTicketIn(BaseModel):
    """Who is to have a ticket."""

    model_config = _example(technician_id=2, priority="high")

    technician_id: Id
    priority: Priority | None = None


class AutoAssignIn(BaseModel):
    """The ticket to assign, and what to look for beyond what the ticket says."""

    model_config = _example(
        ticket_id=1, location="Bangalore Central", priority="medium", skill_required="battery_maintenance"
    )

    ticket_id: Id
    location: Text | None = None
    priority: Priority | None = None
    skill_required: Text | None = None


class UpdateTicketIn(BaseModel):
    """What is new of a ticket, one thing at least; `parts_cost` in rupees is an extension."""

    model_config = _example(
        status="in_progress",
        resolution_notes="Found loose connection",
        parts_used="Connector kit",
        labor_hours=2,
    )

    status: Status | None = None
    description: Description | None = None
    resolution_notes: Notes | None = None
    parts_used: Notes | None = None
    labor_hours: Hours | None = None
    parts_cost: Rupees | None = None

    def report(self) -> Report:
        """Return it as `stream.service.progress` takes it."""
        return Report(
            status=self.status,
            description=self.description,
            resolution_notes=self.resolution_notes,
            parts_used=self.parts_used,
            parts_cost_minor=None if self.parts_cost is None else minor_units(self.parts_cost),
            labor_hours=self.labor_hours,
        )


class RateIn(BaseModel):
    """How the consumer liked the service, 1 to 5."""

    model_config = _example(rating=5)

    rating: Annotated[int, Field(ge=1, le=5)]


class _TicketBase(BaseModel):
    id: int
    battery_id: int
    issue_category: Category
    description: str
    assigned_to: int | None
    status: Status


class TicketOut(_TicketBase):
    """A ticket."""

    location: str | None
    created_at: Time

    @classmethod
    def of(cls, ticket: Ticket) -> "TicketOut":
        """Show `ticket`."""
        return cls.model_validate(ticket, from_attributes=True)


class AssignedTicket(_TicketBase):
    """A ticket that was given to a technician."""

    priority: Priority
    created_at: Time


class UpdatedTicket(_TicketBase):
    """A ticket with what was done."""

    resolution_notes: str | None
    parts_used: str | None
    labor_hours: int | float | None
    created_at: Time

    @classmethod
    def of(cls, ticket: Ticket) -> "UpdatedTicket":
        """Show `ticket`."""
        return cls.model_validate(_facts(ticket))


class ActiveTicket(_TicketBase):
    """A ticket that is not resolved, with its people; the last three fields are an extension."""

    location: str | None
    battery_serial: str
    consumer_name: str | None
    consumer_phone: str | None
    technician_name: str | None
    created_at: Time
    priority: Priority
    sla_due_at: Time
    sla_breached: bool

    @classmethod
    def of(cls, ticket: Ticket, now: datetime) -> "ActiveTicket":
        """Show `ticket` as it stands now."""
        return cls.model_validate({**_facts(ticket), "sla_breached": _breached(ticket, now)})


class EventOut(BaseModel):
    """What happened to a ticket: opened, assigned, status, noted or rated; `actor_id` null: the platform."""

    kind: str
    actor_id: int | None
    detail: dict[str, Any]
    at: Time


class TicketDetail(BaseModel):
    """All of a ticket, the newest events first; `parts_cost` in rupees, `satisfaction` 1 to 5."""

    id: int
    battery_id: int
    battery_serial: str
    issue_category: Category
    description: str
    priority: Priority
    status: Status
    location: str | None
    skill_required: str | None
    consumer_name: str | None
    consumer_phone: str | None
    assigned_to: int | None
    technician_name: str | None
    alarm_id: int | None
    sla_due_at: Time
    sla_breached: bool
    created_at: Time
    assigned_at: Time | None
    started_at: Time | None
    resolved_at: Time | None
    resolution_notes: str | None
    parts_used: str | None
    parts_cost: int | float | None
    labor_hours: int | float | None
    satisfaction: int | None
    events: list[EventOut]

    @classmethod
    def of(cls, ticket: Ticket, events: Sequence[TicketEvent], now: datetime) -> "TicketDetail":
        """Show `ticket` with its history."""
        cost = ticket.parts_cost_minor
        listed = [EventOut.model_validate(event, from_attributes=True) for event in events]
        return cls.model_validate(
            {
                **_facts(ticket),
                "sla_breached": _breached(ticket, now),
                "parts_cost": None if cost is None else money(cost),
                "events": listed,
            }
        )


def _facts(ticket: Ticket) -> dict[str, Any]:
    hours = ticket.labor_hours
    facts = {name: getattr(ticket, name) for name in Ticket.__slots__}
    return {**facts, "labor_hours": None if hours is None else plain(hours)}


def _breached(ticket: Ticket, now: datetime) -> bool:
    return is_breached(ticket.sla_due_at, ticket.resolved_at, now)


class TechnicianStatus(BaseModel):
    """Who has a new ticket."""

    id: int
    name: str
    location: str
    status: str


class OpenedTicket(BaseModel):
    """A new ticket and who has it; null where nobody is free: the ticket stays open."""

    ticket: TicketOut
    assigned_technician: TechnicianStatus | None

    @classmethod
    def of(cls, ticket: Ticket, technician: Technician | None) -> "OpenedTicket":
        """Show what was opened."""
        who = None
        if technician is not None:
            who = TechnicianStatus.model_validate(technician, from_attributes=True)
        return cls(ticket=TicketOut.of(ticket), assigned_technician=who)


class ActiveSummary(BaseModel):
    """Active tickets by status; they add up to `count`."""

    open: int
    assigned: int
    in_progress: int


class ActiveTickets(BaseModel):
    """The tickets that are not resolved, the newest first."""

    active_tickets: list[ActiveTicket]
    count: int
    summary: ActiveSummary

    @classmethod
    def of(cls, tickets: Sequence[Ticket], now: datetime) -> "ActiveTickets":
        """Show `tickets`."""
        counts = {name: sum(each.status == name for each in tickets) for name in ActiveSummary.model_fields}
        return cls(
            active_tickets=[ActiveTicket.of(each, now) for each in tickets],
            count=len(tickets),
            summary=ActiveSummary(**counts),
        )


class TechnicianContact(BaseModel):
    """Whom a ticket was given to, by hand."""

    id: int
    name: str
    phone: str | None
    role: Literal["technician"]


class TicketAssigned(BaseModel):
    """A ticket was given to the technician that the caller named."""

    message: Literal["Ticket assigned successfully"]
    ticket: AssignedTicket
    assigned_technician: TechnicianContact

    @classmethod
    def of(cls, ticket: Ticket, technician: Technician) -> "TicketAssigned":
        """Show who has `ticket` now."""
        contact = TechnicianContact(
            id=technician.id, name=technician.name, phone=technician.phone, role="technician"
        )
        return cls(
            message="Ticket assigned successfully",
            ticket=AssignedTicket.model_validate(ticket, from_attributes=True),
            assigned_technician=contact,
        )


class TicketUpdated(BaseModel):
    """A ticket was changed."""

    message: Literal["Ticket updated successfully"]
    ticket: UpdatedTicket


class TicketRated(BaseModel):
    """A consumer has said how the service was."""

    message: Literal["Ticket rated successfully"]
    ticket_id: int
    rating: int


class AvailableTechnician(BaseModel):
    """A technician with room for more; the score is 0 to 100."""

    id: int
    name: str
    location: str
    status: str
    skills: list[str]
    rating: int | float
    experience_years: int | float
    current_load: int
    availability_score: float

    @classmethod
    def of(cls, technician: Technician, score: float) -> "AvailableTechnician":
        """Show `technician`."""
        return cls(
            id=technician.id,
            name=technician.name,
            location=technician.location,
            status=technician.status,
            skills=technician.skills,
            rating=plain(technician.rating),
            experience_years=plain(technician.experience_years),
            current_load=technician.load,
            availability_score=score,
        )


class AvailableTechnicians(BaseModel):
    """Those who could take a ticket now, the best first."""

    available_technicians: list[AvailableTechnician]
    count: int
    scoring_algorithm: str


class AutoTicket(BaseModel):
    """A ticket that was given to whoever suits best."""

    id: int
    battery_id: int
    assigned_to: int
    status: Status
    priority: Priority


class Winner(BaseModel):
    """Who suits best."""

    id: int
    name: str
    availability_score: float


class OtherCandidate(BaseModel):
    """Who could have had it, too."""

    id: int
    name: str
    score: float


class AutoAssigned(BaseModel):
    """What was chosen, and why."""

    message: Literal["Ticket auto-assigned successfully"]
    ticket: AutoTicket
    assigned_technician: Winner
    assignment_reason: str
    other_candidates: list[OtherCandidate]

    @classmethod
    def of(cls, choice: Choice) -> "AutoAssigned":
        """Show `choice`."""
        technician, score = choice.technician, choice.score
        others = [OtherCandidate(id=each.id, name=each.name, score=points) for each, points in choice.others]
        return cls(
            message="Ticket auto-assigned successfully",
            ticket=AutoTicket.model_validate(choice.ticket, from_attributes=True),
            assigned_technician=Winner(id=technician.id, name=technician.name, availability_score=score),
            assignment_reason=f"Selected based on highest score: {score:.1f}",
            other_candidates=others,
        )
