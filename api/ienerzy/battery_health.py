"""Ienerzy battery health: /api/batteries/{serial}/health and /alarms (extensions)."""

from typing import Annotated

from fastapi import Query

from api.context import Db
from api.ienerzy.batteries import Serial
from api.ienerzy.battery_access import battery_of
from api.ienerzy.battery_health_schemas import AlarmOut, BatteryHealthOut
from api.ienerzy.callers import DealerOrConsumer
from api.routing import Router
from storage.queries import battery_health

router = Router(prefix="/batteries")

HISTORY_DAYS_MAX = 90
ALARMS_MAX = 500


@router.get("/{serial}/health")
async def health(serial: Serial, caller: DealerOrConsumer, db: Db) -> BatteryHealthOut:
    """Explain a battery's health score: its parts, what each rests on, the samples, open alarms, history."""
    found = await battery_of(db, caller, serial)
    days = await battery_health.health_history(db, found.id, HISTORY_DAYS_MAX)
    alarms = await battery_health.list_alarms(db, found.id, is_open=True, limit=ALARMS_MAX)
    return BatteryHealthOut.of(found, days, alarms)


@router.get("/{serial}/alarms")
async def alarms(
    serial: Serial,
    caller: DealerOrConsumer,
    db: Db,
    open_only: Annotated[bool, Query(alias="open")] = False,
    limit: Annotated[int, Query(ge=1, le=ALARMS_MAX)] = 100,
) -> list[AlarmOut]:
    """List a battery's alarms, the newest first; `open=true` for those that are open."""
    found = await battery_of(db, caller, serial)
    listed = await battery_health.list_alarms(db, found.id, is_open=open_only, limit=limit)
    return [AlarmOut.of(alarm) for alarm in listed]
