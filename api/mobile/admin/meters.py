"""Meters in the portal: /api/mobile/admin/meters, with what measures them and their tariffs."""

from typing import Annotated

from fastapi import Depends, Query

from api.context import Ctx, Db
from api.errors import Problem, not_found
from api.mobile.admin.callers import Admin
from api.mobile.admin.paging import ID_MAX, Paging
from api.mobile.admin.schemas.meters import (
    AssignmentOut,
    Assignments,
    InstallationOut,
    Installations,
    MeterOut,
    MeterPage,
    MeterStatus,
    NewAssignment,
    NewInstallation,
    NewMeter,
    Removal,
)
from api.mobile.lookup import MeterId, find_meter, find_unit, missing
from api.routing import Router
from storage.database import Connection
from storage.errors import AlreadyExistsError
from storage.queries import devices, meter_lists, meter_tariffs, meters
from stream.metering.consumption import ConsumptionError
from stream.metering.course import spans_of

router = Router(prefix="/meters")


@router.post("", status_code=201)
async def add(body: NewMeter, caller: Admin, db: Db) -> MeterOut:
    """Enter a meter of a unit."""
    unit = await find_unit(db, body.unit_id)
    try:
        return MeterOut.of(
            await meters.insert_meter(
                db,
                unit_id=unit.id,
                serial_number=body.serial_number,
                meter_type=body.meter_type,
                utility_type=body.utility_type,
                device_type=body.device_type,
                communication_type=body.communication_type,
            )
        )
    except AlreadyExistsError as error:
        details = f"A meter has the serial number {body.serial_number} already"
        raise Problem(409, "Meter already exists", details) from error


@router.get("")
async def list_meters(
    caller: Admin,
    db: Db,
    paging: Annotated[Paging, Depends()],
    unit_id: Annotated[int | None, Query(ge=1, le=ID_MAX)] = None,
) -> MeterPage:
    """List meters; `q` looks into their serial numbers."""
    found = await meter_lists.list_meters(
        db, unit_id=unit_id, query=paging.q, after_id=paging.after, limit=paging.limit
    )
    return MeterPage(meters=[MeterOut.of(meter) for meter in found], next_after=paging.next_after(found))


@router.get("/{meter_id}")
async def detail(meter_id: MeterId, caller: Admin, db: Db) -> MeterOut:
    """Show a meter."""
    return MeterOut.of(await find_meter(db, meter_id))


@router.put("/{meter_id}/status")
async def set_status(meter_id: MeterId, body: MeterStatus, caller: Admin, db: Db) -> MeterOut:
    """Say whether a meter is active, inactive or faulty."""
    meter = await find_meter(db, meter_id)
    await meter_lists.set_status(db, meter.id, body.status)
    return MeterOut.of(await find_meter(db, meter.id))


@router.post("/{meter_id}/installations", status_code=201)
async def install(meter_id: MeterId, body: NewInstallation, caller: Admin, db: Db) -> Installations:
    """Let a device's register measure the meter from then on; the device before it ends there.

    This is also how a device is replaced: what the old register counted to and the new one begins with are
    its own; bills of that day are made again.
    """
    meter = await find_meter(db, meter_id)
    device = await _device(db, body)
    try:
        await meters.install(
            db,
            meter_id=meter.id,
            device_id=device.id,
            quantity=body.quantity,
            since=body.since,
            channel=body.channel,
            multiplier=body.multiplier,
            register_modulus=body.register_modulus,
        )
    except AlreadyExistsError as error:
        raise Problem(409, "Installation conflicts", str(error)) from error
    try:
        spans_of(meter.utility_type, await meters.installations(db, meter.id))
    except ConsumptionError as error:
        raise Problem(400, "Validation failed", str(error)) from error
    return await _installations(db, meter.id)


@router.get("/{meter_id}/installations")
async def list_installations(meter_id: MeterId, caller: Admin, db: Db) -> Installations:
    """List what measures and measured a meter, oldest first."""
    meter = await find_meter(db, meter_id)
    return await _installations(db, meter.id)


@router.post("/{meter_id}/installations/end")
async def uninstall(meter_id: MeterId, body: Removal, caller: Admin, db: Db) -> Installations:
    """End the meter's current installation, without another device in its place."""
    meter = await find_meter(db, meter_id)
    if not await meters.uninstall(db, meter.id, body.until):
        raise Problem(409, "Nothing to end", f"Meter {meter.id} has no installation that began before then")
    return await _installations(db, meter.id)


@router.post("/{meter_id}/tariffs", status_code=201)
async def assign_tariff(
    meter_id: MeterId, body: NewAssignment, caller: Admin, context: Ctx, db: Db
) -> Assignments:
    """Give the meter a tariff from a day on; what was billed since then is billed again."""
    meter = await find_meter(db, meter_id)
    unit = await find_unit(db, meter.unit_id)
    tariff = await meter_tariffs.get_tariff(db, body.tariff_id)
    if tariff is None:
        raise missing("Tariff", body.tariff_id)
    if (tariff.utility, tariff.currency) != (meter.utility_type, unit.currency):
        details = (
            f"Tariff {tariff.name} is for {tariff.utility} in {tariff.currency},"
            f" the meter is for {meter.utility_type} in {unit.currency}"
        )
        raise Problem(409, "Tariff does not fit", details)
    await meter_tariffs.assign_tariff(db, meter.id, tariff.id, body.since)
    return await _assignments(db, meter.id)


@router.get("/{meter_id}/tariffs")
async def list_assignments(meter_id: MeterId, caller: Admin, db: Db) -> Assignments:
    """List the meter's tariffs, oldest first."""
    meter = await find_meter(db, meter_id)
    return await _assignments(db, meter.id)


async def _device(db: Connection, body: NewInstallation) -> devices.Device:
    if body.device_id is not None:
        found = await devices.get_device(db, body.device_id)
    else:
        found = await devices.find_device(db, "meter", body.device_identity or "")
    if found is None or found.kind != "meter":
        named = body.device_identity or body.device_id
        raise not_found("Device", f"There is no device {named} of kind meter: register it first")
    return found


async def _installations(db: Connection, meter_id: int) -> Installations:
    found = await meters.installations(db, meter_id)
    return Installations(installations=[InstallationOut.of(each) for each in found])


async def _assignments(db: Connection, meter_id: int) -> Assignments:
    found = await meter_tariffs.assignments(db, meter_id)
    return Assignments(tariffs=[AssignmentOut.of(each) for each in found])
