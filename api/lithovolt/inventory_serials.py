"""Lithovolt serial numbers: /api/inventory/serials/ (LI-008, LI-009), their lifecycle and history."""

from datetime import datetime
from typing import Annotated

from fastapi import Body, Path, Query

from api.callers import Caller
from api.context import Ctx, Db
from api.errors import not_found
from api.fields import OptionalText
from api.lithovolt.callers import Admin, AnyUser
from api.lithovolt.inventory_schemas import (
    NewSerials,
    Reference,
    SerialChange,
    SerialEventOut,
    SerialHistory,
    SerialOut,
    SerialsMade,
    SerialStatus,
)
from api.lithovolt.paging import Page, Pages
from api.lithovolt.stock_refusals import invalid, reach, refusal
from api.routing import Router
from storage.database import Connection
from storage.queries import assets, battery_models, serial_numbers
from storage.queries.assets import HISTORY_MAX
from storage.queries.battery_models import BatteryModel
from storage.queries.serial_numbers import SerialFilter, SerialNumber
from stream.stock import allocating, making
from stream.stock.errors import StockError

router = Router(prefix="/inventory/serials")

Serial = Annotated[str, Path(alias="serial")]


@router.get("/")
async def list_serials(
    caller: AnyUser,
    db: Db,
    paging: Pages,
    model: Annotated[Reference | None, Query()] = None,
    status: SerialStatus | None = None,
    wholesaler: Annotated[Reference | None, Query()] = None,
    batch: OptionalText | None = None,
    search: OptionalText | None = None,
) -> Page[SerialOut]:
    """List serial numbers, newest first: a wholesaler's own, a consumer's by warranty, an admin's all.

    `search` is part of a serial number.
    """
    own = reach(caller)
    if own.wholesaler_id is not None and wholesaler not in {None, own.wholesaler_id}:
        return Page.of([], 0, paging)
    where: SerialFilter = {
        "model_id": model,
        "status": status,
        "wholesaler_id": wholesaler or own.wholesaler_id,
        "consumer_id": own.consumer_id,
        "batch": batch,
        "search": search or None,
    }
    found, count = await serial_numbers.list_serials(db, where, limit=paging.page_size, offset=paging.offset)
    return Page.of([SerialOut.of(number) for number in found], count, paging)


@router.post("/", status_code=201)
async def add_serials(body: NewSerials, caller: Admin, context: Ctx, db: Db) -> SerialsMade:
    """Make a model's next serial numbers, or take in foreign ones: all of them or none.

    A serial number is the model's code, a running number of 8 digits, and a check character (ISO/IEC 7064,
    MOD 37,36). A foreign one needs no check character unless it begins with the model's code.
    """
    model = await _held_model(db, body.model)
    try:
        if body.serials is None:
            assert body.quantity is not None, "one of both is there"
            made = await making.generate(
                db, model, body.quantity, batch=body.batch, actor_id=caller.id, now=context.now()
            )
        else:
            made = await making.take_in(
                db, model, body.serials, batch=body.batch, actor_id=caller.id, now=context.now()
            )
    except StockError as error:
        raise refusal(error) from error
    return SerialsMade(count=len(made), model=model.id, batch=body.batch, serials=made)


@router.post("/import/", status_code=201)
async def import_serials(
    caller: Admin,
    context: Ctx,
    db: Db,
    text: Annotated[str, Body(media_type="text/csv", examples=["serial\nACME-0001\nACME-0002\n"])],
    model: Annotated[Reference, Query()],
    batch: OptionalText = "",
) -> SerialsMade:
    """Take in foreign serial numbers of one model from CSV, its column `serial`: all of them or none."""
    held = await _held_model(db, model)
    try:
        made = await making.take_in(
            db, held, making.read_csv(text), batch=batch, actor_id=caller.id, now=context.now()
        )
    except StockError as error:
        raise refusal(error) from error
    return SerialsMade(count=len(made), model=held.id, batch=batch, serials=made)


@router.get("/{serial}/")
async def get_serial(serial: Serial, caller: AnyUser, db: Db) -> SerialOut:
    """Show a serial number, found in any case of its letters."""
    return SerialOut.of(await _number(db, caller, serial))


@router.patch("/{serial}/")
async def change_serial(serial: Serial, body: SerialChange, caller: Admin, context: Ctx, db: Db) -> SerialOut:
    """Note that a battery came back, is scrapped, or is in stock again after it came back."""
    number = await _number(db, caller, serial)
    try:
        await allocating.change_status(
            db, number, body.status, body.reason, actor_id=caller.id, now=context.now()
        )
    except StockError as error:
        raise refusal(error) from error
    return SerialOut.of(await _number(db, caller, serial))


@router.get("/{serial}/history/")
async def serial_history(
    serial: Serial,
    caller: AnyUser,
    db: Db,
    limit: Annotated[int, Query(ge=1, le=HISTORY_MAX)] = 100,
    before: datetime | None = None,
) -> SerialHistory:
    """Tell a battery's history, the newest first: stock, warranty, claims, alarms, telemetry.

    A wholesaler hears what was since it got the battery, a consumer what was since the warranty began. For
    what is older give the last `at` as `before`.
    """
    number = await _number(db, caller, serial)
    own = reach(caller)
    since = None
    if caller.role != "admin":
        since = await serial_numbers.reached_at(
            db, number.id, wholesaler_id=own.wholesaler_id, consumer_id=own.consumer_id
        )
        since = since or number.updated_at  # one that came without an allocation
    reader = assets.Reader("lithovolt", since=since)
    events = await assets.history(db, number.serial, reader=reader, before=before, limit=limit)
    return SerialHistory(serial=number.serial, history=[SerialEventOut.of(event) for event in events])


async def _number(db: Connection, caller: Caller, serial: str) -> SerialNumber:
    """Return the serial if the caller reaches it; raises 404."""
    own = reach(caller)
    found = None
    if "\0" not in serial:
        found = await serial_numbers.find_serial(
            db, serial, wholesaler_id=own.wholesaler_id, consumer_id=own.consumer_id
        )
    if found is None:
        raise not_found("Serial number", f"There is no serial number {serial}")
    return found


async def _held_model(db: Connection, model_id: int) -> BatteryModel:
    held = await battery_models.lock_models(db, [model_id])
    if model_id not in held:
        raise invalid("model", f"There is no battery model {model_id}.")
    return held[model_id]
