"""Owners and tenants in the portal: who comes to a unit, and who leaves it."""

from datetime import date, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Path

from api.context import Context, Ctx, Db
from api.errors import Problem
from api.fields import parse_id
from api.mobile.admin.accounts import ensure_account
from api.mobile.admin.callers import Admin
from api.mobile.admin.schemas.people import (
    LastDay,
    NewOwner,
    NewTenant,
    OwnerAdded,
    OwnerEnded,
    OwnerOut,
    TenancyEnded,
    TenantAdded,
    TenantOut,
)
from api.mobile.lookup import UnitId, find_unit, hold_person, missing
from api.routing import Router
from storage.database import Connection
from storage.errors import AlreadyExistsError
from storage.queries import meters, occupancy
from storage.queries.units import Unit

router = Router()

OwnerId = Annotated[str, Path(alias="owner_id", json_schema_extra={"type": "integer"})]
TenantId = Annotated[str, Path(alias="tenant_id", json_schema_extra={"type": "integer"})]
GONE = "It had not begun: it is removed"


@router.post("/units/{unit_id}/owners", status_code=201)
async def owner_comes(unit_id: UnitId, body: NewOwner, caller: Admin, context: Ctx, db: Db) -> OwnerAdded:
    """Make a person an owner of the unit, with a user of the app unless it has one."""
    return await add_owner(context, db, await find_unit(db, unit_id), body)


@router.post("/units/{unit_id}/tenants", status_code=201)
async def tenant_comes(unit_id: UnitId, body: NewTenant, caller: Admin, context: Ctx, db: Db) -> TenantAdded:
    """Let a person rent the unit, with a user of the app unless it has one."""
    unit = await find_unit(db, unit_id)
    person = await hold_person(db, body.person_id)
    await meters.lock_unit(db, unit.id)
    try:
        tenancy = await occupancy.insert_tenancy(
            db,
            unit_id=unit.id,
            person_id=person.id,
            monthly_rent_minor=body.monthly_rent_minor,
            is_primary=body.is_primary,
            lease_start_date=body.lease_start_date,
            lease_end_date=body.lease_end_date,
        )
    except AlreadyExistsError as error:
        raise _conflict(unit, error) from error
    return TenantAdded(
        message="Tenant added successfully",
        tenant=TenantOut.of(tenancy),
        mobile_user=await ensure_account(context, db, person, "tenant"),
    )


@router.post("/owners/{owner_id}/end")
async def owner_leaves(owner_id: OwnerId, body: LastDay, caller: Admin, context: Ctx, db: Db) -> OwnerEnded:
    """End an ownership: from the day after it on, the person does not reach the unit by it."""
    number = parse_id(owner_id)
    owner = None if number is None else await occupancy.get_owner(db, number)
    if owner is None:
        raise missing("Owner", owner_id)
    unit = await find_unit(db, owner.unit_id)
    last_day = body.last_day or _today(context, unit) - timedelta(days=1)
    await meters.lock_unit(db, unit.id)
    if owner.until is not None and last_day >= owner.until:
        raise Problem(409, "Ownership has ended", f"It ended before {owner.until}: enter a new one instead")
    ended = await occupancy.end_owner(db, owner.id, last_day)
    if ended is None:
        return OwnerEnded(message=GONE, owner=None)
    return OwnerEnded(message="Ownership ended", owner=OwnerOut.of(ended))


@router.post("/tenants/{tenant_id}/end")
async def tenant_leaves(
    tenant_id: TenantId, body: LastDay, caller: Admin, context: Ctx, db: Db
) -> TenancyEnded:
    """End a lease before its time: from the day after it on, the person does not reach the unit by it."""
    number = parse_id(tenant_id)
    tenancy = None if number is None else await occupancy.get_tenancy(db, number)
    if tenancy is None:
        raise missing("Tenant", tenant_id)
    unit = await find_unit(db, tenancy.unit_id)
    last_day = body.last_day or _today(context, unit) - timedelta(days=1)
    if last_day > tenancy.lease_end_date:
        raise Problem(409, "Lease has ended", f"It ends on {tenancy.lease_end_date}: enter a new one instead")
    ended = await occupancy.end_tenancy(db, tenancy.id, last_day)
    if ended is None:
        return TenancyEnded(message=GONE, tenant=None)
    return TenancyEnded(message="Lease ended", tenant=TenantOut.of(ended))


async def add_owner(context: Context, db: Connection, unit: Unit, new: NewOwner) -> OwnerAdded:
    """Make a person an owner of the unit; raises 404 (the person) and 409 (its shares)."""
    person = await hold_person(db, new.person_id)
    await meters.lock_unit(db, unit.id)
    try:
        owner = await occupancy.insert_owner(
            db,
            unit_id=unit.id,
            person_id=person.id,
            basis_points=new.basis_points,
            is_primary=new.is_primary,
            since=new.since or _today(context, unit),
        )
    except AlreadyExistsError as error:
        raise _conflict(unit, error) from error
    return OwnerAdded(
        message="Owner added successfully",
        owner=OwnerOut.of(owner),
        mobile_user=await ensure_account(context, db, person, "owner"),
    )


def _today(context: Context, unit: Unit) -> date:
    return context.now().astimezone(ZoneInfo(unit.time_zone)).date()


def _conflict(unit: Unit, error: AlreadyExistsError) -> Problem:
    return Problem(409, "Conflict", f"Unit {unit.unit_number}: {error}")
