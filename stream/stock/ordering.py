"""Orders of wholesalers: made, approved with stock and invoice in one transaction, rejected or cancelled.

Used by the API. Prices and tax are those of the moment of the order. An invoice's number has no gaps and
begins again with each financial year, and what it says is kept with the order (see `stream.invoicing`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, TypedDict, Unpack

from storage.database import Connection
from storage.queries import battery_models, counters, lithovolt_users, orders, stock, users
from storage.queries.battery_models import BatteryModel
from storage.queries.lithovolt_users import Account
from storage.queries.orders import NewItem, Order, OrderItem
from stream.invoicing import financial_year
from stream.lithovolt_words import tell
from stream.platform_settings import read_settings
from stream.stock import allocating
from stream.stock.errors import StockError
from stream.stock.gst import Line, Seller

ORDER_PREFIX = "LO"
INVOICE_PREFIX = "LV"
ITEMS_MAX = 50
UNITS_MAX = 10_000  # of one order: they are allocated, and listed, in one go


class KeyUsedError(Exception):
    """The Idempotency-Key made another order before; the message names it."""


class NotPendingError(Exception):
    """The order was decided before; the message says how."""


@dataclass(frozen=True, slots=True)
class Party:
    """Seller or buyer as an invoice names it; "" for what is not known."""

    name: str
    address: str
    gstin: str
    email: str
    phone: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model and how many of it."""

    model_id: int
    quantity: int


class Request(TypedDict):
    """`key`: the Idempotency-Key, if there was one."""

    notes: str
    key: str | None
    now: datetime


async def create(
    connection: Connection, buyer_id: int, wanted: Sequence[Wanted], **request: Unpack[Request]
) -> int:
    """Write an order of these models, each named once; returns its id, of the one before for the same key.

    Raises `StockError` for a model that is not sold, and `KeyUsedError`.
    """
    await users.hold_user(connection, buyer_id)  # a second request with the key waits here for the first
    before = await _made_before(connection, buyer_id, wanted, request)
    if before is not None:
        return before
    models = await battery_models.get_models(connection, [each.model_id for each in wanted])
    items = [_item(each, models.get(each.model_id)) for each in wanted]
    year = financial_year(request["now"])
    number = await counters.next_number(connection, f"lithovolt_order:{year}")
    new: orders.NewOrder = {
        "order_number": f"{ORDER_PREFIX}-{year}-{number:06}",
        "buyer_id": buyer_id,
        "notes": request["notes"],
        "request_key": request["key"],
        "now": request["now"],
    }
    return await orders.insert_order(connection, new, items)


async def approve(
    connection: Connection, order: Order, *, seller: Seller, actor_id: int, now: datetime
) -> None:
    """Allocate what was ordered, number the invoice and tell the buyer; the caller holds the order.

    Raises `NotPendingError`, or `StockError` that names each model and what is missing, or the buyer.
    """
    _refuse_decided(order)
    buyer = await _served(connection, order)
    items = (await orders.items_of(connection, [order.id]))[order.id]
    models = await battery_models.lock_models(connection, [item.model_id for item in items])
    await _refuse_shortage(connection, items, models)
    for item in sorted(items, key=lambda each: each.model_id):
        await allocating.allocate_quantity(
            connection,
            models[item.model_id],
            item.quantity,
            wholesaler_id=order.buyer_id,
            order_id=order.id,
            notes=f"Order {order.order_number}",
            actor_id=actor_id,
            now=now,
        )
    facts = await _invoice_facts(connection, order, items, seller, buyer)
    invoice_number = await _next_invoice_number(connection, now)
    decision = _decision("approved", actor_id, None, now)
    await orders.decide(
        connection, order.id, {**decision, "invoice_number": invoice_number, "invoice_facts": facts}
    )
    values = {
        "order_number": order.order_number,
        "invoice_number": invoice_number,
        "total": f"{order.total_minor // 100}.{order.total_minor % 100:02}",
    }
    await tell(connection, order.buyer_id, "order_approved", values, now, f"order:{order.id}")


async def reject(connection: Connection, order: Order, reason: str, *, actor_id: int, now: datetime) -> None:
    """Refuse an order, which the caller holds; the buyer hears why. Raises `NotPendingError`."""
    _refuse_decided(order)
    await orders.decide(connection, order.id, _decision("rejected", actor_id, reason, now))
    values = {"order_number": order.order_number, "reason": reason}
    await tell(connection, order.buyer_id, "order_rejected", values, now, f"order:{order.id}")


async def cancel(
    connection: Connection, order: Order, reason: str | None, *, actor_id: int, now: datetime
) -> None:
    """Take back an order that nobody decided, which the caller holds. Raises `NotPendingError`."""
    _refuse_decided(order)
    await orders.decide(connection, order.id, _decision("cancelled", actor_id, reason, now))


async def _made_before(
    connection: Connection, buyer_id: int, wanted: Sequence[Wanted], request: Request
) -> int | None:
    if request["key"] is None:
        return None
    order = await orders.find_by_key(connection, buyer_id, request["key"])
    if order is None:
        return None
    items = (await orders.items_of(connection, [order.id]))[order.id]
    same = [Wanted(item.model_id, item.quantity) for item in items] == list(wanted)
    if not same or order.notes != request["notes"]:
        raise KeyUsedError(
            f"This Idempotency-Key made order {order.order_number}: send a new key for a new one"
        )
    return order.id


def _item(wanted: Wanted, model: BatteryModel | None) -> NewItem:
    if model is None or not model.is_active:
        raise StockError("items", [f"there is no model {wanted.model_id} for sale"])
    line = Line.of(wanted.quantity, model.price_minor, model.tax_basis_points)
    return {
        "model_id": model.id,
        "quantity": wanted.quantity,
        "price_minor": model.price_minor,
        "tax_basis_points": model.tax_basis_points,
        "amount_minor": line.amount_minor,
        "tax_minor": line.tax_minor,
    }


def _refuse_decided(order: Order) -> None:
    if order.status != "pending":
        raise NotPendingError(f"Order {order.order_number} is {order.status} already")


async def _refuse_shortage(
    connection: Connection, items: Sequence[OrderItem], models: Mapping[int, BatteryModel]
) -> None:
    faults = []
    for item in items:
        there = await stock.count_in_stock(connection, item.model_id)
        if there < item.quantity:
            faults.append(allocating.shortage(models[item.model_id], item.quantity, there))
    if faults:
        raise StockError("items", faults)


async def _served(connection: Connection, order: Order) -> Account:
    """Return the buyer, who may have been blocked or demoted since. Raises `StockError`."""
    buyer = await lithovolt_users.get_account(connection, order.buyer_id)
    if buyer is None or not buyer.is_served:
        raise StockError("", [f"{order.buyer_name} is no approved wholesaler any more, or is blocked."])
    return buyer


async def _invoice_facts(
    connection: Connection, order: Order, items: Sequence[OrderItem], seller: Seller, buyer: Account
) -> dict[str, Any]:
    general = (await read_settings(connection)).general
    return {
        "seller": asdict(
            Party(
                general.site_name, seller.address, seller.gstin, general.support_email, general.support_phone
            )
        ),
        "buyer": asdict(Party(order.buyer_name, buyer.address, buyer.gstin, buyer.email, buyer.phone or "")),
        "goods": {
            str(item.model_id): {"name": item.model_name, "code": item.model_code, "hsn": item.hsn_code}
            for item in items
        },
    }


async def _next_invoice_number(connection: Connection, now: datetime) -> str:
    """Return the next number, as in "LV-2627-000001"; whoever asks second waits for the first to commit."""
    year = financial_year(now)
    number = await counters.next_number(connection, f"lithovolt_invoice:{year}")
    return f"{INVOICE_PREFIX}-{year}-{number:06}"


def _decision(status: str, actor_id: int, reason: str | None, now: datetime) -> orders.Decision:
    return {
        "status": status,
        "decided_by": actor_id,
        "reason": reason,
        "invoice_number": None,
        "invoice_facts": None,
        "now": now,
    }
