"""EV-CMS wallets: /api/v1/profile/wallet (EV-018, EV-019, EV-021)."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from api.context import Ctx, Db
from api.evcms.callers import AnyUser
from api.evcms.envelope import LIMIT_DEFAULT, LIMIT_MAX, Answer, Paging
from api.evcms.schemas.users import WalletOut
from api.evcms.schemas.wallet import (
    ToppedUp,
    TopUp,
    TransactionOut,
    TransactionPage,
    WalletWithTransactions,
)
from api.evcms.topup import credit
from api.fields import IdempotencyKey
from storage import ledger

router = APIRouter(prefix="/profile/wallet")


@router.get("")
async def wallet(
    caller: AnyUser, context: Ctx, db: Db, limit: Annotated[int, Query(ge=1)] = LIMIT_DEFAULT
) -> Answer[WalletWithTransactions]:
    """Show the caller's balance and latest transactions."""
    account = await ledger.ensure_wallet(db, caller.id)
    entries, _ = await ledger.history(db, account.id, limit=min(limit, LIMIT_MAX))
    shown = WalletOut.of(account, context.config.wallet_minimum_minor)
    transactions = [TransactionOut.of(entry) for entry in entries]
    return Answer.of(WalletWithTransactions(**dict(shown), transactions=transactions))


@router.post("/topup", status_code=201)
async def top_up(
    body: TopUp, caller: AnyUser, context: Ctx, db: Db, idempotency_key: IdempotencyKey = None
) -> Answer[ToppedUp]:
    """Add money to the caller's wallet.

    No payment gateway is configured: the credit completes at once, without proof of a payment.
    Sessions that the wallet could not pay are paid from it, oldest first, shortly after.
    """
    account, transfer = await credit(context, db, caller.id, body, idempotency_key)
    shown = WalletOut.of(account, context.config.wallet_minimum_minor)
    return Answer.of(ToppedUp(wallet=shown, transaction=TransactionOut.of_credit(transfer)))


@router.get("/transactions")
async def transactions(
    caller: AnyUser,
    db: Db,
    paging: Annotated[Paging, Depends()],
    type_: Annotated[Literal["credit", "debit"] | None, Query(alias="type")] = None,
) -> TransactionPage:
    """List the caller's transactions, newest first."""
    account = await ledger.ensure_wallet(db, caller.id)
    entries, total = await ledger.history(
        db, account.id, direction=type_, limit=paging.limit, offset=paging.offset
    )
    rows = [TransactionOut.of(entry) for entry in entries]
    return TransactionPage(success=True, data=rows, transactions=rows, pagination=paging.of(total))
