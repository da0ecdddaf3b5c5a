"""What was due and what was collected of Ienerzy loans, as figures; used by the analytics of the Ienerzy API.

An instalment counts once the day that it is due on is over in Asia/Kolkata: then it is either collected or
overdue. Those of a foreclosed loan's rest ('cancelled') do not count. `dealer_id` None: of all dealers.
`emi_payments.days_of_payments` has what was paid by day.
"""

from dataclasses import dataclass
from datetime import date

from storage.database import Connection, fetch_one


@dataclass(frozen=True, slots=True)
class Span:
    """Days from `first` to `last`, both included; None: no bound on that side."""

    first: date | None = None
    last: date | None = None


@dataclass(frozen=True, slots=True)
class DueSums:
    """Instalments that were due, and how far they are paid.

    `due_minor` is the sum of all, `collected_minor` what was paid on them, parts included. The last three
    count the unpaid ones by how many days they are late; together they are `due` less `collected`.
    """

    due: int
    collected: int
    due_minor: int
    collected_minor: int
    late_1_to_7_days: int
    late_8_to_15_days: int
    late_over_15_days: int

    @property
    def overdue(self) -> int:
        """Instalments that are not paid."""
        return self.due - self.collected


_DUE = """
SELECT count(*) AS due,
       count(*) FILTER (WHERE emi.status = 'paid') AS collected,
       coalesce(sum(emi.amount_minor), 0)::bigint AS due_minor,
       coalesce(sum(emi.paid_minor), 0)::bigint AS collected_minor,
       count(*) FILTER (WHERE emi.status = 'pending' AND %(today)s::date - due_date <= 7) AS late_1_to_7_days,
       count(*) FILTER (WHERE emi.status = 'pending' AND %(today)s::date - due_date BETWEEN 8 AND 15)
           AS late_8_to_15_days,
       count(*) FILTER (WHERE emi.status = 'pending' AND %(today)s::date - due_date > 15) AS late_over_15_days
FROM emi_schedules AS emi JOIN finance_applications AS application ON application.id = application_id
WHERE emi.status <> 'cancelled' AND application.status IN ('approved', 'disbursed', 'closed')
  AND due_date < %(today)s
  AND (%(first)s::date IS NULL OR due_date >= %(first)s)
  AND (%(last)s::date IS NULL OR due_date <= %(last)s)
  AND (%(dealer_id)s::bigint IS NULL OR dealer_id = %(dealer_id)s)
"""


async def due_sums(connection: Connection, dealer_id: int | None, span: Span, today: date) -> DueSums:
    """Sum up the instalments that were due in `span` and before `today`."""
    where = {"dealer_id": dealer_id, "first": span.first, "last": span.last, "today": today}
    found = await fetch_one(connection, DueSums, _DUE, where)
    assert found is not None
    return found
