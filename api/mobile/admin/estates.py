"""Estates in the portal: /api/mobile/admin/estates."""

from typing import Annotated

from fastapi import Depends

from api.context import Db
from api.errors import Problem
from api.mobile.admin.callers import Admin
from api.mobile.admin.paging import Paging
from api.mobile.admin.schemas.estates import EstateOut, EstatePage, NewEstate
from api.mobile.lookup import EstateId, find_estate
from api.routing import Router
from storage.errors import AlreadyExistsError
from storage.queries import estates

router = Router(prefix="/estates")


@router.post("", status_code=201)
async def add(body: NewEstate, caller: Admin, db: Db) -> EstateOut:
    """Enter an estate."""
    if not await estates.has_time_zone(db, body.time_zone):
        raise Problem(400, "Validation failed", f"time_zone: the database does not know {body.time_zone}")
    try:
        made = await estates.insert_estate(
            db, name=body.name, address=body.address, time_zone=body.time_zone, currency=body.currency
        )
    except AlreadyExistsError as error:
        raise Problem(409, "Estate already exists", f"An estate has the name {body.name} already") from error
    return EstateOut.of(made)


@router.get("")
async def list_estates(caller: Admin, db: Db, paging: Annotated[Paging, Depends()]) -> EstatePage:
    """List estates; `q` looks into their names."""
    found = await estates.list_estates(db, query=paging.q, after_id=paging.after, limit=paging.limit)
    shown = [EstateOut.of(estate) for estate in found]
    return EstatePage(estates=shown, next_after=paging.next_after(found))


@router.get("/{estate_id}")
async def detail(estate_id: EstateId, caller: Admin, db: Db) -> EstateOut:
    """Show an estate."""
    return EstateOut.of(await find_estate(db, estate_id))
