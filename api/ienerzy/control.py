"""Control of a battery: a status set here, or an order that the battery itself must confirm.

`stream.battery_orders` commits the order and sends it; here is what waits for the answer.
"""

import time
import uuid
from collections.abc import Mapping

import msgspec
import structlog
from nats.errors import Error as BusError

from api.callers import Caller
from api.context import Context
from api.errors import Problem
from api.ienerzy.battery_access import battery_of
from api.ienerzy.schemas import BatteryStatus, ControlledBattery
from storage.queries import batteries
from storage.queries.batteries import Battery
from stream import battery_orders
from stream.battery_orders import STATUS_AFTER, Action, Order, Reply

log = structlog.get_logger()

ANSWER_SUBJECT = "gridwire.battery.answer"

# Every other action only sets the status that is kept here.
_ORDERS: Mapping[str, Action] = {"activate": "activate", "deactivate": "deactivate"}


async def control(
    context: Context, caller: Caller, serial: str, action: BatteryStatus | Action
) -> ControlledBattery:
    """Carry `action` out, or have it carried out; raises 404, or 400 where the battery refuses."""
    command_id = uuid.uuid4()
    async with context.pool.connection() as db:
        battery = await battery_of(db, caller, serial)
        wanted = _ORDERS.get(action)
        if wanted is None:
            after = await batteries.set_battery_status(db, battery.id, action)
            assert after is not None
            return ControlledBattery.of(after)
        is_asked = await battery_orders.order(
            db, battery.id, wanted, command_id=command_id, requested_by=caller.id
        )
    if is_asked:
        await ask(context, battery, Order(command_id, battery.serial_number, wanted))
    async with context.pool.connection() as db:
        now = await battery_of(db, caller, serial)
        command = await batteries.get_command(db, command_id)
    is_pending = command is not None and command.state == "pending"
    return ControlledBattery.of(now, STATUS_AFTER[wanted] if is_pending else None)


async def ask(context: Context, battery: Battery, order: Order) -> None:
    """Have the order sent and wait for its answer, within one bound; a refusal is a 400."""
    deadline_s = time.monotonic() + context.config.battery_answer_s
    try:
        subscription = await context.bus.subscribe(f"{ANSWER_SUBJECT}.{order.command_id}", max_msgs=1)
        try:
            answer = await battery_orders.send(context.bus, order, _left(deadline_s))
            if answer.outcome == "sent":
                message = await subscription.next_msg(timeout=_left(deadline_s))
                answer = msgspec.json.decode(message.data, type=Reply)
        finally:
            await subscription.unsubscribe()
    except (BusError, TimeoutError) as error:
        log.info("battery_command_pending", battery=battery.serial_number, why=repr(error))
        return
    if answer.outcome == "refused":
        details = f"Battery {battery.serial_number} answered: {answer.detail or 'no reason given'}"
        raise Problem(400, "Battery refused the command", details, "REFUSED")


def _left(deadline_s: float) -> float:
    return max(0.001, deadline_s - time.monotonic())
