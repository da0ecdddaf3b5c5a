"""EV-CMS chargers: /api/v1/chargers (EV-029 to EV-038)."""

from dataclasses import replace
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Query

from api.context import Ctx, Db
from api.evcms import charger_changes
from api.evcms.callers import Admin, AnyUser, BrandOrAdmin, charger_scope
from api.evcms.charger_access import charger_of
from api.evcms.commands import send
from api.evcms.envelope import Answer, Done, Id, Paging
from api.evcms.schemas.chargers import (
    ChargerChange,
    ChargerIn,
    ChargerLive,
    ChargerOut,
    ChargerPage,
    ChargerStats,
    ChargerStatus,
    CommandIn,
    HistoryRows,
    NamedCharger,
    NamedResult,
)
from api.evcms.schemas.maintenance import RecordOut
from api.fields import OptionalText, parse_id
from api.routing import Router
from storage.database import Connection
from storage.queries import charger_views, maintenance, samples
from storage.queries.charger_views import ChargerView
from storage.queries.maintenance import Record
from storage.queries.utilisation import utilisation

router = Router(prefix="/chargers")

LIVE_WINDOW = timedelta(minutes=15)
UTILISATION_WINDOW = timedelta(hours=24)
HISTORY_MAX = 1_000
NOWHERE = 0  # no station has this id


def _station_filter(
    station: Annotated[
        str | None, Query(description="a station's id; one that does not exist matches nothing")
    ] = None,
    station_id: Annotated[str | None, Query(alias="stationId", description="the same (conflict C58)")] = None,
) -> int | None:
    given = station if station is not None else station_id
    return None if given is None else parse_id(given) or NOWHERE


StationFilter = Annotated[int | None, Depends(_station_filter)]


@router.get("")
async def chargers(
    caller: AnyUser,
    db: Db,
    paging: Annotated[Paging, Depends()],
    station_id: StationFilter,
    status: ChargerStatus | None = None,
    manufacturer: OptionalText | None = None,
) -> ChargerPage:
    """List chargers: a brand its own; users those in use; an admin all, archived ones left out."""
    found, total = await charger_views.list_views(
        db,
        charger_scope(caller),
        station_id=station_id,
        status=status,
        manufacturer=manufacturer or None,
        limit=paging.limit,
        offset=paging.offset,
    )
    connectors = await charger_views.list_connector_views(db, [view.device_id for view in found])
    rows = [ChargerOut.of(view, connectors) for view in found]
    return ChargerPage(success=True, data=rows, chargers=rows, pagination=paging.of(total))


@router.get("/stats")
async def stats(caller: AnyUser, context: Ctx, db: Db, station_id: StationFilter) -> Answer[ChargerStats]:
    """Count the chargers that the caller sees, by status; those in maintenance are in the total only."""
    scope, now = charger_scope(caller), context.now()
    totals = await charger_views.charger_totals(db, scope, station_id)
    seen = await charger_views.seen_ids(db, scope, station_id)
    shares = await utilisation(db, device_ids=seen, from_=now - UTILISATION_WINDOW, to=now)
    return Answer.of(ChargerStats.of(totals, shares.values()))


@router.get("/{id}")
async def charger(charger_id: Id, caller: AnyUser, db: Db) -> Answer[NamedCharger]:
    """Show a charger."""
    return await _shown(db, await charger_of(db, caller, charger_id))


async def _shown(db: Connection, view: ChargerView) -> Answer[NamedCharger]:
    connectors = await charger_views.list_connector_views(db, [view.device_id])
    return Answer.of(NamedCharger.around(ChargerOut.of(view, connectors)))


@router.get("/{id}/status")
async def status(charger_id: Id, caller: AnyUser, context: Ctx, db: Db) -> Answer[ChargerLive]:
    """Show what a charger is doing now, by its latest meter values."""
    view = await charger_of(db, caller, charger_id)
    connectors = await charger_views.list_connector_views(db, [view.device_id])
    values = await samples.latest_charger_values(db, view.device_id, context.now() - LIVE_WINDOW)
    return Answer.of(ChargerLive.of(view, connectors, values))


@router.get("/{id}/maintenance-history")
async def maintenance_history(charger_id: Id, caller: AnyUser, db: Db) -> HistoryRows:
    """List the work on a charger, planned and done, the newest 1,000 records of it.

    What it cost, who did it and what they noted is for the charger's owner and admins.
    """
    view = await charger_of(db, caller, charger_id)
    records, _ = await maintenance.list_records(
        db, owner_id=None, status=None, device_id=view.device_id, limit=HISTORY_MAX, offset=0
    )
    rows = [RecordOut.of(record if caller.role != "user" else _without_inside(record)) for record in records]
    return HistoryRows(success=True, data=rows, history=rows)


def _without_inside(record: Record) -> Record:
    return replace(record, assigned_to=None, notes=None, cost_minor=None, parts_replaced=[])


@router.post("", status_code=201)
async def register(body: ChargerIn, caller: BrandOrAdmin, context: Ctx, db: Db) -> Answer[NamedCharger]:
    """Register a charger at one of the caller's stations, also one that has connected and is nobody's yet."""
    device_id = await charger_changes.register(db, caller, body, context)
    return await _shown(db, await charger_of(db, caller, str(device_id)))


@router.put("/{id}")
async def update(
    charger_id: Id, body: ChargerChange, caller: BrandOrAdmin, context: Ctx, db: Db
) -> Answer[NamedCharger]:
    """Change a charger. Maintenance takes it out of use; each other status ends that."""
    device_id = await charger_changes.change(db, caller, charger_id, body, context)
    return await _shown(db, await charger_of(db, caller, str(device_id)))


@router.patch("/{id}/archive")
async def archive(charger_id: Id, caller: BrandOrAdmin, context: Ctx) -> Done:
    """Take a charger away: it is in no list, and cannot connect. 409 while somebody charges."""
    await charger_changes.archive(context, caller, charger_id)
    return Done.of("Charger archived")


@router.patch("/{id}/restore")
async def restore(charger_id: Id, caller: Admin, context: Ctx, db: Db) -> Done:
    """Bring an archived charger back; 409 for one that is not archived."""
    await charger_changes.restore(db, caller, charger_id, context)
    return Done.of("Charger restored")


@router.post("/{id}/command")
async def command(charger_id: Id, body: CommandIn, caller: BrandOrAdmin, context: Ctx) -> Answer[NamedResult]:
    """Send a command to a charger and return its answer; an offline charger is a 400 that says so."""
    async with context.pool.connection() as db:
        view = await charger_of(db, caller, charger_id)
    return Answer.of(await send(context, view, body))
