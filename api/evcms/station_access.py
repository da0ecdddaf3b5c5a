"""Which station or franchise a request means, whether the caller may see it, and how stations are shown.

A brand reaches its own; users and admins reach all that are not deleted.
"""

from collections.abc import Sequence

from api.callers import Caller
from api.errors import forbidden, not_found
from api.evcms.callers import owner_filter
from api.evcms.schemas.stations import NamedStation, StationOut
from api.fields import parse_id
from storage.database import Connection
from storage.queries import places, station_connectors
from storage.queries.franchises import Franchise, get_franchise, lock_franchise
from storage.queries.places import Place
from stream.platform_settings import read_settings


async def place_of(db: Connection, caller: Caller, reference: str) -> Place:
    """Return the station with this id; raises 404, or 403 to a brand for another's."""
    station_id = parse_id(reference)
    place = None if station_id is None else await places.get_place(db, station_id)
    return _checked(caller, reference, place)


async def held_place(db: Connection, caller: Caller, reference: str) -> Place:
    """The same, held until commit: nobody else changes or deletes it meanwhile."""
    place = await any_held_place(db, reference)
    return _checked(caller, reference, None if place.deleted_at else place)


async def any_held_place(db: Connection, reference: str) -> Place:
    """The same, a deleted one too, whoever's it is; for admins."""
    station_id = parse_id(reference)
    place = None if station_id is None else await places.lock_place(db, station_id)
    if place is None:
        raise _no_station(reference)
    return place


def _checked(caller: Caller, reference: str, place: Place | None) -> Place:
    if place is None:
        raise _no_station(reference)
    owner_id = owner_filter(caller)
    if owner_id is not None and place.owner_id != owner_id:
        raise forbidden("This station belongs to another brand")
    return place


def _no_station(reference: str) -> Exception:
    return not_found("Station", f"No station has the id {reference}")


async def franchise_of(db: Connection, caller: Caller, reference: str) -> Franchise:
    """Return the franchise with this id; raises 404, or 403 to a brand for another's."""
    franchise_id = parse_id(reference)
    franchise = None if franchise_id is None else await get_franchise(db, franchise_id)
    if franchise is None:
        raise not_found("Franchise", f"No franchise has the id {reference}")
    owner_id = owner_filter(caller)
    if owner_id is not None and franchise.owner_id != owner_id:
        raise forbidden("This franchise belongs to another brand")
    return franchise


async def held_franchise(db: Connection, caller: Caller, reference: str) -> Franchise:
    """The same, held until commit: nobody deletes it meanwhile."""
    franchise_id = parse_id(reference)
    if franchise_id is not None:
        await lock_franchise(db, franchise_id)
    return await franchise_of(db, caller, reference)


async def show_places(db: Connection, caller: Caller, found: Sequence[Place]) -> list[StationOut]:
    """Show stations with their connectors; two queries, however many they are."""
    if not found:
        return []
    connectors = await station_connectors.list_station_connectors(db, [place.id for place in found])
    settings = await read_settings(db)
    # Whom `place_of` lets through as a brand runs the station.
    has_notes = caller.role != "user"
    return [StationOut.of(place, connectors, settings, has_notes=has_notes) for place in found]


async def show_place(db: Connection, caller: Caller, station_id: int) -> NamedStation:
    """Show one station as it is now."""
    place = await places.get_place(db, station_id)
    assert place is not None, f"station {station_id} is gone within a transaction that holds it"
    (shown,) = await show_places(db, caller, [place])
    return NamedStation.around(shown)
