"""Wallets as the portal has them."""

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from api.fields import AMOUNT_MAX, Amount, Text, minor_units, money
from api.mobile.schemas.common import Body, Time, example
from storage.ledger import Transfer
from storage.queries.unit_wallets import UnitWallet


def _not_zero(amount: Decimal) -> Decimal:
    if not amount:
        raise ValueError("must not be 0")
    return amount


Line = Annotated[Decimal, Field(ge=0, le=AMOUNT_MAX, decimal_places=2)]
Signed = Annotated[Decimal, Field(ge=-AMOUNT_MAX, le=AMOUNT_MAX, decimal_places=2), AfterValidator(_not_zero)]


class NewWallet(Body):
    """Below `low_balance` the unit's people are told."""

    model_config = example(low_balance=50.0)

    low_balance: Line = Decimal(50)


class Credit(Body):
    """Money that came in."""

    model_config = example(amount=500.0, description="Wallet top-up")

    amount: Amount
    description: Text = "Wallet top-up"

    @property
    def amount_minor(self) -> int:
        """The amount in minor units, exactly."""
        return minor_units(self.amount)


class Adjustment(Body):
    """A correction by hand: above 0 a credit, below 0 a debit."""

    model_config = example(amount=-12.5, description="Refund paid out in cash")

    amount: Signed
    description: Text

    @property
    def amount_minor(self) -> int:
        """The amount in minor units, exactly, with its sign."""
        return minor_units(self.amount)


class WalletOut(BaseModel):
    """A unit's wallet."""

    id: int
    unit_id: int
    balance: float
    low_balance: float
    currency: str
    status: str
    last_transaction_date: Time | None

    @classmethod
    def of(cls, wallet: UnitWallet) -> "WalletOut":
        """Show `wallet`."""
        return cls(
            id=wallet.id,
            unit_id=wallet.unit_id,
            balance=money(wallet.balance_minor),
            low_balance=money(wallet.low_balance_minor),
            currency=wallet.currency,
            status=wallet.status,
            last_transaction_date=wallet.last_transaction_at,
        )


class Moved(BaseModel):
    """The wallet after it; `transaction_id` as the app's list has it, `amount` with its sign."""

    message: str
    transaction_id: int
    amount: float
    wallet: WalletOut

    @classmethod
    def of(cls, message: str, transfer: Transfer, wallet: UnitWallet) -> "Moved":
        """Show `transfer` and `wallet`."""
        sign = 1 if transfer.credit_account_id == wallet.account_id else -1
        return cls(
            message=message,
            transaction_id=transfer.id,
            amount=sign * money(transfer.amount_minor),
            wallet=WalletOut.of(wallet),
        )
