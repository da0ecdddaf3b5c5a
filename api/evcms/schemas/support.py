"""EV-CMS support tickets: the object, its service level, and what may be done with it."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.evcms.envelope import Maybe, Named, Out, Page, Time
from api.fields import Storable, Text
from storage.queries.support import Comment, Stats, StatusCounts, Ticket

WORDS_CHARACTERS_MAX = 5_000
URL_CHARACTERS_MAX = 500
ATTACHMENTS_MAX = 10  # of one comment
S_PER_MINUTE = 60

Category = Literal["technical", "billing", "general", "complaint"]
Priority = Literal["low", "medium", "high"]
Status = Literal["open", "in-progress", "resolved", "closed"]
Words = Annotated[str, Field(min_length=1, max_length=WORDS_CHARACTERS_MAX), Storable]
Url = Annotated[
    str,
    Field(
        max_length=URL_CHARACTERS_MAX,
        pattern=r"^(https?://[A-Za-z0-9.:-]+)?/uploads/[a-z]+/[A-Za-z0-9._-]+(\?[^\x00]*)?$",
        examples=["/uploads/document/5f1c.pdf"],
    ),
]

# Until when a ticket is to be resolved, from its creation (conflict C85).
SERVICE_LEVELS: Mapping[str, timedelta] = {
    "high": timedelta(hours=4),
    "medium": timedelta(hours=24),
    "low": timedelta(hours=72),
}
# From each status to those that may follow; back to open is a ticket that is opened again.
TRANSITIONS: Mapping[str, frozenset[str]] = {
    "open": frozenset({"in-progress", "resolved", "closed"}),
    "in-progress": frozenset({"resolved", "closed"}),
    "resolved": frozenset({"closed", "open"}),
    "closed": frozenset({"open"}),
}
OWNER_STATUSES = frozenset({"open", "closed"})
RESOLVED = frozenset({"resolved", "closed"})


class TicketIn(BaseModel):
    """A new ticket."""

    subject: Text
    description: Words
    category: Category
    priority: Priority = "medium"


class TicketChange(BaseModel):
    """What is to change; `assignedTo` is an admin's id, and for admins to set."""

    model_config = ConfigDict(populate_by_name=True)

    status: Status | None = None
    priority: Priority | None = None
    assigned_to: Annotated[Text | None, Field(alias="assignedTo")] = None


class CommentIn(BaseModel):
    """A comment; `attachments` are URLs of the author's own uploads."""

    comment: Words
    attachments: Annotated[list[Url], Field(max_length=ATTACHMENTS_MAX)] = []


class RatingIn(BaseModel):
    """What the owner thinks of the resolution, 1 to 5."""

    rating: Annotated[int, Field(ge=1, le=5)]
    feedback: Annotated[str, Field(max_length=WORDS_CHARACTERS_MAX), Storable] = ""


class CommentOut(Out):
    """`author` is a name."""

    author: str
    author_type: Literal["user", "support"]
    comment: str
    attachments: list[str]
    created_at: Time

    @classmethod
    def of(cls, comment: Comment) -> "CommentOut":
        """Show `comment`."""
        return cls.model_validate(
            {
                "author": comment.author,
                "author_type": comment.author_type,
                "comment": comment.comment,
                "attachments": comment.attachments,
                "created_at": comment.created_at,
            }
        )


class RatingOut(Out):
    """What the owner thought of the resolution."""

    score: int
    feedback: str
    rated_at: Time


class TicketOut(Out):
    """A ticket. `sla_status` says whether it was resolved in time or, until it is, whether it still can be.

    In time is 4 hours for high priority, 24 for medium, 72 for low, from its creation on.
    """

    id: str
    ticket_number: str
    user_id: str
    user_name: str
    subject: str
    description: str
    category: Category
    priority: Priority
    status: Status
    assigned_to: Maybe[str]
    comments: list[CommentOut]
    rating: Maybe[RatingOut]
    created_at: Time
    resolved_at: Maybe[Time]
    sla_status: Literal["within", "breached"]

    @classmethod
    def of(cls, ticket: Ticket, comments: Iterable[Comment], now: datetime) -> "TicketOut":
        """Show a ticket with those of `comments` that are its own."""
        rating = None
        if ticket.rating_score is not None and ticket.rated_at is not None:
            rating = RatingOut(
                score=ticket.rating_score, feedback=ticket.rating_feedback or "", rated_at=ticket.rated_at
            )
        return cls.model_validate(
            {
                "id": str(ticket.id),
                "ticket_number": ticket.ticket_number,
                "user_id": str(ticket.user_id),
                "user_name": ticket.user_name,
                "subject": ticket.subject,
                "description": ticket.description,
                "category": ticket.category,
                "priority": ticket.priority,
                "status": ticket.status,
                "assigned_to": None if ticket.assigned_to is None else str(ticket.assigned_to),
                "comments": [CommentOut.of(each) for each in comments if each.ticket_id == ticket.id],
                "rating": rating,
                "created_at": ticket.created_at,
                "resolved_at": ticket.resolved_at,
                "sla_status": "breached" if (ticket.resolved_at or now) > ticket.due_at else "within",
            }
        )


class NamedTicket(TicketOut, Named):
    """`data` of an answer about one ticket."""

    ticket: TicketOut


class StatusCountsOut(Out):
    """All tickets that the caller sees, by status; they add up to `total`."""

    total: int
    open: int
    in_progress: int
    resolved: int
    closed: int

    @classmethod
    def of(cls, counts: StatusCounts) -> "StatusCountsOut":
        """Show `counts`."""
        return cls(
            total=counts.total,
            open=counts.open,
            in_progress=counts.in_progress,
            resolved=counts.resolved,
            closed=counts.closed,
        )


class TicketPage(Page[TicketOut]):
    """One page of tickets, newest first; `status_counts` does not heed the filters."""

    tickets: list[TicketOut]
    status_counts: StatusCountsOut


class TicketStats(StatusCountsOut):
    """All tickets; `avg_response_time` is minutes from creation to support's first answer, one decimal.

    `in_progress` and `closed` are extensions: with them the figures add up to `total`.
    """

    avg_response_time: float

    @classmethod
    def of_stats(cls, stats: Stats) -> "TicketStats":
        """Show `stats`."""
        counts = StatusCountsOut.of(stats)
        return cls(**dict(counts), avg_response_time=round(stats.first_answer_s / S_PER_MINUTE, 1))
