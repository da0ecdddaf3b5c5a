"""Orders to a battery's immobiliser: committed first, then sent; used by the API and `stream.lending.locks`.

A battery that is away gets the order when it is heard of again (`ingest.mqtt.commands`); names on the bus are
in `docs/architecture.md`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast
from uuid import UUID

import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import Error as BusError

from storage.database import Connection
from storage.queries import batteries, battery_locks
from stream.settlement import LiveEvent

log = structlog.get_logger()

REQUEST_SUBJECT = "gridwire.battery.command"
EVENT = "battery-order"  # in the hands of the jobs role alone, until it is committed
SEND_TIMEOUT_S = 3.0

Action = Literal["activate", "deactivate"]
BatteryStatus = Literal["active", "inactive"]
STATUS_AFTER: Mapping[Action, BatteryStatus] = {"activate": "active", "deactivate": "inactive"}


@dataclass(frozen=True, slots=True)
class Order:
    """A committed command that is still to be sent."""

    command_id: UUID
    serial_number: str
    action: Action


class Reply(msgspec.Struct, frozen=True):
    """What the shell that reaches batteries says of an order: sent, unavailable or invalid."""

    outcome: str
    detail: str = ""


async def order(
    connection: Connection,
    battery_id: int,
    action: Action,
    *,
    command_id: UUID,
    requested_by: int | None,
) -> bool:
    """Write a pending command that takes the place of an earlier one; it is to be sent after the commit.

    Where no device was ever heard of that could confirm it, set the battery's status at once: then False.
    """
    if not await battery_locks.is_heard_of(connection, battery_id):
        await batteries.set_battery_status(connection, battery_id, STATUS_AFTER[action])
        return False
    await batteries.insert_command(connection, command_id, battery_id, action, requested_by)
    return True


async def send(bus: Client, ordered: Order, timeout_s: float = SEND_TIMEOUT_S) -> Reply:
    """Have a committed order sent to its battery.

    Raises `nats.errors.Error` or `TimeoutError`: then the order waits until the battery is heard of.
    """
    request = {
        "command_id": str(ordered.command_id),
        "identity": ordered.serial_number,
        "action": ordered.action,
    }
    reply = await bus.request(REQUEST_SUBJECT, msgspec.json.encode(request), timeout=max(0.001, timeout_s))
    answer = msgspec.json.decode(reply.data, type=Reply)
    if answer.outcome != "sent":
        log.warning("battery_command_not_sent", battery=ordered.serial_number, why=answer.detail)
    return answer


async def try_send(bus: Client, ordered: Order) -> None:
    """Send an order; one that cannot be sent now stays pending, with a line in the log."""
    try:
        await send(bus, ordered)
    except (BusError, TimeoutError, OSError) as error:
        log.info("battery_command_pending", battery=ordered.serial_number, why=repr(error))


def as_event(ordered: Order) -> LiveEvent:
    """Return an order as an outbox handler gives it back, so that it is sent after the commit."""
    facts: dict[str, object] = {
        "command_id": str(ordered.command_id),
        "serial_number": ordered.serial_number,
        "action": ordered.action,
    }
    return LiveEvent(EVENT, facts)


async def tell(bus: Client, events: Iterable[LiveEvent]) -> list[LiveEvent]:
    """Send the orders among the events of an outbox task that is committed; returns the other events."""
    others = []
    for event in events:
        if event.name == EVENT:
            await try_send(bus, _of_event(event.payload))
        else:
            others.append(event)
    return others


def _of_event(facts: Mapping[str, Any]) -> Order:
    return Order(UUID(facts["command_id"]), facts["serial_number"], cast("Action", facts["action"]))
