"""Which battery a request means, whether it is the caller's, and how a new one is entered."""

from api.callers import Caller
from api.errors import Problem, not_found
from api.ienerzy.callers import reach
from api.ienerzy.schemas import NewBattery
from storage.database import Connection
from storage.errors import AlreadyExistsError
from storage.queries import batteries, devices
from storage.queries.batteries import Battery


async def battery_of(db: Connection, caller: Caller, serial: str) -> Battery:
    """Return the battery with this serial; raises 404, also for another dealer's: their stock is not told."""
    found = None if "\0" in serial else await batteries.find_battery(db, serial)
    if found is None or not reach(caller).covers(found.dealer_id, found.owner_id):
        raise not_found("Battery", f"No battery found with serial number {serial}")
    return found


async def enter(db: Connection, new: NewBattery, dealer_id: int) -> Battery:
    """Enter a battery and its device: known from now on, also where it waited in quarantine. Raises 400."""
    try:
        made = await batteries.insert_battery(
            db, new.serial_number, health_score=new.health_score, dealer_id=dealer_id
        )
    except AlreadyExistsError as error:
        details = f"A battery has the serial number {new.serial_number} already"
        raise Problem(400, "Battery already exists", details, "DUPLICATE") from error
    device = await devices.register_device(db, "battery", new.serial_number)
    if device.status == "quarantined":
        await devices.set_device_status(db, device.id, "active")
    return made
