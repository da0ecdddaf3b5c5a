"""EV-CMS sessions: /api/v1/sessions (EV-045 to EV-051)."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Query

from api.context import Ctx, Db
from api.evcms import remote
from api.evcms.callers import AnyUser, BrandOrAdmin, owner_filter, user_filter
from api.evcms.envelope import Answer, Id, Paging
from api.evcms.moments import Moment, end_of, parse_moment
from api.evcms.schemas.sessions import (
    History,
    NamedCdr,
    NamedSession,
    SessionPage,
    SessionRows,
    SessionStatus,
    StartIn,
    StopIn,
    Stopped,
    TotalsOut,
)
from api.evcms.session_access import no_record, record_of, session_of, show
from api.routing import Router
from storage.queries import sessions
from storage.queries.session_pages import list_sessions_page, session_sums

router = Router(prefix="/sessions")

ACTIVE_MAX = 1_000
# No session lies beyond, and every zone has a day for these.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def _bounded(moment: datetime) -> datetime:
    return min(max(moment, EARLIEST), LATEST)


@router.get("")
async def list_sessions(
    caller: AnyUser,
    context: Ctx,
    db: Db,
    paging: Annotated[Paging, Depends()],
    status: SessionStatus | None = None,
) -> SessionPage:
    """List sessions, newest first: a user's own, those at a brand's chargers, an admin all."""
    found, total = await list_sessions_page(
        db,
        user_id=user_filter(caller),
        owner_id=owner_filter(caller),
        status=status,
        limit=paging.limit,
        offset=paging.offset,
    )
    rows = await show(context, db, found)
    return SessionPage(success=True, data=rows, sessions=rows, pagination=paging.of(total))


@router.get("/active")
async def active(caller: AnyUser, context: Ctx, db: Db) -> SessionRows:
    """List the sessions that are under way, the newest 1,000 of them."""
    found, _ = await sessions.list_sessions(
        db,
        user_id=user_filter(caller),
        owner_id=owner_filter(caller),
        status="active",
        limit=ACTIVE_MAX,
    )
    rows = await show(context, db, found)
    return SessionRows(success=True, data=rows, sessions=rows)


@router.get("/history")
async def history(
    caller: AnyUser,
    context: Ctx,
    db: Db,
    paging: Annotated[Paging, Depends()],
    start_date: Annotated[Moment | None, Query(alias="startDate")] = None,
    end_date: Annotated[Moment | None, Query(alias="endDate")] = None,
) -> History:
    """List ended sessions by when they started, `endDate` included, with sums over all of them."""
    user_id, owner_id = user_filter(caller), owner_filter(caller)
    from_ = _bounded(parse_moment(start_date)) if start_date else None
    to = _bounded(end_of(end_date)) if end_date else None
    found, total = await list_sessions_page(
        db,
        user_id=user_id,
        owner_id=owner_id,
        status="completed",
        from_=from_,
        to=to,
        limit=paging.limit,
        offset=paging.offset,
    )
    sums = await session_sums(db, user_id=user_id, owner_id=owner_id, status="completed", from_=from_, to=to)
    totals = TotalsOut.of(sums)
    rows = await show(context, db, found)
    return History(success=True, data=rows, sessions=rows, totals=totals, pagination=paging.of(total))


@router.get("/{id}")
async def session(session_id: Id, caller: AnyUser, context: Ctx, db: Db) -> Answer[NamedSession]:
    """Show a session."""
    (shown,) = await show(context, db, [await session_of(db, caller, session_id)])
    return Answer.of(NamedSession.around(shown))


@router.post("", status_code=201)
async def start(body: StartIn, caller: BrandOrAdmin, context: Ctx) -> Answer[NamedSession]:
    """Start a session for a user: answers when the charger has begun it."""
    started = await remote.start(context, caller, body)
    async with context.pool.connection() as db:
        (shown,) = await show(context, db, [started])
    return Answer.of(NamedSession.around(shown))


@router.post("/{id}/stop")
async def stop(session_id: Id, caller: AnyUser, context: Ctx, body: StopIn | None = None) -> Answer[Stopped]:
    """Stop a session: answers when the charger has ended it and it is rated."""
    stopped, record = await remote.stop(context, caller, session_id, body.reason if body else None)
    async with context.pool.connection() as db:
        (shown,) = await show(context, db, [stopped])
    return Answer.of(Stopped(session=shown, cdr=record))


@router.get("/{id}/cdr")
async def cdr(session_id: Id, caller: AnyUser, db: Db) -> Answer[NamedCdr]:
    """Show a session's charge detail record."""
    found = await session_of(db, caller, session_id)
    record = await record_of(db, found)
    if record is None:
        raise no_record(found)
    return Answer.of(NamedCdr.around(record))
