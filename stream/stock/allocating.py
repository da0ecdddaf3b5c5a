"""Stock goes to wholesalers, and comes back; what else becomes of a serial. Used by the API and by orders.

Each of these holds the models first, in the order of their ids, then serials in the order of theirs: two
requests never wait for each other in a circle, and what one took another does not see as in stock.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TypedDict, Unpack

from storage.database import Connection
from storage.queries import battery_models, serial_numbers, stock
from storage.queries.battery_models import BatteryModel
from storage.queries.serial_numbers import HeldSerial, Move, SerialNumber
from stream.stock import alerts, serials
from stream.stock.errors import StockError

# What may become of a serial by hand; the rest is by allocation, release and warranty.
TRANSITIONS: Mapping[str, frozenset[str]] = {
    "in_stock": frozenset({"scrapped"}),
    "allocated": frozenset({"returned"}),
    "sold": frozenset({"returned"}),
    "returned": frozenset({"in_stock", "scrapped"}),
    "scrapped": frozenset(),
}


class Given(TypedDict):
    """To whom, why, by whom and when; `order_id`: None by hand."""

    wholesaler_id: int
    order_id: int | None
    notes: str
    actor_id: int
    now: datetime


async def allocate_quantity(
    connection: Connection, model: BatteryModel, quantity: int, **given: Unpack[Given]
) -> int:
    """Give a wholesaler the oldest serials of a model, which the caller holds; returns the allocation's id.

    Raises `StockError` that says how many are missing.
    """
    taken = await serial_numbers.take_in_stock(connection, model.id, quantity)
    if len(taken) < quantity:
        raise StockError("quantity", [shortage(model, quantity, len(taken))])
    return await _give(connection, model, taken, given)


async def allocate_serials(connection: Connection, names: Sequence[str], **given: Unpack[Given]) -> int:
    """Give a wholesaler exactly these serials, of one model; returns the allocation's id.

    Raises `StockError` that names each which is not there, or not in stock.
    """
    models = await battery_models.lock_models(connection, await serial_numbers.models_of(connection, names))
    held = await serial_numbers.hold_serials(connection, names)
    faults = [why for name in names if (why := _unfit(name, held.get(name.lower()))) is not None]
    faults += [f"{name} stands here more than once" for name in serials.repeated(names)]
    if not faults and len(models) > 1:
        codes = ", ".join(sorted(model.code for model in models.values()))
        faults = [f"one allocation is of one model, these are of {codes}"]
    if faults:
        raise StockError("serials", faults)
    (model,) = models.values()
    return await _give(connection, model, list(held.values()), given)


def shortage(model: BatteryModel, wanted: int, there: int) -> str:
    """Say what is missing of a model."""
    return f"{model.name} ({model.code}): {wanted} wanted, {there} in stock, {wanted - there} missing"


async def release(
    connection: Connection, allocation_id: int, model_id: int, *, actor_id: int, now: datetime
) -> int:
    """Take back what a wholesaler has not sold of an allocation; returns how many.

    Raises `StockError` where there is nothing to take back.
    """
    models = await battery_models.lock_models(connection, [model_id])
    unsold = await stock.hold_unsold(connection, allocation_id)
    if not unsold:
        raise StockError("", ["Nothing of this allocation is left unsold with its wholesaler."])
    await stock.release_serials(connection, unsold, now)
    move = _move("in_stock", None, "released", {"allocation_id": allocation_id}, actor_id, now)
    await serial_numbers.move_serials(connection, unsold, move)
    await alerts.watch(connection, models[model_id], now)
    return len(unsold)


async def change_status(
    connection: Connection, number: SerialNumber, status: str, reason: str, *, actor_id: int, now: datetime
) -> None:
    """Note by hand what became of a serial (`TRANSITIONS`). Raises `StockError`."""
    models = await battery_models.lock_models(connection, [number.model_id])
    held = (await serial_numbers.hold_serials(connection, [number.serial]))[number.serial.lower()]
    allowed = TRANSITIONS[held.status]
    if status not in allowed:
        steps = f"from {held.status} it can become {' or '.join(sorted(allowed)) or 'nothing else'}"
        raise StockError("status", [f"{held.serial} is {held.status}: {steps}"])
    if status == "in_stock" and await serial_numbers.has_warranty(connection, held.id):
        raise StockError("status", [f"{held.serial} has a warranty: void that first"])
    if status == "returned":
        await stock.release_serials(connection, [held.id], now)
    wholesaler_id = None if status == "in_stock" else held.wholesaler_id
    kind = "restocked" if status == "in_stock" else status
    move = _move(status, wholesaler_id, kind, {"reason": reason} if reason else {}, actor_id, now)
    await serial_numbers.move_serials(connection, [held.id], move)
    await alerts.watch(connection, models[number.model_id], now)


def _unfit(name: str, held: HeldSerial | None) -> str | None:
    if held is None:
        return f"{name} does not exist"
    return None if held.status == "in_stock" else f"{name} is not in stock: it is {held.status}"


async def _give(
    connection: Connection, model: BatteryModel, taken: Collection[HeldSerial], given: Given
) -> int:
    ids = [each.id for each in taken]
    allocation_id = await stock.insert_allocation(
        connection,
        {
            "wholesaler_id": given["wholesaler_id"],
            "model_id": model.id,
            "order_id": given["order_id"],
            "notes": given["notes"],
            "created_by": given["actor_id"],
            "now": given["now"],
        },
        ids,
    )
    detail = {"allocation_id": allocation_id}
    move = _move("allocated", given["wholesaler_id"], "allocated", detail, given["actor_id"], given["now"])
    await serial_numbers.move_serials(connection, ids, move)
    await alerts.watch(connection, model, given["now"])
    return allocation_id


def _move(
    status: str,
    wholesaler_id: int | None,
    kind: str,
    detail: Mapping[str, object],
    actor_id: int,
    now: datetime,
) -> Move:
    return {
        "status": status,
        "wholesaler_id": wholesaler_id,
        "kind": kind,
        "actor_id": actor_id,
        "detail": detail,
        "now": now,
    }
