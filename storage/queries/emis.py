"""The instalments of loans, as planned and as paid; used by `stream.lending` and the Ienerzy API.

Money in minor units of INR. What is paid of them follows from the loan's payments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypedDict

from storage.database import Connection, fetch_all, fetch_one


@dataclass(frozen=True, slots=True)
class Emi:
    """An instalment. `paid_minor` is of `amount_minor`; penalties are beside it, fixed by payments so far."""

    id: int
    application_id: int
    emi_number: int
    due_date: date
    principal_minor: int
    interest_minor: int
    amount_minor: int
    paid_minor: int
    penalty_minor: int
    penalty_paid_minor: int
    status: str
    paid_on: date | None


class NewEmi(TypedDict):
    """An instalment as it is planned."""

    emi_number: int
    due_date: date
    principal_minor: int
    interest_minor: int


class PaidEmi(TypedDict):
    """What the loan's payments make of an instalment."""

    emi_number: int
    paid_minor: int
    penalty_minor: int
    penalty_paid_minor: int
    status: str
    paid_on: date | None


_SELECT = """
SELECT id, application_id, emi_number, due_date, principal_minor, interest_minor, amount_minor, paid_minor,
       penalty_minor, penalty_paid_minor, status, paid_on
FROM emi_schedules
"""

_GET_EMI = _SELECT + "WHERE id = %(id)s"

_EMIS_OF = _SELECT + "WHERE application_id = %(application_id)s ORDER BY emi_number"

_PUT_EMI = """
INSERT INTO emi_schedules (application_id, emi_number, due_date, principal_minor, interest_minor,
                           amount_minor)
VALUES (%(application_id)s, %(emi_number)s, %(due_date)s, %(principal_minor)s, %(interest_minor)s,
        %(principal_minor)s::bigint + %(interest_minor)s::bigint)
ON CONFLICT (application_id, emi_number) DO UPDATE
SET due_date = EXCLUDED.due_date, principal_minor = EXCLUDED.principal_minor,
    interest_minor = EXCLUDED.interest_minor, amount_minor = EXCLUDED.amount_minor
"""

_CUT = "DELETE FROM emi_schedules WHERE application_id = %(application_id)s AND emi_number > %(count)s"

_SET_PAID = """
UPDATE emi_schedules
SET paid_minor = %(paid_minor)s, penalty_minor = %(penalty_minor)s,
    penalty_paid_minor = %(penalty_paid_minor)s, status = %(status)s, paid_on = %(paid_on)s
WHERE application_id = %(application_id)s AND emi_number = %(emi_number)s
"""


async def get_emi(connection: Connection, emi_id: int) -> Emi | None:
    """Return the instalment, or None."""
    return await fetch_one(connection, Emi, _GET_EMI, {"id": emi_id})


async def emis_of(connection: Connection, application_id: int) -> list[Emi]:
    """Return the loan's instalments, in order: as many as its tenure has months."""
    return await fetch_all(connection, Emi, _EMIS_OF, {"application_id": application_id})


async def put_emis(connection: Connection, application_id: int, emis: Sequence[NewEmi]) -> None:
    """Write the loan's plan; one that was there, and of which nothing is paid, becomes this one."""
    rows = [{**emi, "application_id": application_id} for emi in emis]
    async with connection.cursor() as cursor:
        await cursor.executemany(_PUT_EMI, rows)
    await connection.execute(_CUT, {"application_id": application_id, "count": len(rows)})


async def set_paid(connection: Connection, application_id: int, emis: Sequence[PaidEmi]) -> None:
    """Write what the loan's payments make of these instalments."""
    rows = [{**emi, "application_id": application_id} for emi in emis]
    async with connection.cursor() as cursor:
        await cursor.executemany(_SET_PAID, rows)
