"""What the finance endpoints take and give: amounts of EMIs as text, others as numbers (conflict C54)."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from api.fields import Amount, OptionalText
from api.ienerzy.figure_text import mean, rupees
from api.ienerzy.nbfc_schemas import Day, Rate, RowId
from api.ienerzy.schemas import Time
from storage.queries.emi_payments import DayOfPayments, Payment
from storage.queries.emis import Emi
from storage.queries.lending import Application, OverdueEmi, OverdueTotals
from stream.lending.allocation import Line, Quote
from stream.lending.loans import Loan
from stream.lending.rules import TENURE_MONTHS_MAX
from stream.lending.terms import Method

ApplicationStatus = Literal["pending", "submitted", "approved", "rejected", "disbursed", "closed"]
EmiStatus = Literal["pending", "paid", "cancelled"]
PaymentMethod = Literal["cash", "upi", "card", "bank_transfer", "cheque", "other"]
Tenure = Annotated[int, Field(ge=1, le=TENURE_MONTHS_MAX)]
EmiAmount = Annotated[str, Field(pattern=r"^\d+\.\d\d$", examples=["1875.00"])]

_APPLIED: dict[str, int | float] = {
    "consumer_id": 1,
    "battery_id": 1,
    "amount": 45000,
    "tenure_months": 24,
    "interest_rate": 12.5,
}


def amount_text(minor: int) -> str:
    """Write paise as rupees with two decimals."""
    return f"{Decimal(minor) / 100:.2f}"


class ApplicationIn(BaseModel):
    """A loan to apply for, in rupees. `dealer_id` is an admin's to name; a dealer's is the dealer's own."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_APPLIED}]})

    consumer_id: RowId
    battery_id: RowId
    amount: Amount
    tenure_months: Tenure
    interest_rate: Rate | None = None
    dealer_id: RowId | None = None


class DecisionIn(BaseModel):
    """Approval or rejection; what is left out is as it was applied for.

    `method`: how instalments are made, else as the platform does; the first is due a month after `starts_on`,
    else after today.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"status": "approved", "approved_amount": 45000, "interest_rate": 12.5, "tenure_months": 24}
            ]
        }
    )

    status: Literal["approved", "rejected"]
    approved_amount: Amount | None = None
    interest_rate: Rate | None = None
    tenure_months: Tenure | None = None
    method: Method | None = None
    starts_on: Day | None = None
    reason: OptionalText | None = None


class DisburseIn(BaseModel):
    """What was paid out, else all that was approved; on which day, else today."""

    amount: Amount | None = None
    disbursed_on: Day | None = None


class PayIn(BaseModel):
    """A payment in rupees; without an amount: what is open. `paid_on`: today unless it was earlier."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"amount": 1875, "payment_method": "upi", "reference": "UTR4012"}]}
    )

    amount: Amount | None = None
    paid_on: Day | None = None
    payment_method: PaymentMethod = "cash"
    reference: OptionalText | None = None


class ApplicationOut(BaseModel):
    """An application for a loan, in rupees and percent a year."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"id": 1, **_APPLIED, "status": "pending", "created_at": "2024-01-15T10:30:00Z"}]
        }
    )

    id: int
    consumer_id: int
    battery_id: int
    amount: int | float
    tenure_months: int
    interest_rate: int | float | None
    status: ApplicationStatus
    created_at: Time

    @classmethod
    def of(cls, application: Application) -> Self:
        """Show `application`."""
        return cls.model_validate(_facts(application))


class DecidedOut(BaseModel):
    """An application after a decision; `approved_amount` is there when it was approved."""

    id: int
    consumer_id: int
    battery_id: int
    amount: int | float
    tenure_months: int
    interest_rate: int | float | None
    status: ApplicationStatus
    approved_amount: Annotated[int | float | None, Field(exclude_if=lambda amount: amount is None)]
    created_at: Time

    @classmethod
    def of(cls, application: Application) -> Self:
        """Show `application`."""
        approved = _rupees(application.approved_minor)
        return cls.model_validate({**_facts(application), "approved_amount": approved})


def _facts(application: Application) -> dict[str, Any]:
    rate_pct = application.rate_pct
    return {
        "id": application.id,
        "consumer_id": application.consumer_id,
        "battery_id": application.battery_id,
        "amount": rupees(application.amount_minor),
        "tenure_months": application.tenure_months,
        "interest_rate": None if rate_pct is None else _number(rate_pct),
        "status": application.status,
        "created_at": application.created_at,
    }


def _number(number: Decimal) -> int | float:
    return int(number) if number == int(number) else float(number)


def _rupees(minor: int | None) -> int | float | None:
    return None if minor is None else rupees(minor)


class EmiOut(BaseModel):
    """An instalment; `penalty_amount` is what its lateness has cost until today, paid or not."""

    id: int
    emi_number: int
    due_date: date
    amount: EmiAmount
    status: EmiStatus
    principal_amount: EmiAmount
    interest_amount: EmiAmount
    paid_amount: EmiAmount
    open_amount: EmiAmount
    penalty_amount: EmiAmount
    penalty_paid_amount: EmiAmount
    paid_on: date | None

    @classmethod
    def of(cls, emi: Emi, line: Line, penalty_minor: int) -> Self:
        """Show an instalment as its payments have made it."""
        return cls.model_validate(
            {
                "id": emi.id,
                "emi_number": emi.emi_number,
                "due_date": emi.due_date,
                "amount": amount_text(emi.amount_minor),
                "status": line.status,
                "principal_amount": amount_text(emi.principal_minor),
                "interest_amount": amount_text(emi.interest_minor),
                "paid_amount": amount_text(line.paid_minor),
                "open_amount": amount_text(line.open_minor),
                "penalty_amount": amount_text(penalty_minor),
                "penalty_paid_amount": amount_text(line.penalty_paid_minor),
                "paid_on": line.paid_on,
            }
        )


class PaymentOut(BaseModel):
    """A payment; `is_late`: it paid something that was past due."""

    id: int
    application_id: int
    amount: EmiAmount
    paid_on: date
    kind: Literal["instalment", "foreclosure"]
    payment_method: str
    reference: str | None
    is_late: bool
    recorded_by: int | None
    created_at: Time

    @classmethod
    def of(cls, payment: Payment) -> Self:
        """Show `payment`."""
        return cls.model_validate(
            {
                "id": payment.id,
                "application_id": payment.application_id,
                "amount": amount_text(payment.amount_minor),
                "paid_on": payment.paid_on,
                "kind": payment.kind,
                "payment_method": payment.method,
                "reference": payment.reference,
                "is_late": payment.is_late,
                "recorded_by": payment.recorded_by,
                "created_at": payment.created_at,
            }
        )


class OwedOut(BaseModel):
    """What is to be paid on a day: instalments due until then (`overdue_amount` of them late) and penalties.

    `excess_amount` was paid beyond all that was owed.
    """

    as_of: date
    overdue_count: int
    overdue_amount: EmiAmount
    due_amount: EmiAmount
    penalty_amount: EmiAmount
    total_amount: EmiAmount
    principal_outstanding: EmiAmount
    excess_amount: EmiAmount

    @classmethod
    def of(cls, loan: Loan, day: date) -> Self:
        """Show what is owed on the loan."""
        book, overdue = loan.book, loan.book.overdue(day)
        due_minor, penalty_minor = book.due_minor(day), book.penalty_open_minor(day, loan.charges)
        return cls(
            as_of=day,
            overdue_count=len(overdue),
            overdue_amount=amount_text(sum(line.open_minor for line in overdue)),
            due_amount=amount_text(due_minor),
            penalty_amount=amount_text(penalty_minor),
            total_amount=amount_text(due_minor + penalty_minor),
            principal_outstanding=amount_text(book.principal_left_minor),
            excess_amount=amount_text(book.excess_minor),
        )


class ApplicationDetail(DecidedOut):
    """An application with its instalments, its payments and what is owed today, once it is approved."""

    dealer_id: int
    battery_serial: str
    method: Literal["reducing", "flat", "interest_free", "agreed"]
    starts_on: date | None
    decision_reason: str | None
    decided_at: Time | None
    disbursed_on: date | None
    disbursed_amount: int | float | None
    is_foreclosed: bool
    closed_at: Time | None
    nbfc: str | None
    submitted_at: Time | None
    emi_schedule: list[EmiOut]
    payments: list[PaymentOut]
    owed: OwedOut | None

    @classmethod
    def of_loan(cls, loan: Loan, day: date) -> Self:
        """Show an application as its payments have made it."""
        application = loan.application
        return cls.model_validate(
            {
                **_facts(application),
                "approved_amount": _rupees(application.approved_minor),
                "dealer_id": application.dealer_id,
                "battery_serial": application.battery_serial,
                "method": application.method,
                "starts_on": application.starts_on,
                "decision_reason": application.decision_reason,
                "decided_at": application.decided_at,
                "disbursed_on": application.disbursed_on,
                "disbursed_amount": _rupees(application.disbursed_minor),
                "is_foreclosed": application.is_foreclosed,
                "closed_at": application.closed_at,
                "nbfc": application.nbfc,
                "submitted_at": application.submitted_at,
                "emi_schedule": emis_out(loan, day),
                "payments": [PaymentOut.of(payment) for payment in loan.payments],
                "owed": OwedOut.of(loan, day) if loan.emis else None,
            }
        )


def emis_out(loan: Loan, day: date) -> list[EmiOut]:
    """Show all instalments, with what lateness has cost until `day`."""
    return [
        EmiOut.of(emi, line, line.penalty_minor(day, loan.charges))
        for emi, line in zip(loan.emis, loan.book.lines, strict=True)
    ]


class Paid(BaseModel):
    """A payment, the instalment that it was meant for, and what is left to pay."""

    payment: PaymentOut
    emi: EmiOut
    application_status: ApplicationStatus
    owed: OwedOut


class Foreclosed(BaseModel):
    """The payment that ended a loan, and the loan after it."""

    payment: PaymentOut
    application: ApplicationDetail


class ForeclosureQuote(BaseModel):
    """What ends a loan on a day: what is due and penalties, the rest of the principal, interest, the fee."""

    application_id: int
    as_of: date
    due_amount: EmiAmount
    penalty_amount: EmiAmount
    principal_amount: EmiAmount
    interest_amount: EmiAmount
    fee_amount: EmiAmount
    total_amount: EmiAmount

    @classmethod
    def of(cls, application_id: int, day: date, costs: Quote) -> Self:
        """Show `costs`."""
        return cls(
            application_id=application_id,
            as_of=day,
            due_amount=amount_text(costs.due_minor),
            penalty_amount=amount_text(costs.penalty_minor),
            principal_amount=amount_text(costs.principal_minor),
            interest_amount=amount_text(costs.interest_minor),
            fee_amount=amount_text(costs.fee_minor),
            total_amount=amount_text(costs.total_minor),
        )


class OverdueAccount(BaseModel):
    """An instalment past due; `amount` is what is open of it, and its status stays pending."""

    id: int
    emi_number: int
    due_date: date
    amount: EmiAmount
    status: EmiStatus
    loan_amount: int | float
    tenure_months: int
    consumer_name: str
    consumer_phone: str
    battery_serial: str
    overdue_days: int


class Overdue(BaseModel):
    """Who is late, the longest first; count and sum are over all."""

    overdue_accounts: list[OverdueAccount]
    total_overdue: int
    total_overdue_amount: int | float

    @classmethod
    def of(cls, rows: Sequence[OverdueEmi], totals: OverdueTotals) -> Self:
        """Show `rows`."""
        return cls.model_validate(
            {
                "overdue_accounts": [
                    {
                        "id": row.id,
                        "emi_number": row.emi_number,
                        "due_date": row.due_date,
                        "amount": amount_text(row.open_minor),
                        "status": row.status,
                        "loan_amount": rupees(row.loan_minor),
                        "tenure_months": row.tenure_months,
                        "consumer_name": row.consumer_name,
                        "consumer_phone": row.consumer_phone or "",
                        "battery_serial": row.battery_serial,
                        "overdue_days": row.overdue_days,
                    }
                    for row in rows
                ],
                "total_overdue": totals.count,
                "total_overdue_amount": rupees(totals.open_minor),
            }
        )


class CollectionDay(BaseModel):
    """What was paid on one day, in rupees; the average is of a payment."""

    collection_date: date
    collections_count: int
    total_collected: int | float
    avg_collection: int | float


class CollectionSummary(BaseModel):
    """Over all days of the report; `avg_daily_collection` is of a payment, not of a day (conflict C71)."""

    total_collections: int
    total_amount_collected: int | float
    avg_daily_collection: int | float


class CollectionReport(BaseModel):
    """Payments by the day that they were made on, the newest day first."""

    collection_report: list[CollectionDay]
    summary: CollectionSummary

    @classmethod
    def of(cls, days: Sequence[DayOfPayments]) -> Self:
        """Show `days`."""
        count = sum(day.count for day in days)
        amount_minor = sum(day.amount_minor for day in days)
        return cls(
            collection_report=[
                CollectionDay(
                    collection_date=day.paid_on,
                    collections_count=day.count,
                    total_collected=rupees(day.amount_minor),
                    avg_collection=rupees(mean(day.amount_minor, day.count)),
                )
                for day in days
            ],
            summary=CollectionSummary(
                total_collections=count,
                total_amount_collected=rupees(amount_minor),
                avg_daily_collection=rupees(mean(amount_minor, count)),
            ),
        )
