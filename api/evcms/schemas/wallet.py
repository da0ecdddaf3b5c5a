"""EV-CMS wallets and their transactions."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.evcms.envelope import Maybe, Out, Page, Time
from api.evcms.schemas.users import WalletOut
from api.fields import Amount, OptionalText, Text, minor_units, money
from storage.queries.top_ups import TopUp as Order
from storage.queries.wallet_entries import WalletEntry

TransactionType = Literal["credit", "debit"]
TransactionStatus = Literal["completed", "pending", "failed"]
# How Razorpay names its orders and payments, and a SHA-256 in hex.
RAZORPAY_NAME = r"^[A-Za-z0-9_]{1,64}$"
SIGNATURE = r"^[0-9a-f]{64}$"


class TopUp(BaseModel):
    """`amount` in rupees. `paymentMethod` is any, as in "upi"; the name of a payment provider chooses it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"amount": 500, "paymentMethod": "upi"}]})

    amount: Amount
    payment_method: Annotated[Text, Field(alias="paymentMethod")]

    @property
    def amount_minor(self) -> int:
        """The amount in paise, exactly."""
        return minor_units(self.amount)


class Pay(BaseModel):
    """`amount` in rupees; with `sessionId` it is what that session costs."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"amount": 120.5, "description": "Parking"}]})

    amount: Amount
    description: Text
    session_id: Annotated[OptionalText | None, Field(alias="sessionId")] = None

    @property
    def amount_minor(self) -> int:
        """The amount in paise, exactly."""
        return minor_units(self.amount)


class TopUpProof(BaseModel):
    """What Razorpay Checkout gives its handler after a payment."""

    razorpay_order_id: Annotated[str, Field(pattern=RAZORPAY_NAME)]
    razorpay_payment_id: Annotated[str, Field(pattern=RAZORPAY_NAME)]
    razorpay_signature: Annotated[str, Field(pattern=SIGNATURE)]


class TransactionOut(Out):
    """One movement of a wallet; `balance_after` is the wallet's balance after it, or as it was meanwhile.

    A pending one is a hold, or a top-up whose payment has not come yet.
    """

    id: str
    type: TransactionType
    amount: float
    description: str
    balance_after: float
    status: TransactionStatus
    session_id: Maybe[str]
    created_at: Time

    @classmethod
    def of(cls, entry: WalletEntry) -> "TransactionOut":
        """Show one entry of a wallet."""
        return cls.model_validate(_shown(entry))


class BilledTransactionOut(TransactionOut):
    """The same, and whose wallet it is."""

    user_id: str

    @classmethod
    def of(cls, entry: WalletEntry) -> "BilledTransactionOut":
        """Show one entry of a wallet."""
        return cls.model_validate({**_shown(entry), "user_id": str(entry.user_id)})


def _shown(entry: WalletEntry) -> dict[str, Any]:
    return {
        "id": str(entry.id),
        "type": entry.direction,
        "amount": money(entry.amount_minor),
        "description": entry.description,
        "balance_after": money(entry.balance_minor),
        "status": entry.status,
        "session_id": None if entry.session_id is None else str(entry.session_id),
        "created_at": entry.created_at,
    }


class WalletWithTransactions(WalletOut):
    """A wallet and its latest transactions, newest first."""

    transactions: list[TransactionOut]


class CheckoutOut(Out):
    """What the client needs to have a top-up paid; `details` are the options of the provider's checkout."""

    provider: str
    order_id: str
    details: dict[str, Any]

    @classmethod
    def of(cls, order: Order) -> "CheckoutOut":
        """Show the order of a top-up that the provider has taken."""
        return cls(provider=order.provider, order_id=order.provider_id or "", details=order.checkout)


class Paid(Out):
    """The wallet after a payment, and the transaction that it was."""

    wallet: WalletOut
    transaction: TransactionOut


class ToppedUp(Paid):
    """The same of a top-up. `payment` only while the transaction is pending: it is to be paid there."""

    payment: Maybe[CheckoutOut]


class PaymentEventTaken(Out):
    """What became of the transaction that a payment provider's event is about; None: the event is of none."""

    status: TransactionStatus | None


class TransactionPage(Page[TransactionOut]):
    """One page of transactions, newest first."""

    transactions: list[TransactionOut]


class BilledTransactionPage(Page[BilledTransactionOut]):
    """One page of transactions, newest first."""

    transactions: list[BilledTransactionOut]
