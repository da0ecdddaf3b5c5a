"""EV-CMS vehicles: /api/v1/profile/vehicles (EV-010 to EV-017)."""

from typing import Annotated

from fastapi import Depends, Path

from api.callers import Caller
from api.context import Context, Ctx, Db
from api.errors import FieldError, Problem, forbidden, invalid, not_found
from api.evcms.callers import AnyUser
from api.evcms.envelope import Answer, Done, Paging
from api.evcms.schemas.sessions import SessionPage
from api.evcms.schemas.vehicles import (
    NamedVehicle,
    VehicleChange,
    VehicleIn,
    VehicleOut,
    VehicleRows,
    VehicleStats,
)
from api.evcms.session_access import show
from api.fields import parse_id
from api.routing import Router
from storage.database import Connection
from storage.errors import AlreadyExistsError
from storage.queries import admin_actions, sessions, vehicles
from storage.queries.vehicles import Vehicle

router = Router(prefix="/profile/vehicles")

PATH = "/api/v1/profile/vehicles"
VEHICLES_MAX = 50  # of one person

VehicleId = Annotated[str, Path(alias="vehicleId")]


@router.get("")
async def list_vehicles(caller: AnyUser, db: Db) -> VehicleRows:
    """List the caller's vehicles, in the order they came."""
    owned = await vehicles.vehicles_of(db, [caller.id])
    rows = [VehicleOut.of(vehicle) for vehicle in owned[caller.id]]
    return VehicleRows(success=True, data=rows, vehicles=rows)


@router.post("", status_code=201)
async def add_vehicle(body: VehicleIn, caller: AnyUser, context: Ctx, db: Db) -> Answer[NamedVehicle]:
    """Add a vehicle; a person's first one is the default. Its registration number is taken once."""
    _refuse_future(context, body.year)
    if await vehicles.lock_vehicles(db, caller.id) >= VEHICLES_MAX:
        raise Problem(400, "Too many vehicles", f"At most {VEHICLES_MAX}: delete one that is gone")
    try:
        vehicle = await vehicles.insert_vehicle(
            db,
            user_id=caller.id,
            make=body.make,
            model=body.model,
            year=body.year,
            battery_capacity_kwh=body.battery_capacity,
            registration_number=body.registration_number,
            now=context.now(),
        )
    except AlreadyExistsError as error:
        details = f"You have a vehicle with the registration number {body.registration_number}"
        raise Problem(409, "Vehicle already registered", details) from error
    return _named(vehicle)


@router.get("/{vehicleId}")
async def get_vehicle(vehicle_id: VehicleId, caller: AnyUser, db: Db) -> Answer[NamedVehicle]:
    """Show a vehicle."""
    return _named(await _vehicle(db, caller, vehicle_id))


@router.put("/{vehicleId}")
async def update_vehicle(
    vehicle_id: VehicleId, body: VehicleChange, caller: AnyUser, context: Ctx, db: Db
) -> Answer[NamedVehicle]:
    """Change a vehicle's make, model or battery capacity; nothing else of it changes."""
    found = await _vehicle(db, caller, vehicle_id)
    changed = await vehicles.update_vehicle(
        db, found.id, make=body.make, model=body.model, battery_capacity_kwh=body.battery_capacity
    )
    await _record(context, db, caller, found, "vehicle.update")
    return _named(_still(changed, vehicle_id))


@router.delete("/{vehicleId}")
async def delete_vehicle(vehicle_id: VehicleId, caller: AnyUser, context: Ctx, db: Db) -> Done:
    """Delete a vehicle. Was it the default, the oldest of the others is it now; its sessions stay."""
    found = await _vehicle(db, caller, vehicle_id)
    await vehicles.lock_vehicles(db, found.user_id)
    if not await vehicles.delete_vehicle(db, found.user_id, found.id, context.now()):
        raise _unknown(vehicle_id)
    await _record(context, db, caller, found, "vehicle.delete")
    return Done.of("Vehicle deleted")


@router.patch("/{vehicleId}/set-default")
async def set_default(vehicle_id: VehicleId, caller: AnyUser, context: Ctx, db: Db) -> Answer[NamedVehicle]:
    """Make a vehicle its owner's default; the one that was it is it no longer."""
    found = await _vehicle(db, caller, vehicle_id)
    await vehicles.lock_vehicles(db, found.user_id)
    changed = await vehicles.set_default(db, found.user_id, found.id)
    await _record(context, db, caller, found, "vehicle.set-default")
    return _named(_still(changed, vehicle_id))


@router.get("/{vehicleId}/history")
async def history(
    vehicle_id: VehicleId, caller: AnyUser, context: Ctx, db: Db, paging: Annotated[Paging, Depends()]
) -> SessionPage:
    """List the ended sessions in which its owner charged the vehicle, newest first."""
    vehicle = await _vehicle(db, caller, vehicle_id)
    found = await sessions.sessions_of_vehicle(
        db, vehicle.user_id, vehicle.id, limit=paging.limit, offset=paging.offset
    )
    totals = await vehicles.vehicle_totals(db, vehicle)
    rows = await show(context, db, found)
    return SessionPage(success=True, data=rows, sessions=rows, pagination=paging.of(totals.sessions))


@router.get("/{vehicleId}/stats")
async def stats(vehicle_id: VehicleId, caller: AnyUser, db: Db) -> Answer[VehicleStats]:
    """Sum up the same sessions: energy in kWh, cost in rupees, minutes a session, CO2 saved in kg."""
    vehicle = await _vehicle(db, caller, vehicle_id)
    return Answer.of(VehicleStats.of(await vehicles.vehicle_totals(db, vehicle)))


def _named(vehicle: Vehicle) -> Answer[NamedVehicle]:
    return Answer.of(NamedVehicle.around(VehicleOut.of(vehicle)))


def _unknown(reference: str) -> Problem:
    return not_found("Vehicle", f"No vehicle has the id {reference}")


def _still(vehicle: Vehicle | None, reference: str) -> Vehicle:
    """Raise 404 for one that was deleted since it was looked up."""
    if vehicle is None:
        raise _unknown(reference)
    return vehicle


async def _vehicle(db: Connection, caller: Caller, reference: str) -> Vehicle:
    """Return the vehicle with this id; raises 404, or 403 for one of somebody else's."""
    vehicle_id = parse_id(reference)
    vehicle = None if vehicle_id is None else await vehicles.get_vehicle(db, vehicle_id)
    if vehicle is None:
        raise _unknown(reference)
    if vehicle.user_id != caller.id and caller.role != "admin":
        raise forbidden("This vehicle belongs to another user")
    return vehicle


async def _record(context: Context, db: Connection, caller: Caller, vehicle: Vehicle, action: str) -> None:
    """Write down what an admin did to somebody else's vehicle."""
    if vehicle.user_id == caller.id:
        return
    await admin_actions.record_action(
        db,
        actor_id=caller.id,
        action=action,
        subject=f"user:{vehicle.user_id}",
        detail={"vehicle": vehicle.id},
        now=context.now(),
    )


def _refuse_future(context: Context, year: int) -> None:
    """A model of next year is sold this year; none is of a later one."""
    latest = context.now().year + 1
    if year > latest:
        raise invalid(PATH, [FieldError("year", f"Input should be less than or equal to {latest}")])
