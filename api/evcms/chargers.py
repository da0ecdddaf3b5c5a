"""EV-CMS chargers: /api/v1/chargers (EV-029 to EV-032, EV-038)."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.context import Ctx, Db
from api.evcms.callers import AnyUser, BrandOrAdmin, charger_scope
from api.evcms.charger_access import charger_of
from api.evcms.commands import send
from api.evcms.envelope import Answer, Id, Paging
from api.evcms.schemas.chargers import (
    ChargerLive,
    ChargerOut,
    ChargerPage,
    ChargerStats,
    ChargerStatus,
    CommandIn,
    NamedCharger,
    NamedResult,
)
from api.fields import OptionalText, parse_id
from storage.queries import charger_views, samples

router = APIRouter(prefix="/chargers")

LIVE_WINDOW = timedelta(minutes=15)
NOWHERE = 0  # no station has this id
Station = Annotated[str | None, Query(description="a station's id; one that does not exist matches nothing")]


def _station_id(station: str | None) -> int | None:
    return None if station is None else parse_id(station) or NOWHERE


@router.get("")
async def chargers(
    caller: AnyUser,
    db: Db,
    paging: Annotated[Paging, Depends()],
    station: Station = None,
    status: ChargerStatus | None = None,
    manufacturer: OptionalText | None = None,
) -> ChargerPage:
    """List chargers: a brand its own; users those in use; an admin all, archived ones left out."""
    found, total = await charger_views.list_views(
        db,
        charger_scope(caller),
        station_id=_station_id(station),
        status=status,
        manufacturer=manufacturer or None,
        limit=paging.limit,
        offset=paging.offset,
    )
    connectors = await charger_views.list_connector_views(db, [view.device_id for view in found])
    rows = [ChargerOut.of(view, connectors) for view in found]
    return ChargerPage(success=True, data=rows, chargers=rows, pagination=paging.of(total))


@router.get("/stats")
async def stats(caller: AnyUser, db: Db, station: Station = None) -> Answer[ChargerStats]:
    """Count the chargers that the caller sees, by status; those in maintenance are in the total only."""
    totals = await charger_views.charger_totals(db, charger_scope(caller), _station_id(station))
    return Answer.of(ChargerStats.of(totals))


@router.get("/{id}")
async def charger(charger_id: Id, caller: AnyUser, db: Db) -> Answer[NamedCharger]:
    """Show a charger."""
    view = await charger_of(db, caller, charger_id)
    connectors = await charger_views.list_connector_views(db, [view.device_id])
    return Answer.of(NamedCharger.around(ChargerOut.of(view, connectors)))


@router.get("/{id}/status")
async def status(charger_id: Id, caller: AnyUser, context: Ctx, db: Db) -> Answer[ChargerLive]:
    """Show what a charger is doing now, by its latest meter values."""
    view = await charger_of(db, caller, charger_id)
    connectors = await charger_views.list_connector_views(db, [view.device_id])
    values = await samples.latest_charger_values(db, view.device_id, context.now() - LIVE_WINDOW)
    return Answer.of(ChargerLive.of(view, connectors, values))


@router.post("/{id}/command")
async def command(charger_id: Id, body: CommandIn, caller: BrandOrAdmin, context: Ctx) -> Answer[NamedResult]:
    """Send a command to a charger and return its answer; an offline charger is a 400 that says so."""
    async with context.pool.connection() as db:
        view = await charger_of(db, caller, charger_id)
    return Answer.of(await send(context, view, body))
