"""Tests of the way to batteries: /api/batteries/test and below (IE-040 to IE-042)."""

import uuid
from datetime import timedelta

from api.context import Ctx, Db
from api.errors import Problem
from api.ienerzy.asset_schemas import BatteryTested, Check, RoutesTested, StatusIn
from api.ienerzy.batteries import Serial
from api.ienerzy.battery_access import battery_of
from api.ienerzy.callers import AnyUser, Dealer, DealerOrAdmin, reach
from api.ienerzy.control import ask
from api.ienerzy.schemas import BatteryOut
from api.routing import Router
from storage.queries import batteries, battery_checks, battery_locks
from stream.battery_orders import Action, Order

router = Router(prefix="/batteries")

HEARD_LATELY = timedelta(minutes=15)
_MESSAGES: dict[Check, str] = {
    "confirmed": "The battery was asked what it had confirmed last, and confirmed it again",
    "no_answer": "The battery was asked what it had confirmed last, and has not answered yet",
    "not_sent": "Nothing was sent: no command of it is known that would change nothing",
}


@router.get("/test")
async def test_routes(caller: AnyUser, db: Db) -> RoutesTested:
    """Tell that the battery routes answer, and how many batteries the caller reaches."""
    own = reach(caller)
    groups = await batteries.health_report(db, dealer_id=own.dealer_id, owner_id=own.owner_id)
    return RoutesTested(
        message="Battery routes answer",
        user_id=caller.id,
        role=caller.role,
        batteries=sum(group.count for group in groups),
    )


@router.post("/{serial}/test")
async def test_control(serial: Serial, caller: DealerOrAdmin, context: Ctx) -> BatteryTested:
    """Check the way to a battery without changing anything: the command that it confirmed last is sent again.

    Nothing is sent while a command waits for its answer, where it never confirmed one, or where its status
    was set here since.
    """
    command_id = uuid.uuid4()
    async with context.pool.connection() as db:
        battery = await battery_of(db, caller, serial)
        action = await battery_checks.repeat_confirmed(
            db, battery.id, command_id=command_id, requested_by=caller.id
        )
    if action is not None:
        wanted: Action = "activate" if action == "activate" else "deactivate"
        await ask(context, battery, Order(command_id, battery.serial_number, wanted))
    async with context.pool.connection() as db:
        battery = await battery_of(db, caller, serial)
        command = await batteries.get_command(db, command_id)
        contact = await battery_checks.contact_of(db, battery.id)
    check: Check = "not_sent"
    if command is not None:
        check = "confirmed" if command.state == "confirmed" else "no_answer"
    return BatteryTested.of(
        battery.serial_number,
        battery.status,
        contact,
        check,
        _MESSAGES[check],
        context.now() - HEARD_LATELY,
    )


@router.post("/{serial}/test-status")
async def test_status(serial: Serial, body: StatusIn, caller: Dealer, db: Db) -> BatteryOut:
    """Set a battery's status directly, for tests: only of one whose device was never heard of (400)."""
    battery = await battery_of(db, caller, serial)
    if await battery_locks.is_heard_of(db, battery.id):
        details = f"Battery {battery.serial_number} has a device: use /control"
        raise Problem(400, "Battery has a device", details, "HAS_DEVICE")
    after = await batteries.set_battery_status(db, battery.id, body.status)
    assert after is not None
    return BatteryOut.of(after)
