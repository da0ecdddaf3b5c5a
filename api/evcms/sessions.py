"""Charging sessions: read by whom they concern; started and stopped through the charger, never past it."""

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Annotated, TypedDict

import structlog
from fastapi import APIRouter, Body, Path, Query

from api.callers import Caller
from api.context import Context, Ctx, Db
from api.errors import Problem, forbidden, not_found
from api.evcms.callers import SYSTEM, AnyUser, Operator
from api.evcms.chargers import call, reachable
from api.evcms.schemas.charging import (
    ActiveAnswer,
    CdrAnswer,
    CdrData,
    CdrOut,
    CdrPricing,
    HistoryAnswer,
    SessionAnswer,
    SessionData,
    SessionOut,
    SessionsAnswer,
    SessionStatus,
    StartRequest,
    StopAnswer,
    StopData,
    StopRequest,
    Totals,
)
from api.evcms.schemas.common import PAGE_MAX, Paging, money
from api.fields import parse_id
from protocols.vocabulary import MEASURAND_CODES
from storage.database import Connection
from storage.queries import sessions
from storage.queries.cdrs import Cdr, get_cdr
from storage.queries.charger_views import ChargerView, live_energy
from storage.queries.id_tokens import put_token
from storage.queries.remote_sessions import find_started, set_vehicle
from storage.queries.sessions import SessionDetail, SessionTotals
from storage.queries.users import get_user

log = structlog.get_logger()
router = APIRouter(prefix="/api/v1/sessions", tags=["EV-CMS: sessions"])

SessionId = Annotated[str, Path(max_length=200)]
POLL_S = 0.1
_ENERGY = MEASURAND_CODES["Energy.Active.Import.Register"]


@router.get("", response_model_exclude_none=True)
async def session_list(
    caller: AnyUser,
    context: Ctx,
    db: Db,
    paging: Annotated[Paging, Query()],
    status: Annotated[SessionStatus | None, Query()] = None,
) -> SessionsAnswer:
    """A page of sessions: one's own, those of one's chargers, or all (EV-045)."""
    found, total = await sessions.list_sessions(
        db, **_scope(caller), status=status, limit=paging.size, offset=paging.offset
    )
    rows = await _shown(db, context, found)
    return SessionsAnswer(success=True, data=rows, sessions=rows, pagination=paging.of(total))


@router.get("/active", response_model_exclude_none=True)
async def session_active(caller: AnyUser, context: Ctx, db: Db) -> ActiveAnswer:
    """Open sessions, the newest hundred (EV-046)."""
    found, _ = await sessions.list_sessions(db, **_scope(caller), status="active", limit=PAGE_MAX)
    rows = await _shown(db, context, found)
    return ActiveAnswer(success=True, data=rows, sessions=rows)


@router.get("/history", response_model_exclude_none=True)
async def session_history(
    caller: AnyUser,
    context: Ctx,
    db: Db,
    paging: Annotated[Paging, Query()],
    start_date: Annotated[datetime | None, Query(alias="startDate")] = None,
    end_date: Annotated[datetime | None, Query(alias="endDate")] = None,
) -> HistoryAnswer:
    """A page of sessions of a span of time, with the sums over all of it (EV-047)."""
    scope, from_, to = _scope(caller), _in_utc(start_date), _in_utc(end_date)
    found, total = await sessions.list_sessions(
        db, **scope, from_=from_, to=to, limit=paging.size, offset=paging.offset
    )
    totals = _totals(await sessions.session_totals(db, **scope, from_=from_, to=to))
    rows = await _shown(db, context, found)
    return HistoryAnswer(success=True, data=rows, sessions=rows, totals=totals, pagination=paging.of(total))


@router.get("/{session_id}", response_model_exclude_none=True)
async def session_detail(session_id: SessionId, caller: AnyUser, context: Ctx, db: Db) -> SessionAnswer:
    """One session (EV-048)."""
    session = await _reachable(db, session_id, caller)
    return await _one(db, context, session)


@router.post("", status_code=201, response_model_exclude_none=True)
async def session_start(body: StartRequest, caller: Operator, context: Ctx) -> SessionAnswer:
    """Start charging for a user: returns once the charger has begun the transaction (EV-049)."""
    id_tag = f"APP-{uuid.uuid4().hex[:16].upper()}"  # of this one start, so that its session is known by it
    async with context.pool.connection() as connection:
        charger = await reachable(connection, body.charger_id, caller)
        user_id = parse_id(body.user_id)
        user = None if user_id is None else await get_user(connection, user_id)
        if user is None or user.system != SYSTEM:
            raise not_found("User", f"No user has the id {body.user_id}")
        if await sessions.active_session(connection, charger.device_id, body.connector_id) is not None:
            raise Problem(
                409, "Connector is in use", f"Connector {body.connector_id} of {charger.identity} is charging"
            )
        await put_token(connection, id_tag, user.id)
    payload = {"connectorId": body.connector_id, "idTag": id_tag}
    answer = await call(context, charger, "RemoteStartTransaction", payload)
    _accepted(charger, "start", answer)
    started = await _until_started(context, charger, id_tag)
    async with context.pool.connection() as connection:
        if body.vehicle_id:
            await set_vehicle(connection, started, body.vehicle_id)
        session = await sessions.get_session(connection, started)
        assert session is not None
        return await _one(connection, context, session)


@router.post("/{session_id}/stop", response_model_exclude_none=True)
async def session_stop(
    session_id: SessionId, caller: AnyUser, context: Ctx, body: Annotated[StopRequest | None, Body()] = None
) -> StopAnswer:
    """Stop charging: returns once the charger has stopped and the session is rated (EV-050)."""
    async with context.pool.connection() as connection:
        session = await _reachable(connection, session_id, caller)
        charger = await reachable(connection, str(session.device_id), caller)
    if session.status == "active":
        log.info("session_stop", session=session.id, user=caller.id, reason=body.reason if body else None)
        payload = {"transactionId": session.transaction_id}
        answer = await call(context, charger, "RemoteStopTransaction", payload)
        _accepted(charger, "stop", answer)
    stopped, record = await _until_rated(context, session.id, charger)
    async with context.pool.connection() as connection:
        shown = (await _shown(connection, context, [stopped]))[0]
        return StopAnswer(
            success=True, data=StopData(session=shown, cdr=await _cdr(connection, stopped, record))
        )


@router.get("/{session_id}/cdr")
async def session_cdr(session_id: SessionId, caller: AnyUser, db: Db) -> CdrAnswer:
    """The session's charge detail record (EV-051)."""
    session = await _reachable(db, session_id, caller)
    record = await get_cdr(db, session.id)
    if record is None:
        raise not_found("CDR", f"Session {session_id} is {session.status} and not rated yet")
    cdr = await _cdr(db, session, record)
    return CdrAnswer(success=True, data=CdrData(**dict(cdr), cdr=cdr))


class _Scope(TypedDict):
    """Whose sessions a caller sees, as the queries take it (rule R213)."""

    user_id: int | None
    owner_id: int | None


def _scope(caller: Caller) -> _Scope:
    is_operator = caller.role in {"admin", "brand"}
    return _Scope(
        user_id=None if is_operator else caller.id, owner_id=caller.id if caller.role == "brand" else None
    )


def _in_utc(moment: datetime | None) -> datetime | None:
    """A date without a zone means UTC."""
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)


async def _reachable(connection: Connection, text: str, caller: Caller) -> SessionDetail:
    number = parse_id(text)
    session = None if number is None else await sessions.get_session(connection, number)
    if session is None:
        raise not_found("Session", f"No session has the id {text}")
    own = {"admin": True, "brand": session.charger_owner_id == caller.id}
    if not own.get(caller.role, session.user_id == caller.id):
        raise forbidden("This session is not yours")
    return session


def _accepted(charger: ChargerView, verb: str, answer: dict[str, object]) -> None:
    if answer.get("status") != "Accepted":
        raise Problem(
            400,
            f"Charger {charger.identity} rejected the {verb}",
            f"It answered {answer.get('status')}: see whether the connector is free and in service",
        )


async def _until_started(context: Context, charger: ChargerView, id_tag: str) -> int:
    try:
        async with asyncio.timeout(context.config.session_start_s):
            while True:
                async with context.pool.connection() as connection:
                    started = await find_started(connection, charger.device_id, id_tag)
                if started is not None:
                    return started
                await asyncio.sleep(POLL_S)
    except TimeoutError as error:
        raise Problem(
            400,
            f"Charger {charger.identity} accepted the start, and began no transaction",
            f"None within {context.config.session_start_s:.0f} s: plug the vehicle in, then try again",
        ) from error


async def _until_rated(context: Context, session_id: int, charger: ChargerView) -> tuple[SessionDetail, Cdr]:
    try:
        async with asyncio.timeout(context.config.session_stop_s):
            while True:
                async with context.pool.connection() as connection:
                    record = await get_cdr(connection, session_id)
                    session = await sessions.get_session(connection, session_id)
                if record is not None and session is not None:
                    return session, record
                await asyncio.sleep(POLL_S)
    except TimeoutError as error:
        raise Problem(
            400,
            f"Charger {charger.identity} accepted the stop, and has not ended the transaction",
            f"Not within {context.config.session_stop_s:.0f} s: ask for the session again in a while",
        ) from error


async def _one(db: Connection, context: Context, session: SessionDetail) -> SessionAnswer:
    shown = (await _shown(db, context, [session]))[0]
    return SessionAnswer(success=True, data=SessionData(**dict(shown), session=shown))


async def _shown(db: Connection, context: Context, found: list[SessionDetail]) -> list[SessionOut]:
    """Print sessions; what an open one has drawn so far is read from its meter values."""
    active = [session.id for session in found if session.status == "active"]
    energy_wh = await live_energy(db, active, _ENERGY, context.now()) if active else {}
    return [_session(session, energy_wh.get(session.id)) for session in found]


def _session(session: SessionDetail, live_wh: float | None) -> SessionOut:
    energy_wh = session.energy_wh if session.energy_wh is not None else live_wh
    return SessionOut(
        id=str(session.id),
        session_id=f"SES-{session.id:06d}",
        user_id="" if session.user_id is None else str(session.user_id),
        charger_id=session.charger_identity,
        connector_id=session.connector_id,
        vehicle_id=session.vehicle_id or "",
        status=session.status,
        start_time=session.started_at,
        end_time=session.ended_at,
        meter_start=session.meter_start_wh,
        meter_stop=session.meter_stop_wh,
        energy_consumed=None if energy_wh is None else round(energy_wh / 1000, 3),
        duration=None if session.duration_s is None else round(session.duration_s / 60, 2),
        cost=None if session.total_minor is None else money(session.total_minor),
        payment_status=session.payment_status,
        stop_reason=session.stop_reason,
        ocpp_transaction_id=session.transaction_id,
    )


async def _cdr(db: Connection, session: SessionDetail, record: Cdr) -> CdrOut:
    user = None if record.user_id is None else await get_user(db, record.user_id)
    assert session.ended_at is not None
    assert session.meter_stop_wh is not None
    return CdrOut(
        session_id=str(session.id),
        user_id="" if record.user_id is None else str(record.user_id),
        user_name="" if user is None else user.name,
        charger_id=session.charger_identity,
        connector_id=session.connector_id,
        vehicle_info=session.vehicle_id or "",
        start_time=session.started_at,
        end_time=session.ended_at,
        duration=round(record.duration_s / 60, 2),
        energy_consumed=round(record.energy_wh / 1000, 3),
        meter_start=session.meter_start_wh,
        meter_stop=session.meter_stop_wh,
        total_cost=money(record.total_minor),
        currency=record.currency,
        pricing=CdrPricing(
            energy_rate=money(record.energy_minor_per_kwh),
            total_energy_cost=money(record.energy_minor),
            time_cost=money(record.time_minor),
            parking_fee=money(record.parking_minor),
            gst=money(record.gst_minor),
        ),
    )


def _totals(totals: SessionTotals) -> Totals:
    return Totals(
        sessions=totals.sessions,
        energy_consumed=round(totals.energy_wh / 1000, 3),
        duration=round(totals.duration_s / 60, 2),
        cost=money(totals.total_minor),
    )
