"""EV-CMS wallets: /api/v1/profile/wallet (EV-018 to EV-021)."""

from typing import Annotated, Any

from fastapi import Depends, Query

from api.context import Ctx, Db
from api.evcms import topup
from api.evcms.callers import AnyUser
from api.evcms.envelope import LIMIT_DEFAULT, LIMIT_MAX, Answer, Paging
from api.evcms.idempotency import Keyed, Replay, once
from api.evcms.schemas.errors import EvcmsError
from api.evcms.schemas.users import WalletOut
from api.evcms.schemas.wallet import (
    Paid,
    Pay,
    ToppedUp,
    TopUp,
    TopUpProof,
    TransactionOut,
    TransactionPage,
    TransactionStatus,
    TransactionType,
    WalletWithTransactions,
)
from api.evcms.wallet_pay import pay_from_wallet
from api.routing import Router
from storage import ledger
from storage.queries import wallet_entries
from stream.platform_settings import read_settings

router = Router(prefix="/profile/wallet")

PROVIDER_FAILED: dict[int | str, dict[str, Any]] = {
    502: {"model": EvcmsError, "description": "The payment provider did not answer"}
}


@router.get("")
async def wallet(
    caller: AnyUser, db: Db, limit: Annotated[int, Query(ge=1)] = LIMIT_DEFAULT
) -> Answer[WalletWithTransactions]:
    """Show the caller's balance and latest transactions."""
    account = await ledger.wallet(db, caller.id)
    entries, _ = await wallet_entries.list_entries(db, user_id=caller.id, limit=min(limit, LIMIT_MAX))
    shown = WalletOut.of(account, (await read_settings(db)).payment.min_wallet_balance_minor)
    transactions = [TransactionOut.of(entry) for entry in entries]
    return Answer.of(WalletWithTransactions(**dict(shown), transactions=transactions))


@router.post("/topup", status_code=201, response_model=Answer[ToppedUp], responses=PROVIDER_FAILED)
async def top_up(body: TopUp, caller: AnyUser, context: Ctx, keyed: Keyed) -> Answer[ToppedUp] | Replay:
    """Add money to the caller's wallet.

    With a payment provider the transaction is `pending`, and `payment` has what its checkout needs; the
    wallet is credited once the provider says that it was paid. Where none is configured, the credit is
    completed at once, without proof of a payment. Sessions that are owed are paid from it shortly after.
    """
    provider = topup.provider_of(context, body.payment_method)
    if provider is not None:
        return await topup.order(context, provider, caller.id, body, keyed)
    async with context.pool.connection() as db:
        return await topup.credit(context, db, caller.id, body, keyed)


@router.post("/topup/verify", responses=PROVIDER_FAILED)
async def verify(body: TopUpProof, caller: AnyUser, context: Ctx) -> Answer[ToppedUp]:
    """Complete a top-up with the proof that Razorpay Checkout gave the client.

    The payment's amount and state are asked of Razorpay. Sending the same proof again changes nothing.
    """
    return await topup.confirm(context, caller.id, body)


@router.post("/pay", response_model=Answer[Paid])
async def pay(body: Pay, caller: AnyUser, context: Ctx, db: Db, keyed: Keyed) -> Answer[Paid] | Replay:
    """Pay from the caller's wallet; with `sessionId` what that session costs, exactly and once."""
    return await once(
        db,
        keyed,
        caller.id,
        body,
        context.now(),
        lambda: pay_from_wallet(context, db, caller, body, keyed),
    )


@router.get("/transactions")
async def transactions(
    caller: AnyUser,
    db: Db,
    paging: Annotated[Paging, Depends()],
    type_: Annotated[TransactionType | None, Query(alias="type")] = None,
    status: TransactionStatus | None = None,
) -> TransactionPage:
    """List the caller's transactions, newest first; top-ups that wait for their payment or failed too."""
    entries, total = await wallet_entries.list_entries(
        db,
        user_id=caller.id,
        direction=type_,
        status=status,
        limit=paging.limit,
        offset=paging.offset,
    )
    rows = [TransactionOut.of(entry) for entry in entries]
    return TransactionPage(success=True, data=rows, transactions=rows, pagination=paging.of(total))
