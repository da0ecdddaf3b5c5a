"""EV-CMS favourite stations: /api/v1/stations/{id}/favourite and /api/v1/profile/favourites."""

from typing import Annotated

from fastapi import Depends

from api.context import Ctx, Db
from api.errors import Problem
from api.evcms.callers import AnyUser
from api.evcms.envelope import Done, Id, Paging
from api.evcms.schemas.stations import StationPage
from api.evcms.station_access import place_of, show_places
from api.routing import Router
from storage.queries import favourites
from storage.queries.places import places_of

router = Router()


@router.put("/stations/{id}/favourite")
async def add(station_id: Id, caller: AnyUser, context: Ctx, db: Db) -> Done:
    """Make a station a favourite; nothing changes where it is one."""
    place = await place_of(db, caller, station_id)
    if not await favourites.add_favourite(db, caller.id, place.id, context.now()):
        details = f"{favourites.FAVOURITES_MAX} stations are favourites already: remove one first"
        raise Problem(400, "Too many favourites", details)
    return Done.of("Station is a favourite")


@router.delete("/stations/{id}/favourite")
async def remove(station_id: Id, caller: AnyUser, db: Db) -> Done:
    """Make a station no favourite; nothing changes where it is none."""
    place = await place_of(db, caller, station_id)
    await favourites.remove_favourite(db, caller.id, place.id)
    return Done.of("Station is no favourite")


@router.get("/profile/favourites")
async def list_favourites(caller: AnyUser, db: Db, paging: Annotated[Paging, Depends()]) -> StationPage:
    """List the caller's favourite stations, the latest favourite first."""
    ids, total = await favourites.list_favourites(db, caller.id, limit=paging.limit, offset=paging.offset)
    rows = await show_places(db, caller, await places_of(db, ids))
    return StationPage(success=True, data=rows, stations=rows, pagination=paging.of(total))
