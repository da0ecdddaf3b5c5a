"""Starting and stopping a session from afar: a command, then what the charger itself reports.

A session exists when the charger has begun a transaction, and has a price when the jobs role has rated it:
both are waited for, within bounds, and no database connection is held meanwhile.
"""

import secrets
import time
from datetime import datetime, timedelta

import structlog

from api.callers import Caller
from api.context import Context
from api.errors import Problem, not_found
from api.evcms.callers import FAMILY
from api.evcms.charger_access import charger_named
from api.evcms.commands import call, fresh_number, version_of
from api.evcms.schemas.sessions import CdrOut, StartIn
from api.evcms.session_access import record_of, session_of
from api.evcms.waiting import until
from api.fields import parse_id
from protocols.ocpp import remote
from protocols.ocpp.remote import Order
from storage.database import Connection
from storage.queries import charger_views, remote_sessions, sessions
from storage.queries.bookings import Booking, booking_that_holds
from storage.queries.charger_views import ChargerView
from storage.queries.id_tokens import put_token
from storage.queries.sessions import SessionDetail
from storage.queries.users import User, get_user
from stream.bookings.reservations import give_token

log = structlog.get_logger()

ID_TAG_BYTES = 10  # 20 characters in hexadecimal: all that a CiString20 holds (OCPP 1.6 section 7.28)
ID_TAG_LIFE = timedelta(days=1)


async def start(context: Context, caller: Caller, order: StartIn) -> SessionDetail:
    """Have the charger begin a session for the driver; raises 400, 403, 404 or 409."""
    now = context.now()
    async with context.pool.connection() as db:
        charger = await charger_named(db, caller, order.charger_id)
        driver = await _driver(db, order.user_id)
        await refuse_busy(db, charger, order.connector_id)
        booking = await refuse_booked(db, charger, order.connector_id, driver.id, now)
        # One tag for one start: the session that carries it is the one that was asked for. Committed
        # before the call, for the charger asks about the tag before it answers.
        if booking is None:
            id_tag = secrets.token_hex(ID_TAG_BYTES)
            await put_token(db, id_tag, driver.id, expires_at=now + ID_TAG_LIFE)
        else:  # the charger may hold the connector for this one
            id_tag = booking.id_tag
            await give_token(db, booking)
    session_id = await begin(context, charger, order.connector_id, id_tag)
    async with context.pool.connection() as db:
        if order.vehicle_id:
            await remote_sessions.set_vehicle(db, session_id, order.vehicle_id)
        session = await sessions.get_session(db, session_id)
    assert session is not None
    return session


async def begin(context: Context, charger: ChargerView, connector_id: int, id_tag: str) -> int:
    """Have the charger begin a session with a tag that is known here; returns its id. Raises 400 or 409."""
    number = fresh_number()
    order = remote.start(version_of(charger), connector_id, id_tag, number)
    await _have_accepted(context, charger, order)
    session_id = await until(
        context,
        lambda db: remote_sessions.find_started(db, charger.device_id, id_tag, number),
        context.config.session_start_s,
    )
    if session_id is None:
        raise _never_came(charger, "begin a session", context.config.session_start_s)
    return session_id


async def stop(
    context: Context, caller: Caller, reference: str, reason: str | None
) -> tuple[SessionDetail, CdrOut | None]:
    """Have the charger end the session; raises 400, 403 or 404. No record: it is not rated yet."""
    async with context.pool.connection() as db:
        session = await session_of(db, caller, reference)
    if session.status != "active":
        raise Problem(400, "Session is not active", f"Session {session.id} is {session.status} already")
    log.info("session_stop_requested", session=session.id, by=caller.id, reason=reason)
    return await end(context, session)


async def end(context: Context, session: SessionDetail) -> tuple[SessionDetail, CdrOut | None]:
    """Have the charger end an active session; raises 400 or 409. No record: it is not rated yet."""
    async with context.pool.connection() as db:
        charger = await charger_views.get_view(db, session.device_id)
    assert charger is not None
    transaction_id = session.transaction_uid or session.transaction_id
    await _have_accepted(context, charger, remote.stop(version_of(charger), transaction_id))
    deadline_s = time.monotonic() + context.config.session_stop_s
    if await until(context, lambda db: _stopped(db, session.id), context.config.session_stop_s) is None:
        raise _never_came(charger, f"end session {session.id}", context.config.session_stop_s)
    return await _rated(context, session.id, deadline_s - time.monotonic())


async def _stopped(db: Connection, session_id: int) -> SessionDetail | None:
    session = await sessions.get_session(db, session_id)
    return session if session is not None and session.status != "active" else None


async def _rated(context: Context, session_id: int, wait_s: float) -> tuple[SessionDetail, CdrOut | None]:
    """Wait for the record; then read the session again, for rating says what it cost and how it was paid."""

    async def look(db: Connection) -> CdrOut | None:
        session = await _stopped(db, session_id)
        return None if session is None else await record_of(db, session)

    record = await until(context, look, wait_s)
    async with context.pool.connection() as db:
        session = await sessions.get_session(db, session_id)
    assert session is not None
    return session, record


async def _driver(db: Connection, reference: str) -> User:
    user_id = parse_id(reference)
    user = None if user_id is None else await get_user(db, user_id)
    if user is None or user.system != FAMILY:
        raise not_found("User", f"No user has the id {reference}")
    if user.status != "active":
        raise Problem(400, "User cannot charge", f"User {reference} is {user.status}")
    return user


async def refuse_booked(
    db: Connection, charger: ChargerView, connector_id: int, driver_id: int, now: datetime
) -> Booking | None:
    """Raise 409 where another driver's booking holds the connector now; return the driver's own, or None."""
    booking = await booking_that_holds(db, charger.device_id, connector_id, now)
    if booking is not None and booking.user_id != driver_id:
        details = f"Connector {connector_id} of {charger.identity} is booked by another driver at this time"
        raise Problem(409, "Connector is booked", details)
    return booking


async def refuse_busy(db: Connection, charger: ChargerView, connector_id: int) -> None:
    """Raise 409 where the connector has a session."""
    running = await sessions.active_session(db, charger.device_id, connector_id)
    if running is not None:
        details = f"Connector {connector_id} of {charger.identity} has session {running.id}: stop it first"
        raise Problem(409, "Connector is in use", details)


async def _have_accepted(context: Context, charger: ChargerView, order: Order) -> None:
    """Call the charger; 409 unless it accepts."""
    status = (await call(context, charger, order.action, order.payload)).get("status")
    if status != "Accepted":
        details = f"Charger {charger.identity} answered {order.action} with {status}"
        raise Problem(409, "Charger rejected the command", details, "CHARGER_REJECTED")


def _never_came(charger: ChargerView, what: str, waited_s: float) -> Problem:
    details = (
        f"Charger {charger.identity} accepted, but did not {what} within {waited_s:g} s."
        " It may still do so: look at its sessions before you try again"
    )
    return Problem(400, "Charger has not followed", details)
