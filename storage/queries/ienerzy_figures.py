"""What dealers, an admin and the NBFC see of Ienerzy as figures: consumers, applications, loans by month.

`dealer_id` None: of all dealers. Months and days begin in Asia/Kolkata (`platform_day` of migration 0017).
`ienerzy_collections`, `ienerzy_fleet` and `ienerzy_service` have the figures of instalments, batteries and
tickets; used by the analytics of the Ienerzy API.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from storage.database import Connection, fetch_all, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class ConsumerCounts:
    """Consumers by KYC status; deleted accounts are left out."""

    total: int
    verified: int
    pending: int
    rejected: int


@dataclass(frozen=True, slots=True)
class ApplicationCounts:
    """Applications and what became of them.

    `approved` counts those that were ever approved (approved, disbursed and closed ones), `disbursed` those
    whose loan was paid out. `avg_rate_pct`: of approved ones whose rate is known, None without any.
    """

    total: int
    approved: int
    rejected: int
    disbursed: int
    disbursed_minor: int
    avg_rate_pct: Decimal | None


@dataclass(frozen=True, slots=True)
class MonthOfLoans:
    """Applications by the month they were made in, approvals by that of the decision, loans by when paid out.

    `month` is its first day.
    """

    month: date
    applications: int
    approvals: int
    disbursements: int
    disbursed_minor: int


_CONSUMERS = """
SELECT count(*) AS total,
       count(*) FILTER (WHERE kyc_status = 'verified') AS verified,
       count(*) FILTER (WHERE kyc_status = 'pending') AS pending,
       count(*) FILTER (WHERE kyc_status = 'rejected') AS rejected
FROM users JOIN consumers ON user_id = id
WHERE system = 'ienerzy' AND role = 'consumer' AND deleted_at IS NULL
  AND (%(dealer_id)s::bigint IS NULL OR dealer_id = %(dealer_id)s)
"""

_APPLICATIONS = """
SELECT count(*) AS total,
       count(*) FILTER (WHERE status IN ('approved', 'disbursed', 'closed')) AS approved,
       count(*) FILTER (WHERE status = 'rejected') AS rejected,
       count(disbursed_on) AS disbursed,
       coalesce(sum(disbursed_minor) FILTER (WHERE disbursed_on IS NOT NULL), 0)::bigint AS disbursed_minor,
       avg(rate_pct) FILTER (WHERE status IN ('approved', 'disbursed', 'closed')) AS avg_rate_pct
FROM finance_applications
WHERE (%(dealer_id)s::bigint IS NULL OR dealer_id = %(dealer_id)s)
"""

_MONTHS = """
WITH own AS (
    SELECT created_at, status, decided_at, disbursed_on, disbursed_minor FROM finance_applications
    WHERE (%(dealer_id)s::bigint IS NULL OR dealer_id = %(dealer_id)s)
)
SELECT date_trunc('month', day::timestamp)::date AS month, sum(applications)::bigint AS applications,
       sum(approvals)::bigint AS approvals, sum(disbursements)::bigint AS disbursements,
       sum(disbursed_minor)::bigint AS disbursed_minor
FROM (SELECT platform_day(created_at) AS day, 1 AS applications, 0 AS approvals, 0 AS disbursements,
             0 AS disbursed_minor
      FROM own
      UNION ALL
      SELECT platform_day(decided_at), 0, 1, 0, 0 FROM own
      WHERE status IN ('approved', 'disbursed', 'closed') AND decided_at IS NOT NULL
      UNION ALL
      SELECT disbursed_on, 0, 0, 1, coalesce(disbursed_minor, 0) FROM own
      WHERE disbursed_on IS NOT NULL) AS happened
GROUP BY month ORDER BY month DESC LIMIT %(limit)s
"""

_CREDIT_SCORE = """
SELECT avg(credit_score) FROM consumers
WHERE user_id IN (SELECT consumer_id FROM finance_applications
                  WHERE (%(dealer_id)s::bigint IS NULL OR dealer_id = %(dealer_id)s))
"""


async def consumer_counts(connection: Connection, dealer_id: int | None) -> ConsumerCounts:
    """Count consumers by KYC status."""
    found = await fetch_one(connection, ConsumerCounts, _CONSUMERS, {"dealer_id": dealer_id})
    assert found is not None
    return found


async def application_counts(connection: Connection, dealer_id: int | None) -> ApplicationCounts:
    """Count applications and what was disbursed on them."""
    found = await fetch_one(connection, ApplicationCounts, _APPLICATIONS, {"dealer_id": dealer_id})
    assert found is not None
    return found


async def months_of_loans(connection: Connection, dealer_id: int | None, limit: int) -> list[MonthOfLoans]:
    """Return the latest `limit` months in which anything happened, the newest first."""
    return await fetch_all(connection, MonthOfLoans, _MONTHS, {"dealer_id": dealer_id, "limit": limit})


async def mean_credit_score(connection: Connection, dealer_id: int | None) -> Decimal | None:
    """Return the mean over consumers with an application whose score is known, None without any."""
    score: Decimal | None = await fetch_value(connection, _CREDIT_SCORE, {"dealer_id": dealer_id})
    return score
