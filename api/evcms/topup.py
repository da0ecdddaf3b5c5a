"""A top-up: the credit, its limit, and what the new money pays, in one transaction."""

import uuid

from api.context import Context
from api.errors import Problem
from api.evcms.schemas.wallet import TopUp
from api.fields import money
from storage import ledger
from storage.database import Connection
from storage.errors import IdempotencyConflictError
from storage.ledger import Account, Transfer
from storage.queries import outbox


async def credit(
    context: Context, db: Connection, user_id: int, order: TopUp, idempotency_key: str | None
) -> tuple[Account, Transfer]:
    """Credit the user's wallet; returns it after that, and the transfer. Raises 400 or 409."""
    funding = await ledger.house_account(db, "funding")
    wallet = await ledger.ensure_wallet(db, user_id)
    try:
        transfer = await ledger.transfer(
            db,
            key=f"topup:{user_id}:{idempotency_key or uuid.uuid4()}",
            debit_account_id=funding.id,
            credit_account_id=wallet.id,
            amount_minor=order.amount_minor,
            description=f"Wallet top-up ({order.payment_method})",
        )
    except IdempotencyConflictError as error:
        details = "This Idempotency-Key was used for another amount: send a new key for a new top-up"
        raise Problem(409, "Idempotency key already used", details) from error
    _refuse_beyond(transfer.credit_balance_minor, context.config.wallet_maximum_minor)
    # On a repeat too: it pays nothing twice.
    await outbox.enqueue(db, "settle_debts", {"user_id": user_id})
    return await ledger.ensure_wallet(db, user_id), transfer


def _refuse_beyond(balance_minor: int, maximum_minor: int) -> None:
    if balance_minor > maximum_minor:
        raise Problem(
            400,
            "Wallet limit exceeded",
            f"The balance would be {money(balance_minor):.2f}, at most {money(maximum_minor):.2f} is allowed",
        )
