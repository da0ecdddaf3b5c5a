"""Wallets of EV-CMS users: money that comes in, money that goes out, and what the user hears of it.

Used by the API and by `stream.payments`. All of it is in the caller's transaction, and harmless when it is
repeated with the same key: a transfer moves once, a user is told once.
"""

from datetime import datetime

from storage import ledger
from storage.database import Connection
from storage.ledger import Transfer
from storage.queries import outbox, wallet_entries
from stream.notices import amount
from stream.notify import Kind, News, notify

CURRENCY = "INR"
FUNDING = "funding"  # what came in from outside
REVENUE = "revenue"


async def credit(
    connection: Connection, user_id: int, *, amount_minor: int, key: str, description: str, now: datetime
) -> Transfer:
    """Put money that came from outside into the user's wallet; debts are paid from it shortly after.

    Raises `IdempotencyConflictError` where the key was used for other facts.
    """
    funding = await ledger.house_account(connection, FUNDING, CURRENCY)
    wallet = await ledger.ensure_wallet(connection, user_id, CURRENCY)
    made = await ledger.transfer(
        connection,
        key=key,
        debit_account_id=funding.id,
        credit_account_id=wallet.id,
        amount_minor=amount_minor,
        description=description,
    )
    await outbox.enqueue(connection, "settle_debts", {"user_id": user_id})
    values = {"amount": amount(CURRENCY, amount_minor)}
    entry = await wallet_entries.entry_awaiting(connection, key)
    data = {"transactionId": str(made.id if entry is None else entry.id)}
    await notify(connection, user_id, News(f"credit:{made.id}", Kind.PAYMENT_RECEIVED, values, data), now)
    return made


async def debit(
    connection: Connection,
    user_id: int,
    *,
    amount_minor: int,
    key: str,
    description: str,
    house: str = REVENUE,
) -> Transfer:
    """Take money out of the user's wallet into a house account; `follow_debit` tells the user of it.

    Raises `InsufficientFundsError`, and `IdempotencyConflictError` where the key was used for other facts.
    """
    wallet = await ledger.ensure_wallet(connection, user_id, CURRENCY)
    taking = await ledger.house_account(connection, house, CURRENCY)
    return await ledger.transfer(
        connection,
        key=key,
        debit_account_id=wallet.id,
        credit_account_id=taking.id,
        amount_minor=amount_minor,
        description=description,
    )


async def follow_debit(
    connection: Connection, user_id: int, paid: Transfer, minimum_minor: int, now: datetime
) -> None:
    """Tell the user what was paid, and that the balance is low where this debit took it below the minimum."""
    values = {"amount": amount(CURRENCY, paid.amount_minor), "description": paid.description}
    data = {"transactionId": str(paid.id)}
    await notify(connection, user_id, News(f"debit:{paid.id}", Kind.PAYMENT_MADE, values, data), now)
    await tell_if_low(connection, user_id, paid, minimum_minor, now)


async def tell_if_low(
    connection: Connection, user_id: int, paid: Transfer, minimum_minor: int, now: datetime
) -> None:
    """Tell the user of a low balance, once for each crossing of the minimum."""
    after_minor = paid.debit_balance_minor
    if not after_minor < minimum_minor <= after_minor + paid.amount_minor:
        return
    news = News(f"low-balance:{paid.id}", Kind.LOW_BALANCE, {"amount": amount(CURRENCY, after_minor)})
    if await notify(connection, user_id, news, now) is not None:
        payload = {"user_id": user_id, "balance_minor": after_minor, "currency": CURRENCY}
        await outbox.enqueue(connection, "live_event", {"name": "low-balance", "payload": payload})
