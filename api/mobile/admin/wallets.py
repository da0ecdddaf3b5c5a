"""Wallets in the portal: /api/mobile/admin/units/{unit_id}/wallet (MO-X04 and MO-X06)."""

import uuid
from typing import Annotated, Literal

from fastapi import Query

from api.context import Ctx, Db
from api.errors import Problem
from api.fields import IdempotencyKey, minor_units
from api.mobile.admin.callers import Admin
from api.mobile.admin.schemas.wallets import Adjustment, Credit, Moved, NewWallet, WalletOut
from api.mobile.lookup import UnitId, find_unit, find_wallet
from api.mobile.schemas.wallets import TransactionOut, Transactions
from api.mobile.windows import DAYS_DEFAULT, LIMIT_MAX, Days, Limit, beginning
from api.routing import Router
from storage.errors import IdempotencyConflictError
from storage.queries import unit_wallets
from stream.metering import adjustments, wallets

router = Router(prefix="/units/{unit_id}/wallet")

TRANSACTIONS_DEFAULT = 50


@router.post("", status_code=201)
async def open_wallet(unit_id: UnitId, body: NewWallet, caller: Admin, db: Db) -> WalletOut:
    """Open the unit's wallet, in its estate's currency; from then on its meters are paid from it."""
    unit = await find_unit(db, unit_id)
    if await unit_wallets.wallet_of_unit(db, unit.id) is not None:
        raise Problem(409, "Wallet already exists", f"Unit with ID {unit.id} has a wallet already")
    return WalletOut.of(await wallets.open_wallet(db, unit.id, unit.currency, minor_units(body.low_balance)))


@router.get("")
async def detail(unit_id: UnitId, caller: Admin, db: Db) -> WalletOut:
    """Show the unit's wallet."""
    return WalletOut.of(await find_wallet(db, await find_unit(db, unit_id)))


@router.get("/transactions")
async def transactions(
    unit_id: UnitId,
    caller: Admin,
    context: Ctx,
    db: Db,
    days: Days = DAYS_DEFAULT,
    limit: Limit = TRANSACTIONS_DEFAULT,
    direction: Annotated[Literal["credit", "debit"] | None, Query(alias="type")] = None,
) -> Transactions:
    """List what moved in the wallet, newest first."""
    wallet = await find_wallet(db, await find_unit(db, unit_id))
    since = beginning(context.now(), days)
    found = await unit_wallets.entries(
        db, wallet.id, since=since, limit=min(limit, LIMIT_MAX), direction=direction
    )
    return Transactions(transactions=[TransactionOut.of(entry) for entry in found])


@router.post("/top-ups", status_code=201)
async def credit(
    unit_id: UnitId,
    body: Credit,
    caller: Admin,
    context: Ctx,
    db: Db,
    idempotency_key: IdempotencyKey = None,
) -> Moved:
    """Credit the wallet with money that the office took; a supply that it had closed opens again."""
    return await _move(context, db, unit_id, body, "top-up", idempotency_key)


@router.post("/adjustments", status_code=201)
async def adjust(
    unit_id: UnitId,
    body: Adjustment,
    caller: Admin,
    context: Ctx,
    db: Db,
    idempotency_key: IdempotencyKey = None,
) -> Moved:
    """Correct the balance by hand, either way."""
    return await _move(context, db, unit_id, body, "adjustment", idempotency_key)


async def _move(
    context: Ctx, db: Db, unit_id: str, order: Credit | Adjustment, kind: str, idempotency_key: str | None
) -> Moved:
    unit = await find_unit(db, unit_id)
    await find_wallet(db, unit)
    move = wallets.top_up if isinstance(order, Credit) else adjustments.adjust
    try:
        transfer = await move(
            db,
            unit_id=unit.id,
            amount_minor=order.amount_minor,
            key=f"unit-{kind}:{unit.id}:{idempotency_key or uuid.uuid4()}",
            description=order.description,
            now=context.now(),
        )
    except IdempotencyConflictError as error:
        details = "This Idempotency-Key was used for another amount: send a new key for a new movement"
        raise Problem(409, "Idempotency key already used", details) from error
    wallet = await find_wallet(db, unit)
    message = "Wallet credited" if order.amount_minor > 0 else "Wallet debited"
    return Moved.of(message, transfer, wallet)
