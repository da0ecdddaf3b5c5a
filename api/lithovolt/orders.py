"""Lithovolt orders: /api/orders/ (LI-011 to LI-014, LI-X05, LI-X10)."""

from datetime import date, datetime, time, timedelta
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator
from starlette.responses import Response

from api.callers import Caller
from api.context import Ctx, Db
from api.errors import Problem, not_found
from api.fields import IdempotencyKey, parse_id
from api.lithovolt.callers import Admin, AdminOrWholesaler, Wholesaler
from api.lithovolt.inventory_schemas import Reference
from api.lithovolt.orders_schemas import (
    Cancellation,
    NewOrder,
    OrderDetail,
    OrderOut,
    OrderStatus,
    Rejection,
)
from api.lithovolt.paging import Page, Pages
from api.lithovolt.schemas import Id
from api.lithovolt.stock_refusals import reach, refusal
from api.routing import Router
from storage.database import Connection
from storage.queries import orders
from storage.queries.orders import Order, OrderFilter
from stream.documents.order_invoice_pdf import render_order_invoice
from stream.invoicing import ZONE
from stream.stock import ordering
from stream.stock.errors import StockError
from stream.stock.ordering import KeyUsedError, NotPendingError

router = Router(prefix="/orders")

PDF = "application/pdf"
YEARS = range(2000, 2200)


def _in_years(day: date) -> date:
    if day.year not in YEARS:
        raise ValueError(f"must be in the years {YEARS[0]} to {YEARS[-1]}")
    return day


Day = Annotated[date, AfterValidator(_in_years)]


@router.get("/")
async def list_orders(
    caller: AdminOrWholesaler,
    db: Db,
    paging: Pages,
    status: OrderStatus | None = None,
    buyer: Annotated[Reference | None, Query()] = None,
    date_from: Day | None = None,
    date_to: Day | None = None,
) -> Page[OrderOut]:
    """List orders, newest first: a wholesaler's own, an admin's all. Both days belong to the period."""
    own = reach(caller).wholesaler_id
    if own is not None and buyer not in {None, own}:
        return Page.of([], 0, paging)
    where: OrderFilter = {
        "buyer_id": buyer or own,
        "status": status,
        "created_from": None if date_from is None else _midnight(date_from),
        "created_before": None if date_to is None else _midnight(date_to + timedelta(days=1)),
    }
    found, count = await orders.list_orders(db, where, limit=paging.page_size, offset=paging.offset)
    items = await orders.items_of(db, [order.id for order in found])
    return Page.of([OrderOut.of(order, items[order.id]) for order in found], count, paging)


@router.post("/", status_code=201)
async def create_order(
    body: NewOrder, caller: Wholesaler, context: Ctx, db: Db, idempotency_key: IdempotencyKey = None
) -> OrderDetail:
    """Order batteries at today's prices and taxes; an admin approves or rejects the order."""
    try:
        order_id = await ordering.create(
            db, caller.id, body.wanted(), notes=body.notes, key=idempotency_key, now=context.now()
        )
    except StockError as error:
        raise refusal(error) from error
    except KeyUsedError as error:
        raise Problem(400, "Idempotency key already used", str(error)) from error
    return await _detail(db, caller, str(order_id))


@router.get("/{id}/")
async def get_order(reference: Id, caller: AdminOrWholesaler, db: Db) -> OrderDetail:
    """Show an order with its history."""
    return await _detail(db, caller, reference)


@router.patch("/{id}/approve/")
async def approve_order(reference: Id, caller: Admin, context: Ctx, db: Db) -> OrderDetail:
    """Approve an order: its batteries are allocated to the buyer, its invoice is issued; all or nothing.

    Where stock is missing, each model is named with how many, and nothing is changed.
    """
    order = await _order(db, caller, reference, is_locked=True)
    try:
        await ordering.approve(db, order, seller=context.config.seller, actor_id=caller.id, now=context.now())
    except StockError as error:
        raise refusal(error) from error
    except NotPendingError as error:
        raise _decided(error) from error
    return await _detail(db, caller, reference)


@router.patch("/{id}/reject/")
async def reject_order(reference: Id, body: Rejection, caller: Admin, context: Ctx, db: Db) -> OrderDetail:
    """Reject an order that is pending; the buyer is told why."""
    order = await _order(db, caller, reference, is_locked=True)
    try:
        await ordering.reject(db, order, body.reason, actor_id=caller.id, now=context.now())
    except NotPendingError as error:
        raise _decided(error) from error
    return await _detail(db, caller, reference)


@router.patch("/{id}/cancel/")
async def cancel_order(
    reference: Id, caller: Wholesaler, context: Ctx, db: Db, body: Cancellation | None = None
) -> OrderDetail:
    """Cancel one's own order while it is pending."""
    order = await _order(db, caller, reference, is_locked=True)
    reason = None if body is None else body.reason
    try:
        await ordering.cancel(db, order, reason, actor_id=caller.id, now=context.now())
    except NotPendingError as error:
        raise _decided(error) from error
    return await _detail(db, caller, reference)


@router.get(
    "/{id}/invoice/",
    response_class=Response,
    responses={
        200: {"description": "The PDF", "content": {PDF: {"schema": {"type": "string", "format": "binary"}}}}
    },
)
async def order_invoice(reference: Id, caller: AdminOrWholesaler, db: Db) -> Response:
    """Download the tax invoice of an approved order as PDF, with the serial numbers."""
    order = await _order(db, caller, reference)
    if order.invoice_number is None:
        details = f"Order {order.order_number} is {order.status}: only an approved order has an invoice"
        raise Problem(400, "No invoice", details)
    filename, content = await render_order_invoice(db, order)
    headers = {
        "Content-Disposition": f'attachment; filename="{filename}"',
        "Cache-Control": "private, no-store",
    }
    return Response(content, media_type=PDF, headers=headers)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, ZONE)


def _decided(error: NotPendingError) -> Problem:
    return Problem(400, "Order is not pending", str(error))


async def _order(db: Connection, caller: Caller, reference: str, *, is_locked: bool = False) -> Order:
    """Return the order if the caller reaches it; raises 404."""
    order_id = parse_id(reference)
    found = None if order_id is None else await orders.get_order(db, order_id, is_locked=is_locked)
    if found is None or reach(caller).wholesaler_id not in {None, found.buyer_id}:
        raise not_found("Order", f"No order has the id {reference}")
    return found


async def _detail(db: Connection, caller: Caller, reference: str) -> OrderDetail:
    order = await _order(db, caller, reference)
    items = await orders.items_of(db, [order.id])
    return OrderDetail.around(order, items[order.id])
