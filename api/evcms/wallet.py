"""The wallet: an account of the ledger.

Without a payment gateway a top-up completes at once (conflict C99); a later one will be pending until paid.
"""

import uuid
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query

from api.context import Ctx, Db
from api.errors import Problem
from api.evcms.auth import wallet_of
from api.evcms.callers import AnyUser
from api.evcms.schemas.common import PAGE_DEFAULT, PAGE_MAX, Paging, money
from api.evcms.schemas.people import (
    TopUp,
    TopUpAnswer,
    TopUpData,
    TransactionOut,
    TransactionsAnswer,
    WalletAnswer,
    WalletData,
)
from storage import ledger
from storage.database import Connection
from storage.errors import IdempotencyConflictError
from storage.ledger import Account, Entry
from storage.queries import outbox

router = APIRouter(prefix="/api/v1/profile/wallet", tags=["EV-CMS: wallet"])

IdempotencyKey = Annotated[str | None, Header(max_length=100, pattern=r"^[\x21-\x7e]+$")]


@router.get("", response_model_exclude_none=True)
async def wallet(
    caller: AnyUser, db: Db, limit: Annotated[int, Query(ge=1, le=2**31)] = PAGE_DEFAULT
) -> WalletAnswer:
    """Balance and recent movements (EV-018)."""
    account = await ledger.ensure_wallet(db, caller.id)
    entries, _ = await ledger.history(db, account.id, limit=min(limit, PAGE_MAX))
    shown = wallet_of(account)
    return WalletAnswer(
        success=True, data=WalletData(**dict(shown), transactions=[_transaction(each) for each in entries])
    )


@router.post("/topup", status_code=201, response_model_exclude_none=True)
async def top_up(
    body: TopUp, caller: AnyUser, context: Ctx, db: Db, idempotency_key: IdempotencyKey = None
) -> TopUpAnswer:
    """Credit the wallet; repeated with the same Idempotency-Key it changes nothing (EV-019)."""
    minor = int(body.amount * 100)
    account = await ledger.ensure_wallet(db, caller.id)
    key = f"topup:{caller.id}:{idempotency_key or uuid.uuid4()}"
    made = await _credit(db, account, key, minor, body.payment_method)
    after = await ledger.ensure_wallet(db, caller.id)
    if after.balance_minor > context.config.wallet_maximum_minor:
        limit = money(context.config.wallet_maximum_minor)
        raise Problem(400, "Wallet limit exceeded", f"A wallet holds at most {limit:.2f} {after.currency}")
    await outbox.enqueue(db, "settle_debts", {"user_id": caller.id})
    return TopUpAnswer(success=True, data=TopUpData(wallet=wallet_of(after), transaction=_transaction(made)))


@router.get("/transactions", response_model_exclude_none=True)
async def transactions(
    caller: AnyUser,
    db: Db,
    paging: Annotated[Paging, Query()],
    type: Annotated[Literal["credit", "debit"] | None, Query()] = None,  # noqa: A002 - the contract's name
) -> TransactionsAnswer:
    """A page of movements (EV-021)."""
    account = await ledger.ensure_wallet(db, caller.id)
    entries, total = await ledger.history(
        db, account.id, direction=type, limit=paging.size, offset=paging.offset
    )
    rows = [_transaction(each) for each in entries]
    return TransactionsAnswer(success=True, data=rows, transactions=rows, pagination=paging.of(total))


async def _credit(db: Connection, account: Account, key: str, minor: int, method: str) -> Entry:
    funding = await ledger.house_account(db, "funding", account.currency)
    try:
        made = await ledger.transfer(
            db,
            key=key,
            debit_account_id=funding.id,
            credit_account_id=account.id,
            amount_minor=minor,
            description=f"Wallet top-up ({method})",
        )
    except IdempotencyConflictError as error:
        raise Problem(409, "Idempotency-Key was used before", str(error)) from error
    return Entry(
        id=made.id,
        direction="credit",
        amount_minor=made.amount_minor,
        balance_minor=made.credit_balance_minor,
        is_pending=False,
        description=made.description,
        session_id=None,
        created_at=made.created_at,
    )


def _transaction(entry: Entry) -> TransactionOut:
    return TransactionOut(
        id=str(entry.id),
        type="credit" if entry.direction == "credit" else "debit",
        amount=money(entry.amount_minor),
        description=entry.description,
        balance_after=money(entry.balance_minor),
        status="pending" if entry.is_pending else "completed",
        session_id=None if entry.session_id is None else str(entry.session_id),
        created_at=entry.created_at,
    )
