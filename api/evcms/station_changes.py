"""What brands and admins do to stations, each with its line in the audit; used by both groups of paths."""

from collections.abc import Sequence
from datetime import datetime

from api.callers import Caller
from api.errors import Problem, forbidden
from api.evcms.audit import audit
from api.evcms.owners import owner_for
from api.evcms.schemas.stations import ConnectorIn, StationChange, StationIn, changes_of, offers_of
from api.evcms.station_access import any_held_place, held_franchise, held_place
from storage.database import Connection
from storage.queries import places, station_connectors


async def create(db: Connection, caller: Caller, body: StationIn, now: datetime) -> int:
    """Make a station with its connectors; returns its id. Raises 403, 404 and 409."""
    owner_id = await owner_for(db, caller, body.owner_id)
    changes = changes_of(body)
    if body.franchise_id is not None:
        changes["franchise_id"] = await _franchise_of_owner(db, caller, body.franchise_id, owner_id)
    if await places.has_same_place(db, owner_id, body.name, body.address):
        details = f"{body.name} at {body.address} is there already"
        raise Problem(409, "Station already exists", details)
    place = await places.insert_place(db, owner_id, now, **changes)
    await station_connectors.put_offers(db, place.id, offers_of(body.connectors, ()))
    await audit(db, caller, now, "station.create", place.id, {"name": body.name, "owner_id": owner_id})
    return place.id


async def change(db: Connection, caller: Caller, reference: str, body: StationChange, now: datetime) -> int:
    """Set what the request gives; returns the station's id. Raises 403, 404 and 409."""
    place = await held_place(db, caller, reference)
    changes = changes_of(body)
    if body.franchise_id is not None:
        changes["franchise_id"] = await _franchise_of_owner(db, caller, body.franchise_id, place.owner_id)
    await places.update_place(db, place.id, now, **changes)
    if body.connectors is not None:
        await _replace_connectors(db, place.id, body.connectors)
    detail = body.model_dump(mode="json", by_alias=True, exclude_none=True)
    await audit(db, caller, now, "station.update", place.id, detail)
    return place.id


async def delete(db: Connection, caller: Caller, reference: str, now: datetime) -> None:
    """Delete a station for as long as nobody restores it. Raises 404 and 409."""
    place = await held_place(db, caller, reference)
    if await places.has_open_bookings(db, place.id):
        raise Problem(409, "Station is booked", f"{place.name} has bookings that are not over: cancel them")
    if await places.has_active_sessions(db, place.id):
        raise Problem(409, "Station is in use", f"Somebody charges at {place.name}: stop the session first")
    await places.set_place_deleted(db, place.id, now, is_deleted=True)
    await audit(db, caller, now, "station.delete", place.id, {"name": place.name})


async def restore(db: Connection, caller: Caller, reference: str, now: datetime) -> int:
    """Undo a deletion; returns the station's id. Raises 404 and 409."""
    place = await any_held_place(db, reference)
    if place.deleted_at is None:
        raise Problem(409, "Station is not deleted", f"{place.name} is there: nothing to restore")
    await places.set_place_deleted(db, place.id, now, is_deleted=False)
    await audit(db, caller, now, "station.restore", place.id, {"name": place.name})
    return place.id


async def verify(
    db: Connection, caller: Caller, reference: str, is_verified: bool, notes: str | None, now: datetime
) -> int:
    """Say whether the station is as it says; returns its id. Raises 404."""
    place = await held_place(db, caller, reference)
    await places.verify_place(db, place.id, is_verified, notes, now)
    await audit(db, caller, now, "station.verify", place.id, {"verified": is_verified, "notes": notes})
    return place.id


async def _replace_connectors(db: Connection, station_id: int, wanted: Sequence[ConnectorIn]) -> None:
    known = [each.label for each in await station_connectors.list_station_connectors(db, [station_id])]
    offers = offers_of(wanted, known)
    gone = sorted(set(known) - {offer.label for offer in offers})
    in_use = await station_connectors.offer_in_use(db, station_id, gone)
    if in_use is not None:
        details = f"Connector {in_use} has bookings or a charger behind it: it cannot be taken away"
        raise Problem(409, "Connector is in use", details)
    await station_connectors.delete_offers(db, station_id, gone)
    await station_connectors.put_offers(db, station_id, offers)


async def _franchise_of_owner(db: Connection, caller: Caller, reference: str, owner_id: int | None) -> int:
    franchise = await held_franchise(db, caller, reference)
    if franchise.owner_id != owner_id:
        raise forbidden("This franchise belongs to another brand than the station")
    return franchise.id
