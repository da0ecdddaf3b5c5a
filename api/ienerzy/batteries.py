"""Batteries: list, detail with live telemetry, control that reaches the battery, assignment, health."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.callers import Caller
from api.context import Ctx, Db
from api.errors import Problem, not_found
from api.ienerzy import control as immobiliser
from api.ienerzy.callers import ReadsBatteries, WritesBatteries
from api.ienerzy.schemas import (
    Assignment,
    BatteryControlled,
    BatteryDetail,
    BatteryListed,
    BatteryOut,
    Control,
    HealthOfStatus,
    HealthReport,
    Location,
    NewBattery,
    Status,
    Telemetry,
)
from storage.database import Connection
from storage.errors import AlreadyExistsError
from storage.queries import batteries
from storage.queries.batteries import Battery, HealthGroup
from storage.queries.samples import BatterySample, latest_battery
from storage.queries.users import get_user

router = APIRouter(prefix="/api/batteries", tags=["Ienerzy: batteries"])

LIST_MAX = 10_000  # the contract has no paging
RESERVED = frozenset({"test", "health-report"})  # literal paths beside {serial} (conflict C09)
Serial = Annotated[str, Path(max_length=200)]


@router.get("")
async def battery_list(
    caller: ReadsBatteries,
    db: Db,
    status: Annotated[Status | None, Query()] = None,
    dealer_id: Annotated[int | None, Query(gt=0, le=2**53)] = None,
) -> list[BatteryListed]:
    """The caller's batteries (IE-003)."""
    scope = scope_of(caller)
    if dealer_id is not None and scope.setdefault("dealer_id", dealer_id) != dealer_id:
        return []  # another dealer's
    rows = await batteries.list_batteries(db, status=status, limit=LIST_MAX, **scope)
    return [BatteryListed.model_validate(row, from_attributes=True) for row in rows]


@router.get("/health-report")
async def battery_health_report(caller: ReadsBatteries, db: Db) -> HealthReport:
    """Scores by status over the caller's batteries (IE-008)."""
    return health_of(await batteries.health_report(db, **scope_of(caller)))


@router.get("/{serial}")
async def battery_detail(serial: Serial, caller: ReadsBatteries, db: Db) -> BatteryDetail:
    """One battery with its latest telemetry (IE-004)."""
    battery = await reachable(db, serial, caller)
    sample = None if battery.device_id is None else await latest_battery(db, battery.device_id)
    return BatteryDetail(battery=shown(battery), telemetry=None if sample is None else telemetry_of(sample))


@router.post("", status_code=201)
async def battery_add(body: NewBattery, caller: WritesBatteries, db: Db) -> BatteryOut:
    """Enter a battery of the calling dealer (IE-005)."""
    if body.serial_number.lower() in RESERVED:
        raise Problem(400, "Validation failed", f"serial_number: {body.serial_number!r} is reserved")
    dealer_id = caller.id if caller.role == "dealer" else None
    try:
        made = await batteries.insert_battery(
            db, body.serial_number, health_score=body.health_score, dealer_id=dealer_id
        )
    except AlreadyExistsError as error:
        raise Problem(400, "Battery already exists", str(error), "DUPLICATE") from error
    return shown(made)


@router.post("/{serial}/control", response_model_exclude_unset=True)
async def battery_control(
    serial: Serial, body: Control, caller: WritesBatteries, context: Ctx
) -> BatteryControlled:
    """Set the status; `active` and `inactive` go to the battery, which confirms them (IE-006)."""
    async with context.pool.connection() as connection:
        battery = await reachable(connection, serial, caller)
    status = immobiliser.STATUS_OF[body.action]
    after, is_pending = await immobiliser.control(context, battery, status, caller.id)
    answer = shown(after).model_dump()
    return BatteryControlled(**answer, pending_status=status) if is_pending else BatteryControlled(**answer)


@router.put("/{serial}/assign")
async def battery_assign(serial: Serial, body: Assignment, caller: WritesBatteries, db: Db) -> BatteryOut:
    """Give the battery to a consumer of the calling dealer (IE-007)."""
    battery = await reachable(db, serial, caller)
    consumer = await get_user(db, body.consumer_id)
    is_known = consumer is not None and (consumer.system, consumer.role) == ("ienerzy", "consumer")
    if not is_known or (caller.role == "dealer" and consumer is not None and consumer.dealer_id != caller.id):
        raise not_found("Consumer", f"No consumer found with id {body.consumer_id}")
    after = await batteries.set_battery_owner(db, battery.id, body.consumer_id)
    assert after is not None
    return shown(after)


def scope_of(caller: Caller) -> dict[str, int]:
    """Return whose batteries the caller sees: arguments of the queries."""
    if caller.role == "admin":
        return {}
    return {"dealer_id" if caller.role == "dealer" else "owner_id": caller.id}


async def reachable(connection: Connection, serial: str, caller: Caller) -> Battery:
    """Return the battery; 404 where there is none, and for another's, so that serials cannot be probed."""
    battery = await batteries.find_battery(connection, serial) if "\0" not in serial else None
    if battery is not None and all(getattr(battery, name) == own for name, own in scope_of(caller).items()):
        return battery
    raise not_found("Battery", f"No battery found with serial number {serial}")


def shown(battery: Battery) -> BatteryOut:
    """Print a battery."""
    return BatteryOut.model_validate(battery, from_attributes=True)


def telemetry_of(sample: BatterySample) -> Telemetry:
    """Print a sample: the contract has numbers with units of their own as text."""
    return Telemetry(
        voltage=_text(sample.voltage_v, 1),
        current=_text(sample.current_a, 1),
        soc=None if sample.soc_pct is None else round(sample.soc_pct, 1),
        location=Location(lat=_text(sample.latitude_deg, 4), lng=_text(sample.longitude_deg, 4)),
        timestamp=sample.ts,
    )


def health_of(groups: list[HealthGroup]) -> HealthReport:
    """Print the report; the overall score is the mean over all batteries, one decimal (rule R046)."""
    total = sum(group.count for group in groups)
    mean = sum(group.avg_health * group.count for group in groups) / total if total else 0
    fleet = {
        group.status: HealthOfStatus(
            count=group.count,
            avg_health=f"{group.avg_health:.1f}",
            min_health=group.min_health,
            max_health=group.max_health,
        )
        for group in groups
    }
    return HealthReport(fleet_health=fleet, total_batteries=total, overall_health_score=round(float(mean), 1))


def _text(value: float | None, decimals: int) -> str | None:
    return None if value is None else f"{value:.{decimals}f}"
