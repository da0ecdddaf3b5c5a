"""What goes to an NBFC and what it says: submissions, events, collection reports. Used by `stream.nbfc`.

Money in minor units of INR. The application itself is in `storage.queries.lending`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Unpack

from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.errors import AlreadyExistsError
from storage.queries.lending import NewApplication


@dataclass(frozen=True, slots=True)
class SubmittedApplication:
    """What an NBFC is told of an application; `nbfc_reference` is its own name for it, once it has one."""

    application_id: int
    status: str
    amount_minor: int
    tenure_months: int
    rate_pct: Decimal | None
    battery_serial: str
    consumer_id: int
    consumer_name: str
    consumer_phone: str | None
    dealer_id: int
    dealer_name: str
    nbfc_reference: str | None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of an NBFC; `body` as it was taken."""

    key: str
    status: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoredReport:
    """A collection report; `sent_at` None: the NBFC does not have it yet."""

    id: int
    dealer_id: int
    report_date: date
    collection_data: dict[str, Any]
    report_id: str | None
    sent_at: datetime | None
    created_at: datetime


_SUBMIT = """
INSERT INTO finance_applications (dealer_id, consumer_id, battery_id, amount_minor, tenure_months, rate_pct,
                                  status, nbfc, submitted_at, created_by, created_at, updated_at)
VALUES (%(dealer_id)s, %(consumer_id)s, %(battery_id)s, %(amount_minor)s, %(tenure_months)s, %(rate_pct)s,
        'submitted', %(nbfc)s, %(now)s, %(created_by)s, %(now)s, %(now)s)
ON CONFLICT (consumer_id, battery_id) WHERE status IN ('pending', 'submitted') DO UPDATE
SET amount_minor = EXCLUDED.amount_minor, tenure_months = EXCLUDED.tenure_months,
    rate_pct = EXCLUDED.rate_pct, status = 'submitted', nbfc = EXCLUDED.nbfc,
    submitted_at = EXCLUDED.submitted_at, updated_at = EXCLUDED.updated_at
WHERE finance_applications.status = 'pending' AND finance_applications.dealer_id = EXCLUDED.dealer_id
RETURNING id
"""

_SUBMITTED = """
SELECT loans.id AS application_id, loans.status, amount_minor, tenure_months, rate_pct,
       serial_number AS battery_serial, consumer_id, consumer.name AS consumer_name,
       consumer.phone AS consumer_phone, loans.dealer_id, dealer.name AS dealer_name, nbfc_reference
FROM finance_applications AS loans
JOIN batteries ON batteries.id = loans.battery_id
JOIN users AS consumer ON consumer.id = loans.consumer_id
JOIN users AS dealer ON dealer.id = loans.dealer_id
WHERE loans.id = %(id)s
"""

_SET_REFERENCE = """
UPDATE finance_applications SET nbfc_reference = %(reference)s, updated_at = %(now)s
WHERE id = %(id)s AND nbfc_reference IS NULL
"""

_INSERT_EVENT = """
INSERT INTO nbfc_events (application_id, key, status, body, occurred_at, received_at)
VALUES (%(application_id)s, %(key)s, %(status)s, %(body)s, %(occurred_at)s, %(now)s)
ON CONFLICT (application_id, key) DO NOTHING
RETURNING id
"""

_EVENTS = """
SELECT key, status, body FROM nbfc_events WHERE application_id = %(application_id)s
ORDER BY id LIMIT %(limit)s
"""

# What an NBFC decided before it said otherwise; nothing is paid of it yet.
_REOPEN = """
UPDATE finance_applications SET status = 'submitted', updated_at = %(now)s
WHERE id = %(id)s AND decided_by IS NULL AND status IN ('approved', 'disbursed', 'rejected')
"""

_FIRST_EMI = """
SELECT amount_minor FROM emi_schedules WHERE application_id = %(application_id)s AND emi_number = 1
"""

_HAS_PAYMENT = "SELECT EXISTS (SELECT FROM emi_payments WHERE application_id = %(application_id)s)"

_INSERT_REPORT = """
INSERT INTO nbfc_reports (dealer_id, report_date, collection_data, created_at)
VALUES (%(dealer_id)s, %(report_date)s, %(collection_data)s, %(now)s)
RETURNING id, dealer_id, report_date, collection_data, report_id, sent_at, created_at
"""

_LOCK_REPORT = """
SELECT id, dealer_id, report_date, collection_data, report_id, sent_at, created_at
FROM nbfc_reports WHERE id = %(id)s FOR NO KEY UPDATE
"""

# A name that the NBFC gave to another report is in its response alone: the report is sent all the same.
_REPORT_ANSWERED = """
UPDATE nbfc_reports
SET report_id = CASE WHEN NOT EXISTS (
        SELECT FROM nbfc_reports AS others WHERE others.report_id = %(report_id)s
    ) THEN %(report_id)s END, nbfc_response = %(response)s, sent_at = %(now)s
WHERE id = %(id)s AND sent_at IS NULL
"""


async def submit_application(connection: Connection, nbfc: str, **new: Unpack[NewApplication]) -> int | None:
    """Make a submitted application, or submit the pending one of this consumer and battery (conflict C16).

    Returns its id; None where one is submitted already, or is another dealer's.
    """
    found = await fetch_value(connection, _SUBMIT, {**new, "nbfc": nbfc})
    return None if found is None else int(found)


async def submitted_application(connection: Connection, application_id: int) -> SubmittedApplication | None:
    """Return what an NBFC is told of the application, or None."""
    return await fetch_one(connection, SubmittedApplication, _SUBMITTED, {"id": application_id})


async def set_reference(connection: Connection, application_id: int, reference: str, now: datetime) -> None:
    """Note the NBFC's name for the application, the first one that it gave."""
    await connection.execute(_SET_REFERENCE, {"id": application_id, "reference": reference, "now": now})


async def insert_event(
    connection: Connection,
    application_id: int,
    key: str,
    *,
    status: str,
    body: Mapping[str, Any],
    occurred_at: datetime,
    now: datetime,
) -> bool:
    """Store an event; False where one of this key is there already."""
    facts = {"application_id": application_id, "key": key, "status": status, "body": Jsonb(dict(body))}
    parameters = {**facts, "occurred_at": occurred_at, "now": now}
    return await fetch_value(connection, _INSERT_EVENT, parameters) is not None


async def list_events(connection: Connection, application_id: int, limit: int) -> list[StoredEvent]:
    """Return the application's events as they came, at most `limit`."""
    parameters = {"application_id": application_id, "limit": limit}
    return await fetch_all(connection, StoredEvent, _EVENTS, parameters)


async def reopen(connection: Connection, application_id: int, now: datetime) -> None:
    """Have the application decided again. Raises `AlreadyExistsError`: there is a newer open one."""
    try:
        async with connection.transaction():
            await connection.execute(_REOPEN, {"id": application_id, "now": now})
    except UniqueViolation as error:
        raise AlreadyExistsError(
            f"application {application_id}: its consumer has a newer one for the battery"
        ) from error


async def first_emi_minor(connection: Connection, application_id: int) -> int | None:
    """Return what the first instalment is, None before there is a schedule."""
    found = await fetch_value(connection, _FIRST_EMI, {"application_id": application_id})
    return None if found is None else int(found)


async def has_payment(connection: Connection, application_id: int) -> bool:
    """Whether anything was paid of the loan."""
    return bool(await fetch_value(connection, _HAS_PAYMENT, {"application_id": application_id}))


async def insert_report(
    connection: Connection,
    *,
    dealer_id: int,
    report_date: date,
    collection_data: Mapping[str, Any],
    now: datetime,
) -> StoredReport:
    """Write a report that is still to be sent."""
    facts = {"dealer_id": dealer_id, "report_date": report_date, "now": now}
    parameters = {**facts, "collection_data": Jsonb(dict(collection_data))}
    made = await fetch_one(connection, StoredReport, _INSERT_REPORT, parameters)
    assert made is not None
    return made


async def lock_report(connection: Connection, report_id: int) -> StoredReport | None:
    """Return the report, held until commit, or None."""
    return await fetch_one(connection, StoredReport, _LOCK_REPORT, {"id": report_id})


async def set_report_answered(
    connection: Connection, report_id: int, *, nbfc_id: str | None, response: Mapping[str, Any], now: datetime
) -> None:
    """Note the NBFC's answer, the first one."""
    facts = {"id": report_id, "report_id": nbfc_id, "response": Jsonb(dict(response)), "now": now}
    await connection.execute(_REPORT_ANSWERED, facts)
