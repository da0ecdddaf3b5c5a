"""Prepaid wallets of units: accounts of the ledger with a low line.

Money moves by `stream.metering` alone; read by the Mobile family.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from storage.database import Connection, fetch_all, fetch_one

ENTRIES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class UnitWallet:
    """A unit's wallet as it stands; amounts in minor units of `currency`."""

    id: int
    unit_id: int
    account_id: int
    status: str
    currency: str
    balance_minor: int
    low_balance_minor: int
    last_transaction_at: datetime | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One movement of a wallet, and the balance after it."""

    id: int
    direction: Literal["credit", "debit"]
    amount_minor: int
    description: str
    at: datetime
    balance_after_minor: int


_SELECT = """
SELECT unit_wallets.id, unit_wallets.unit_id, account_id, status, currency, balance_minor, low_balance_minor,
       (SELECT max(at) FROM (
            (SELECT created_at AS at FROM transfers
             WHERE debit_account_id = account_id ORDER BY id DESC LIMIT 1)
            UNION ALL
            (SELECT created_at FROM transfers WHERE credit_account_id = account_id ORDER BY id DESC LIMIT 1)
       ) AS newest) AS last_transaction_at
FROM unit_wallets JOIN accounts ON accounts.id = account_id
"""

_OF_UNIT = _SELECT + "WHERE unit_wallets.unit_id = %(unit_id)s"

_INSERT = """
INSERT INTO unit_wallets (unit_id, account_id, low_balance_minor)
VALUES (%(unit_id)s, %(account_id)s, %(low_balance_minor)s) ON CONFLICT (unit_id) DO NOTHING
"""

_ENTRIES = """
SELECT transfers.id, CASE WHEN debit_account_id = account_id THEN 'debit' ELSE 'credit' END AS direction,
       amount_minor, description, transfers.created_at AS at,
       CASE WHEN debit_account_id = account_id THEN debit_balance_minor ELSE credit_balance_minor END
           AS balance_after_minor
FROM unit_wallets JOIN transfers ON debit_account_id = account_id OR credit_account_id = account_id
WHERE unit_wallets.id = %(wallet_id)s AND transfers.created_at >= %(since)s
  AND (%(direction)s::text IS NULL
    OR %(direction)s = CASE WHEN debit_account_id = account_id THEN 'debit' ELSE 'credit' END)
ORDER BY transfers.id DESC LIMIT %(limit)s
"""

# A wallet that is opened pays for what its unit's meters measured since they have a tariff.
_DUE = """
INSERT INTO metering_due (device_id, since, reason)
SELECT device_id, min(meter_installations.since), 'replacement'
FROM meters JOIN meter_installations ON meter_id = meters.id
WHERE unit_id = %(unit_id)s GROUP BY device_id
"""


async def wallet_of_unit(connection: Connection, unit_id: int) -> UnitWallet | None:
    """Return the unit's wallet, or None."""
    return await fetch_one(connection, UnitWallet, _OF_UNIT, {"unit_id": unit_id})


async def insert_wallet(
    connection: Connection, unit_id: int, account_id: int, low_balance_minor: int
) -> None:
    """Write the wallet unless the unit has one, and have its meters billed."""
    parameters = {"unit_id": unit_id, "account_id": account_id, "low_balance_minor": low_balance_minor}
    await connection.execute(_INSERT, parameters)
    await connection.execute(_DUE, parameters)


async def entries(
    connection: Connection,
    wallet_id: int,
    *,
    since: datetime,
    limit: int,
    direction: Literal["credit", "debit"] | None = None,
) -> list[Entry]:
    """Return the wallet's movements since `since`, newest first."""
    parameters = {
        "wallet_id": wallet_id,
        "since": since,
        "limit": min(limit, ENTRIES_MAX),
        "direction": direction,
    }
    return await fetch_all(connection, Entry, _ENTRIES, parameters)
