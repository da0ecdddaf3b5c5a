"""EV-CMS support: /api/v1/support (EV-090 to EV-096). A user's own tickets, all of them for admins."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends

from api.callers import Caller
from api.context import Context, Ctx, Db
from api.errors import FieldError, Problem, forbidden, invalid, not_found
from api.evcms.audit import audit
from api.evcms.callers import FAMILY, Admin, AnyUser
from api.evcms.envelope import Answer, Id, Paging
from api.evcms.schemas.support import (
    OWNER_STATUSES,
    RESOLVED,
    SERVICE_LEVELS,
    TRANSITIONS,
    CommentIn,
    NamedTicket,
    Priority,
    RatingIn,
    Status,
    StatusCountsOut,
    TicketChange,
    TicketIn,
    TicketOut,
    TicketPage,
    TicketStats,
)
from api.evcms.uploaded import own_upload, url_of
from api.fields import parse_id
from api.routing import Router
from storage.database import Connection
from storage.queries import support
from storage.queries.support import Ticket
from storage.queries.users import get_user
from stream.notify import Kind, News, notify

router = Router(prefix="/support")

PATH = "/api/v1/support"
COMMENTS_MAX = 500  # of one ticket
LISTED_COMMENTS_MAX = 20  # of each ticket in a list


@router.get("/tickets")
async def list_tickets(
    caller: AnyUser,
    context: Ctx,
    db: Db,
    paging: Annotated[Paging, Depends()],
    status: Status | None = None,
    priority: Priority | None = None,
) -> TicketPage:
    """List tickets, newest first, each with its newest 20 comments: the caller's own, an admin all."""
    user_id = None if caller.role == "admin" else caller.id
    found, total = await support.list_tickets(
        db, user_id=user_id, status=status, priority=priority, limit=paging.limit, offset=paging.offset
    )
    ids = [ticket.id for ticket in found]
    comments = await support.list_comments(db, ids, limit=LISTED_COMMENTS_MAX)
    rows = [TicketOut.of(ticket, comments, context.now()) for ticket in found]
    counts = StatusCountsOut.of(await support.status_counts(db, user_id))
    return TicketPage(
        success=True, data=rows, tickets=rows, status_counts=counts, pagination=paging.of(total)
    )


@router.post("/tickets", status_code=201)
async def open_ticket(body: TicketIn, caller: AnyUser, context: Ctx, db: Db) -> Answer[NamedTicket]:
    """Open a ticket. Its priority says how soon it is to be resolved: high 4 hours, medium 24, low 72."""
    ticket_id = await support.insert_ticket(
        db,
        user_id=caller.id,
        subject=body.subject,
        description=body.description,
        category=body.category,
        priority=body.priority,
        due_at=context.now() + SERVICE_LEVELS[body.priority],
        now=context.now(),
    )
    return await _shown(context, db, ticket_id)


@router.get("/stats")
async def stats(caller: Admin, db: Db) -> Answer[TicketStats]:
    """Count all tickets, and say how fast support answers."""
    return Answer.of(TicketStats.of_stats(await support.ticket_stats(db)))


@router.get("/tickets/{id}")
async def ticket(ticket_id: Id, caller: AnyUser, context: Ctx, db: Db) -> Answer[NamedTicket]:
    """Show a ticket with all of its comments."""
    found = await _ticket_of(db, caller, ticket_id, support.get_ticket)
    return await _shown(context, db, found.id)


@router.put("/tickets/{id}")
async def change(
    ticket_id: Id, body: TicketChange, caller: AnyUser, context: Ctx, db: Db
) -> Answer[NamedTicket]:
    """Change a ticket. Its owner may close it, open it again and change its priority; admins do the rest.

    A ticket goes from open to in-progress, resolved and closed, steps may be left out; what is resolved or
    closed can be opened again. Another way is a 400. A changed priority counts from the ticket's creation.
    """
    found = await _ticket_of(db, caller, ticket_id)
    await _check_change(db, caller, found, body)
    after = _changed(found, body, context.now())
    await support.update_ticket(
        db,
        found.id,
        status=after.status,
        priority=after.priority,
        assigned_to=after.assigned_to,
        due_at=found.created_at + SERVICE_LEVELS[after.priority],
        resolved_at=after.resolved_at,
        now=context.now(),
    )
    if found.user_id != caller.id:
        asked = body.model_dump(by_alias=True, exclude_none=True)
        await audit(db, caller, context.now(), "ticket.change", found.id, asked)
    return await _shown(context, db, found.id)


@router.post("/tickets/{id}/comments", status_code=201)
async def comment(
    ticket_id: Id, body: CommentIn, caller: AnyUser, context: Ctx, db: Db
) -> Answer[NamedTicket]:
    """Comment on a ticket that is not closed. An admin's comment is support's answer: the owner hears."""
    found = await _ticket_of(db, caller, ticket_id)
    if found.status == "closed":
        raise Problem(400, "Ticket is closed", "Open the ticket again to comment on it")
    if await support.count_comments(db, found.id) >= COMMENTS_MAX:
        raise Problem(400, "Too many comments", f"A ticket has at most {COMMENTS_MAX}: open another one")
    comment_id = await support.insert_comment(
        db,
        found.id,
        author_id=caller.id,
        author_type="support" if caller.role == "admin" else "user",
        comment=body.comment,
        attachments=await _attachments(db, caller, body.attachments),
        now=context.now(),
    )
    if caller.role == "admin" and found.user_id != caller.id:
        values = {"number": found.ticket_number, "subject": found.subject}
        about = {"ticketId": str(found.id)}
        news = News(f"ticket-comment:{comment_id}", Kind.TICKET_ANSWERED, values, about)
        await notify(db, found.user_id, news, context.now())
    return await _shown(context, db, found.id)


@router.post("/tickets/{id}/rate")
async def rate(ticket_id: Id, body: RatingIn, caller: AnyUser, context: Ctx, db: Db) -> Answer[NamedTicket]:
    """Rate the resolution of one's own ticket, once; it must be resolved or closed."""
    found = await _ticket_of(db, caller, ticket_id)
    if found.user_id != caller.id:
        raise forbidden("Only its owner rates a ticket")
    if found.status not in RESOLVED:
        raise Problem(
            400, "Ticket is not resolved", f"The ticket is {found.status}: rate it when it is resolved"
        )
    if found.rated_at is not None:
        raise Problem(409, "Ticket is rated already", "A ticket is rated once")
    await support.rate_ticket(db, found.id, score=body.rating, feedback=body.feedback, now=context.now())
    return await _shown(context, db, found.id)


async def _ticket_of(
    db: Connection,
    caller: Caller,
    reference: str,
    get: Callable[[Connection, int], Awaitable[Ticket | None]] = support.lock_ticket,
) -> Ticket:
    """Return the ticket with this id, held until commit; raises 404, or 403 for another user's."""
    ticket_id = parse_id(reference)
    found = None if ticket_id is None else await get(db, ticket_id)
    if found is None:
        raise not_found("Ticket", f"No ticket has the id {reference}")
    if caller.role != "admin" and found.user_id != caller.id:
        raise forbidden("This ticket is another user's")
    return found


async def _check_change(db: Connection, caller: Caller, found: Ticket, body: TicketChange) -> None:
    is_change = body.status is not None and body.status != found.status
    if caller.role != "admin":
        if body.assigned_to is not None:
            raise forbidden("Only admins assign tickets")
        if is_change and body.status not in OWNER_STATUSES:
            raise forbidden("The owner of a ticket closes it or opens it again; the rest is for support")
    if is_change and body.status not in TRANSITIONS[found.status]:
        details = f"A ticket that is {found.status} cannot become {body.status}"
        raise Problem(400, "Ticket cannot change so", details)
    if body.assigned_to is not None:
        user_id = parse_id(body.assigned_to)
        user = None if user_id is None else await get_user(db, user_id)
        if user is None or (user.system, user.role, user.status) != (FAMILY, "admin", "active"):
            raise Problem(400, "Not an admin", f"assignedTo must be an admin's id, not {body.assigned_to}")


@dataclass(frozen=True, slots=True)
class _After:
    status: str
    priority: str
    assigned_to: int | None
    resolved_at: datetime | None


def _changed(found: Ticket, body: TicketChange, now: datetime) -> _After:
    status = body.status or found.status
    assigned_to = found.assigned_to if body.assigned_to is None else int(body.assigned_to)
    resolved_at = (found.resolved_at or now) if status in RESOLVED else None
    return _After(status, body.priority or found.priority, assigned_to, resolved_at)


async def _attachments(db: Connection, caller: Caller, urls: list[str]) -> list[str]:
    """Return the uploads' own URLs; raises 422 for one that is no upload of the caller's."""
    own: list[str] = []
    for position, url in enumerate(urls):
        upload = await own_upload(db, caller.id, None, url)
        if upload is None:
            fault = FieldError(f"attachments.{position}", "must be the url of an upload of your own")
            raise invalid(PATH, [fault])
        own.append(url_of(upload))
    return own


async def _shown(context: Context, db: Connection, ticket_id: int) -> Answer[NamedTicket]:
    found = await support.get_ticket(db, ticket_id)
    assert found is not None, "tickets are never deleted"
    comments = await support.list_comments(db, [ticket_id], limit=COMMENTS_MAX)
    return Answer.of(NamedTicket.around(TicketOut.of(found, comments, context.now())))
