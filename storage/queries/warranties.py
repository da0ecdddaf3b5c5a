"""Warranties of the Lithovolt family, the serials that they are of, and who was reminded of their end.

Used by `stream.warranty` and the API. Whoever changes the warranty of a serial holds the serial first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypedDict, Unpack

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class Serial:
    """A serial number, held until commit, with what its model says of warranties.

    `status`: in_stock, allocated, sold, returned or scrapped.
    """

    id: int
    serial: str
    status: str
    wholesaler_id: int | None
    model_id: int
    model: str
    warranty_months: int
    warranty_terms: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Warranty:
    """`consumer_id` is None for a customer without an account. `terms`: see `stream.warranty.terms`.

    `seller` is the wholesaler's company, or name.
    """

    id: int
    certificate_number: str
    serial_id: int
    serial: str
    consumer_id: int | None
    seller_id: int | None
    seller: str | None
    customer_name: str
    customer_phone: str | None
    customer_email: str | None
    starts_on: date
    expires_on: date
    terms: dict[str, Any]
    is_void: bool
    void_reason: str | None
    activated_by: int
    activated_at: datetime
    signature: bytes


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose warranties are meant: a consumer's, a seller's, or with neither everybody's."""

    consumer_id: int | None = None
    seller_id: int | None = None

    def covers(self, consumer_id: int | None, seller_id: int | None) -> bool:
        """Whether a warranty of these two is among them."""
        is_consumers = self.consumer_id is None or self.consumer_id == consumer_id
        return is_consumers and (self.seller_id is None or self.seller_id == seller_id)


class Filter(TypedDict, total=False):
    """Which warranties are listed; what is missing or None does not matter. Days are both included."""

    status: str | None
    serial: str | None
    expires_from: date | None
    expires_until: date | None


class NewWarranty(TypedDict):
    """What a warranty is made of."""

    certificate_number: str
    serial_id: int
    consumer_id: int | None
    seller_id: int | None
    customer_name: str
    customer_phone: str | None
    customer_email: str | None
    starts_on: date
    expires_on: date
    terms: Mapping[str, Any]
    activated_by: int
    activated_at: datetime
    signature: bytes


_SERIALS = """
SELECT serials.id, serial, status, wholesaler_id, model_id, battery_models.name AS model, warranty_months,
       warranty_terms
FROM serial_numbers AS serials JOIN battery_models ON battery_models.id = model_id
"""

_LOCK_SERIALS = (
    _SERIALS
    + "WHERE serial_key = ANY(SELECT lower(key) FROM unnest(%(serials)s::text[]) AS key)"
    + "ORDER BY serials.id FOR UPDATE OF serials"
)

_SELECT = """
SELECT warranties.id, certificate_number, serial_id, serial, consumer_id, seller_id,
       coalesce(nullif(sellers.company, ''), users.name) AS seller, customer_name, customer_phone,
       customer_email, starts_on, expires_on, terms, is_void, void_reason, activated_by, activated_at,
       signature
FROM warranties
JOIN serial_numbers ON serial_numbers.id = serial_id
LEFT JOIN users ON users.id = seller_id
LEFT JOIN lithovolt_profiles AS sellers ON sellers.user_id = seller_id
"""

_GET = _SELECT + "WHERE warranties.id = %(id)s"

_OF_SERIAL = (
    _SELECT + "WHERE serial_key = lower(%(serial)s) ORDER BY is_void, warranties.id DESC LIMIT %(limit)s"
)

_INSERT = """
INSERT INTO warranties (certificate_number, serial_id, consumer_id, seller_id, customer_name, customer_phone,
                        customer_email, starts_on, expires_on, terms, activated_by, activated_at, signature)
VALUES (%(certificate_number)s, %(serial_id)s, %(consumer_id)s, %(seller_id)s, %(customer_name)s,
        %(customer_phone)s, %(customer_email)s, %(starts_on)s, %(expires_on)s, %(terms)s, %(activated_by)s,
        %(activated_at)s, %(signature)s)
ON CONFLICT (serial_id) WHERE NOT is_void DO NOTHING
RETURNING id
"""

_VOID = """
UPDATE warranties SET is_void = true, void_reason = %(reason)s WHERE id = %(id)s AND NOT is_void RETURNING id
"""

_LINK = """
UPDATE warranties SET consumer_id = %(consumer_id)s
WHERE id = %(id)s AND coalesce(consumer_id, %(consumer_id)s) = %(consumer_id)s
RETURNING id
"""

_FILTER = """
WHERE (%(consumer_id)s::bigint IS NULL OR consumer_id = %(consumer_id)s)
  AND (%(seller_id)s::bigint IS NULL OR seller_id = %(seller_id)s)
  AND (%(serial)s::text IS NULL OR serial_key = lower(%(serial)s))
  AND (%(expires_from)s::date IS NULL OR expires_on >= %(expires_from)s)
  AND (%(expires_until)s::date IS NULL OR expires_on <= %(expires_until)s)
  AND CASE %(status)s::text
      WHEN 'void' THEN is_void
      WHEN 'active' THEN NOT is_void AND expires_on >= %(today)s
      WHEN 'expired' THEN NOT is_void AND expires_on < %(today)s
      ELSE true END
"""

_LIST = _SELECT + _FILTER + "ORDER BY warranties.id DESC LIMIT %(limit)s OFFSET %(offset)s"

_COUNT = "SELECT count(*) FROM warranties JOIN serial_numbers ON serial_numbers.id = serial_id" + _FILTER

# Who is told of the later day needs not hear of the earlier one any more.
_DUE = (
    _SELECT
    + """
WHERE NOT is_void AND expires_on BETWEEN %(today)s AND %(today)s + %(days)s::integer
  AND NOT EXISTS (SELECT FROM warranty_reminders
                  WHERE warranty_id = warranties.id AND warranty_reminders.days <= %(days)s)
ORDER BY expires_on, warranties.id LIMIT %(limit)s
FOR UPDATE OF warranties SKIP LOCKED
"""
)

_ADD_REMINDER = """
INSERT INTO warranty_reminders (warranty_id, days, told_at) VALUES (%(id)s, %(days)s, %(now)s)
ON CONFLICT DO NOTHING
"""


async def lock_serials(connection: Connection, serials: Sequence[str]) -> dict[str, Serial]:
    """Return those serials that there are, in lower case of letters, held until commit."""
    found = await fetch_all(connection, Serial, _LOCK_SERIALS, {"serials": list(serials)})
    return {each.serial.lower(): each for each in found}


async def insert_warranty(connection: Connection, **facts: Unpack[NewWarranty]) -> Warranty | None:
    """Write a warranty; None where its serial has one."""
    made = await fetch_value(connection, _INSERT, {**facts, "terms": Jsonb(dict(facts["terms"]))})
    return None if made is None else await get_warranty(connection, made)


async def get_warranty(connection: Connection, warranty_id: int) -> Warranty | None:
    """Return the warranty, or None."""
    return await fetch_one(connection, Warranty, _GET, {"id": warranty_id})


async def warranties_of_serial(connection: Connection, serial: str, limit: int) -> list[Warranty]:
    """Return up to `limit` warranties of a serial number: the one that counts first, then the void ones."""
    return await fetch_all(connection, Warranty, _OF_SERIAL, {"serial": serial, "limit": limit})


async def void_warranty(connection: Connection, warranty_id: int, reason: str) -> bool:
    """End a warranty before its time; False where that was done."""
    return await fetch_value(connection, _VOID, {"id": warranty_id, "reason": reason}) is not None


async def link_warranty(connection: Connection, warranty_id: int, consumer_id: int) -> Warranty | None:
    """Give a warranty that is in no account to this one; None where it is in another."""
    linked = await fetch_value(connection, _LINK, {"id": warranty_id, "consumer_id": consumer_id})
    return None if linked is None else await get_warranty(connection, linked)


async def list_warranties(
    connection: Connection, scope: Scope, today: date, *, limit: int, offset: int, **where: Unpack[Filter]
) -> tuple[list[Warranty], int]:
    """Return one page of warranties, newest first, and how many there are in all."""
    named: Filter = {"status": None, "serial": None, "expires_from": None, "expires_until": None}
    facts = {**named, **where, "consumer_id": scope.consumer_id, "seller_id": scope.seller_id, "today": today}
    page = await fetch_all(connection, Warranty, _LIST, {**facts, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, facts))


async def lock_expiring(connection: Connection, today: date, days: int, limit: int) -> list[Warranty]:
    """Return, held until commit, up to `limit` warranties that end within `days` and nobody was told so."""
    return await fetch_all(connection, Warranty, _DUE, {"today": today, "days": days, "limit": limit})


async def note_reminder(connection: Connection, warranty_id: int, days: int, now: datetime) -> None:
    """Write that it was told so many days before the end."""
    await connection.execute(_ADD_REMINDER, {"id": warranty_id, "days": days, "now": now})
