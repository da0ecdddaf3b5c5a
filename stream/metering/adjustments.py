"""What an operator takes out of a unit's prepaid wallet by hand; used by the portal.

Credits are `stream.metering.wallets.top_up`, debits for usage are `stream.metering.billing`.
"""

from dataclasses import asdict
from datetime import datetime

from storage import ledger
from storage.database import Connection
from storage.errors import NotFoundError
from storage.queries import meters, outbox, unit_wallets
from stream.metering.supply import follow_balance, follow_debit


async def take(
    connection: Connection, *, unit_id: int, amount_minor: int, key: str, description: str, now: datetime
) -> ledger.Transfer:
    """Debit a unit's wallet; notices and supply follow as they do a bill.

    A key that was used before returns that transfer and moves nothing. Raises `NotFoundError` (the unit has
    no wallet), `IdempotencyConflictError`, `LedgerError` (the amount).
    """
    await meters.lock_unit(connection, unit_id)
    wallet = await unit_wallets.wallet_of_unit(connection, unit_id)
    if wallet is None:
        raise NotFoundError(f"unit {unit_id} has no wallet: open one first")
    house = await ledger.house_account(connection, "adjustments", wallet.currency)
    made = await ledger.transfer(
        connection,
        key=key,
        debit_account_id=wallet.account_id,
        credit_account_id=house.id,
        amount_minor=amount_minor,
        description=description,
    )
    debited = await unit_wallets.wallet_of_unit(connection, unit_id)
    assert debited is not None
    if debited.balance_minor == wallet.balance_minor:  # done before
        return made
    before, after = wallet.balance_minor, debited.balance_minor
    events = await follow_debit(connection, wallet, before, after, made.id)
    if after <= 0:
        events += await follow_balance(connection, unit_id, after, made.id, now)
    for event in events:
        await outbox.enqueue(connection, "live_event", asdict(event))
    return made
