"""EV-CMS franchises: /api/v1/franchises (EV-128 to EV-133), /api/v1/partners/franchises (EV-117 to EV-119).

Both groups are the same franchises (conflict C13); a brand has its own, an admin all (conflict C37).
"""

from typing import Annotated

from fastapi import Depends, Path, Query

from api.context import Ctx, Db
from api.errors import Problem, not_found
from api.evcms.audit import audit
from api.evcms.callers import Admin, BrandOrAdmin, owner_filter
from api.evcms.envelope import Answer, Done, Id, Paging
from api.evcms.owners import owner_for
from api.evcms.schemas.franchises import (
    FranchiseChange,
    FranchiseIn,
    FranchiseOut,
    FranchisePage,
    FranchiseStatus,
    NamedFranchise,
    NamedStaff,
    StaffIn,
    StaffOut,
    StaffRows,
)
from api.evcms.station_access import franchise_of, held_franchise
from api.fields import OptionalText, parse_id
from api.routing import Router
from storage.errors import AlreadyExistsError
from storage.queries import franchises

router = Router()

FranchiseId = Annotated[str, Path(alias="franchiseId")]
StaffId = Annotated[str, Path(alias="staffId")]


@router.get("/franchises")
async def list_franchises(
    caller: BrandOrAdmin,
    db: Db,
    paging: Annotated[Paging, Depends()],
    status: FranchiseStatus | None = None,
    search: Annotated[OptionalText | None, Query(description="in name or location")] = None,
) -> FranchisePage:
    """List franchises, newest first: a brand its own, an admin all."""
    found, total = await franchises.list_franchises(
        db,
        owner_id=owner_filter(caller),
        status=status,
        search=search or None,
        limit=paging.limit,
        offset=paging.offset,
    )
    rows = [FranchiseOut.of(franchise) for franchise in found]
    return FranchisePage(success=True, data=rows, franchises=rows, pagination=paging.of(total))


@router.get("/partners/franchises")
async def list_partner_franchises(
    caller: BrandOrAdmin,
    db: Db,
    paging: Annotated[Paging, Depends()],
    status: FranchiseStatus | None = None,
) -> FranchisePage:
    """List franchises, newest first: a brand its own, an admin all."""
    return await list_franchises(caller, db, paging, status)


@router.post("/franchises", status_code=201)
@router.post("/partners/franchises", status_code=201)
async def add(body: FranchiseIn, caller: BrandOrAdmin, context: Ctx, db: Db) -> Answer[NamedFranchise]:
    """Enter a franchise; a brand has no two of one name."""
    owner_id, now = await owner_for(db, caller, body.owner_id), context.now()
    try:
        made = await franchises.insert_franchise(
            db,
            owner_id,
            now,
            name=body.name,
            location=body.location,
            contact_person=body.contact_person,
            phone=body.phone,
            email=body.email,
            agreement=body.agreement,
        )
    except AlreadyExistsError as error:
        raise Problem(409, "Franchise already exists", str(error)) from error
    await audit(db, caller, now, "franchise.create", made.id, {"name": made.name, "owner_id": owner_id})
    return Answer.of(NamedFranchise.around(FranchiseOut.of(made)))


@router.get("/franchises/{id}")
async def franchise(franchise_id: Id, caller: BrandOrAdmin, db: Db) -> Answer[NamedFranchise]:
    """Show a franchise."""
    return Answer.of(NamedFranchise.around(FranchiseOut.of(await franchise_of(db, caller, franchise_id))))


@router.get("/partners/franchises/{franchiseId}")
async def partner_franchise(
    franchise_id: FranchiseId, caller: BrandOrAdmin, db: Db
) -> Answer[NamedFranchise]:
    """Show a franchise."""
    return await franchise(franchise_id, caller, db)


@router.put("/franchises/{id}")
async def update(
    franchise_id: Id, body: FranchiseChange, caller: BrandOrAdmin, context: Ctx, db: Db
) -> Answer[NamedFranchise]:
    """Change a franchise."""
    found, now = await franchise_of(db, caller, franchise_id), context.now()
    try:
        changed = await franchises.update_franchise(db, found.id, now, **body.model_dump())
    except AlreadyExistsError as error:
        raise Problem(409, "Franchise already exists", str(error)) from error
    if changed is None:  # deleted since it was looked up
        raise not_found("Franchise", f"No franchise has the id {franchise_id}")
    await audit(db, caller, now, "franchise.update", found.id, body.model_dump(exclude_none=True))
    return Answer.of(NamedFranchise.around(FranchiseOut.of(changed)))


@router.delete("/franchises/{id}")
async def remove(franchise_id: Id, caller: Admin, context: Ctx, db: Db) -> Done:
    """Delete a franchise; 409 while it runs stations."""
    found, now = await held_franchise(db, caller, franchise_id), context.now()
    if await franchises.has_stations(db, found.id):
        details = f"{found.name} runs stations: delete them first, or give them to another franchise"
        raise Problem(409, "Franchise has stations", details)
    await franchises.delete_franchise(db, found.id, now)
    await audit(db, caller, now, "franchise.delete", found.id, {"name": found.name})
    return Done.of("Franchise deleted")


@router.get("/franchises/{id}/staff")
async def staff(franchise_id: Id, caller: BrandOrAdmin, db: Db) -> StaffRows:
    """List who works at a franchise."""
    found = await franchise_of(db, caller, franchise_id)
    rows = [StaffOut.of(each) for each in await franchises.list_staff(db, found.id)]
    return StaffRows(success=True, data=rows, staff=rows)


@router.post("/franchises/{id}/staff", status_code=201)
async def add_staff(
    franchise_id: Id, body: StaffIn, caller: BrandOrAdmin, context: Ctx, db: Db
) -> Answer[NamedStaff]:
    """Add somebody to a franchise, 200 at most."""
    found, now = await franchise_of(db, caller, franchise_id), context.now()
    made = await franchises.insert_staff(db, found.id, now, **body.model_dump())
    if made is None:
        details = f"{found.name} has {franchises.STAFF_MAX} people already: that is as many as there may be"
        raise Problem(400, "Too many staff", details)
    await audit(
        db,
        caller,
        now,
        "franchise.staff_add",
        found.id,
        {"staff_id": made.id, "name": made.name, "role": made.role},
    )
    return Answer.of(NamedStaff.around(StaffOut.of(made)))


@router.delete("/franchises/{id}/staff/{staffId}")
async def remove_staff(
    franchise_id: Id, staff_id: StaffId, caller: BrandOrAdmin, context: Ctx, db: Db
) -> Done:
    """Take somebody off a franchise."""
    found = await franchise_of(db, caller, franchise_id)
    number = parse_id(staff_id)
    if number is None or not await franchises.delete_staff(db, found.id, number):
        raise not_found("Staff", f"Nobody at {found.name} has the id {staff_id}")
    await audit(db, caller, context.now(), "franchise.staff_remove", found.id, {"staff_id": number})
    return Done.of("Staff removed")
