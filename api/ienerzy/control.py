"""A battery's status: at once where it is a matter of records, by command where the battery has to obey."""

import json
import uuid
from collections.abc import Mapping

import nats.errors
import structlog

from api.context import Context
from storage.queries import batteries
from storage.queries.batteries import Battery

log = structlog.get_logger()

STATUS_OF: Mapping[str, str] = {
    "active": "active",
    "activate": "active",
    "inactive": "inactive",
    "deactivate": "inactive",
    "maintenance": "maintenance",
}
_COMMAND_FOR: Mapping[str, str] = {"active": "activate", "inactive": "deactivate"}
SEND_TIMEOUT_S = 5.0


async def control(context: Context, battery: Battery, status: str, caller_id: int) -> tuple[Battery, bool]:
    """Bring the battery to `status`; the flag says that its confirmation is still awaited.

    A battery without a device, and maintenance, are records only. A command that is not confirmed in
    time stays pending and is sent again when the battery is heard of.
    """
    command = _COMMAND_FOR.get(status)
    if command is None or battery.device_id is None:
        async with context.pool.connection() as connection:
            after = await batteries.set_battery_status(connection, battery.id, status)
        assert after is not None
        return after, False
    command_id = uuid.uuid4()
    async with context.pool.connection() as connection:
        await batteries.insert_command(connection, command_id, battery.id, command, caller_id)
    await _send_and_wait(context, command_id, battery.serial_number, command)
    async with context.pool.connection() as connection:
        state = await batteries.get_command(connection, command_id)
        after = await batteries.find_battery(connection, battery.serial_number)
    assert state is not None
    assert after is not None
    return after, state.state == "pending"


async def _send_and_wait(context: Context, command_id: uuid.UUID, identity: str, action: str) -> None:
    """Hand the command to an ingestor and wait for the answer, as long as a caller may be kept waiting."""
    request = json.dumps({"command_id": str(command_id), "identity": identity, "action": action}).encode()
    try:
        answers = await context.bus.subscribe(f"gridwire.battery.answer.{command_id}", max_msgs=1)
        try:
            await context.bus.request("gridwire.battery.command", request, timeout=SEND_TIMEOUT_S)
            await answers.next_msg(timeout=context.config.battery_answer_s)
        finally:
            await answers.unsubscribe()
    except (nats.errors.Error, TimeoutError) as error:
        log.warning("battery_command_pending", battery=identity, action=action, error=repr(error))
