"""Prepaid wallets of units: opened, and topped up; used by the Mobile family and the command line.

Debits are those of `stream.metering.billing`. Whoever moves a wallet holds its unit's lock.
"""

from dataclasses import asdict
from datetime import datetime

from storage import ledger
from storage.database import Connection
from storage.errors import LedgerError, NotFoundError
from storage.queries import meters, outbox, unit_wallets
from storage.queries.unit_wallets import UnitWallet
from stream.metering.supply import follow_balance

LOW_BALANCE_MINOR = 5_000
FUNDING = "funding"  # what came in from outside


async def open_wallet(
    connection: Connection, unit_id: int, currency: str, low_balance_minor: int = LOW_BALANCE_MINOR
) -> UnitWallet:
    """Return the unit's wallet, made empty unless it was there; its meters are billed from then on.

    Raises `LedgerError` where the unit has a wallet in another currency.
    """
    await meters.lock_unit(connection, unit_id)
    found = await unit_wallets.wallet_of_unit(connection, unit_id)
    if found is None:
        account = await ledger.unit_account(connection, unit_id, currency)
        await unit_wallets.insert_wallet(connection, unit_id, account.id, low_balance_minor)
        found = await unit_wallets.wallet_of_unit(connection, unit_id)
        assert found is not None
    if found.currency != currency:
        raise LedgerError(f"the wallet of unit {unit_id} is in {found.currency}, not in {currency}")
    return found


async def hold_wallet(connection: Connection, unit_id: int) -> UnitWallet:
    """Return the unit's wallet, and let nobody else move it until the transaction ends.

    Raises `NotFoundError` where the unit has none.
    """
    await meters.lock_unit(connection, unit_id)
    wallet = await unit_wallets.wallet_of_unit(connection, unit_id)
    if wallet is None:
        raise NotFoundError(f"unit {unit_id} has no wallet: open one first")
    return wallet


async def top_up(
    connection: Connection,
    *,
    unit_id: int,
    amount_minor: int,
    key: str,
    description: str,
    now: datetime,
    house: str = FUNDING,
) -> ledger.Transfer:
    """Credit a unit's wallet, and open the supplies that it had closed if that brings it above zero.

    `house`: which of the house's accounts the money is from. A key that was used before returns that transfer
    and moves nothing. Raises `NotFoundError` (the unit has no wallet), `IdempotencyConflictError`,
    `LedgerError` (the amount).
    """
    wallet = await hold_wallet(connection, unit_id)
    source = await ledger.house_account(connection, house, wallet.currency)
    made = await ledger.transfer(
        connection,
        key=key,
        debit_account_id=source.id,
        credit_account_id=wallet.account_id,
        amount_minor=amount_minor,
        description=description,
    )
    credited = await unit_wallets.wallet_of_unit(connection, unit_id)
    assert credited is not None
    if credited.balance_minor > 0:
        for event in await follow_balance(connection, unit_id, credited.balance_minor, made.id, now):
            await outbox.enqueue(connection, "live_event", asdict(event))
    return made
