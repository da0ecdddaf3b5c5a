"""What brands and admins do to chargers: register, change, archive, restore; each with its audit line."""

from collections.abc import Mapping
from typing import Any

from api.callers import Caller
from api.context import Context
from api.errors import Problem
from api.evcms.audit import audit
from api.evcms.charger_access import charger_of
from api.evcms.schemas.chargers import ChargerChange, ChargerIn
from api.evcms.station_access import held_place
from storage.database import Connection
from storage.queries import (
    chargers,
    device_registry,
    devices,
    outbox,
    places,
    sessions,
    station_connectors,
)
from storage.queries.charger_views import ChargerView
from storage.queries.chargers import Charger
from stream.bus import end_socket
from stream.release import adopt

# A new charger waits in quarantine, as one does that has connected already: `register` lets both in.
_BEFORE = "quarantined"


async def register(db: Connection, caller: Caller, body: ChargerIn, context: Context) -> int:
    """Make a charger the station owner's, also one that has connected and is nobody's; returns its id.

    Raises 403 and 404 for the station, 409 for a charger that is somebody's.
    """
    place = await held_place(db, caller, body.station_id)
    device = await devices.register_device(db, "charger", body.charger_id, status=_BEFORE)
    held = await _held(db, device.id)
    _refuse_taken(caller, held)
    await adopt(db, device.id, context.clock())
    await devices.set_device_owner(db, device.id, place.owner_id)
    await device_registry.describe(db, device.id, name=body.name, vendor=body.manufacturer, model=body.model)
    await chargers.set_charger_station(db, device.id, place.id)
    detail = {"charger_id": held.identity, "station_id": place.id}
    await audit(db, caller, context.now(), "charger.register", device.id, detail)
    return device.id


def _refuse_taken(caller: Caller, held: Charger) -> None:
    title = "Charger already exists"
    if held.status == "archived":
        raise Problem(409, title, f"{held.identity} is archived: an admin can restore it")
    if held.owner_id is not None or held.station_id is not None:
        whose = "yours" if held.owner_id == caller.id else "another owner's"
        raise Problem(409, title, f"{held.identity} is registered, and {whose}")


async def change(
    db: Connection, caller: Caller, reference: str, body: ChargerChange, context: Context
) -> int:
    """Set what the request gives; returns the charger's id. Raises 403, 404 and 409."""
    view = await charger_of(db, caller, reference)
    if view.registry == "archived":
        raise Problem(409, "Charger is archived", f"{view.identity} is archived: an admin can restore it")
    if body.station_id is not None:
        await _move(db, caller, view, body.station_id)
    if body.status is not None:
        await _set_status(db, view, body.status)
    await device_registry.describe(
        db, view.device_id, name=body.name, vendor=body.manufacturer, model=body.model
    )
    detail = body.model_dump(mode="json", exclude_none=True)
    await audit(db, caller, context.now(), "charger.update", view.device_id, detail)
    return view.device_id


async def _move(db: Connection, caller: Caller, view: ChargerView, reference: str) -> None:
    place = await held_place(db, caller, reference)
    if place.id == view.station_id:
        return
    await _refuse_charging(db, await _held(db, view.device_id))
    await chargers.set_charger_station(db, view.device_id, place.id)
    await devices.set_device_owner(db, view.device_id, place.owner_id)


async def _set_status(db: Connection, view: ChargerView, status: str) -> None:
    await chargers.set_maintenance(db, view.device_id, status == "Maintenance")
    await _tell(db, view.device_id, view.identity, {"is_in_maintenance": status == "Maintenance"})


async def archive(context: Context, caller: Caller, reference: str) -> None:
    """Take a charger away for as long as nobody restores it, and end its connection. Raises 403, 404, 409."""
    async with context.pool.connection() as db:
        view = await charger_of(db, caller, reference)
        held = await _held(db, view.device_id)
        if held.status == "archived":
            raise Problem(409, "Charger is archived", f"{held.identity} is archived already")
        await _refuse_charging(db, held)
        await devices.set_device_status(db, held.device_id, "archived")
        await station_connectors.unlink_charger(db, held.device_id)
        generation = await chargers.shut_out_charger(db, held.device_id)
        await _tell(db, held.device_id, held.identity, {"is_connected": False})
        detail = {"charger_id": held.identity}
        await audit(db, caller, context.now(), "charger.archive", held.device_id, detail)
    await end_socket(context.bus, held.device_id, generation)


async def restore(db: Connection, caller: Caller, reference: str, context: Context) -> None:
    """Undo archiving. Raises 404 and 409."""
    view = await charger_of(db, caller, reference)
    if view.station_id is not None:  # as in `register`: linking its connectors holds the station too
        await places.lock_place(db, view.station_id)
    held = await _held(db, view.device_id)
    if held.status != "archived":
        raise Problem(409, "Charger is not archived", f"{held.identity} is not archived: nothing to restore")
    await devices.set_device_status(db, held.device_id, "active")
    await station_connectors.link_charger(db, held.device_id)
    detail = {"charger_id": held.identity}
    await audit(db, caller, context.now(), "charger.restore", held.device_id, detail)


async def _held(db: Connection, device_id: int) -> Charger:
    held = await chargers.lock_charger(db, device_id)
    assert held is not None, f"device {device_id} is no charger"
    return held


async def _refuse_charging(db: Connection, held: Charger) -> None:
    if await sessions.active_sessions(db, held.device_id):
        details = f"Somebody charges at {held.identity}: stop the session first"
        raise Problem(409, "Charger is in use", details)


async def _tell(db: Connection, device_id: int, identity: str, facts: Mapping[str, Any]) -> None:
    payload = {"device_id": device_id, "charger": identity, **facts}
    await outbox.enqueue(db, "live_event", {"name": "charger-status", "payload": payload})
