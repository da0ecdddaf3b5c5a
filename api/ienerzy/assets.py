"""A battery as one asset of both families: /api/batteries/{serial}/history (extension)."""

from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import AwareDatetime

from api.callers import Caller
from api.context import Ctx, Db
from api.ienerzy.asset_schemas import AssetEventOut
from api.ienerzy.batteries import Serial
from api.ienerzy.battery_access import battery_of
from api.ienerzy.callers import DealerOrConsumer
from api.routing import Router
from storage.database import Connection
from storage.queries import assets
from storage.queries.assets import Reader
from storage.queries.batteries import Battery
from storage.queries.battery_assignments import list_assignments

router = Router(prefix="/batteries")


@router.get("/{serial}/history")
async def history(
    serial: Serial,
    caller: DealerOrConsumer,
    context: Ctx,
    db: Db,
    before: Annotated[
        AwareDatetime | None, Query(description="Events before this time: a page back.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=assets.HISTORY_MAX)] = 100,
) -> list[AssetEventOut]:
    """List what happened to a battery, the newest first.

    Assignments, commands, alarms, loans, locks, tickets and telemetry, and of the same serial in Lithovolt
    stock, warranty and claims, without persons. A dealer finds his own loans and tickets, a consumer what was
    since he got the battery.
    """
    battery = await battery_of(db, caller, serial)
    reader = await _reader(db, caller, battery, context.now())
    found = await assets.history(db, battery.serial_number, reader=reader, before=before, limit=limit)
    return [AssetEventOut.of(each) for each in found]


async def _reader(db: Connection, caller: Caller, battery: Battery, now: datetime) -> Reader:
    match caller.role:
        case "dealer":
            return Reader("ienerzy", dealer_id=caller.id)
        case "admin":
            return Reader("ienerzy")
    newest = await list_assignments(db, battery.id, limit=1)
    since = newest[0].assigned_at if newest and newest[0].ended_at is None else now
    return Reader("ienerzy", consumer_id=caller.id, since=since)
