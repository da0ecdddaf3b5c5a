"""EV-CMS stations as admins see them: /api/v1/admin/stations (EV-104 to EV-107)."""

from typing import Annotated

from fastapi import Depends

from api.context import Ctx, Db
from api.evcms import station_changes
from api.evcms.callers import Admin
from api.evcms.envelope import Answer, Done, Id, Paging
from api.evcms.schemas.stations import NamedStation, StationPage, StationStatus, VerifyIn
from api.evcms.station_access import show_place, show_places
from api.routing import Router
from storage.queries import places

router = Router(prefix="/admin/stations")


@router.get("")
async def stations(
    caller: Admin, db: Db, paging: Annotated[Paging, Depends()], status: StationStatus | None = None
) -> StationPage:
    """List all stations that are not deleted, newest first."""
    found, total = await places.list_places(db, status=status, limit=paging.limit, offset=paging.offset)
    rows = await show_places(db, caller, found)
    return StationPage(success=True, data=rows, stations=rows, pagination=paging.of(total))


@router.put("/{id}/verify")
async def verify(station_id: Id, body: VerifyIn, caller: Admin, context: Ctx, db: Db) -> Answer[NamedStation]:
    """Say whether a station is as it says, with notes for its owner."""
    place_id = await station_changes.verify(db, caller, station_id, body.verified, body.notes, context.now())
    return Answer.of(await show_place(db, caller, place_id))


@router.delete("/{id}")
async def remove(station_id: Id, caller: Admin, context: Ctx, db: Db) -> Done:
    """Delete a station, so that it can be restored; 409 while somebody has a booking or charges."""
    await station_changes.delete(db, caller, station_id, context.now())
    return Done.of("Station deleted")


@router.patch("/{id}/restore")
async def restore(station_id: Id, caller: Admin, context: Ctx, db: Db) -> Answer[NamedStation]:
    """Undo the deletion of a station; 409 for one that is not deleted."""
    place_id = await station_changes.restore(db, caller, station_id, context.now())
    return Answer.of(await show_place(db, caller, place_id))
