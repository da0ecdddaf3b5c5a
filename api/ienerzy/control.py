"""Control of a battery: a status set here, or a command that the battery itself must confirm.

The command is committed before it is sent, so that a battery that is away gets it when it is heard of
again; see `docs/architecture.md`, Names on the bus.
"""

import time
import uuid
from typing import Literal

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import Error as BusError

from api.callers import Caller
from api.context import Context
from api.errors import Problem
from api.ienerzy.battery_access import battery_of
from api.ienerzy.schemas import BatteryStatus, ControlledBattery
from storage.database import Connection
from storage.queries import batteries, devices, samples
from storage.queries.batteries import Battery

log = structlog.get_logger()

REQUEST_SUBJECT = "gridwire.battery.command"
ANSWER_SUBJECT = "gridwire.battery.answer"

Order = Literal["activate", "deactivate"]
_AFTER: dict[Order, BatteryStatus] = {"activate": "active", "deactivate": "inactive"}


class _Answer(msgspec.Struct, frozen=True):
    outcome: str
    detail: str = ""


async def control(
    context: Context, caller: Caller, serial: str, action: BatteryStatus | Order
) -> ControlledBattery:
    """Carry `action` out, or have it carried out; raises 404, or 400 where the battery refuses."""
    command_id = uuid.uuid4()
    async with context.pool.connection() as db:
        battery = await battery_of(db, caller, serial)
        if action not in _AFTER:
            return await _set(db, battery, action)
        order: Order = "activate" if action == "activate" else "deactivate"
        if not await _reports(db, battery):
            return await _set(db, battery, _AFTER[order])
        await batteries.insert_command(db, command_id, battery.id, order, caller.id)
    await _ask(context, battery, command_id, order)
    async with context.pool.connection() as db:
        now = await battery_of(db, caller, serial)
        command = await batteries.get_command(db, command_id)
    is_pending = command is not None and command.state == "pending"
    return ControlledBattery.of(now, _AFTER[order] if is_pending else None)


async def _set(db: Connection, battery: Battery, status: str) -> ControlledBattery:
    after = await batteries.set_battery_status(db, battery.id, status)
    assert after is not None
    return ControlledBattery.of(after)


async def _reports(db: Connection, battery: Battery) -> bool:
    """Whether a device was ever heard of that could confirm a command."""
    if battery.device_id is None:
        return False
    device = await devices.get_device(db, battery.device_id)
    heard = device is not None and device.last_seen_at is not None
    return heard or await samples.latest_battery(db, battery.device_id) is not None


async def _ask(context: Context, battery: Battery, command_id: uuid.UUID, order: Order) -> None:
    """Have the command sent and wait for its answer, within one bound; a refusal is a 400."""
    deadline_s = time.monotonic() + context.config.battery_answer_s
    try:
        subscription = await context.bus.subscribe(f"{ANSWER_SUBJECT}.{command_id}", max_msgs=1)
        try:
            answer = await _exchange(context.bus, subscription, battery, command_id, order, deadline_s)
        finally:
            await subscription.unsubscribe()
    except (BusError, TimeoutError) as error:
        log.info("battery_command_pending", battery=battery.serial_number, why=repr(error))
        return
    if answer.outcome == "refused":
        details = f"Battery {battery.serial_number} answered: {answer.detail or 'no reason given'}"
        raise Problem(400, "Battery refused the command", details, "REFUSED")


async def _exchange(
    bus: Client,
    answers: Subscription,
    battery: Battery,
    command_id: uuid.UUID,
    order: Order,
    deadline_s: float,
) -> _Answer:
    request = {"command_id": str(command_id), "identity": battery.serial_number, "action": order}
    reply = await bus.request(REQUEST_SUBJECT, msgspec.json.encode(request), timeout=_left(deadline_s))
    sent = msgspec.json.decode(reply.data, type=_Answer)
    if sent.outcome != "sent":
        log.warning("battery_command_not_sent", battery=battery.serial_number, why=sent.detail)
        return sent
    message = await answers.next_msg(timeout=_left(deadline_s))
    return msgspec.json.decode(message.data, type=_Answer)


def _left(deadline_s: float) -> float:
    return max(0.001, deadline_s - time.monotonic())
