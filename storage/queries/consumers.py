"""Ienerzy's consumers: the account, its dealer, what is known of who they are; used by the Ienerzy family.

PAN and Aadhaar come sealed (`api/sealing.py`), with their ends, and a keyed mark that finds one used twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from storage.database import Connection, fetch_all, fetch_one, fetch_value

EMIS_MAX = 10_000
APPLICATIONS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Consumer:
    """`kyc_status`: pending, verified or rejected; `phone` in E.164; the ends are of sealed numbers."""

    id: int
    name: str
    phone: str
    dealer_id: int | None
    dealer_name: str | None
    kyc_status: str
    pan_sealed: bytes | None
    pan_end: str | None
    aadhar_sealed: bytes | None
    aadhar_end: str | None
    credit_score: int | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity number, PAN or Aadhaar: sealed, its end, and the keyed mark of it."""

    sealed: bytes
    end: str
    mark: bytes


@dataclass(frozen=True, slots=True)
class ConsumerApplication:
    """An application or loan of a consumer."""

    id: int
    amount_minor: int
    tenure_months: int
    status: str
    battery_serial: str


@dataclass(frozen=True, slots=True)
class ConsumerEmi:
    """An instalment: pending, paid or cancelled."""

    id: int
    emi_number: int
    due_date: date
    amount_minor: int
    status: str


@dataclass(frozen=True, slots=True)
class ConsumerBattery:
    """A battery that a consumer has, and how many tickets about it are his: all, and those not resolved."""

    id: int
    serial_number: str
    status: str
    health_score: Decimal
    tickets: int
    active_tickets: int


@dataclass(frozen=True, slots=True)
class ConsumerTicket:
    """A ticket of a consumer; `total` and `active` count all of his."""

    id: int
    issue_category: str
    status: str
    battery_serial: str
    created_at: datetime
    total: int
    active: int


_SELECT = """
SELECT users.id, users.name, users.phone, users.dealer_id, dealers.name AS dealer_name, kyc_status,
       pan_sealed, pan_end, aadhar_sealed, aadhar_end, credit_score, users.created_at
FROM consumers
JOIN users ON users.id = consumers.user_id
LEFT JOIN users dealers ON dealers.id = users.dealer_id
WHERE users.deleted_at IS NULL
"""

_GET = _SELECT + "AND users.id = %(id)s"

_LOCK = _GET + " FOR NO KEY UPDATE OF consumers"

_LIST = (
    _SELECT
    + """
  AND (%(dealer_id)s::bigint IS NULL OR users.dealer_id = %(dealer_id)s)
  AND (%(consumer_id)s::bigint IS NULL OR users.id = %(consumer_id)s)
  AND (%(kyc_status)s::text IS NULL OR kyc_status = %(kyc_status)s)
ORDER BY users.id DESC LIMIT %(limit)s
"""
)

_SET_KYC = """
UPDATE consumers
SET kyc_status = %(kyc_status)s, decided_by = %(decided_by)s, decided_at = %(now)s,
    credit_score = coalesce(%(credit_score)s, credit_score)
WHERE user_id = %(id)s
"""

_SET_PAN = """
UPDATE consumers SET pan_sealed = %(sealed)s, pan_end = %(end)s, pan_mark = %(mark)s WHERE user_id = %(id)s
"""

_SET_AADHAR = """
UPDATE consumers SET aadhar_sealed = %(sealed)s, aadhar_end = %(end)s, aadhar_mark = %(mark)s
WHERE user_id = %(id)s
"""

_SET_CREDIT_SCORE = "UPDATE consumers SET credit_score = %(credit_score)s WHERE user_id = %(id)s"

_HOLDER = """
SELECT user_id FROM consumers JOIN users ON users.id = user_id
WHERE users.dealer_id = %(dealer_id)s AND user_id <> %(id)s
  AND (pan_mark = %(pan_mark)s OR aadhar_mark = %(aadhar_mark)s)
LIMIT 1
"""

_APPLICATIONS = """
SELECT applications.id, amount_minor, tenure_months, applications.status, serial_number AS battery_serial
FROM finance_applications applications JOIN batteries ON batteries.id = battery_id
WHERE consumer_id = %(id)s ORDER BY applications.id DESC LIMIT %(limit)s
"""

_EMIS = """
SELECT emis.id, emi_number, due_date, emis.amount_minor, emis.status
FROM finance_applications applications JOIN emi_schedules emis ON emis.application_id = applications.id
WHERE consumer_id = %(id)s ORDER BY applications.id DESC, emi_number LIMIT %(limit)s
"""

_BATTERIES = """
SELECT batteries.id, serial_number, batteries.status, health_score, count(tickets.id) AS tickets,
       count(tickets.id) FILTER (WHERE tickets.status <> 'resolved') AS active_tickets
FROM batteries
LEFT JOIN service_tickets tickets ON tickets.battery_id = batteries.id AND tickets.consumer_id = owner_id
WHERE owner_id = %(id)s
GROUP BY batteries.id ORDER BY batteries.id LIMIT %(limit)s
"""

_TICKETS = """
SELECT tickets.id, issue_category, tickets.status, serial_number AS battery_serial, tickets.created_at,
       count(*) OVER () AS total, count(*) FILTER (WHERE tickets.status <> 'resolved') OVER () AS active
FROM service_tickets tickets JOIN batteries ON batteries.id = battery_id
WHERE consumer_id = %(id)s ORDER BY tickets.id DESC LIMIT %(limit)s
"""


async def get_consumer(
    connection: Connection, consumer_id: int, *, is_locked: bool = False
) -> Consumer | None:
    """Return the consumer, held until commit if `is_locked`, or None."""
    return await fetch_one(connection, Consumer, _LOCK if is_locked else _GET, {"id": consumer_id})


async def list_consumers(
    connection: Connection,
    *,
    dealer_id: int | None = None,
    consumer_id: int | None = None,
    kyc_status: str | None = None,
    limit: int,
) -> list[Consumer]:
    """Return consumers, of one dealer or of all, the newest first."""
    where = {"dealer_id": dealer_id, "consumer_id": consumer_id, "kyc_status": kyc_status}
    return await fetch_all(connection, Consumer, _LIST, {**where, "limit": limit})


async def set_kyc(
    connection: Connection,
    consumer_id: int,
    kyc_status: str,
    *,
    decided_by: int,
    credit_score: int | None,
    now: datetime,
) -> None:
    """Note what was decided of who a consumer is; a score that is None stays as it is."""
    facts = {"id": consumer_id, "kyc_status": kyc_status, "decided_by": decided_by, "now": now}
    await connection.execute(_SET_KYC, {**facts, "credit_score": credit_score})


async def set_credit_score(connection: Connection, consumer_id: int, credit_score: int) -> None:
    """Note the score (300 to 900) that somebody brought for a consumer."""
    await connection.execute(_SET_CREDIT_SCORE, {"id": consumer_id, "credit_score": credit_score})


async def set_identity(
    connection: Connection, consumer_id: int, *, pan: Identity | None, aadhar: Identity | None
) -> None:
    """Keep the numbers that are given; None leaves one as it is."""
    for statement, number in ((_SET_PAN, pan), (_SET_AADHAR, aadhar)):
        if number is not None:
            facts = {"sealed": number.sealed, "end": number.end, "mark": number.mark}
            await connection.execute(statement, {"id": consumer_id, **facts})


async def holder_of(
    connection: Connection,
    dealer_id: int,
    *,
    but: int,
    pan_mark: bytes | None,
    aadhar_mark: bytes | None,
) -> int | None:
    """Return another consumer of the dealer who has one of the numbers, or None."""
    marks = {"pan_mark": pan_mark, "aadhar_mark": aadhar_mark}
    found = await fetch_value(connection, _HOLDER, {"dealer_id": dealer_id, "id": but, **marks})
    return None if found is None else int(found)


async def applications_of(connection: Connection, consumer_id: int) -> list[ConsumerApplication]:
    """Return a consumer's applications, the newest first."""
    where = {"id": consumer_id, "limit": APPLICATIONS_MAX}
    return await fetch_all(connection, ConsumerApplication, _APPLICATIONS, where)


async def emis_of(connection: Connection, consumer_id: int) -> list[ConsumerEmi]:
    """Return all instalments of a consumer's loans, loan by loan, the newest loan first."""
    return await fetch_all(connection, ConsumerEmi, _EMIS, {"id": consumer_id, "limit": EMIS_MAX})


async def batteries_of(connection: Connection, consumer_id: int, *, limit: int) -> list[ConsumerBattery]:
    """Return the batteries that a consumer has, in order of id."""
    return await fetch_all(connection, ConsumerBattery, _BATTERIES, _limited(consumer_id, limit))


async def tickets_of(connection: Connection, consumer_id: int, *, limit: int) -> list[ConsumerTicket]:
    """Return a consumer's tickets, the newest first."""
    return await fetch_all(connection, ConsumerTicket, _TICKETS, _limited(consumer_id, limit))


def _limited(consumer_id: int, limit: int) -> Mapping[str, Any]:
    return {"id": consumer_id, "limit": limit}
