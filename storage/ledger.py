"""The ledger: double entry in integer minor units; every wallet of every family is an account in it.

Used by the jobs role (sessions), the API (wallets) and tests. Transfers are immutable, balanced and
idempotent by the caller's key; a hold is a pending transfer that is later posted, in full or for less,
or voided. Accounts are locked in order of id, so transfers at the same time cannot deadlock; a caller
that makes several transfers in one transaction should take accounts in a fixed order too. What a user's
wallet has seen is in `storage.queries.wallet_entries`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all, fetch_one
from storage.errors import (
    HoldClosedError,
    IdempotencyConflictError,
    InsufficientFundsError,
    LedgerError,
    NotFoundError,
)


@dataclass(frozen=True, slots=True)
class Account:
    """`balance_minor`: posted credits less posted debits. `held_minor`: pending debits."""

    id: int
    kind: str
    owner_id: int | None
    currency: str
    may_be_negative: bool
    balance_minor: int
    held_minor: int

    @property
    def available_minor(self) -> int:
        """What may be debited now."""
        return self.balance_minor - self.held_minor


@dataclass(frozen=True, slots=True)
class Transfer:
    """`state`: posted, pending (a hold), post_pending or void_pending (`pending_id` names the hold)."""

    id: int
    key: str
    debit_account_id: int
    credit_account_id: int
    amount_minor: int
    state: str
    pending_id: int | None
    description: str
    session_id: int | None
    debit_balance_minor: int
    credit_balance_minor: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class _Order:
    """What a caller asks for; a key that comes again must bring the same facts.

    `held_minor`: what the debited account's holds change by.
    """

    key: str
    debit_account_id: int
    credit_account_id: int
    amount_minor: int
    state: str
    description: str
    session_id: int | None = None
    pending_id: int | None = None
    held_minor: int = 0

    @property
    def moved_minor(self) -> int:
        return self.amount_minor if self.state in {"posted", "post_pending"} else 0

    def is_same(self, transfer: Transfer) -> bool:
        """Compare all but the wording."""
        return (
            transfer.debit_account_id == self.debit_account_id
            and transfer.credit_account_id == self.credit_account_id
            and transfer.amount_minor == self.amount_minor
            and transfer.state == self.state
            and transfer.pending_id == self.pending_id
            and transfer.session_id == self.session_id
        )


_SELECT_ACCOUNT = """
SELECT id, kind, owner_id, currency, may_be_negative, balance_minor, held_minor FROM accounts
"""

_GET_OWNED = (
    _SELECT_ACCOUNT
    + """
WHERE kind = %(kind)s AND owner_id = %(user_id)s AND currency = %(currency)s
"""
)

_GET_ALL_OWNED = (
    _SELECT_ACCOUNT
    + """
WHERE kind = 'wallet' AND owner_id = ANY(%(user_ids)s) AND currency = %(currency)s
"""
)

_INSERT_OWNED = """
INSERT INTO accounts (kind, owner_id, currency, may_be_negative)
VALUES (%(kind)s, %(user_id)s, %(currency)s, %(may_be_negative)s)
ON CONFLICT (kind, owner_id, currency) WHERE owner_id IS NOT NULL DO NOTHING
"""

_GET_HOUSE = (
    _SELECT_ACCOUNT
    + """
WHERE kind = %(kind)s AND owner_id IS NULL AND unit_id IS NULL AND currency = %(currency)s
"""
)

_INSERT_HOUSE = """
INSERT INTO accounts (kind, currency, may_be_negative)
VALUES (%(kind)s, %(currency)s, %(may_be_negative)s)
ON CONFLICT (kind, currency) WHERE owner_id IS NULL AND unit_id IS NULL DO NOTHING
"""

_GET_ACCOUNT = _SELECT_ACCOUNT + "WHERE id = %(id)s"

_GET_UNIT = _SELECT_ACCOUNT + "WHERE unit_id = %(unit_id)s"

_INSERT_UNIT = """
INSERT INTO accounts (kind, unit_id, currency, may_be_negative)
VALUES ('unit_wallet', %(unit_id)s, %(currency)s, true)
ON CONFLICT (unit_id) WHERE unit_id IS NOT NULL DO NOTHING
"""

_LOCK = (
    _SELECT_ACCOUNT
    + """
WHERE id = ANY(%(ids)s) ORDER BY id FOR NO KEY UPDATE
"""
)

_SELECT = """
SELECT id, key, debit_account_id, credit_account_id, amount_minor, state, pending_id, description, session_id,
       debit_balance_minor, credit_balance_minor, created_at
FROM transfers
"""

_RETURNING = """
RETURNING id, key, debit_account_id, credit_account_id, amount_minor, state, pending_id, description,
          session_id, debit_balance_minor, credit_balance_minor, created_at
"""

_GET_TRANSFER = _SELECT + "WHERE id = %(id)s"

_BY_KEY = _SELECT + "WHERE key = %(key)s"

_CLOSING = _SELECT + "WHERE pending_id = %(id)s"

_INSERT = (
    """
INSERT INTO transfers (key, debit_account_id, credit_account_id, amount_minor, state, pending_id,
                       description, session_id, debit_balance_minor, credit_balance_minor)
VALUES (%(key)s, %(debit_account_id)s, %(credit_account_id)s, %(amount_minor)s, %(state)s, %(pending_id)s,
        %(description)s, %(session_id)s, %(debit_balance_minor)s, %(credit_balance_minor)s)
ON CONFLICT (key) DO NOTHING
"""
    + _RETURNING
)

_MOVE = """
UPDATE accounts
SET balance_minor = balance_minor + %(balance_minor)s, held_minor = held_minor + %(held_minor)s
WHERE id = %(id)s
"""

_TRIAL_BALANCE = "SELECT currency, sum(balance_minor)::bigint FROM accounts GROUP BY currency"


async def wallet(connection: Connection, user_id: int, currency: str = "INR") -> Account | None:
    """Return the user's wallet as it stands, or None."""
    where = {"kind": "wallet", "user_id": user_id, "currency": currency}
    return await fetch_one(connection, Account, _GET_OWNED, where)


async def wallets(
    connection: Connection, user_ids: Sequence[int], currency: str = "INR"
) -> dict[int, Account]:
    """Return the wallets of these users as they stand, by user; who has none is left out."""
    where = {"user_ids": list(user_ids), "currency": currency}
    found = await fetch_all(connection, Account, _GET_ALL_OWNED, where)
    return {account.owner_id: account for account in found if account.owner_id is not None}


async def get_account(connection: Connection, account_id: int) -> Account | None:
    """Return the account as it stands, or None."""
    return await fetch_one(connection, Account, _GET_ACCOUNT, {"id": account_id})


async def ensure_wallet(connection: Connection, user_id: int, currency: str = "INR") -> Account:
    """Return the user's wallet, made empty unless it was there."""
    return await ensure_owned(connection, "wallet", user_id, currency, may_be_negative=False)


async def ensure_owned(
    connection: Connection, kind: str, user_id: int, currency: str = "INR", *, may_be_negative: bool
) -> Account:
    """Return the user's account of this kind ("wallet", "loan"), made empty unless it was there."""
    key = {"kind": kind, "user_id": user_id, "currency": currency}
    found = await fetch_one(connection, Account, _GET_OWNED, key)
    if found is not None:
        return found
    await connection.execute(_INSERT_OWNED, {**key, "may_be_negative": may_be_negative})
    made = await fetch_one(connection, Account, _GET_OWNED, key)
    assert made is not None
    return made


async def lock_accounts(connection: Connection, account_ids: Sequence[int]) -> None:
    """Hold these accounts until commit: who makes several transfers between them cannot deadlock then."""
    await fetch_all(connection, Account, _LOCK, {"ids": list(account_ids)})


async def house_account(
    connection: Connection, kind: str, currency: str = "INR", *, may_be_negative: bool = True
) -> Account:
    """Return the house's account of this kind ("revenue", "funding"), made unless it was there."""
    key = {"kind": kind, "currency": currency}
    found = await fetch_one(connection, Account, _GET_HOUSE, key)
    if found is not None:
        return found
    await connection.execute(_INSERT_HOUSE, {**key, "may_be_negative": may_be_negative})
    made = await fetch_one(connection, Account, _GET_HOUSE, key)
    assert made is not None
    return made


async def unit_account(connection: Connection, unit_id: int, currency: str) -> Account:
    """Return the unit's account, which may fall below zero; made empty unless it was there."""
    key = {"unit_id": unit_id, "currency": currency}
    await connection.execute(_INSERT_UNIT, key)
    made = await fetch_one(connection, Account, _GET_UNIT, key)
    assert made is not None
    return made


async def transfer(
    connection: Connection,
    *,
    key: str,
    debit_account_id: int,
    credit_account_id: int,
    amount_minor: int,
    description: str,
    session_id: int | None = None,
) -> Transfer:
    """Move money at once; a key that was used before returns that transfer and moves nothing.

    Raises `IdempotencyConflictError` (the key was used with other facts), `InsufficientFundsError`,
    `NotFoundError` (an account), `LedgerError` (amount, currencies). Nothing is moved then.
    """
    order = _Order(key, debit_account_id, credit_account_id, amount_minor, "posted", description, session_id)
    return await _carry_out(connection, order)


async def hold(
    connection: Connection,
    *,
    key: str,
    debit_account_id: int,
    credit_account_id: int,
    amount_minor: int,
    description: str,
    session_id: int | None = None,
) -> Transfer:
    """Set money aside: nobody else can debit it until `post_hold` or `void_hold`. Errors as `transfer`."""
    order = _Order(
        key,
        debit_account_id,
        credit_account_id,
        amount_minor,
        "pending",
        description,
        session_id,
        held_minor=amount_minor,
    )
    return await _carry_out(connection, order)


async def post_hold(
    connection: Connection, *, key: str, hold_id: int, description: str, amount_minor: int | None = None
) -> Transfer:
    """Move what was held, or less (the rest is free again). Errors as `transfer`, and `HoldClosedError`."""
    held = await _hold(connection, hold_id)
    amount = held.amount_minor if amount_minor is None else amount_minor
    if amount > held.amount_minor:
        raise LedgerError(f"hold {hold_id} is of {held.amount_minor}, {amount} cannot be posted from it")
    return await _close(connection, held, key, amount, "post_pending", description)


async def void_hold(connection: Connection, *, key: str, hold_id: int, description: str) -> Transfer:
    """Free what was held. Errors as `transfer`, and `HoldClosedError`."""
    held = await _hold(connection, hold_id)
    return await _close(connection, held, key, held.amount_minor, "void_pending", description)


async def find_transfer(connection: Connection, key: str) -> Transfer | None:
    """Return the transfer of this key, or None."""
    return await fetch_one(connection, Transfer, _BY_KEY, {"key": key})


async def get_transfer(connection: Connection, transfer_id: int) -> Transfer | None:
    """Return the transfer, or None."""
    return await fetch_one(connection, Transfer, _GET_TRANSFER, {"id": transfer_id})


async def trial_balance(connection: Connection) -> dict[str, int]:
    """Return the sum of all balances by currency: zero, or money came from nowhere."""
    rows = await connection.execute(_TRIAL_BALANCE)
    return dict(await rows.fetchall())


async def _hold(connection: Connection, hold_id: int) -> Transfer:
    held = await fetch_one(connection, Transfer, _GET_TRANSFER, {"id": hold_id})
    if held is None or held.state != "pending":
        raise NotFoundError(f"transfer {hold_id} is no hold")
    return held


async def _close(
    connection: Connection, held: Transfer, key: str, amount_minor: int, state: str, description: str
) -> Transfer:
    order = _Order(
        key,
        held.debit_account_id,
        held.credit_account_id,
        amount_minor,
        state,
        description,
        held.session_id,
        held.id,
        held_minor=-held.amount_minor,
    )
    return await _carry_out(connection, order)


async def _carry_out(connection: Connection, order: _Order) -> Transfer:
    """Lock, look whether it was done before, check, write the transfer, move the balances."""
    if order.amount_minor <= 0:
        raise LedgerError(f"transfer {order.key!r}: {order.amount_minor} is no amount, it must be above zero")
    ids = [order.debit_account_id, order.credit_account_id]
    accounts = await fetch_all(connection, Account, _LOCK, {"ids": ids})
    before = await fetch_one(connection, Transfer, _BY_KEY, {"key": order.key})
    if before is not None:
        return _same(order, before)
    debit, credit = _pair(order, accounts)
    await _check(connection, order, debit)
    made = await _insert(connection, order, debit, credit)
    if made is None:  # the same key came at the same time, for other accounts than the locked
        raise _conflict(order)
    await _move(connection, debit.id, -order.moved_minor, order.held_minor)
    await _move(connection, credit.id, order.moved_minor, 0)
    return made


def _same(order: _Order, before: Transfer) -> Transfer:
    if not order.is_same(before):
        raise _conflict(order)
    return before


def _conflict(order: _Order) -> IdempotencyConflictError:
    return IdempotencyConflictError(
        f"key {order.key!r} was used for a transfer with other accounts, amount, state or session"
    )


def _pair(order: _Order, accounts: Sequence[Account]) -> tuple[Account, Account]:
    by_id = {account.id: account for account in accounts}
    for account_id in (order.debit_account_id, order.credit_account_id):
        if account_id not in by_id:
            raise NotFoundError(f"transfer {order.key!r}: there is no account {account_id}")
    debit, credit = by_id[order.debit_account_id], by_id[order.credit_account_id]
    if debit.id == credit.id:
        raise LedgerError(f"transfer {order.key!r}: account {debit.id} cannot pay itself")
    if debit.currency != credit.currency:
        raise LedgerError(
            f"transfer {order.key!r}: account {debit.id} is in {debit.currency},"
            f" {credit.id} in {credit.currency}"
        )
    return debit, credit


async def _check(connection: Connection, order: _Order, debit: Account) -> None:
    """Funds for what is new; for what closes a hold, that the hold is open."""
    if order.pending_id is not None:
        closing = await fetch_one(connection, Transfer, _CLOSING, {"id": order.pending_id})
        if closing is not None:
            raise HoldClosedError(f"hold {order.pending_id} was closed by {closing.key!r} ({closing.state})")
    elif not debit.may_be_negative and debit.available_minor < order.amount_minor:
        raise InsufficientFundsError(
            f"account {debit.id} has {debit.available_minor} {debit.currency} minor units free,"
            f" {order.amount_minor} are needed"
        )


async def _insert(connection: Connection, order: _Order, debit: Account, credit: Account) -> Transfer | None:
    parameters = {
        "key": order.key,
        "debit_account_id": debit.id,
        "credit_account_id": credit.id,
        "amount_minor": order.amount_minor,
        "state": order.state,
        "pending_id": order.pending_id,
        "description": order.description,
        "session_id": order.session_id,
        "debit_balance_minor": debit.balance_minor - order.moved_minor,
        "credit_balance_minor": credit.balance_minor + order.moved_minor,
    }
    return await fetch_one(connection, Transfer, _INSERT, parameters)


async def _move(connection: Connection, account_id: int, balance_minor: int, held_minor: int) -> None:
    await connection.execute(
        _MOVE, {"id": account_id, "balance_minor": balance_minor, "held_minor": held_minor}
    )
