"""Meters, readings and usage in the app (MO-005 to MO-007, MO-X10, MO-X12)."""

from typing import Annotated, Literal

from fastapi import Query

from api.context import Ctx, Db
from api.mobile.callers import Resident
from api.mobile.lookup import MeterId, UnitId, reach_meter, reach_unit
from api.mobile.schemas.meters import (
    MeterAlertOut,
    MeterAlerts,
    MeterDetail,
    MeterOut,
    Meters,
    OneMeter,
    Readings,
    Usage,
)
from api.mobile.windows import DAYS_DEFAULT, LIMIT_MAX, Days, Limit, beginning
from api.routing import Router
from storage.queries import meter_alerts, meters
from stream.metering import readings as metering

router = Router()

READINGS_DEFAULT = 100
ALERTS_MAX = 200
Period = Literal["day", "week", "month"]
# So many periods are shown, where the query does not say how many days.
USAGE_DAYS: dict[Period, int] = {"day": 30, "week": 84, "month": 366}
# Today counts as well, and so does one day more where the clocks have changed in between.
USAGE_DAYS_MAX = metering.USAGE_DAYS_MAX - 2


@router.get("/units/{unit_id}/meters")
async def unit_meters(unit_id: UnitId, caller: Resident, context: Ctx, db: Db) -> Meters:
    """List the meters of a unit."""
    unit = await reach_unit(context, db, caller, unit_id)
    found = await meters.list_unit_meters(db, unit.id)
    return Meters(meters=[MeterOut.of(meter, await metering.latest_reading(db, meter.id)) for meter in found])


@router.get("/meters/{meter_id}")
async def detail(meter_id: MeterId, caller: Resident, context: Ctx, db: Db) -> OneMeter:
    """Show a meter."""
    meter, unit = await reach_meter(context, db, caller, meter_id)
    latest = await metering.latest_reading(db, meter.id)
    return OneMeter(meter=MeterDetail.at(unit, meter, latest))


@router.get("/meters/{meter_id}/readings")
async def readings(
    meter_id: MeterId,
    caller: Resident,
    context: Ctx,
    db: Db,
    days: Days = DAYS_DEFAULT,
    limit: Limit = READINGS_DEFAULT,
) -> Readings:
    """List a meter's readings, newest first, each with its consumption and cost."""
    meter, _ = await reach_meter(context, db, caller, meter_id)
    now = context.now()
    found = await metering.rated_readings(
        db, meter.id, since=beginning(now, days), until=now, limit=min(limit, LIMIT_MAX)
    )
    return Readings.of(meter, found)


@router.get("/meters/{meter_id}/usage")
async def usage(
    meter_id: MeterId,
    caller: Resident,
    context: Ctx,
    db: Db,
    period: Annotated[Period, Query()] = "day",
    days: Annotated[int | None, Query(ge=1, le=USAGE_DAYS_MAX)] = None,
) -> Usage:
    """Sum up a meter's consumption and cost by day, week or month, oldest first."""
    meter, _ = await reach_meter(context, db, caller, meter_id)
    now = context.now()
    since = beginning(now, USAGE_DAYS[period] if days is None else days)
    buckets = await metering.usage(db, meter.id, period=period, since=since, until=now)
    return Usage.of(meter, period, buckets)


@router.get("/meters/{meter_id}/alerts")
async def alerts(
    meter_id: MeterId, caller: Resident, context: Ctx, db: Db, days: Days = DAYS_DEFAULT
) -> MeterAlerts:
    """List what is wrong with a meter, or was in these days, newest first."""
    meter, _ = await reach_meter(context, db, caller, meter_id)
    since = beginning(context.now(), days)
    found = await meter_alerts.alerts_of(db, [meter.id], since=since, limit=ALERTS_MAX)
    return MeterAlerts(meter_alerts=[MeterAlertOut.of(alert) for alert in found])
