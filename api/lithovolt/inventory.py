"""Lithovolt battery models and stock: /api/inventory/models/, stock/, low-stock/ (LI-006, LI-007, LI-X04)."""

from api.context import Ctx, Db
from api.errors import Problem, not_found
from api.fields import OptionalText, parse_id
from api.lithovolt.callers import Admin, AdminOrWholesaler, AnyUser
from api.lithovolt.inventory_schemas import LowStockOut, ModelChange, ModelOut, NewModel, StockOut
from api.lithovolt.paging import Page, Pages
from api.lithovolt.schemas import Id
from api.lithovolt.stock_refusals import invalid, reach
from api.routing import Router
from storage.errors import AlreadyExistsError
from storage.queries import battery_models, stock
from stream.stock import alerts

router = Router(prefix="/inventory")


@router.get("/models/")
async def list_models(
    caller: AnyUser,
    db: Db,
    paging: Pages,
    is_active: bool | None = None,
    search: OptionalText | None = None,
) -> Page[ModelOut]:
    """List battery models; those that are not sold any more only to admins. `search`: in names and codes."""
    if caller.role != "admin":
        is_active = True
    found, count = await battery_models.list_models(
        db, is_active=is_active, search=search or None, limit=paging.page_size, offset=paging.offset
    )
    with_price = caller.role != "consumer"
    return Page.of([ModelOut.of(model, with_price=with_price) for model in found], count, paging)


@router.post("/models/", status_code=201)
async def add_model(body: NewModel, caller: Admin, context: Ctx, db: Db) -> ModelOut:
    """Enter a battery model. Its code, which begins its serial numbers, cannot be changed later."""
    try:
        model = await battery_models.insert_model(
            db, body.code, body.facts(), created_by=caller.id, now=context.now()
        )
    except AlreadyExistsError as error:
        raise _taken(error) from error
    return ModelOut.of(model, with_price=True)


@router.get("/models/{id}/")
async def get_model(reference: Id, caller: AnyUser, db: Db) -> ModelOut:
    """Show a battery model."""
    model_id = parse_id(reference)
    model = None if model_id is None else await battery_models.get_model(db, model_id)
    if model is None or not (model.is_active or caller.role == "admin"):
        raise _no_model(reference)
    return ModelOut.of(model, with_price=caller.role != "consumer")


@router.patch("/models/{id}/")
async def change_model(reference: Id, body: ModelChange, caller: Admin, context: Ctx, db: Db) -> ModelOut:
    """Change a battery model; orders keep the price that they were made at."""
    model_id = parse_id(reference)
    held = {} if model_id is None else await battery_models.lock_models(db, [model_id])
    if not held:
        raise _no_model(reference)
    ((found_id, model),) = held.items()
    try:
        changed = await battery_models.update_model(db, found_id, body.facts(model), context.now())
    except AlreadyExistsError as error:
        raise _taken(error) from error
    if (changed.low_stock_threshold, changed.is_active) != (model.low_stock_threshold, model.is_active):
        await alerts.watch(db, changed, context.now())
    return ModelOut.of(changed, with_price=True)


@router.get("/stock/")
async def list_stock(caller: AdminOrWholesaler, db: Db, paging: Pages) -> Page[StockOut]:
    """Count batteries by model and state: all of them, or a wholesaler's own."""
    own = reach(caller).wholesaler_id
    found, count = await stock.list_stock(db, wholesaler_id=own, limit=paging.page_size, offset=paging.offset)
    return Page.of([StockOut.of(each, is_own=own is not None) for each in found], count, paging)


@router.get("/low-stock/")
async def list_low_stock(caller: Admin, db: Db, paging: Pages) -> Page[LowStockOut]:
    """List the models of which as many are in stock as their threshold, or fewer, the lowest first."""
    found, count = await stock.list_low(db, limit=paging.page_size, offset=paging.offset)
    return Page.of([LowStockOut.of(low) for low in found], count, paging)


def _no_model(reference: str) -> Problem:
    return not_found("Model", f"No battery model has the id {reference}")


def _taken(error: AlreadyExistsError) -> Problem:
    return invalid(str(error), f"A battery model with this {error} exists already.")
