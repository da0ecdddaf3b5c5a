"""EV-CMS stations: /api/v1/stations (EV-022 to EV-028)."""

from datetime import datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Depends, Query

from api.context import Ctx, Db
from api.evcms.callers import Admin, AnyUser, BrandOrAdmin, owner_filter
from api.evcms.envelope import Answer, Done, Id, Paging
from api.evcms.schemas.availability import Availability
from api.evcms.schemas.stations import (
    ConnectorType,
    Latitude,
    Longitude,
    NamedStation,
    StationChange,
    StationIn,
    StationPage,
    StationRows,
    StationStatus,
)
from api.evcms.station_access import place_of, show_place, show_places
from api.evcms.station_changes import change, create, delete
from api.fields import OptionalText
from api.routing import Router
from storage.queries import places, station_connectors
from stream.geography import boxes_around

router = Router(prefix="/stations")

RADIUS_DEFAULT_M = 5_000
RADIUS_MAX_M = 100_000
NEARBY_MAX = 100


@router.get("")
async def stations(
    caller: AnyUser,
    db: Db,
    paging: Annotated[Paging, Depends()],
    search: Annotated[OptionalText | None, Query(description="in name, address or city")] = None,
    status: StationStatus | None = None,
    type_: Annotated[
        ConnectorType | None, Query(alias="type", description="of one of its connectors")
    ] = None,
) -> StationPage:
    """List stations, newest first: a brand its own, users and admins all."""
    found, total = await places.list_places(
        db,
        owner_id=owner_filter(caller),
        status=status,
        search=search or None,
        connector_type=type_,
        limit=paging.limit,
        offset=paging.offset,
    )
    rows = await show_places(db, caller, found)
    return StationPage(success=True, data=rows, stations=rows, pagination=paging.of(total))


@router.get("/nearby")
async def nearby(
    caller: AnyUser,
    db: Db,
    latitude: Annotated[Latitude, Query(description="degrees")],
    longitude: Annotated[Longitude, Query(description="degrees")],
    radius: Annotated[
        float, Query(gt=0, le=RADIUS_MAX_M, allow_inf_nan=False, description="metres")
    ] = RADIUS_DEFAULT_M,
) -> StationRows:
    """List the stations within a radius, the nearest 100 of them, by distance."""
    boxes = [(box.west, box.south, box.east, box.north) for box in boxes_around(latitude, longitude, radius)]
    found = await places.near_places(
        db, latitude, longitude, radius, boxes, owner_id=owner_filter(caller), limit=NEARBY_MAX
    )
    rows = await show_places(db, caller, found)
    return StationRows(success=True, data=rows, stations=rows, count=len(rows))


@router.get("/{id}")
async def station(station_id: Id, caller: AnyUser, db: Db) -> Answer[NamedStation]:
    """Show a station."""
    (shown,) = await show_places(db, caller, [await place_of(db, caller, station_id)])
    return Answer.of(NamedStation.around(shown))


@router.get("/{id}/availability")
async def availability(station_id: Id, caller: AnyUser, context: Ctx, db: Db) -> Answer[Availability]:
    """Show what each connector is doing now, and today's bookings that stand in the way."""
    place, now = await place_of(db, caller, station_id), context.now()
    connectors = await station_connectors.list_station_connectors(db, [place.id])
    ids = [connector.id for connector in connectors]
    taken = await station_connectors.taken_spans(db, ids, now, _end_of_day(now, place.time_zone))
    return Answer.of(Availability.of(place, connectors, taken, now))


def _end_of_day(now: datetime, zone: str) -> datetime:
    tomorrow = now.astimezone(ZoneInfo(zone)).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), ZoneInfo(zone))


@router.post("", status_code=201)
async def add(body: StationIn, caller: BrandOrAdmin, context: Ctx, db: Db) -> Answer[NamedStation]:
    """Enter a station: a brand its own, an admin anybody's."""
    return Answer.of(await show_place(db, caller, await create(db, caller, body, context.now())))


@router.put("/{id}")
async def update(
    station_id: Id, body: StationChange, caller: BrandOrAdmin, context: Ctx, db: Db
) -> Answer[NamedStation]:
    """Change a station. A connector that a booking names cannot be taken away: that is a 409."""
    place_id = await change(db, caller, station_id, body, context.now())
    return Answer.of(await show_place(db, caller, place_id))


@router.delete("/{id}")
async def remove(station_id: Id, caller: Admin, context: Ctx, db: Db) -> Done:
    """Delete a station, so that an admin can restore it; 409 while somebody has a booking or charges."""
    await delete(db, caller, station_id, context.now())
    return Done.of("Station deleted")
