"""Monthly budgets of units by utility, and the alerts that each month raises; months are the estate's.

What was spent is what `meter_bills` says of the month's days. Used by the app and by `stream.budgets`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from storage.database import Connection, fetch_all

ALERTS_MAX = 1_000  # raised in one go, and shown of one unit


@dataclass(frozen=True, slots=True)
class Budget:
    """A utility's limit of a month, and what this month has cost so far; minor units."""

    utility: str
    limit_minor: int
    spent_minor: int
    month: date


@dataclass(frozen=True, slots=True)
class BudgetAlert:
    """`threshold_pct` of the limit was reached; figures as of then."""

    id: int
    unit_id: int
    utility: str
    month: date
    threshold_pct: int
    limit_minor: int
    spent_minor: int
    created_at: datetime


_MONTH = "date_trunc('month', %(now)s::timestamptz AT TIME ZONE estates.time_zone)::date"

_STANDING = f"""
SELECT unit_budgets.unit_id, unit_budgets.utility, limit_minor, {_MONTH} AS month,
       coalesce((SELECT sum(cost_minor) FROM meter_bills JOIN meters ON meters.id = meter_id
                 WHERE meters.unit_id = unit_budgets.unit_id AND utility_type = unit_budgets.utility
                   AND day >= {_MONTH} AND day < ({_MONTH} + interval '1 month')::date), 0)::bigint
           AS spent_minor
FROM unit_budgets JOIN units ON units.id = unit_budgets.unit_id JOIN estates ON estates.id = estate_id
"""

_LIST = f"""
SELECT utility, limit_minor, spent_minor, month
FROM ({_STANDING} WHERE unit_budgets.unit_id = %(unit_id)s) AS standing
ORDER BY utility
"""

_DELETE = "DELETE FROM unit_budgets WHERE unit_id = %(unit_id)s AND NOT utility = ANY(%(utilities)s)"

_PUT = """
INSERT INTO unit_budgets (unit_id, utility, limit_minor, updated_by)
VALUES (%(unit_id)s, %(utility)s, %(limit_minor)s, %(user_id)s)
ON CONFLICT (unit_id, utility) DO UPDATE
SET limit_minor = EXCLUDED.limit_minor, updated_by = EXCLUDED.updated_by, updated_at = now()
"""

_ALERT_COLUMNS = " id, unit_id, utility, month, threshold_pct, limit_minor, spent_minor, created_at "

# Of several thresholds that are reached at once each is its own row; the highest is what is told.
_RAISE = (
    f"""
INSERT INTO budget_alerts (unit_id, utility, month, threshold_pct, limit_minor, spent_minor, created_at)
SELECT unit_id, utility, month, threshold_pct, limit_minor, spent_minor, %(now)s
FROM ({_STANDING}) AS standing CROSS JOIN unnest(%(thresholds_pct)s::smallint[]) AS threshold (threshold_pct)
WHERE spent_minor * 100 >= limit_minor * threshold_pct
  AND NOT EXISTS (SELECT FROM budget_alerts AS told
                  WHERE told.unit_id = standing.unit_id AND told.utility = standing.utility
                    AND told.month = standing.month AND told.threshold_pct = threshold.threshold_pct)
ORDER BY unit_id, utility, threshold_pct LIMIT %(limit)s
ON CONFLICT (unit_id, utility, month, threshold_pct) DO NOTHING
RETURNING"""
    + _ALERT_COLUMNS
)

_ALERTS = (
    "SELECT"
    + _ALERT_COLUMNS
    + """
FROM budget_alerts WHERE unit_id = %(unit_id)s AND created_at >= %(since)s
ORDER BY id DESC LIMIT %(limit)s
"""
)


async def budgets_of(connection: Connection, unit_id: int, now: datetime) -> list[Budget]:
    """Return the unit's budgets with what the month of `now` has cost so far."""
    return await fetch_all(connection, Budget, _LIST, {"unit_id": unit_id, "now": now})


async def put_budgets(
    connection: Connection, unit_id: int, limits_minor: Mapping[str, int], user_id: int
) -> None:
    """Make these the unit's budgets, and no others."""
    await connection.execute(_DELETE, {"unit_id": unit_id, "utilities": list(limits_minor)})
    for utility, limit_minor in limits_minor.items():
        facts = {"unit_id": unit_id, "utility": utility, "limit_minor": limit_minor, "user_id": user_id}
        await connection.execute(_PUT, facts)


async def raise_alerts(
    connection: Connection, thresholds_pct: Sequence[int], now: datetime
) -> list[BudgetAlert]:
    """Write the alerts that are new by now, at most `ALERTS_MAX`; safe for several processes at a time."""
    parameters = {"thresholds_pct": list(thresholds_pct), "now": now, "limit": ALERTS_MAX}
    return await fetch_all(connection, BudgetAlert, _RAISE, parameters)


async def alerts_of(
    connection: Connection, unit_id: int, *, since: datetime, limit: int
) -> list[BudgetAlert]:
    """Return the unit's budget alerts since then, newest first."""
    return await fetch_all(
        connection, BudgetAlert, _ALERTS, {"unit_id": unit_id, "since": since, "limit": limit}
    )
