"""EV-CMS invoices; amounts in rupees."""

from collections.abc import Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.evcms.envelope import Maybe, Named, Out, Page, Time
from api.evcms.moments import DATE_CHARACTERS, Moment, parse_moment
from api.fields import Text, minor_units, money
from storage.queries.invoices import Invoice, InvoiceLine, InvoiceSummary
from stream.invoicing import ZONE, Item

ITEMS_MAX = 100
YEARS = range(2000, 2101)
LAST_MOMENT = time(23, 59, 59, 999_000)

InvoiceStatus = Literal["pending", "paid", "overdue", "cancelled"]
Quantity = Annotated[Decimal, Field(gt=0, le=1_000_000, decimal_places=3)]
Rate = Annotated[Decimal, Field(gt=0, le=10_000_000, decimal_places=2)]


def _comes_to_something(items: list["ItemIn"]) -> list["ItemIn"]:
    if not any(item.item().amount_minor for item in items):
        raise ValueError("come to nothing: an invoice is of 0.01 at least")
    return items


def _due(text: str) -> str:
    if parse_moment(text).year not in YEARS:
        raise ValueError(f"must be in the years {YEARS.start} to {YEARS.stop - 1}")
    return text


class ItemIn(BaseModel):
    """One line; `rate` in rupees, without tax."""

    description: Text
    quantity: Quantity
    rate: Rate

    def item(self) -> Item:
        """Return the line with what it comes to."""
        return Item.of(self.description, self.quantity, minor_units(self.rate))


class InvoiceIn(BaseModel):
    """An invoice for `userId`. A `dueDate` without a time is the end of that day."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "userId": "12",
                    "items": [{"description": "Wall box, monthly rent", "quantity": 1, "rate": 750}],
                    "dueDate": "2026-12-31",
                }
            ]
        }
    )

    user_id: Annotated[Text, Field(alias="userId")]
    items: Annotated[
        list[ItemIn], Field(min_length=1, max_length=ITEMS_MAX), AfterValidator(_comes_to_something)
    ]
    due_date: Annotated[Moment, AfterValidator(_due), Field(alias="dueDate")]

    def due_at(self) -> datetime:
        """Return until when it is to be paid."""
        moment = parse_moment(self.due_date)
        if len(self.due_date) > DATE_CHARACTERS:
            return moment.astimezone(UTC)
        return datetime.combine(moment.date(), LAST_MOMENT, ZONE).astimezone(UTC)


class ItemOut(Out):
    """One line; `amount` is `quantity` times `rate`, rounded half up. What is taken off is below zero."""

    description: str
    quantity: float
    rate: float
    amount: float

    @classmethod
    def of(cls, line: InvoiceLine) -> "ItemOut":
        """Show `line`."""
        return cls(
            description=line.description,
            quantity=float(line.quantity),
            rate=money(line.shown_rate_minor),
            amount=money(line.amount_minor),
        )


class InvoiceOut(Out):
    """An invoice; `overdue` is one that was not paid by its due date.

    `currency`, `session_id` (of the charging session that it is the receipt of) and `sent_at` are extensions.
    """

    id: str
    invoice_number: str
    user_id: str
    user_name: str
    items: list[ItemOut]
    subtotal: float
    tax: float
    total: float
    currency: str
    status: InvoiceStatus
    due_date: Time
    paid_date: Maybe[Time]
    session_id: Maybe[str]
    sent_at: Maybe[Time]
    created_at: Time

    @classmethod
    def of(cls, invoice: Invoice, lines: Sequence[InvoiceLine], now: datetime) -> "InvoiceOut":
        """Show `invoice` as it stands now."""
        facts: dict[str, Any] = {
            "id": str(invoice.id),
            "invoice_number": invoice.invoice_number,
            "user_id": str(invoice.user_id),
            "user_name": invoice.user_name,
            "items": [ItemOut.of(line) for line in lines],
            "subtotal": money(invoice.subtotal_minor),
            "tax": money(invoice.tax_minor),
            "total": money(invoice.total_minor),
            "currency": invoice.currency,
            "status": invoice.status(now),
            "due_date": invoice.due_at,
            "paid_date": invoice.paid_at,
            "session_id": None if invoice.session_id is None else str(invoice.session_id),
            "sent_at": invoice.sent_at,
            "created_at": invoice.created_at,
        }
        return cls.model_validate(facts)


class NamedInvoice(InvoiceOut, Named):
    """`data` of an answer about one invoice."""

    invoice: InvoiceOut


class SummaryOut(Out):
    """Counts and sums over all invoices that the caller sees, whatever the filter; rupees.

    Cancelled ones are counted in `total` alone. `outstanding_amount` is of those that are not paid.
    """

    total: int
    pending: int
    paid: int
    overdue: int
    total_amount: float
    outstanding_amount: float

    @classmethod
    def of(cls, summary: InvoiceSummary) -> "SummaryOut":
        """Show `summary`."""
        return cls(
            total=summary.total,
            pending=summary.pending,
            paid=summary.paid,
            overdue=summary.overdue,
            total_amount=money(summary.total_minor),
            outstanding_amount=money(summary.outstanding_minor),
        )


class InvoicePage(Page[InvoiceOut]):
    """One page of invoices, newest first, and what all of them come to."""

    invoices: list[InvoiceOut]
    summary: SummaryOut
