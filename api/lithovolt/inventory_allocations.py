"""Stock for wholesalers: /api/inventory/allocate/ (LI-010) and /api/inventory/allocations/ (LI-X11)."""

from typing import Annotated

from fastapi import Query

from api.callers import Caller
from api.context import Ctx, Db
from api.errors import not_found
from api.fields import parse_id
from api.lithovolt.callers import Admin, AdminOrWholesaler
from api.lithovolt.inventory_schemas import AllocateIn, AllocationDetail, AllocationOut, Reference
from api.lithovolt.paging import Page, Pages
from api.lithovolt.schemas import Id
from api.lithovolt.stock_refusals import invalid, reach, refusal
from api.routing import Router
from storage.database import Connection
from storage.queries import battery_models, lithovolt_users, stock
from storage.queries.stock import Allocation
from stream.stock import allocating
from stream.stock.allocating import Given
from stream.stock.errors import StockError

router = Router(prefix="/inventory")


@router.post("/allocate/", status_code=201)
async def allocate(body: AllocateIn, caller: Admin, context: Ctx, db: Db) -> AllocationDetail:
    """Give a wholesaler stock: so many of a model, the oldest first, or exactly the batteries named.

    All of them or none. A battery that a wholesaler has cannot be allocated again before it was given back.
    """
    wholesaler = await lithovolt_users.get_account(db, body.wholesaler)
    if wholesaler is None or wholesaler.role != "wholesaler":
        raise invalid("wholesaler", f"There is no wholesaler {body.wholesaler}.")
    if not wholesaler.is_served:
        raise invalid("wholesaler", f"Wholesaler {body.wholesaler} is not approved, or blocked.")
    given: Given = {
        "wholesaler_id": wholesaler.id,
        "order_id": None,
        "notes": body.notes,
        "actor_id": caller.id,
        "now": context.now(),
    }
    try:
        allocation_id = await _allocated(db, body, given)
    except StockError as error:
        raise refusal(error) from error
    return await _detail(db, caller, str(allocation_id))


@router.get("/allocations/")
async def list_allocations(
    caller: AdminOrWholesaler,
    db: Db,
    paging: Pages,
    wholesaler: Annotated[Reference | None, Query()] = None,
    model: Annotated[Reference | None, Query()] = None,
    order: Annotated[Reference | None, Query()] = None,
) -> Page[AllocationOut]:
    """List allocations, newest first: a wholesaler's own, an admin's all."""
    own = reach(caller).wholesaler_id
    if own is not None and wholesaler not in {None, own}:
        return Page.of([], 0, paging)
    found, count = await stock.list_allocations(
        db,
        wholesaler_id=wholesaler or own,
        model_id=model,
        order_id=order,
        limit=paging.page_size,
        offset=paging.offset,
    )
    return Page.of([AllocationOut.of(each) for each in found], count, paging)


@router.get("/allocations/{id}/")
async def get_allocation(reference: Id, caller: AdminOrWholesaler, db: Db) -> AllocationDetail:
    """Show an allocation with its serial numbers."""
    return await _detail(db, caller, reference)


@router.post("/allocations/{id}/release/")
async def release(reference: Id, caller: Admin, context: Ctx, db: Db) -> AllocationDetail:
    """Take back what the wholesaler has not sold of an allocation: it is in stock again."""
    allocation = await _allocation(db, caller, reference, is_locked=True)
    try:
        await allocating.release(
            db, allocation.id, allocation.model_id, actor_id=caller.id, now=context.now()
        )
    except StockError as error:
        raise refusal(error) from error
    return await _detail(db, caller, reference)


async def _allocated(db: Connection, body: AllocateIn, given: Given) -> int:
    if body.serials is not None:
        return await allocating.allocate_serials(db, body.serials, **given)
    assert body.model is not None and body.quantity is not None, "one form is whole"  # noqa: PT018
    held = await battery_models.lock_models(db, [body.model])
    if body.model not in held:
        raise invalid("model", f"There is no battery model {body.model}.")
    return await allocating.allocate_quantity(db, held[body.model], body.quantity, **given)


async def _detail(db: Connection, caller: Caller, reference: str) -> AllocationDetail:
    allocation = await _allocation(db, caller, reference)
    return AllocationDetail.around(allocation, await stock.serials_of(db, allocation.id))


async def _allocation(
    db: Connection, caller: Caller, reference: str, *, is_locked: bool = False
) -> Allocation:
    """Return the allocation if the caller reaches it; raises 404."""
    allocation_id = parse_id(reference)
    found = (
        None if allocation_id is None else await stock.get_allocation(db, allocation_id, is_locked=is_locked)
    )
    if found is None or reach(caller).wholesaler_id not in {None, found.wholesaler_id}:
        raise not_found("Allocation", f"No allocation has the id {reference}")
    return found
