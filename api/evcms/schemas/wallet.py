"""EV-CMS wallets and their transactions."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api.evcms.envelope import Maybe, Out, Page, Time
from api.evcms.schemas.users import WalletOut
from api.fields import Amount, Text, money
from storage.ledger import Entry, Transfer


class TopUp(BaseModel):
    """`amount` in rupees."""

    amount: Amount
    payment_method: Annotated[Text, Field(alias="paymentMethod")]

    @property
    def amount_minor(self) -> int:
        """The amount in paise, exactly."""
        return int(self.amount * 100)


class TransactionOut(Out):
    """One movement of a wallet; `balance_after` is the wallet's balance after it."""

    id: str
    type: Literal["credit", "debit"]
    amount: float
    description: str
    balance_after: float
    status: Literal["completed", "pending", "failed"]
    session_id: Maybe[str]
    created_at: Time

    @classmethod
    def of(cls, entry: Entry) -> "TransactionOut":
        """Show one entry of a wallet's history."""
        return cls(
            id=str(entry.id),
            type="credit" if entry.direction == "credit" else "debit",
            amount=money(entry.amount_minor),
            description=entry.description,
            balance_after=money(entry.balance_minor),
            status="pending" if entry.is_pending else "completed",
            session_id=None if entry.session_id is None else str(entry.session_id),
            created_at=entry.created_at,
        )

    @classmethod
    def of_credit(cls, transfer: Transfer) -> "TransactionOut":
        """Show a transfer to the wallet that it credited."""
        return cls(
            id=str(transfer.id),
            type="credit",
            amount=money(transfer.amount_minor),
            description=transfer.description,
            balance_after=money(transfer.credit_balance_minor),
            status="completed",
            session_id=None,
            created_at=transfer.created_at,
        )


class WalletWithTransactions(WalletOut):
    """A wallet and its latest transactions, newest first."""

    transactions: list[TransactionOut]


class ToppedUp(Out):
    """The wallet after a top-up, and the transaction that it was."""

    wallet: WalletOut
    transaction: TransactionOut


class TransactionPage(Page[TransactionOut]):
    """One page of transactions, newest first."""

    transactions: list[TransactionOut]
