"""Ienerzy batteries: /api/batteries (IE-003 to IE-008)."""

from typing import Annotated

from fastapi import Path, Query

from api.context import Ctx, Db
from api.errors import not_found
from api.ienerzy.accounts import dealer_for
from api.ienerzy.battery_access import battery_of, enter
from api.ienerzy.callers import DealerOrAdmin, DealerOrConsumer, reach
from api.ienerzy.control import control
from api.ienerzy.schemas import (
    BIGINT_MAX,
    AssignIn,
    BatteryDetail,
    BatteryOut,
    BatteryStatus,
    ControlIn,
    ControlledBattery,
    HealthReport,
    ListedBattery,
    NewBattery,
    Telemetry,
)
from api.routing import Router
from storage.queries import batteries, consumers, samples
from storage.queries.admin_actions import record_action
from storage.queries.battery_assignments import assign_battery

router = Router(prefix="/batteries")

LIST_MAX = 10_000  # the contract has no pages here; a dealer with more gets the first of them

Serial = Annotated[str, Path(alias="serial")]


@router.get("")
async def list_batteries(
    caller: DealerOrConsumer,
    db: Db,
    status: BatteryStatus | None = None,
    dealer_id: Annotated[int | None, Query(ge=1, le=BIGINT_MAX)] = None,
) -> list[ListedBattery]:
    """List the caller's batteries; another dealer's are not among them, whatever `dealer_id` says."""
    own = reach(caller)
    if own.dealer_id is not None and dealer_id not in {None, own.dealer_id}:
        return []
    found = await batteries.list_batteries(
        db, status=status, dealer_id=dealer_id or own.dealer_id, owner_id=own.owner_id, limit=LIST_MAX
    )
    return [ListedBattery.of(battery) for battery in found]


@router.post("", status_code=201)
async def add(body: NewBattery, caller: DealerOrAdmin, db: Db) -> BatteryOut:
    """Enter a battery for the calling dealer; from now on what it reports is stored.

    An admin names the dealer by `dealer_id`.
    """
    return BatteryOut.of(await enter(db, body, await dealer_for(db, caller, body.dealer_id)))


@router.get("/health-report")
async def health_report(caller: DealerOrConsumer, db: Db) -> HealthReport:
    """Sum up the health of the caller's batteries."""
    own = reach(caller)
    return HealthReport.of(await batteries.health_report(db, dealer_id=own.dealer_id, owner_id=own.owner_id))


@router.get("/{serial}")
async def battery(serial: Serial, caller: DealerOrConsumer, db: Db) -> BatteryDetail:
    """Show a battery with its newest reading."""
    found = await battery_of(db, caller, serial)
    sample = None if found.device_id is None else await samples.latest_battery(db, found.device_id)
    telemetry = None if sample is None else Telemetry.of(sample)
    return BatteryDetail(battery=BatteryOut.of(found), telemetry=telemetry)


@router.post("/{serial}/control")
async def control_battery(
    serial: Serial, body: ControlIn, caller: DealerOrAdmin, context: Ctx
) -> ControlledBattery:
    """Set a battery's status, or command its immobiliser and wait shortly for its answer.

    While a battery has not confirmed a command its status is unchanged and `pending_status` says what was
    asked of it: it gets the command again when it is heard of.
    """
    return await control(context, caller, serial, body.action)


@router.put("/{serial}/assign")
async def assign(serial: Serial, body: AssignIn, caller: DealerOrAdmin, context: Ctx, db: Db) -> BatteryOut:
    """Assign a battery to a consumer of its dealer. Who had it before is kept."""
    found = await battery_of(db, caller, serial)
    consumer = await consumers.get_consumer(db, body.consumer_id)
    if consumer is None or consumer.dealer_id is None or consumer.dealer_id != found.dealer_id:
        raise not_found("Consumer", f"No consumer of the battery's dealer has the id {body.consumer_id}")
    now = context.now()
    if await assign_battery(db, found.id, consumer.id, assigned_by=caller.id, now=now):
        await record_action(
            db,
            actor_id=caller.id,
            action="battery.assign",
            subject=f"battery:{found.id}",
            detail={"from": found.owner_id, "to": consumer.id},
            now=now,
        )
    return BatteryOut.of(await battery_of(db, caller, serial))
