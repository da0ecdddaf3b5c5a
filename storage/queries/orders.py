"""Wholesalers' orders and what they are of; used by `stream.stock.ordering` and the Lithovolt API."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class Order:
    """`status`: pending, approved, rejected or cancelled. `invoice_facts`: what its invoice says."""

    id: int
    order_number: str
    buyer_id: int
    buyer_name: str
    status: str
    notes: str
    subtotal_minor: int
    tax_minor: int
    total_minor: int
    invoice_number: str | None
    invoiced_at: datetime | None
    invoice_facts: dict[str, Any] | None
    decided_by: int | None
    decided_at: datetime | None
    reason: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OrderItem:
    """Price and tax rate as they were when it was ordered; the amount is without tax."""

    order_id: int
    position: int
    model_id: int
    model_code: str
    model_name: str
    hsn_code: str
    quantity: int
    price_minor: int
    tax_basis_points: int
    amount_minor: int
    tax_minor: int


class NewItem(TypedDict):
    """One line of an order to be."""

    model_id: int
    quantity: int
    price_minor: int
    tax_basis_points: int
    amount_minor: int
    tax_minor: int


class NewOrder(TypedDict):
    """An order to be."""

    order_number: str
    buyer_id: int
    notes: str
    request_key: str | None
    now: datetime


class OrderFilter(TypedDict):
    """None: any. Made from `created_from` on, before `created_before`."""

    buyer_id: int | None
    status: str | None
    created_from: datetime | None
    created_before: datetime | None


class Decision(TypedDict):
    """What became of an order; an approved one has an invoice."""

    status: str
    decided_by: int
    reason: str | None
    invoice_number: str | None
    invoice_facts: Mapping[str, Any] | None
    now: datetime


_SELECT = """
SELECT "order".id, order_number, buyer_id, coalesce(nullif(profile.company, ''), buyer.name) AS buyer_name,
       "order".status, notes, subtotal_minor, tax_minor, total_minor, invoice_number, invoiced_at,
       invoice_facts, decided_by, decided_at, reason, "order".created_at
FROM orders AS "order"
JOIN users AS buyer ON buyer.id = buyer_id
LEFT JOIN lithovolt_profiles AS profile ON profile.user_id = buyer_id
"""

_GET = _SELECT + 'WHERE "order".id = %(id)s'

_LOCK = _GET + ' FOR UPDATE OF "order"'

_BY_KEY = _SELECT + "WHERE buyer_id = %(buyer_id)s AND request_key = %(request_key)s"

_FILTER = """
WHERE (%(buyer_id)s::bigint IS NULL OR buyer_id = %(buyer_id)s)
  AND (%(status)s::text IS NULL OR "order".status = %(status)s)
  AND (%(created_from)s::timestamptz IS NULL OR "order".created_at >= %(created_from)s)
  AND (%(created_before)s::timestamptz IS NULL OR "order".created_at < %(created_before)s)
"""

_LIST = _SELECT + _FILTER + 'ORDER BY "order".id DESC LIMIT %(limit)s OFFSET %(offset)s'

_COUNT = 'SELECT count(*) FROM orders AS "order"' + _FILTER

_ITEMS = """
SELECT order_id, position, model_id, model.code AS model_code, model.name AS model_name, model.hsn_code,
       quantity, item.price_minor, item.tax_basis_points, amount_minor, tax_minor
FROM order_items AS item JOIN battery_models AS model ON model.id = model_id
WHERE order_id = ANY(%(order_ids)s) ORDER BY order_id, position
"""

_INSERT = """
INSERT INTO orders (order_number, buyer_id, notes, subtotal_minor, tax_minor, total_minor, request_key,
                    created_at)
VALUES (%(order_number)s, %(buyer_id)s, %(notes)s, %(subtotal_minor)s, %(tax_minor)s,
        %(subtotal_minor)s::bigint + %(tax_minor)s::bigint, %(request_key)s, %(now)s)
RETURNING id
"""

_INSERT_ITEM = """
INSERT INTO order_items (order_id, position, model_id, quantity, price_minor, tax_basis_points, amount_minor,
                         tax_minor)
VALUES (%(order_id)s, %(position)s, %(model_id)s, %(quantity)s, %(price_minor)s, %(tax_basis_points)s,
        %(amount_minor)s, %(tax_minor)s)
"""

_DECIDE = """
UPDATE orders
SET status = %(status)s, decided_by = %(decided_by)s, decided_at = %(now)s, reason = %(reason)s,
    invoice_number = %(invoice_number)s, invoice_facts = %(invoice_facts)s,
    invoiced_at = CASE WHEN %(invoice_number)s::text IS NULL THEN NULL ELSE %(now)s::timestamptz END
WHERE id = %(id)s
"""

_SERIALS = """
SELECT model_id, serial
FROM (SELECT given.serial_id FROM stock_allocations AS allocation
      JOIN stock_allocation_serials AS given ON allocation_id = allocation.id
      WHERE order_id = %(id)s) AS sent
JOIN serial_numbers AS number ON number.id = serial_id
ORDER BY model_id, number.id
"""


async def get_order(connection: Connection, order_id: int, *, is_locked: bool = False) -> Order | None:
    """Return the order, held until commit where that is asked for, or None."""
    return await fetch_one(connection, Order, _LOCK if is_locked else _GET, {"id": order_id})


async def find_by_key(connection: Connection, buyer_id: int, request_key: str) -> Order | None:
    """Return the order that the buyer made with this Idempotency-Key, or None."""
    return await fetch_one(connection, Order, _BY_KEY, {"buyer_id": buyer_id, "request_key": request_key})


async def list_orders(
    connection: Connection, where: OrderFilter, *, limit: int, offset: int
) -> tuple[list[Order], int]:
    """Return one page, newest first, and how many there are in all."""
    page = await fetch_all(connection, Order, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))


async def items_of(connection: Connection, order_ids: Collection[int]) -> dict[int, list[OrderItem]]:
    """Return the items of each of these orders, in order."""
    by_order: dict[int, list[OrderItem]] = {order_id: [] for order_id in order_ids}
    for item in await fetch_all(connection, OrderItem, _ITEMS, {"order_ids": list(order_ids)}):
        by_order[item.order_id].append(item)
    return by_order


async def insert_order(connection: Connection, new: NewOrder, items: Sequence[NewItem]) -> int:
    """Write an order with its items; returns its id."""
    sums = {
        "subtotal_minor": sum(item["amount_minor"] for item in items),
        "tax_minor": sum(item["tax_minor"] for item in items),
    }
    order_id = int(await fetch_value(connection, _INSERT, {**new, **sums}))
    rows = [{**item, "order_id": order_id, "position": at} for at, item in enumerate(items, start=1)]
    async with connection.cursor() as cursor:
        await cursor.executemany(_INSERT_ITEM, rows)
    return order_id


async def decide(connection: Connection, order_id: int, decision: Decision) -> None:
    """Note what became of an order, which the caller holds."""
    facts = decision["invoice_facts"]
    stored = None if facts is None else Jsonb(dict(facts))
    await connection.execute(_DECIDE, {**decision, "id": order_id, "invoice_facts": stored})


async def serials_sent(connection: Connection, order_id: int) -> dict[int, list[str]]:
    """Return the serials that were allocated for an order, by model."""
    by_model: dict[int, list[str]] = {}
    rows = await connection.execute(_SERIALS, {"id": order_id})
    async for model_id, serial in rows:
        by_model.setdefault(model_id, []).append(serial)
    return by_model
