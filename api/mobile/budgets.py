"""Budgets and alerts of a unit in the app (MO-X08, MO-X11, MO-X12)."""

from api.context import Context, Ctx, Db
from api.mobile.callers import Resident
from api.mobile.lookup import UnitId, reach_unit
from api.mobile.schemas.meters import BudgetAlertOut, MeterAlertOut, UnitAlerts
from api.mobile.schemas.wallets import BudgetOut, Budgets, NewBudgets
from api.mobile.windows import DAYS_DEFAULT, Days, beginning
from api.routing import Router
from storage.database import Connection
from storage.queries import budgets, meter_alerts, meters

router = Router(prefix="/units/{unit_id}")

ALERTS_MAX = 200  # of each kind


@router.get("/budgets")
async def unit_budgets(unit_id: UnitId, caller: Resident, context: Ctx, db: Db) -> Budgets:
    """Show the unit's monthly budgets and what this month has cost so far."""
    unit = await reach_unit(context, db, caller, unit_id)
    return await _show(context, db, unit.id)


@router.put("/budgets")
async def set_budgets(unit_id: UnitId, body: NewBudgets, caller: Resident, context: Ctx, db: Db) -> Budgets:
    """Set the unit's monthly budgets; at 80 and at 100 % its people are told, once a month each."""
    unit = await reach_unit(context, db, caller, unit_id)
    await meters.lock_unit(db, unit.id)  # two at a time would wait for each other's rows
    await budgets.put_budgets(db, unit.id, body.limits_minor(), caller.id)
    return await _show(context, db, unit.id)


@router.get("/alerts")
async def alerts(
    unit_id: UnitId, caller: Resident, context: Ctx, db: Db, days: Days = DAYS_DEFAULT
) -> UnitAlerts:
    """List what is wrong with the unit's meters, or was in these days, and which budgets were reached."""
    unit = await reach_unit(context, db, caller, unit_id)
    since = beginning(context.now(), days)
    meter_ids = [meter.id for meter in await meters.list_unit_meters(db, unit.id)]
    of_meters = await meter_alerts.alerts_of(db, meter_ids, since=since, limit=ALERTS_MAX)
    of_budgets = await budgets.alerts_of(db, unit.id, since=since, limit=ALERTS_MAX)
    return UnitAlerts(
        meter_alerts=[MeterAlertOut.of(alert) for alert in of_meters],
        budget_alerts=[BudgetAlertOut.of(alert) for alert in of_budgets],
    )


async def _show(context: Context, db: Connection, unit_id: int) -> Budgets:
    found = await budgets.budgets_of(db, unit_id, context.now())
    return Budgets(budgets=[BudgetOut.of(budget) for budget in found])
