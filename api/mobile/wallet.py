"""Wallets and their transactions in the app (MO-008 and MO-009)."""

from typing import Annotated, Literal

from fastapi import Query

from api.context import Ctx, Db
from api.mobile.callers import Resident
from api.mobile.lookup import UnitId, find_wallet, reach_unit
from api.mobile.schemas.wallets import OneWallet, TransactionOut, Transactions, WalletOut
from api.mobile.windows import DAYS_DEFAULT, LIMIT_MAX, Days, Limit, beginning
from api.routing import Router
from storage.queries import unit_wallets

router = Router(prefix="/units/{unit_id}")

TRANSACTIONS_DEFAULT = 50


@router.get("/wallet")
async def wallet(unit_id: UnitId, caller: Resident, context: Ctx, db: Db) -> OneWallet:
    """Show a unit's wallet: one for all its utilities."""
    unit = await reach_unit(context, db, caller, unit_id)
    return OneWallet(wallet=WalletOut.of(await find_wallet(db, unit)))


@router.get("/transactions")
async def transactions(
    unit_id: UnitId,
    caller: Resident,
    context: Ctx,
    db: Db,
    days: Days = DAYS_DEFAULT,
    limit: Limit = TRANSACTIONS_DEFAULT,
    direction: Annotated[Literal["credit", "debit"] | None, Query(alias="type")] = None,
) -> Transactions:
    """List what moved in a unit's wallet, newest first."""
    unit = await reach_unit(context, db, caller, unit_id)
    held = await find_wallet(db, unit)
    found = await unit_wallets.entries(
        db,
        held.id,
        since=beginning(context.now(), days),
        limit=min(limit, LIMIT_MAX),
        direction=direction,
    )
    return Transactions(transactions=[TransactionOut.of(entry) for entry in found])
