"""Wallets, their transactions, budgets, and top-ups by the app."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from api.fields import Amount, minor_units, money
from api.mobile.schemas.common import Body, Time, example
from storage.queries.budgets import Budget
from storage.queries.top_ups import TopUp
from storage.queries.unit_wallets import Entry, UnitWallet

Utility = Literal["electricity", "water", "gas", "heat", "cooling"]
UTILITIES_MAX = 5
PROVIDER_CHARACTERS_MAX = 32
TopUpStatus = Literal["created", "paid", "failed"]


class WalletOut(BaseModel):
    """A unit's wallet; `last_transaction_date` is null where nothing has moved yet."""

    model_config = example(
        id=1, unit_id=10, balance=2500.75, status="active", last_transaction_date="2024-01-15T10:30:00"
    )

    id: int
    unit_id: int
    balance: float
    status: str
    last_transaction_date: Time | None

    @classmethod
    def of(cls, wallet: UnitWallet) -> "WalletOut":
        """Show `wallet`."""
        return cls(
            id=wallet.id,
            unit_id=wallet.unit_id,
            balance=money(wallet.balance_minor),
            status=wallet.status,
            last_transaction_date=wallet.last_transaction_at,
        )


class OneWallet(BaseModel):
    """One wallet."""

    wallet: WalletOut


class TransactionOut(BaseModel):
    """A movement: credit is money added, debit money taken; `balance_after` is the balance after it."""

    model_config = example(
        id=45,
        transaction_type="credit",
        amount=500.00,
        description="Wallet top-up",
        transaction_date="2024-01-15T10:30:00",
        balance_after=2500.75,
    )

    id: int
    transaction_type: Literal["credit", "debit"]
    amount: float
    description: str
    transaction_date: Time
    balance_after: float

    @classmethod
    def of(cls, entry: Entry) -> "TransactionOut":
        """Show `entry`."""
        return cls(
            id=entry.id,
            transaction_type=entry.direction,
            amount=money(entry.amount_minor),
            description=entry.description,
            transaction_date=entry.at,
            balance_after=money(entry.balance_after_minor),
        )


class Transactions(BaseModel):
    """A wallet's movements, newest first."""

    transactions: list[TransactionOut]


class NewBudget(Body):
    """What a month of one utility may cost."""

    utility_type: Utility
    monthly_limit: Amount


class NewBudgets(Body):
    """All budgets of the unit: what is not named has none any more."""

    model_config = example(budgets=[{"utility_type": "electricity", "monthly_limit": 800.0}])

    budgets: Annotated[list[NewBudget], Field(max_length=UTILITIES_MAX)]

    @model_validator(mode="after")
    def _each_utility_once(self) -> Self:
        if len(self.limits_minor()) < len(self.budgets):
            raise ValueError("each utility_type may be named once")
        return self

    def limits_minor(self) -> dict[str, int]:
        """The limits in minor units by utility."""
        return {budget.utility_type: minor_units(budget.monthly_limit) for budget in self.budgets}


class BudgetOut(BaseModel):
    """A budget and what this month has cost so far; `month` is its first day, where the estate is."""

    utility_type: str
    monthly_limit: float
    spent: float
    spent_percentage: float
    month: date

    @classmethod
    def of(cls, budget: Budget) -> "BudgetOut":
        """Show `budget`."""
        return cls(
            utility_type=budget.utility,
            monthly_limit=money(budget.limit_minor),
            spent=money(budget.spent_minor),
            spent_percentage=float(round(Decimal(budget.spent_minor * 100) / budget.limit_minor, 1)),
            month=budget.month,
        )


class Budgets(BaseModel):
    """A unit's budgets."""

    budgets: list[BudgetOut]


class NewTopUp(Body):
    """What to add to the wallet; `provider` where several are configured."""

    model_config = example(amount=500.0)

    amount: Amount
    provider: Annotated[str, Field(max_length=PROVIDER_CHARACTERS_MAX)] | None = None

    @property
    def amount_minor(self) -> int:
        """The amount in minor units, exactly."""
        return minor_units(self.amount)


class TopUpOut(BaseModel):
    """A top-up; `checkout` is what the app opens to have it paid. `detail`: why it failed."""

    id: str
    unit_id: int
    provider: str
    amount: float
    status: TopUpStatus
    checkout: dict[str, Any]
    detail: str | None
    created_at: Time
    completed_at: Time | None

    @classmethod
    def of(cls, top_up: TopUp) -> "TopUpOut":
        """Show `top_up`."""
        return cls.model_validate(
            {
                "id": str(top_up.id),
                "unit_id": top_up.unit_id,
                "provider": top_up.provider,
                "amount": money(top_up.amount_minor),
                "status": top_up.state,
                "checkout": top_up.checkout,
                "detail": top_up.detail,
                "created_at": top_up.created_at,
                "completed_at": top_up.done_at,
            }
        )


class OneTopUp(BaseModel):
    """One top-up."""

    top_up: TopUpOut


class EventTaken(BaseModel):
    """The payment provider's event was understood; `status` is that of the top-up it is about."""

    message: str
    status: TopUpStatus | None
