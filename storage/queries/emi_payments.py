"""What was paid on loans; used by `stream.lending` and the Ienerzy API. Money in minor units of INR."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypedDict, Unpack

from storage.database import Connection, fetch_all, fetch_one
from storage.errors import AlreadyExistsError


@dataclass(frozen=True, slots=True)
class Payment:
    """`key` is the caller's: the same one again is the same payment. `kind`: instalment or foreclosure.

    `is_late`: it paid something that was past due, as far as the loan's payments are known.
    """

    id: int
    key: str
    application_id: int
    dealer_id: int
    amount_minor: int
    paid_on: date
    kind: str
    method: str
    reference: str | None
    is_late: bool
    recorded_by: int | None
    transfer_id: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DayOfPayments:
    """What was paid on one day; `late` of the payments paid something that was past due."""

    paid_on: date
    count: int
    amount_minor: int
    late: int


class NewPaymentRow(TypedDict):
    """A payment to write."""

    key: str
    application_id: int
    dealer_id: int
    amount_minor: int
    paid_on: date
    kind: str
    method: str
    reference: str | None
    recorded_by: int | None
    transfer_id: int
    now: datetime


_COLUMNS = """
id, key, application_id, dealer_id, amount_minor, paid_on, kind, method, reference, is_late, recorded_by,
transfer_id, created_at
"""

_SELECT = "SELECT" + _COLUMNS + "FROM emi_payments "

_BY_KEY = _SELECT + "WHERE key = %(key)s"

_OF_LOAN = _SELECT + "WHERE application_id = %(application_id)s ORDER BY id LIMIT %(limit)s"

_BETWEEN = """
WHERE (%(dealer_id)s::bigint IS NULL OR emi_payments.dealer_id = %(dealer_id)s)
  AND (%(since)s::date IS NULL OR paid_on >= %(since)s)
  AND (%(until)s::date IS NULL OR paid_on <= %(until)s)
"""

_LIST = (
    _SELECT
    + _BETWEEN
    + """
  AND (%(application_id)s::bigint IS NULL OR application_id = %(application_id)s)
  AND (%(consumer_id)s::bigint IS NULL OR application_id IN (
      SELECT finance_applications.id FROM finance_applications WHERE consumer_id = %(consumer_id)s))
ORDER BY emi_payments.id DESC LIMIT %(limit)s
"""
)

_DAYS = (
    """
SELECT paid_on, count(*) AS count, sum(amount_minor)::bigint AS amount_minor,
       count(*) FILTER (WHERE is_late) AS late
FROM emi_payments
"""
    + _BETWEEN
    + """
GROUP BY paid_on ORDER BY paid_on DESC LIMIT %(limit)s
"""
)

_INSERT = (
    """
INSERT INTO emi_payments (key, application_id, dealer_id, amount_minor, paid_on, kind, method, reference,
                          recorded_by, transfer_id, created_at)
VALUES (%(key)s, %(application_id)s, %(dealer_id)s, %(amount_minor)s, %(paid_on)s, %(kind)s, %(method)s,
        %(reference)s, %(recorded_by)s, %(transfer_id)s, %(now)s)
ON CONFLICT (key) DO NOTHING
RETURNING"""
    + _COLUMNS
)

_SET_LATE = "UPDATE emi_payments SET is_late = id = ANY(%(late_ids)s) WHERE id = ANY(%(ids)s)"


async def find_payment(connection: Connection, key: str) -> Payment | None:
    """Return the payment of this key, or None."""
    return await fetch_one(connection, Payment, _BY_KEY, {"key": key})


async def insert_payment(connection: Connection, **new: Unpack[NewPaymentRow]) -> Payment:
    """Write a payment. Raises `AlreadyExistsError`: its key was used meanwhile."""
    made = await fetch_one(connection, Payment, _INSERT, new)
    if made is None:
        raise AlreadyExistsError(f"a payment with the key {new['key']!r} is there already")
    return made


async def payments_of(connection: Connection, application_id: int, *, limit: int) -> list[Payment]:
    """Return the loan's payments in the order that they were recorded."""
    where = {"application_id": application_id, "limit": limit}
    return await fetch_all(connection, Payment, _OF_LOAN, where)


async def list_payments(
    connection: Connection,
    *,
    dealer_id: int | None = None,
    consumer_id: int | None = None,
    application_id: int | None = None,
    since: date | None = None,
    until: date | None = None,
    limit: int,
) -> list[Payment]:
    """Return payments, the newest recorded first; `since` and `until` are days, both included."""
    where = {
        "dealer_id": dealer_id,
        "consumer_id": consumer_id,
        "application_id": application_id,
        "since": since,
        "until": until,
        "limit": limit,
    }
    return await fetch_all(connection, Payment, _LIST, where)


async def days_of_payments(
    connection: Connection, *, dealer_id: int | None, since: date | None, until: date | None, limit: int
) -> list[DayOfPayments]:
    """Sum up payments by the day that they were made on, the newest day first; both ends included."""
    where = {"dealer_id": dealer_id, "since": since, "until": until, "limit": limit}
    return await fetch_all(connection, DayOfPayments, _DAYS, where)


async def set_late(connection: Connection, late_ids: Sequence[int], on_time_ids: Sequence[int]) -> None:
    """Note of these payments whether they paid something that was past due."""
    ids = {"late_ids": list(late_ids), "ids": [*late_ids, *on_time_ids]}
    await connection.execute(_SET_LATE, ids)
