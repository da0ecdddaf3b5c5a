"""How healthy Ienerzy's batteries are, as figures; used by the analytics of the Ienerzy API.

Grades of a health score: excellent from 90, good from 75, fair from 50, else poor (conflict C12).
`dealer_id` None: of all dealers. `storage.queries.batteries.health_report` has the same batteries by status.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from storage.database import Connection, fetch_all, fetch_one

GRADES = {"excellent": 90, "good": 75, "fair": 50, "poor": 0}  # from which score on
SERVICE_SCORE = 60  # below it a battery needs service
RISK_SCORE = 40  # below it a battery is a risk


@dataclass(frozen=True, slots=True)
class GradeOfHealth:
    """Batteries of one grade; only grades that have any."""

    grade: str
    count: int
    avg_health: Decimal


@dataclass(frozen=True, slots=True)
class MonthOfHealth:
    """Mean of all daily assessments of a month, None where there was none, and tickets opened in it."""

    month: date
    avg_health: Decimal | None
    tickets: int


@dataclass(frozen=True, slots=True)
class Needs:
    """`service`: batteries with an open alarm or a low score; `risk`: a critical one or a very low score."""

    service: int
    risk: int


_GRADES = """
SELECT CASE WHEN health_score >= %(excellent)s THEN 'excellent' WHEN health_score >= %(good)s THEN 'good'
            WHEN health_score >= %(fair)s THEN 'fair' ELSE 'poor' END AS grade,
       count(*) AS count, avg(health_score) AS avg_health
FROM batteries WHERE (%(dealer_id)s::bigint IS NULL OR dealer_id = %(dealer_id)s)
GROUP BY grade
"""

_MONTHS = """
WITH assessed AS (
    SELECT month, sum(score_sum) / nullif(sum(scores), 0) AS avg_health
    FROM battery_health_months JOIN batteries ON id = battery_id
    WHERE scores > 0 AND (%(dealer_id)s::bigint IS NULL OR dealer_id = %(dealer_id)s)
    GROUP BY month
), opened AS (
    SELECT date_trunc('month', platform_day(created_at)::timestamp)::date AS month, count(*) AS tickets
    FROM service_tickets WHERE (%(dealer_id)s::bigint IS NULL OR dealer_id = %(dealer_id)s)
    GROUP BY 1
)
SELECT month, avg_health, coalesce(tickets, 0) AS tickets
FROM assessed FULL JOIN opened USING (month)
ORDER BY month DESC LIMIT %(limit)s
"""

_NEEDS = """
SELECT count(*) FILTER (WHERE health_score < %(service_score)s OR alarmed.battery_id IS NOT NULL) AS service,
       count(*) FILTER (WHERE health_score < %(risk_score)s OR is_critical) AS risk
FROM batteries
LEFT JOIN (SELECT battery_id, bool_or(severity = 'critical') AS is_critical
           FROM battery_alarms WHERE closed_at IS NULL GROUP BY battery_id) AS alarmed
  ON alarmed.battery_id = batteries.id
WHERE (%(dealer_id)s::bigint IS NULL OR dealer_id = %(dealer_id)s)
"""


async def grades_of_health(connection: Connection, dealer_id: int | None) -> list[GradeOfHealth]:
    """Count batteries by grade."""
    limits = {grade: GRADES[grade] for grade in ("excellent", "good", "fair")}
    return await fetch_all(connection, GradeOfHealth, _GRADES, {"dealer_id": dealer_id, **limits})


async def months_of_health(connection: Connection, dealer_id: int | None, limit: int) -> list[MonthOfHealth]:
    """Return the latest `limit` months with an assessment or a ticket, the newest first."""
    return await fetch_all(connection, MonthOfHealth, _MONTHS, {"dealer_id": dealer_id, "limit": limit})


async def needs(connection: Connection, dealer_id: int | None) -> Needs:
    """Count batteries that need service, and those that are a risk."""
    where = {"dealer_id": dealer_id, "service_score": SERVICE_SCORE, "risk_score": RISK_SCORE}
    found = await fetch_one(connection, Needs, _NEEDS, where)
    assert found is not None
    return found
