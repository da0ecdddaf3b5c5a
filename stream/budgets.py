"""Budget alerts: raised once a threshold and month, and told to the unit's people; run by `stream.jobs`."""

from datetime import datetime

import structlog

from storage.database import Pool
from storage.queries import budgets, units
from storage.queries.budgets import BudgetAlert
from stream.notices import News, amount, tell_unit

log = structlog.get_logger()

THRESHOLDS_PCT = (80, 100)


async def raise_alerts(pool: Pool, now: datetime) -> int:
    """Write and tell the alerts that are new by now; returns how many."""
    async with pool.connection() as connection:
        raised = await budgets.raise_alerts(connection, THRESHOLDS_PCT, now)
        # where two thresholds were reached at once, people hear of the higher one only
        highest = {(alert.unit_id, alert.utility): alert for alert in _by_threshold(raised)}
        for alert in highest.values():
            unit = await units.get_unit(connection, alert.unit_id)
            if unit is not None:
                await tell_unit(connection, unit.id, _news(alert, unit.unit_number, unit.currency), now)
    if raised:
        log.info("budget_alerts_raised", alerts=len(raised))
    return len(raised)


def _by_threshold(raised: list[BudgetAlert]) -> list[BudgetAlert]:
    return sorted(raised, key=lambda alert: alert.threshold_pct)


def _news(alert: BudgetAlert, unit_number: str, currency: str) -> News:
    spent, limit = amount(currency, alert.spent_minor), amount(currency, alert.limit_minor)
    body = f"Unit {unit_number}: {alert.utility} has cost {spent} this month, of a budget of {limit}."
    return News(f"budget:{alert.id}", f"budget_{alert.threshold_pct}", body, "budget")
