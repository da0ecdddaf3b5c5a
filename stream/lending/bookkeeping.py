"""Loans in the ledger; used by `stream.lending.loans`, in its transactions.

| what | debit | credit | key |
|---|---|---|---|
| principal | the consumer's account "loan" | house, "lending" | `loan:<application>:principal` |
| a payment | house, "funding" | "loan" | `emi-payment:<key>` |
| interest, penalty, fee, as they are paid | "loan" | house, of the same name | `emi-interest:<key>` |

A payment that becomes known late can change how much interest and penalty was paid: the difference is posted
with it, back where it is less. So a consumer's loan account is what is left of the principal, below zero, and
what was paid too much.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

from storage import ledger
from storage.database import Connection
from storage.ledger import Account, Transfer
from storage.queries.lending import Application
from stream.lending.allocation import Book

LOAN = "loan"  # kind of a consumer's account: one for all loans
HOUSES = ("lending", "funding", "interest", "penalty", "fee")


@dataclass(frozen=True, slots=True)
class Accounts:
    """Where a loan's money moves: the consumer's account, and those of the house by their kind."""

    loan: Account
    house: Mapping[str, Account]


async def hold_accounts(connection: Connection, consumer_id: int) -> Accounts:
    """Return the accounts, made unless they were there, and held in one order until commit."""
    loan = await ledger.ensure_owned(connection, LOAN, consumer_id, may_be_negative=True)
    house = {kind: await ledger.house_account(connection, kind) for kind in HOUSES}
    await ledger.lock_accounts(connection, [loan.id, *(account.id for account in house.values())])
    return Accounts(loan, house)


async def lend(
    connection: Connection, accounts: Accounts, application: Application, principal_minor: int
) -> None:
    """Have the principal posted: at the disbursement, or at a payment that comes before it.

    Where an NBFC lends another amount after all, `loan:<application>:principal:2` is the difference.
    """
    posted_minor, key = await _lent(connection, accounts, application)
    change_minor = principal_minor - posted_minor
    if change_minor:
        lending = accounts.house["lending"]
        debit, credit = (accounts.loan, lending) if change_minor > 0 else (lending, accounts.loan)
        await ledger.transfer(
            connection,
            key=key,
            debit_account_id=debit.id,
            credit_account_id=credit.id,
            amount_minor=abs(change_minor),
            description=f"Loan {application.id}: principal",
        )


async def _lent(connection: Connection, accounts: Accounts, application: Application) -> tuple[int, str]:
    """Return what is posted of the principal, and the key that the next change of it has."""
    posted_minor, key = 0, f"loan:{application.id}:principal"
    for number in count(2):
        found = await ledger.find_transfer(connection, key)
        if found is None:
            break
        is_lent = found.debit_account_id == accounts.loan.id
        posted_minor += found.amount_minor if is_lent else -found.amount_minor
        key = f"loan:{application.id}:principal:{number}"
    return posted_minor, key


async def receive(
    connection: Connection, accounts: Accounts, application: Application, key: str, amount_minor: int
) -> Transfer:
    """Post a payment. Raises `IdempotencyConflictError`: the key was used for another one."""
    return await ledger.transfer(
        connection,
        key=f"emi-payment:{key}",
        debit_account_id=accounts.house["funding"].id,
        credit_account_id=accounts.loan.id,
        amount_minor=amount_minor,
        description=f"Loan {application.id}: payment",
    )


async def recognise(
    connection: Connection, accounts: Accounts, application: Application, key: str, book: Book
) -> None:
    """Post what the payment `key` has changed of interest, penalties and fee."""
    changes = {
        "interest": book.interest_paid_minor - application.interest_minor,
        "penalty": book.penalty_paid_minor - application.penalty_minor,
        "fee": book.fee_minor - application.fee_minor,
    }
    for kind, change_minor in changes.items():
        if not change_minor:
            continue
        house = accounts.house[kind]
        debit, credit = (accounts.loan, house) if change_minor > 0 else (house, accounts.loan)
        await ledger.transfer(
            connection,
            key=f"emi-{kind}:{key}",  # the kind first: behind it comes what a caller chose
            debit_account_id=debit.id,
            credit_account_id=credit.id,
            amount_minor=abs(change_minor),
            description=f"Loan {application.id}: {kind}",
        )
