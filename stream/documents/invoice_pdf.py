"""Invoices and receipts as PDF, on A4; used by the API and, for what goes with an e-mail, by the jobs role.

The seller is the platform, as its settings describe it. See `stream.documents.layout`.
"""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

from fpdf import FPDF

from storage.database import Connection
from storage.errors import NotFoundError
from storage.queries import invoices
from storage.queries.invoices import Invoice, InvoiceLine
from stream.documents import layout
from stream.notices import amount
from stream.platform_settings import General, read_settings

_COLUMNS = (92, 26, 36, 36)
_NAMES = ("Description", "Quantity", "Rate", "Amount")
_ALIGNS = ("LEFT", "RIGHT", "RIGHT", "RIGHT")


async def render_invoice(connection: Connection, invoice_id: int) -> tuple[str, bytes]:
    """Return the name and the bytes of an invoice's PDF; raises `NotFoundError`."""
    invoice = await invoices.get_invoice(connection, invoice_id)
    if invoice is None:
        raise NotFoundError(f"there is no invoice {invoice_id}")
    lines = (await invoices.lines_of(connection, [invoice_id]))[invoice_id]
    seller = (await read_settings(connection)).general
    content = await asyncio.to_thread(draw_invoice, invoice, lines, seller)
    return f"{invoice.invoice_number}.pdf", content


def draw_invoice(invoice: Invoice, lines: Sequence[InvoiceLine], seller: General) -> bytes:
    """Return the PDF; the same for the same values."""
    page = layout.new_page(f"Invoice {invoice.invoice_number}", invoice.created_at)
    _head(page, invoice, seller)
    _table(page, invoice, lines)
    sums = {"Subtotal": invoice.subtotal_minor, "GST": invoice.tax_minor, "Total": invoice.total_minor}
    shown = {name: amount(invoice.currency, minor) for name, minor in sums.items()}
    layout.sums(page, shown, _COLUMNS[-1])
    return bytes(page.output())


def _head(page: FPDF, invoice: Invoice, seller: General) -> None:
    layout.heading(page, seller.site_name)
    layout.line(page, f"{seller.support_email}  {seller.support_phone}")
    page.ln(layout.GAP_MM)
    layout.heading(page, _title(invoice))
    facts = {
        "Number": invoice.invoice_number,
        "Date": layout.day(invoice.created_at),
        "Due": layout.day(invoice.due_at),
        "Status": _standing(invoice),
        "Customer": invoice.user_name,
        "E-mail": invoice.user_email or "",
        "Phone": invoice.user_phone or "",
        "Charging session": "" if invoice.session_id is None else str(invoice.session_id),
    }
    layout.facts(page, facts)
    page.ln(layout.GAP_MM)


def _table(page: FPDF, invoice: Invoice, lines: Sequence[InvoiceLine]) -> None:
    rows = [
        (
            line.description,
            _plain(line.quantity),
            amount(invoice.currency, line.shown_rate_minor),
            amount(invoice.currency, line.amount_minor),
        )
        for line in lines
    ]
    layout.table(page, _NAMES, _COLUMNS, _ALIGNS, rows)


def _title(invoice: Invoice) -> str:
    return "Invoice" if invoice.session_id is None else "Invoice and receipt"


def _standing(invoice: Invoice) -> str:
    if invoice.is_cancelled:
        return "Cancelled"
    return "To be paid" if invoice.paid_at is None else f"Paid on {layout.day(invoice.paid_at)}"


def _plain(quantity: Decimal) -> str:
    text = f"{quantity:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
