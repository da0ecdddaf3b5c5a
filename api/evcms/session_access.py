"""Which session a request means, whether the caller may see it, and how it is shown."""

from collections.abc import Sequence

from api.callers import Caller
from api.context import Context
from api.errors import Problem, forbidden, not_found
from api.evcms.callers import owner_filter, user_filter
from api.evcms.schemas.receipts import CorrectionOut
from api.evcms.schemas.sessions import CdrOut, SessionOut, show_all
from api.fields import parse_id
from protocols.vocabulary import MEASURAND_CODES
from storage.database import Connection
from storage.queries import cdrs, charger_views, sessions, users
from storage.queries.sessions import SessionDetail
from storage.queries.vehicles import get_vehicle

ENERGY_REGISTER = MEASURAND_CODES["Energy.Active.Import.Register"]


async def session_of(db: Connection, caller: Caller, reference: str) -> SessionDetail:
    """Return the session with this id; raises 404, or 403 for one that is not the caller's."""
    session_id = parse_id(reference)
    session = None if session_id is None else await sessions.get_session(db, session_id)
    if session is None:
        raise not_found("Session", f"No session has the id {reference}")
    driver, owner = user_filter(caller), owner_filter(caller)
    is_foreign = (driver is not None and session.user_id != driver) or (
        owner is not None and session.charger_owner_id != owner
    )
    if is_foreign:
        raise forbidden("This session belongs to another user or another owner's charger")
    return session


async def show(context: Context, db: Connection, found: Sequence[SessionDetail]) -> list[SessionOut]:
    """Show sessions, the active ones with what their meter says now."""
    active = [session.id for session in found if session.status == "active"]
    live = await charger_views.live_energy(db, active, ENERGY_REGISTER, context.now()) if active else {}
    return show_all(found, live, context.now())


async def record_of(db: Connection, session: SessionDetail) -> CdrOut | None:
    """Return the session's charge detail record, or None while it is not rated."""
    record = await cdrs.latest_cdr(db, session.id)
    if record is None:
        return None
    corrections: list[CorrectionOut] = []
    corrected_at = await cdrs.corrected_at(db, session.id)
    if corrected_at is not None:
        first = await cdrs.get_cdr(db, session.id)
        assert first is not None, "a correction refers to its record"
        corrections = [CorrectionOut.of(first, record, corrected_at)]
    driver = None if record.user_id is None else await users.get_user(db, record.user_id)
    vehicle = await _vehicle_info(db, session)
    return CdrOut.of(record, session, driver.name if driver else "", vehicle, corrections)


async def _vehicle_info(db: Connection, session: SessionDetail) -> str:
    """Say which of its driver's vehicles a session names; else what it says as it is."""
    vehicle_id = parse_id(session.vehicle_id or "")
    vehicle = None if vehicle_id is None else await get_vehicle(db, vehicle_id)
    if vehicle is None or vehicle.user_id != session.user_id:
        return session.vehicle_id or ""
    return f"{vehicle.make} {vehicle.model} ({vehicle.registration_number})"


def no_record(session: SessionDetail) -> Problem:
    """Return the 404 for a session that has no record yet."""
    if session.status == "active":
        return not_found("CDR", f"Session {session.id} is still active: it has a CDR when it has stopped")
    return not_found("CDR", f"Session {session.id} is not rated yet: try again in a moment")
