"""Serial numbers of batteries: who has each, and what happened to it; used by `stream.stock` and the API.

`status`: in_stock (the maker's), allocated (a wholesaler's), sold (a customer's), returned, scrapped.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.patterns import containing


@dataclass(frozen=True, slots=True)
class SerialNumber:
    """`wholesaler_id`: who has or had it. `batch`: of the making, "" where none was named."""

    id: int
    serial: str
    model_id: int
    model_code: str
    model_name: str
    status: str
    wholesaler_id: int | None
    wholesaler_name: str | None
    batch: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class HeldSerial:
    """What an allocation needs to know of a serial."""

    id: int
    serial: str
    model_id: int
    status: str
    wholesaler_id: int | None


class SerialFilter(TypedDict):
    """None: any. `consumer_id`: of a warranty that is in force; `search`: part of the serial."""

    model_id: int | None
    status: str | None
    wholesaler_id: int | None
    consumer_id: int | None
    batch: str | None
    search: str | None


_SELECT = """
SELECT number.id, serial, model_id, model.code AS model_code, model.name AS model_name, number.status,
       wholesaler_id, coalesce(nullif(profile.company, ''), wholesaler.name) AS wholesaler_name, batch,
       number.created_at, number.updated_at
FROM serial_numbers AS number
JOIN battery_models AS model ON model.id = model_id
LEFT JOIN users AS wholesaler ON wholesaler.id = wholesaler_id
LEFT JOIN lithovolt_profiles AS profile ON profile.user_id = wholesaler_id
"""

_REACH = """
  AND (%(wholesaler_id)s::bigint IS NULL OR number.wholesaler_id = %(wholesaler_id)s)
  AND (%(consumer_id)s::bigint IS NULL OR EXISTS (
      SELECT FROM warranties
      WHERE serial_id = number.id AND consumer_id = %(consumer_id)s AND NOT is_void))
"""

_FILTER = (
    """
WHERE (%(model_id)s::bigint IS NULL OR number.model_id = %(model_id)s)
  AND (%(status)s::text IS NULL OR number.status = %(status)s)
  AND (%(batch)s::text IS NULL OR number.batch = %(batch)s)
  AND (%(pattern)s::text IS NULL OR number.serial_key LIKE %(pattern)s)
"""
    + _REACH
)

_LIST = _SELECT + _FILTER + "ORDER BY number.id DESC LIMIT %(limit)s OFFSET %(offset)s"

_COUNT = "SELECT count(*) FROM serial_numbers AS number" + _FILTER

_FIND = _SELECT + "WHERE serial_key = lower(%(serial)s)" + _REACH

_LOCK = "SELECT id, serial, model_id, status, wholesaler_id FROM serial_numbers "

_HOLD = _LOCK + "WHERE serial_key = ANY(%(keys)s) ORDER BY id FOR UPDATE"

_MODELS = "SELECT DISTINCT model_id FROM serial_numbers WHERE serial_key = ANY(%(keys)s)"

_TAKE = (
    _LOCK
    + """
WHERE model_id = %(model_id)s AND status = 'in_stock' ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""
)

_COUNT_UP = """
INSERT INTO serial_counters (model_id, value) VALUES (%(model_id)s, %(quantity)s)
ON CONFLICT (model_id) DO UPDATE SET value = serial_counters.value + EXCLUDED.value
RETURNING value
"""

# In the order of the keys: two imports of the same serials do not wait for each other in a circle.
_INSERT = """
WITH made AS (
    INSERT INTO serial_numbers (serial, model_id, batch, created_at, updated_at)
    SELECT serial, %(model_id)s, %(batch)s, %(now)s, %(now)s
    FROM unnest(%(serials)s::text[]) AS serial ORDER BY lower(serial)
    ON CONFLICT (serial_key) DO NOTHING
    RETURNING id, serial
), noted AS (
    INSERT INTO serial_events (serial_id, kind, actor_id, detail, at)
    SELECT id, %(kind)s, %(actor_id)s, %(detail)s, %(now)s FROM made ORDER BY id
)
SELECT serial FROM made
"""

_MOVE = """
WITH moved AS (
    UPDATE serial_numbers SET status = %(status)s, wholesaler_id = %(wholesaler_id)s, updated_at = %(now)s
    WHERE id = ANY(%(ids)s)
    RETURNING id
)
INSERT INTO serial_events (serial_id, kind, actor_id, detail, at)
SELECT id, %(kind)s, %(actor_id)s, %(detail)s, %(now)s FROM moved ORDER BY id
"""

_REACHED_AT = """
SELECT CASE
    WHEN %(wholesaler_id)s::bigint IS NOT NULL THEN (
        SELECT max(allocation.created_at)
        FROM stock_allocation_serials AS given
        JOIN stock_allocations AS allocation ON allocation.id = allocation_id
        WHERE given.serial_id = %(id)s AND allocation.wholesaler_id = %(wholesaler_id)s)
    ELSE (SELECT max(activated_at) FROM warranties
          WHERE serial_id = %(id)s AND consumer_id = %(consumer_id)s AND NOT is_void)
    END
"""

_HAS_WARRANTY = "SELECT EXISTS (SELECT FROM warranties WHERE serial_id = %(id)s AND NOT is_void)"


class Move(TypedDict):
    """What becomes of serials: their new state, and the event of their history."""

    status: str
    wholesaler_id: int | None
    kind: str
    actor_id: int
    detail: Mapping[str, Any]
    now: datetime


async def list_serials(
    connection: Connection, where: SerialFilter, *, limit: int, offset: int
) -> tuple[list[SerialNumber], int]:
    """Return one page, newest first, and how many there are in all."""
    search = where["search"]
    parameters = {**where, "pattern": None if search is None else containing(search.lower())}
    page = await fetch_all(connection, SerialNumber, _LIST, {**parameters, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, parameters))


async def find_serial(
    connection: Connection, serial: str, *, wholesaler_id: int | None = None, consumer_id: int | None = None
) -> SerialNumber | None:
    """Return the serial, in any case of its letters, if it is this wholesaler's or consumer's; or None."""
    facts = {"serial": serial, "wholesaler_id": wholesaler_id, "consumer_id": consumer_id}
    return await fetch_one(connection, SerialNumber, _FIND, facts)


async def next_numbers(connection: Connection, model_id: int, quantity: int) -> int:
    """Take `quantity` running numbers of a model; returns the last of them. Held until commit."""
    return int(await fetch_value(connection, _COUNT_UP, {"model_id": model_id, "quantity": quantity}))


async def insert_serials(
    connection: Connection,
    model_id: int,
    serials: Sequence[str],
    *,
    kind: str,
    batch: str,
    actor_id: int,
    now: datetime,
) -> set[str]:
    """Write those of these serials that there are not yet, each with its first event; returns them."""
    facts = {"model_id": model_id, "kind": kind, "batch": batch, "actor_id": actor_id, "now": now}
    rows = await connection.execute(
        _INSERT, {**facts, "serials": list(serials), "detail": Jsonb({"batch": batch} if batch else {})}
    )
    return {serial async for (serial,) in rows}


async def models_of(connection: Connection, serials: Collection[str]) -> list[int]:
    """Return the models that these serials are of."""
    rows = await connection.execute(_MODELS, {"keys": [serial.lower() for serial in serials]})
    return [model_id async for (model_id,) in rows]


async def hold_serials(connection: Connection, serials: Collection[str]) -> dict[str, HeldSerial]:
    """Return those of these serials that there are, by their lower case, held until commit."""
    keys = [serial.lower() for serial in serials]
    found = await fetch_all(connection, HeldSerial, _HOLD, {"keys": keys})
    return {each.serial.lower(): each for each in found}


async def take_in_stock(connection: Connection, model_id: int, limit: int) -> list[HeldSerial]:
    """Return up to `limit` serials in stock, the oldest first, that nobody else holds; held until commit."""
    return await fetch_all(connection, HeldSerial, _TAKE, {"model_id": model_id, "limit": limit})


async def move_serials(connection: Connection, serial_ids: Collection[int], move: Move) -> None:
    """Change the state of serials that the caller holds, and note it in the history of each."""
    parameters = {**move, "ids": list(serial_ids), "detail": Jsonb(dict(move["detail"]))}
    await connection.execute(_MOVE, parameters)


async def reached_at(
    connection: Connection, serial_id: int, *, wholesaler_id: int | None, consumer_id: int | None
) -> datetime | None:
    """Return when the serial came to this wholesaler, or its warranty to this consumer; None: never."""
    facts = {"id": serial_id, "wholesaler_id": wholesaler_id, "consumer_id": consumer_id}
    found: datetime | None = await fetch_value(connection, _REACHED_AT, facts)
    return found


async def has_warranty(connection: Connection, serial_id: int) -> bool:
    """Whether a warranty of the serial is in force, or was and was never voided."""
    return bool(await fetch_value(connection, _HAS_WARRANTY, {"id": serial_id}))
