"""EV-CMS maintenance: the record, what may be asked of it, and its state machine."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.evcms.envelope import Maybe, Named, Out, Page, Rows, Time
from api.evcms.moments import Moment, parse_moment
from api.fields import AMOUNT_MAX, OptionalText, Storable, Text, money
from storage.queries.maintenance import Record, Stats

WORDS_CHARACTERS_MAX = 5_000
CHARGERS_MAX = 100  # of one schedule
PARTS_MAX = 100  # of one record
YEARS = range(2000, 2101)  # of a plan

MaintenanceType = Literal["preventive", "corrective", "emergency"]
MaintenanceStatus = Literal["scheduled", "in-progress", "completed", "cancelled"]
Priority = Literal["low", "medium", "high", "critical"]
Words = Annotated[str, Field(min_length=1, max_length=WORDS_CHARACTERS_MAX), Storable]
Notes = Annotated[str, Field(max_length=WORDS_CHARACTERS_MAX), Storable]
Cost = Annotated[Decimal, Field(ge=0, le=AMOUNT_MAX, decimal_places=2)]


def _plausible(text: str) -> str:
    if parse_moment(text).year not in YEARS:
        raise ValueError(f"must be in the years {YEARS.start} to {YEARS.stop - 1}")
    return text


PlannedDate = Annotated[Moment, AfterValidator(_plausible), Field(examples=["2026-02-01T09:00:00Z"])]

# From each status to those that may follow; work that is done or called off stays so.
TRANSITIONS: Mapping[str, frozenset[str]] = {
    "scheduled": frozenset({"in-progress", "cancelled"}),
    "in-progress": frozenset({"completed", "cancelled"}),
    "completed": frozenset(),
    "cancelled": frozenset(),
}


class _In(BaseModel):
    model_config = ConfigDict(populate_by_name=True)


class RecordIn(_In):
    """Work to be done; `chargerId` is a charger's OCPP identity, or its id. `assignedTo` is an extension."""

    charger_id: Annotated[Text, Field(alias="chargerId")]
    type: MaintenanceType
    description: Words
    scheduled_date: Annotated[PlannedDate, Field(alias="scheduledDate")]
    priority: Priority
    assigned_to: Annotated[OptionalText | None, Field(alias="assignedTo")] = None


class ScheduleIn(_In):
    """The same work on many chargers; `description` and `priority` are extensions."""

    charger_ids: Annotated[list[Text], Field(alias="chargerIds", min_length=1, max_length=CHARGERS_MAX)]
    scheduled_date: Annotated[PlannedDate, Field(alias="scheduledDate")]
    type: MaintenanceType
    description: Words | None = None
    priority: Priority = "medium"


class RecordChange(_In):
    """What is to change; `completedDate` only of work that is completed. `assignedTo` is an extension."""

    status: MaintenanceStatus | None = None
    notes: Notes | None = None
    completed_date: Annotated[Moment | None, Field(alias="completedDate")] = None
    assigned_to: Annotated[OptionalText | None, Field(alias="assignedTo")] = None


class CompleteIn(_In):
    """What was done; `cost` in rupees."""

    notes: Notes
    parts_replaced: Annotated[list[Text], Field(alias="partsReplaced", max_length=PARTS_MAX)] = []
    cost: Cost | None = None


class RecordOut(Out):
    """Work on a charger. `charger_id` is the charger's OCPP identity, `cost` in rupees."""

    id: str
    charger_id: str
    charger_name: str
    type: MaintenanceType
    description: str
    status: MaintenanceStatus
    priority: Priority
    scheduled_date: Time
    started_date: Maybe[Time]
    completed_date: Maybe[Time]
    assigned_to: Maybe[str]
    notes: Maybe[str]
    parts_replaced: Maybe[list[str]]
    cost: Maybe[float]
    created_at: Time

    @classmethod
    def of(cls, record: Record) -> "RecordOut":
        """Show `record`."""
        return cls.model_validate(
            {
                "id": str(record.id),
                "charger_id": record.charger_identity,
                "charger_name": record.charger_name or record.charger_identity,
                "type": record.type,
                "description": record.description,
                "status": record.status,
                "priority": record.priority,
                "scheduled_date": record.scheduled_at,
                "started_date": record.started_at,
                "completed_date": record.completed_at,
                "assigned_to": record.assigned_to or None,
                "notes": record.notes,
                "parts_replaced": record.parts_replaced or None,
                "cost": None if record.cost_minor is None else money(record.cost_minor),
                "created_at": record.created_at,
            }
        )


class NamedRecord(RecordOut, Named):
    """`data` of an answer about one record."""

    record: RecordOut


class RecordPage(Page[RecordOut]):
    """One page of records, newest first."""

    records: list[RecordOut]


class RecordRows(Rows[RecordOut]):
    """Records without pages, one a charger, in the order of the request."""

    records: list[RecordOut]


class RecordStats(Out):
    """Records by status (conflict C60): what is scheduled is `overdue` when its time is past, else `pending`.

    `cancelled` is an extension: with it the figures add up to `total`.
    """

    total: int
    pending: int
    in_progress: int
    completed: int
    overdue: int
    cancelled: int

    @classmethod
    def of(cls, stats: Stats) -> "RecordStats":
        """Show `stats`."""
        return cls(
            total=stats.total,
            pending=stats.pending,
            in_progress=stats.in_progress,
            completed=stats.completed,
            overdue=stats.overdue,
            cancelled=stats.cancelled,
        )
