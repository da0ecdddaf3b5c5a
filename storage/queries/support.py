"""Support tickets of EV-CMS users and what is said about them; used by the API.

The service level is kept as `due_at`; whether it was met is judged by whoever shows the ticket.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.queries.counters import next_number

COUNTER = "ticket"


@dataclass(frozen=True, slots=True)
class Ticket:
    """`status`: open, in-progress, resolved or closed. `resolved_at`: when it was last resolved or closed."""

    id: int
    ticket_number: str
    user_id: int
    user_name: str
    subject: str
    description: str
    category: str
    priority: str
    status: str
    assigned_to: int | None
    rating_score: int | None
    rating_feedback: str | None
    rated_at: datetime | None
    due_at: datetime
    first_answer_at: datetime | None
    resolved_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Comment:
    """`author_type`: user or support."""

    id: int
    ticket_id: int
    author: str
    author_type: str
    comment: str
    attachments: list[str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StatusCounts:
    """Tickets by status; they add up to `total`."""

    total: int
    open: int
    in_progress: int
    resolved: int
    closed: int


@dataclass(frozen=True, slots=True)
class Stats(StatusCounts):
    """The same, and how long tickets waited for support's first answer; 0 where none was answered."""

    first_answer_s: float


_SELECT = """
SELECT ticket.id, ticket_number, user_id, users.name AS user_name, subject, description, category, priority,
       ticket.status, assigned_to, rating_score, rating_feedback, rated_at, due_at, first_answer_at,
       resolved_at, ticket.created_at
FROM support_tickets AS ticket JOIN users ON users.id = user_id
"""

_GET = _SELECT + "WHERE ticket.id = %(id)s"

_LOCK = _GET + " FOR UPDATE OF ticket"

_FILTER = """
WHERE (%(user_id)s::bigint IS NULL OR user_id = %(user_id)s)
  AND (%(status)s::text IS NULL OR ticket.status = %(status)s)
  AND (%(priority)s::text IS NULL OR priority = %(priority)s)
"""

_LIST = _SELECT + _FILTER + "ORDER BY ticket.id DESC LIMIT %(limit)s OFFSET %(offset)s"

_COUNT = "SELECT count(*) FROM support_tickets AS ticket " + _FILTER

_STATUS_COUNTS = """
SELECT count(*) AS total,
       count(*) FILTER (WHERE status = 'open') AS open,
       count(*) FILTER (WHERE status = 'in-progress') AS in_progress,
       count(*) FILTER (WHERE status = 'resolved') AS resolved,
       count(*) FILTER (WHERE status = 'closed') AS closed
"""

_STATUSES = _STATUS_COUNTS + "FROM support_tickets WHERE %(user_id)s::bigint IS NULL OR user_id = %(user_id)s"

_STATS = (
    _STATUS_COUNTS
    + """
       , coalesce(extract(epoch FROM avg(first_answer_at - created_at)), 0)::float8 AS first_answer_s
FROM support_tickets
"""
)

_INSERT = """
INSERT INTO support_tickets (ticket_number, user_id, subject, description, category, priority, due_at,
                             created_at, updated_at)
VALUES (%(number)s, %(user_id)s, %(subject)s, %(description)s, %(category)s, %(priority)s, %(due_at)s,
        %(now)s, %(now)s)
RETURNING id
"""

_UPDATE = """
UPDATE support_tickets
SET status = %(status)s, priority = %(priority)s, assigned_to = %(assigned_to)s, due_at = %(due_at)s,
    resolved_at = %(resolved_at)s, updated_at = %(now)s
WHERE id = %(id)s
"""

_RATE = """
UPDATE support_tickets
SET rating_score = %(score)s, rating_feedback = %(feedback)s, rated_at = %(now)s, updated_at = %(now)s
WHERE id = %(id)s
"""

_COMMENT = """
INSERT INTO ticket_comments (ticket_id, author_id, author_type, comment, attachments, created_at)
VALUES (%(ticket_id)s, %(author_id)s, %(author_type)s, %(comment)s, %(attachments)s, %(now)s)
RETURNING id
"""

_ANSWERED = """
UPDATE support_tickets SET first_answer_at = coalesce(first_answer_at, %(now)s), updated_at = %(now)s
WHERE id = %(id)s
"""

_COMMENT_COUNT = "SELECT count(*) FROM ticket_comments WHERE ticket_id = %(ticket_id)s"

# The newest of each ticket, oldest first as they are read.
_COMMENTS = """
SELECT newest.id, newest.ticket_id, users.name AS author, newest.author_type, newest.comment,
       newest.attachments, newest.created_at
FROM unnest(%(ticket_ids)s::bigint[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT * FROM ticket_comments WHERE ticket_comments.ticket_id = wanted.id ORDER BY id DESC LIMIT %(limit)s
) AS newest
JOIN users ON users.id = newest.author_id
ORDER BY newest.ticket_id, newest.id
"""


async def insert_ticket(
    connection: Connection,
    *,
    user_id: int,
    subject: str,
    description: str,
    category: str,
    priority: str,
    due_at: datetime,
    now: datetime,
) -> int:
    """Open a ticket under the next number; returns its id."""
    number = f"TKT-{await next_number(connection, COUNTER):06d}"
    facts = {"user_id": user_id, "subject": subject, "description": description, "category": category}
    more = {"number": number, "priority": priority, "due_at": due_at, "now": now}
    return int(await fetch_value(connection, _INSERT, {**facts, **more}))


async def get_ticket(connection: Connection, ticket_id: int) -> Ticket | None:
    """Return the ticket, or None."""
    return await fetch_one(connection, Ticket, _GET, {"id": ticket_id})


async def lock_ticket(connection: Connection, ticket_id: int) -> Ticket | None:
    """Return the ticket, held until commit, or None."""
    return await fetch_one(connection, Ticket, _LOCK, {"id": ticket_id})


async def list_tickets(
    connection: Connection,
    *,
    user_id: int | None,
    status: str | None,
    priority: str | None,
    limit: int,
    offset: int,
) -> tuple[list[Ticket], int]:
    """Return one page of tickets, of one user or of all, newest first, and how many there are in all."""
    where = {"user_id": user_id, "status": status, "priority": priority}
    page = await fetch_all(connection, Ticket, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))


async def status_counts(connection: Connection, user_id: int | None) -> StatusCounts:
    """Count the tickets of one user or of all."""
    counts = await fetch_one(connection, StatusCounts, _STATUSES, {"user_id": user_id})
    assert counts is not None
    return counts


async def ticket_stats(connection: Connection) -> Stats:
    """Count all tickets, and say how fast they were answered."""
    stats = await fetch_one(connection, Stats, _STATS, {})
    assert stats is not None
    return stats


async def update_ticket(
    connection: Connection,
    ticket_id: int,
    *,
    status: str,
    priority: str,
    assigned_to: int | None,
    due_at: datetime,
    resolved_at: datetime | None,
    now: datetime,
) -> None:
    """Put these in the place of what the ticket had; whoever calls holds it."""
    facts = {"status": status, "priority": priority, "assigned_to": assigned_to, "due_at": due_at}
    await connection.execute(_UPDATE, {**facts, "id": ticket_id, "resolved_at": resolved_at, "now": now})


async def rate_ticket(
    connection: Connection, ticket_id: int, *, score: int, feedback: str, now: datetime
) -> None:
    """Keep what the owner thinks of the resolution; whoever calls holds the ticket."""
    await connection.execute(_RATE, {"id": ticket_id, "score": score, "feedback": feedback, "now": now})


async def insert_comment(
    connection: Connection,
    ticket_id: int,
    *,
    author_id: int,
    author_type: str,
    comment: str,
    attachments: Sequence[str],
    now: datetime,
) -> int:
    """Write a comment; support's first one answers the ticket. Returns the comment's id."""
    facts = {"ticket_id": ticket_id, "author_id": author_id, "author_type": author_type, "comment": comment}
    made = await fetch_value(connection, _COMMENT, {**facts, "attachments": list(attachments), "now": now})
    if author_type == "support":
        await connection.execute(_ANSWERED, {"id": ticket_id, "now": now})
    return int(made)


async def count_comments(connection: Connection, ticket_id: int) -> int:
    """Return how many comments the ticket has."""
    return int(await fetch_value(connection, _COMMENT_COUNT, {"ticket_id": ticket_id}))


async def list_comments(connection: Connection, ticket_ids: Sequence[int], *, limit: int) -> list[Comment]:
    """Return the newest `limit` comments of each ticket, by ticket, oldest first."""
    return await fetch_all(connection, Comment, _COMMENTS, {"ticket_ids": list(ticket_ids), "limit": limit})
