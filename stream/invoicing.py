"""Invoices: their numbers, what they come to, a charging session's own, and paying one from the wallet.

Used by the API's billing and by `stream.jobs`. Amounts in minor units, exact: an item is quantity times rate,
the tax a part of the sum, each rounded half up once. Numbers have no gaps and begin again with each financial
year, 1 April to 31 March (CGST Rules 2017, rule 46 (b): consecutive, 16 characters at most).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from storage import ledger
from storage.database import Connection
from storage.ledger import Transfer
from storage.queries import cdrs, counters, invoices, outbox, reconciliation, sessions, stations
from storage.queries.cdrs import Cdr
from storage.queries.invoices import Invoice
from storage.queries.sessions import SessionDetail
from stream import user_wallets

KIND = "invoice_session"
ZONE = ZoneInfo(stations.DEFAULT_TIME_ZONE)  # in which a day, and a financial year, begins
FIRST_MONTH = 4
BASIS_POINTS = 10_000
WH_PER_KWH = 1_000
SECONDS_PER = {"minute": 60, "hour": 3_600}

_QUANTITY = Decimal("0.001")
_LABELS: Mapping[str, str] = {
    "energy": "Energy (kWh)",
    "time": "Charging time",
    "idle": "Idle time",
    "parking": "Parking",
    "flat": "Session fee",
    "minimum": "Up to the minimum price",
    "maximum": "Down to the maximum price",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One line to be: `quantity` with three decimals at most."""

    description: str
    quantity: Decimal
    rate_minor: int
    amount_minor: int

    @classmethod
    def of(cls, description: str, quantity: Decimal, rate_minor: int) -> "Item":
        """Make a line that comes to quantity times rate."""
        return cls(description, quantity, rate_minor, _half_up(quantity * rate_minor))

    @classmethod
    def lump(cls, description: str, amount_minor: int) -> "Item":
        """Make a line of an amount as it stands; what is taken off, below zero, has no rate."""
        return cls(description, Decimal(1), max(0, amount_minor), amount_minor)


def tax_minor(subtotal_minor: int, basis_points: int) -> int:
    """Return the tax on a sum."""
    return _half_up(Decimal(subtotal_minor) * basis_points / BASIS_POINTS)


def _half_up(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), ROUND_HALF_UP))


def financial_year(now: datetime) -> str:
    """Return the financial year as in numbers of documents: "2627" from 1 April 2026 on."""
    local = now.astimezone(ZONE)
    first = local.year if local.month >= FIRST_MONTH else local.year - 1
    return f"{first % 100:02}{(first + 1) % 100:02}"


async def next_invoice_number(connection: Connection, now: datetime) -> str:
    """Return the next number, as in "INV-2627-000001"; whoever asks second waits for the first to commit."""
    year = financial_year(now)
    return f"INV-{year}-{await counters.next_number(connection, f'invoice:{year}'):06}"


async def issue(
    connection: Connection,
    user_id: int,
    items: Sequence[Item],
    *,
    gst_basis_points: int,
    due_at: datetime,
    created_by: int,
    now: datetime,
) -> Invoice:
    """Write an invoice that is to be paid; returns it."""
    subtotal_minor = sum(item.amount_minor for item in items)
    invoice_id = await invoices.insert_invoice(
        connection,
        _rows(items),
        invoice_number=await next_invoice_number(connection, now),
        user_id=user_id,
        session_id=None,
        currency=user_wallets.CURRENCY,
        subtotal_minor=subtotal_minor,
        tax_minor=tax_minor(subtotal_minor, gst_basis_points),
        due_at=due_at,
        paid_at=None,
        transfer_key=None,
        created_by=created_by,
        now=now,
    )
    invoice = await invoices.get_invoice(connection, invoice_id)
    assert invoice is not None
    return invoice


async def pay(connection: Connection, invoice: Invoice, minimum_minor: int, now: datetime) -> Transfer:
    """Pay an open invoice, which the caller has locked, from its user's wallet; the user is told.

    The tax moves on to the house's tax account. Raises `InsufficientFundsError`.
    """
    key = f"invoice:{invoice.id}"
    description = f"Invoice {invoice.invoice_number}"
    paid = await user_wallets.debit(
        connection, invoice.user_id, amount_minor=invoice.total_minor, key=key, description=description
    )
    if invoice.tax_minor:
        revenue = await ledger.house_account(connection, user_wallets.REVENUE, invoice.currency)
        tax = await ledger.house_account(connection, "tax", invoice.currency)
        await ledger.transfer(
            connection,
            key=f"{key}:gst",
            debit_account_id=revenue.id,
            credit_account_id=tax.id,
            amount_minor=invoice.tax_minor,
            description=f"GST: {description}",
        )
    await invoices.mark_paid(connection, invoice.id, paid.id, now)
    await user_wallets.follow_debit(connection, invoice.user_id, paid, minimum_minor, now)
    return paid


async def order_session_invoice(connection: Connection, session_id: int) -> None:
    """Have a session's own invoice made, in the transaction that notes it as paid."""
    await outbox.enqueue(connection, KIND, {"session_id": session_id})


async def invoice_session(connection: Connection, session_id: int, now: datetime) -> int | None:
    """Make the paid invoice of a paid session from its record; returns its id.

    None, and nothing is made: a session that has one, is not paid, has no known driver, or cost nothing.
    An invoice from before the record's correction is cancelled.
    """
    await reconciliation.lock_session(connection, session_id)  # else two tasks would use two numbers
    session = await sessions.get_session(connection, session_id)
    record = await cdrs.latest_cdr(connection, session_id)
    if session is None or record is None or record.user_id is None or session.payment_status != "paid":
        return None
    before = await invoices.invoice_of_session(connection, session_id)
    if before is not None:
        if (before.total_minor, before.tax_minor) == (record.total_minor, record.gst_minor):
            return None
        await invoices.cancel(connection, before.id)
    if record.total_minor == 0:
        return None
    return await invoices.insert_invoice(
        connection,
        _rows(items_of(session, record)),
        invoice_number=await next_invoice_number(connection, now),
        user_id=record.user_id,
        session_id=session_id,
        currency=record.currency,
        subtotal_minor=record.total_minor - record.gst_minor,
        tax_minor=record.gst_minor,
        due_at=now,
        paid_at=now,
        transfer_key=f"session:{session_id}",
        created_by=None,
        now=now,
    )


def items_of(session: SessionDetail, record: Cdr) -> list[Item]:
    """Return the lines of a session's invoice; they come to the record's total less its tax."""
    where = f"Charging session {session.id} at {session.charger_identity}"
    if not record.lines:
        return [Item.lump(where, record.total_minor - record.gst_minor)]
    priced = [line for line in record.lines if line["component"] != "tax" and line["amount_minor"]]
    items = [_item(line) for line in priced]
    first = items[0]
    items[0] = Item(f"{where}: {first.description}", first.quantity, first.rate_minor, first.amount_minor)
    return items


def _item(line: Mapping[str, Any]) -> Item:
    """Make an item with quantity and rate where these, in an invoice's figures, come to the line's amount."""
    label = _LABELS.get(line["component"]) or line["name"] or line["component"]
    quantity, price = _quantity(line), Decimal(str(line["price"]))
    if quantity and price >= 0 and price == price.to_integral_value():
        item = Item.of(label, quantity, int(price))
        if item.amount_minor == line["amount_minor"]:
            return item
    return Item.lump(label, line["amount_minor"])


def _quantity(line: Mapping[str, Any]) -> Decimal | None:
    """How many kWh, minutes or hours a line is of; None for what is of neither."""
    per = line["per"]
    divisor = WH_PER_KWH if per == "kwh" else SECONDS_PER.get(per)
    return None if divisor is None else (Decimal(str(line["quantity"])) / divisor).quantize(_QUANTITY)


def _rows(items: Sequence[Item]) -> list[tuple[str, Decimal, int, int]]:
    return [(item.description, item.quantity, item.rate_minor, item.amount_minor) for item in items]
