"""Units in the portal: /api/mobile/admin/units."""

from typing import Annotated

from fastapi import Depends, Query

from api.context import Ctx, Db
from api.errors import Problem
from api.mobile.admin.callers import Admin
from api.mobile.admin.occupancy import add_owner
from api.mobile.admin.paging import ID_MAX, Paging
from api.mobile.admin.schemas.estates import NewUnit, UnitAdded, UnitDetail, UnitOut, UnitPage
from api.mobile.admin.schemas.people import OwnerOut, TenantOut
from api.mobile.lookup import UnitId, find_estate, find_unit
from api.routing import Router
from storage.errors import AlreadyExistsError
from storage.queries import occupancy, units

router = Router(prefix="/units")


@router.post("", status_code=201)
async def add(body: NewUnit, caller: Admin, context: Ctx, db: Db) -> UnitAdded:
    """Enter a unit, with its owner where one is given: then with the owner's user of the app."""
    estate = await find_estate(db, body.estate_id)
    try:
        unit = await units.insert_unit(db, estate.id, body.unit_number)
    except AlreadyExistsError as error:
        details = f"{estate.name} has a unit {body.unit_number} already"
        raise Problem(409, "Unit already exists", details) from error
    added = None if body.owner is None else await add_owner(context, db, unit, body.owner)
    return UnitAdded(
        message="Unit created successfully",
        unit=UnitOut.of(unit),
        owner=added.owner if added else None,
        mobile_user=added.mobile_user if added else None,
    )


@router.get("")
async def list_units(
    caller: Admin,
    db: Db,
    paging: Annotated[Paging, Depends()],
    estate_id: Annotated[int | None, Query(ge=1, le=ID_MAX)] = None,
) -> UnitPage:
    """List units; `q` looks into their numbers and their estates' names."""
    found = await units.list_units(
        db, estate_id=estate_id, query=paging.q, after_id=paging.after, limit=paging.limit
    )
    return UnitPage(units=[UnitOut.of(unit) for unit in found], next_after=paging.next_after(found))


@router.get("/{unit_id}")
async def detail(unit_id: UnitId, caller: Admin, db: Db) -> UnitDetail:
    """Show a unit and its people."""
    unit = await find_unit(db, unit_id)
    owners = await occupancy.list_owners(db, unit.id)
    tenancies = await occupancy.list_tenancies(db, unit.id)
    return UnitDetail(
        **UnitOut.of(unit).model_dump(exclude={"created_at"}),
        created_at=unit.created_at,
        owners=[OwnerOut.of(owner) for owner in owners],
        tenants=[TenantOut.of(tenancy) for tenancy in tenancies],
    )
