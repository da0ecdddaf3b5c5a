"""Loan applications, and who is behind with instalments; used by `stream.lending`, the API and the jobs role.

The instalments of one loan are in `storage.queries.emis`, payments in `storage.queries.emi_payments`. Money
in minor units of INR, rates in percent a year, days those of `stream.lending.terms.ZONE`. A running loan is
an application that is approved or disbursed.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, TypedDict, Unpack

from psycopg.errors import UniqueViolation

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.errors import AlreadyExistsError, NotFoundError


@dataclass(frozen=True, slots=True)
class Application:
    """A row of `finance_applications` with the serial number of its battery.

    `interest_minor`, `penalty_minor` and `fee_minor`: what the ledger has recognised as paid of them.
    `penalty_pct` and `fee_pct` (of a foreclosure) are fixed with the first payment.
    """

    id: int
    dealer_id: int
    consumer_id: int
    battery_id: int
    battery_serial: str
    amount_minor: int
    tenure_months: int
    rate_pct: Decimal | None
    method: Literal["reducing", "flat", "interest_free", "agreed"]
    status: str
    approved_minor: int | None
    emi_minor: int | None
    starts_on: date | None
    decision_reason: str | None
    decided_by: int | None
    decided_at: datetime | None
    disbursed_on: date | None
    disbursed_minor: int | None
    closed_at: datetime | None
    is_foreclosed: bool
    excess_minor: int
    interest_minor: int
    penalty_minor: int
    fee_minor: int
    penalty_pct: Decimal | None
    fee_pct: Decimal | None
    nbfc: str | None
    nbfc_reference: str | None
    submitted_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def is_running(self) -> bool:
        """Whether it is a loan that is to be paid."""
        return self.status in {"approved", "disbursed"}


@dataclass(frozen=True, slots=True)
class OverdueEmi:
    """An instalment past due; `open_minor` is what is left of it, `loan_minor` what was lent."""

    id: int
    application_id: int
    emi_number: int
    due_date: date
    overdue_days: int
    open_minor: int
    status: str
    loan_minor: int
    tenure_months: int
    consumer_id: int
    consumer_name: str
    consumer_phone: str | None
    battery_id: int
    battery_serial: str


@dataclass(frozen=True, slots=True)
class OverdueTotals:
    """Over all instalments past due: how many, and what is left of them."""

    count: int
    open_minor: int


class NewApplication(TypedDict):
    """What is applied for."""

    dealer_id: int
    consumer_id: int
    battery_id: int
    amount_minor: int
    tenure_months: int
    rate_pct: Decimal | None
    created_by: int | None
    now: datetime


class Approved(TypedDict):
    """What an approval says of a loan."""

    approved_minor: int
    tenure_months: int
    rate_pct: Decimal | None
    method: str
    emi_minor: int | None
    starts_on: date
    decided_by: int | None
    now: datetime


class Standing(TypedDict):
    """What its payments make of a loan; `closed_at` None: it runs."""

    status: str
    is_foreclosed: bool
    excess_minor: int
    interest_minor: int
    penalty_minor: int
    fee_minor: int
    penalty_pct: Decimal
    fee_pct: Decimal
    closed_at: datetime | None
    now: datetime


_SELECT = """
SELECT finance_applications.id, finance_applications.dealer_id, consumer_id, battery_id,
       serial_number AS battery_serial, amount_minor, tenure_months, rate_pct, method,
       finance_applications.status, approved_minor, emi_minor, starts_on, decision_reason, decided_by,
       decided_at, disbursed_on, disbursed_minor, closed_at, is_foreclosed, excess_minor, interest_minor,
       penalty_minor, fee_minor, penalty_pct, fee_pct, nbfc, nbfc_reference, submitted_at,
       finance_applications.created_at, finance_applications.updated_at
FROM finance_applications JOIN batteries ON batteries.id = battery_id
"""

_GET = _SELECT + "WHERE finance_applications.id = %(id)s"

_LOCK = _GET + " FOR NO KEY UPDATE OF finance_applications"

_LIST = (
    _SELECT
    + """
WHERE (%(dealer_id)s::bigint IS NULL OR finance_applications.dealer_id = %(dealer_id)s)
  AND (%(consumer_id)s::bigint IS NULL OR consumer_id = %(consumer_id)s)
  AND (%(status)s::text IS NULL OR finance_applications.status = %(status)s)
ORDER BY finance_applications.id DESC LIMIT %(limit)s
"""
)

_OPEN_OF_PAIR = (
    _SELECT
    + """
WHERE consumer_id = %(consumer_id)s AND battery_id = %(battery_id)s
  AND finance_applications.status IN ('pending', 'submitted')
"""
)

_RUNNING_OF_BATTERY = (
    _SELECT
    + """
WHERE battery_id = %(battery_id)s AND finance_applications.status IN ('approved', 'disbursed')
"""
)

_INSERT = """
INSERT INTO finance_applications (dealer_id, consumer_id, battery_id, amount_minor, tenure_months, rate_pct,
                                  created_by, created_at, updated_at)
VALUES (%(dealer_id)s, %(consumer_id)s, %(battery_id)s, %(amount_minor)s, %(tenure_months)s, %(rate_pct)s,
        %(created_by)s, %(now)s, %(now)s)
ON CONFLICT (consumer_id, battery_id) WHERE status IN ('pending', 'submitted') DO NOTHING
RETURNING id
"""

_APPROVE = """
UPDATE finance_applications
SET status = 'approved', approved_minor = %(approved_minor)s, tenure_months = %(tenure_months)s,
    rate_pct = %(rate_pct)s, method = %(method)s, emi_minor = %(emi_minor)s, starts_on = %(starts_on)s,
    decided_by = %(decided_by)s, decided_at = %(now)s, updated_at = %(now)s
WHERE id = %(id)s
"""

_REJECT = """
UPDATE finance_applications
SET status = 'rejected', decision_reason = %(reason)s, decided_by = %(decided_by)s, decided_at = %(now)s,
    updated_at = %(now)s
WHERE id = %(id)s
"""

_DISBURSE = """
UPDATE finance_applications
SET status = 'disbursed', disbursed_minor = %(disbursed_minor)s, disbursed_on = %(disbursed_on)s,
    starts_on = %(starts_on)s, updated_at = %(now)s
WHERE id = %(id)s
"""

_SET_STANDING = """
UPDATE finance_applications
SET status = %(status)s, is_foreclosed = %(is_foreclosed)s, excess_minor = %(excess_minor)s,
    interest_minor = %(interest_minor)s, penalty_minor = %(penalty_minor)s, fee_minor = %(fee_minor)s,
    penalty_pct = %(penalty_pct)s, fee_pct = %(fee_pct)s, closed_at = %(closed_at)s, updated_at = %(now)s
WHERE id = %(id)s
"""

# In index order of emi_schedules_due: the oldest first.
_OVERDUE = """
FROM emi_schedules
JOIN finance_applications ON finance_applications.id = application_id
WHERE emi_schedules.status = 'pending' AND due_date < %(today)s
  AND finance_applications.status IN ('approved', 'disbursed')
  AND (%(dealer_id)s::bigint IS NULL OR finance_applications.dealer_id = %(dealer_id)s)
  AND (%(consumer_id)s::bigint IS NULL OR consumer_id = %(consumer_id)s)
"""

_LIST_OVERDUE = (
    """
SELECT late.*, users.name AS consumer_name, users.phone AS consumer_phone, serial_number AS battery_serial
FROM (
    SELECT emi_schedules.id, application_id, emi_number, due_date, %(today)s::date - due_date AS overdue_days,
           emi_schedules.amount_minor - paid_minor AS open_minor, emi_schedules.status,
           approved_minor AS loan_minor, tenure_months, consumer_id, battery_id
"""
    + _OVERDUE
    + """
    ORDER BY due_date, emi_schedules.id LIMIT %(limit)s
) AS late
JOIN users ON users.id = consumer_id
JOIN batteries ON batteries.id = battery_id
ORDER BY due_date, late.id
"""
)

_OVERDUE_TOTALS = (
    """
SELECT count(*) AS count, coalesce(sum(emi_schedules.amount_minor - paid_minor), 0)::bigint AS open_minor
"""
    + _OVERDUE
)


async def insert_application(connection: Connection, **new: Unpack[NewApplication]) -> Application:
    """Write a pending application. Raises `AlreadyExistsError`: this consumer has an open one for it."""
    application_id = await fetch_value(connection, _INSERT, new)
    if application_id is None:
        raise AlreadyExistsError(
            f"consumer {new['consumer_id']} has an open application for battery {new['battery_id']} already"
        )
    return await _present(connection, int(application_id))


async def get_application(
    connection: Connection, application_id: int, *, is_locked: bool = False
) -> Application | None:
    """Return the application, held until commit where that is asked for, or None."""
    return await fetch_one(connection, Application, _LOCK if is_locked else _GET, {"id": application_id})


async def list_applications(
    connection: Connection,
    *,
    dealer_id: int | None = None,
    consumer_id: int | None = None,
    status: str | None = None,
    limit: int,
) -> list[Application]:
    """Return applications, newest first, of one dealer or consumer or of all."""
    where = {"dealer_id": dealer_id, "consumer_id": consumer_id, "status": status}
    return await fetch_all(connection, Application, _LIST, {**where, "limit": limit})


async def open_application(connection: Connection, consumer_id: int, battery_id: int) -> Application | None:
    """Return the application of this consumer for this battery that nobody has decided, or None."""
    where = {"consumer_id": consumer_id, "battery_id": battery_id}
    return await fetch_one(connection, Application, _OPEN_OF_PAIR, where)


async def running_loan(connection: Connection, battery_id: int) -> Application | None:
    """Return the loan that this battery is paid by, or None."""
    return await fetch_one(connection, Application, _RUNNING_OF_BATTERY, {"battery_id": battery_id})


async def set_approved(connection: Connection, application_id: int, **approved: Unpack[Approved]) -> None:
    """Note the approval. Raises `AlreadyExistsError`: the battery has a running loan."""
    try:
        async with connection.transaction():
            await connection.execute(_APPROVE, {**approved, "id": application_id})
    except UniqueViolation as error:
        raise AlreadyExistsError(f"application {application_id}: its battery has a running loan") from error


async def set_rejected(
    connection: Connection, application_id: int, *, reason: str | None, decided_by: int | None, now: datetime
) -> None:
    """Note the rejection."""
    facts = {"reason": reason, "decided_by": decided_by, "now": now}
    await connection.execute(_REJECT, {**facts, "id": application_id})


async def set_disbursed(
    connection: Connection,
    application_id: int,
    *,
    disbursed_minor: int,
    disbursed_on: date,
    starts_on: date,
    now: datetime,
) -> None:
    """Note that the money was paid out; the instalments count from `starts_on`."""
    facts = {"disbursed_minor": disbursed_minor, "disbursed_on": disbursed_on, "starts_on": starts_on}
    await connection.execute(_DISBURSE, {**facts, "now": now, "id": application_id})


async def set_standing(connection: Connection, application_id: int, **standing: Unpack[Standing]) -> None:
    """Write what the loan's payments make of it."""
    await connection.execute(_SET_STANDING, {**standing, "id": application_id})


async def list_overdue(
    connection: Connection,
    *,
    today: date,
    dealer_id: int | None = None,
    consumer_id: int | None = None,
    limit: int,
) -> list[OverdueEmi]:
    """Return the open instalments that were due before `today`, the oldest first."""
    where = {"today": today, "dealer_id": dealer_id, "consumer_id": consumer_id, "limit": limit}
    return await fetch_all(connection, OverdueEmi, _LIST_OVERDUE, where)


async def overdue_totals(
    connection: Connection, *, today: date, dealer_id: int | None = None, consumer_id: int | None = None
) -> OverdueTotals:
    """Sum up what `list_overdue` lists, beyond its bound too."""
    where = {"today": today, "dealer_id": dealer_id, "consumer_id": consumer_id}
    totals = await fetch_one(connection, OverdueTotals, _OVERDUE_TOTALS, where)
    assert totals is not None
    return totals


async def _present(connection: Connection, application_id: int) -> Application:
    found = await get_application(connection, application_id)
    if found is None:
        raise NotFoundError(f"there is no finance application {application_id}")
    return found
