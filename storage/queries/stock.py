"""Stock of batteries by model, what was allocated to wholesalers, and alerts of low stock.

Used by `stream.stock` and the Lithovolt API. Whoever writes here holds the model
(`battery_models.lock_models`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from storage.database import Connection, fetch_all, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class Stock:
    """How many serials of a model are in each state: in the maker's stock, or of one wholesaler."""

    model_id: int
    code: str
    name: str
    low_stock_threshold: int
    in_stock: int
    allocated: int
    sold: int
    returned: int
    scrapped: int


@dataclass(frozen=True, slots=True)
class LowStock:
    """A model whose stock is at or below its threshold; `opened_at`: when admins were told, None: not yet."""

    model_id: int
    code: str
    name: str
    threshold: int
    in_stock: int
    opened_at: datetime | None


@dataclass(frozen=True, slots=True)
class Allocation:
    """Serials of one model that went to a wholesaler; `open_count`: those not given back."""

    id: int
    wholesaler_id: int
    wholesaler_name: str
    model_id: int
    model_code: str
    model_name: str
    order_id: int | None
    quantity: int
    open_count: int
    notes: str
    created_at: datetime


class NewAllocation(TypedDict):
    """`order_id`: None for an allocation by hand."""

    wholesaler_id: int
    model_id: int
    order_id: int | None
    notes: str
    created_by: int
    now: datetime


_COUNTS = """
SELECT model.id AS model_id, code, name, low_stock_threshold,
       count(*) FILTER (WHERE number.status = 'in_stock') AS in_stock,
       count(*) FILTER (WHERE number.status = 'allocated') AS allocated,
       count(*) FILTER (WHERE number.status = 'sold') AS sold,
       count(*) FILTER (WHERE number.status = 'returned') AS returned,
       count(*) FILTER (WHERE number.status = 'scrapped') AS scrapped
FROM battery_models AS model
LEFT JOIN serial_numbers AS number
    ON number.model_id = model.id
   AND (%(wholesaler_id)s::bigint IS NULL OR number.wholesaler_id = %(wholesaler_id)s)
WHERE model.is_active OR number.id IS NOT NULL
GROUP BY model.id
HAVING %(wholesaler_id)s::bigint IS NULL OR count(number.id) > 0
ORDER BY model.id LIMIT %(limit)s OFFSET %(offset)s
"""

_COUNT_MODELS = """
SELECT count(*) FROM battery_models AS model
WHERE EXISTS (SELECT FROM serial_numbers
              WHERE model_id = model.id
                AND (%(wholesaler_id)s::bigint IS NULL OR wholesaler_id = %(wholesaler_id)s))
   OR (%(wholesaler_id)s::bigint IS NULL AND is_active)
"""

_IN_STOCK = "SELECT count(*) FROM serial_numbers WHERE model_id = %(model_id)s AND status = 'in_stock'"

_LOW = """
SELECT model.id AS model_id, code, name, low_stock_threshold AS threshold, counted.in_stock,
       opened_at
FROM battery_models AS model
CROSS JOIN LATERAL (
    SELECT count(*) AS in_stock FROM serial_numbers
    WHERE model_id = model.id AND status = 'in_stock') AS counted
LEFT JOIN low_stock_alerts AS alert ON alert.model_id = model.id AND closed_at IS NULL
WHERE is_active AND counted.in_stock <= low_stock_threshold
"""

_LIST_LOW = (
    _LOW + "ORDER BY counted.in_stock - low_stock_threshold, model.id LIMIT %(limit)s OFFSET %(offset)s"
)

_COUNT_LOW = "SELECT count(*) FROM (" + _LOW + ") AS low"

_OPEN_ALERT = """
INSERT INTO low_stock_alerts (model_id, in_stock, threshold, opened_at)
VALUES (%(model_id)s, %(in_stock)s, %(threshold)s, %(now)s)
ON CONFLICT (model_id) WHERE closed_at IS NULL DO NOTHING
RETURNING id
"""

_CLOSE_ALERT = """
UPDATE low_stock_alerts SET closed_at = %(now)s WHERE model_id = %(model_id)s AND closed_at IS NULL
"""

_INSERT = """
INSERT INTO stock_allocations (wholesaler_id, model_id, order_id, quantity, notes, created_by, created_at)
VALUES (%(wholesaler_id)s, %(model_id)s, %(order_id)s, %(quantity)s, %(notes)s, %(created_by)s, %(now)s)
RETURNING id
"""

_INSERT_SERIALS = """
INSERT INTO stock_allocation_serials (allocation_id, serial_id)
SELECT %(allocation_id)s, serial_id FROM unnest(%(serial_ids)s::bigint[]) AS serial_id
"""

_SELECT = """
SELECT allocation.id, wholesaler_id, coalesce(nullif(profile.company, ''), users.name) AS wholesaler_name,
       model_id, model.code AS model_code, model.name AS model_name, order_id, quantity, notes,
       allocation.created_at,
       (SELECT count(*) FROM stock_allocation_serials AS given
        WHERE given.allocation_id = allocation.id AND released_at IS NULL) AS open_count
FROM stock_allocations AS allocation
JOIN battery_models AS model ON model.id = model_id
JOIN users ON users.id = wholesaler_id
LEFT JOIN lithovolt_profiles AS profile ON profile.user_id = wholesaler_id
"""

_FILTER = """
WHERE (%(wholesaler_id)s::bigint IS NULL OR wholesaler_id = %(wholesaler_id)s)
  AND (%(model_id)s::bigint IS NULL OR model_id = %(model_id)s)
  AND (%(order_id)s::bigint IS NULL OR order_id = %(order_id)s)
"""

_LIST = _SELECT + _FILTER + "ORDER BY allocation.id DESC LIMIT %(limit)s OFFSET %(offset)s"

_COUNT = "SELECT count(*) FROM stock_allocations" + _FILTER

_GET = _SELECT + "WHERE allocation.id = %(id)s"

_LOCK = _GET + " FOR UPDATE OF allocation"

_SERIALS = """
SELECT serial FROM stock_allocation_serials JOIN serial_numbers ON id = serial_id
WHERE allocation_id = %(id)s AND (released_at IS NULL OR NOT %(is_open)s) ORDER BY id
"""

_HOLD_UNSOLD = """
SELECT id FROM stock_allocation_serials JOIN serial_numbers AS number ON id = serial_id
WHERE allocation_id = %(id)s AND released_at IS NULL AND status = 'allocated'
ORDER BY id FOR UPDATE OF number
"""

_RELEASE = """
UPDATE stock_allocation_serials SET released_at = %(now)s
WHERE serial_id = ANY(%(serial_ids)s) AND released_at IS NULL
"""


async def list_stock(
    connection: Connection, *, wholesaler_id: int | None, limit: int, offset: int
) -> tuple[list[Stock], int]:
    """Return one page of counts by model, and how many models; of one wholesaler those it has or had."""
    where = {"wholesaler_id": wholesaler_id}
    page = await fetch_all(connection, Stock, _COUNTS, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT_MODELS, where))


async def count_in_stock(connection: Connection, model_id: int) -> int:
    """Return how many of a model are in stock."""
    return int(await fetch_value(connection, _IN_STOCK, {"model_id": model_id}))


async def list_low(connection: Connection, *, limit: int, offset: int) -> tuple[list[LowStock], int]:
    """Return one page of active models at or below their threshold, the lowest first, and how many."""
    page = await fetch_all(connection, LowStock, _LIST_LOW, {"limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT_LOW, {}))


async def open_alert(
    connection: Connection, model_id: int, *, in_stock: int, threshold: int, now: datetime
) -> int | None:
    """Open the model's alert; returns its id, None where one is open."""
    facts = {"model_id": model_id, "in_stock": in_stock, "threshold": threshold, "now": now}
    opened = await fetch_value(connection, _OPEN_ALERT, facts)
    return None if opened is None else int(opened)


async def close_alert(connection: Connection, model_id: int, now: datetime) -> None:
    """Close the model's alert, where one is open."""
    await connection.execute(_CLOSE_ALERT, {"model_id": model_id, "now": now})


async def insert_allocation(connection: Connection, new: NewAllocation, serial_ids: Collection[int]) -> int:
    """Write an allocation of these serials, which the caller holds; returns its id."""
    parameters = {**new, "quantity": len(serial_ids)}
    allocation_id = int(await fetch_value(connection, _INSERT, parameters))
    rows = {"allocation_id": allocation_id, "serial_ids": list(serial_ids)}
    await connection.execute(_INSERT_SERIALS, rows)
    return allocation_id


async def get_allocation(
    connection: Connection, allocation_id: int, *, is_locked: bool = False
) -> Allocation | None:
    """Return the allocation, held until commit where that is asked for, or None."""
    return await fetch_one(connection, Allocation, _LOCK if is_locked else _GET, {"id": allocation_id})


async def list_allocations(
    connection: Connection,
    *,
    wholesaler_id: int | None = None,
    model_id: int | None = None,
    order_id: int | None = None,
    limit: int,
    offset: int = 0,
) -> tuple[list[Allocation], int]:
    """Return one page, newest first, and how many there are in all."""
    where = {"wholesaler_id": wholesaler_id, "model_id": model_id, "order_id": order_id}
    page = await fetch_all(connection, Allocation, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))


async def serials_of(connection: Connection, allocation_id: int, *, is_open: bool = False) -> list[str]:
    """Return the serials of an allocation; only those not given back where that is asked for."""
    rows = await connection.execute(_SERIALS, {"id": allocation_id, "is_open": is_open})
    return [serial async for (serial,) in rows]


async def hold_unsold(connection: Connection, allocation_id: int) -> list[int]:
    """Return the serials of an allocation that the wholesaler still has unsold, held until commit."""
    rows = await connection.execute(_HOLD_UNSOLD, {"id": allocation_id})
    return [serial_id async for (serial_id,) in rows]


async def release_serials(connection: Connection, serial_ids: Sequence[int], now: datetime) -> None:
    """Note that these serials were given back."""
    await connection.execute(_RELEASE, {"serial_ids": list(serial_ids), "now": now})
