"""Corrections of a unit's prepaid wallet by hand, either way; used by the portal.

Money that came in is `stream.metering.wallets.top_up`, debits for usage are `stream.metering.billing`.
"""

from dataclasses import asdict
from datetime import datetime

from storage import ledger
from storage.database import Connection
from storage.queries import outbox, unit_wallets
from stream.metering.supply import follow_balance, follow_debit
from stream.metering.wallets import hold_wallet, top_up

_HOUSE = "adjustments"


async def adjust(
    connection: Connection, *, unit_id: int, amount_minor: int, key: str, description: str, now: datetime
) -> ledger.Transfer:
    """Credit (above 0) or debit (below 0) a unit's wallet against the house's adjustments.

    Notices and supply follow as they do a top-up or a bill. A key that was used before returns that transfer
    and moves nothing. Raises `NotFoundError` (the unit has no wallet), `IdempotencyConflictError`,
    `LedgerError` (the amount).
    """
    if amount_minor < 0:
        return await _take(connection, unit_id, -amount_minor, key, description, now)
    return await top_up(
        connection,
        unit_id=unit_id,
        amount_minor=amount_minor,
        key=key,
        description=description,
        now=now,
        house=_HOUSE,
    )


async def _take(
    connection: Connection, unit_id: int, amount_minor: int, key: str, description: str, now: datetime
) -> ledger.Transfer:
    wallet = await hold_wallet(connection, unit_id)
    house = await ledger.house_account(connection, _HOUSE, wallet.currency)
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
