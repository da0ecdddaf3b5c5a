"""Invoices and receipts as PDF, on A4; used by the API and, for what goes with an e-mail, by the jobs role.

The seller is the platform, as its settings describe it. Core fonts only: a character outside Latin-1 becomes
a question mark, so money is printed with the currency's code and never with its sign.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import FontFace

from storage.database import Connection
from storage.errors import NotFoundError
from storage.queries import invoices
from storage.queries.invoices import Invoice, InvoiceLine
from stream.invoicing import ZONE
from stream.notices import amount
from stream.platform_settings import General, read_settings

_FONT = "Helvetica"
_TEXT_PT = 10
_TITLE_PT = 18
_LINE_MM = 5.5
_GAP_MM = 8.0
_LABEL_MM = 35
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
    page = FPDF(format="A4")
    page.set_title(f"Invoice {invoice.invoice_number}")
    page.set_creation_date(invoice.created_at)
    page.add_page()
    _head(page, invoice, seller)
    _table(page, invoice, lines)
    _sums(page, invoice)
    return bytes(page.output())


def _head(page: FPDF, invoice: Invoice, seller: General) -> None:
    page.set_font(_FONT, "B", _TITLE_PT)
    _line(page, seller.site_name, 2 * _LINE_MM)
    page.set_font(_FONT, "", _TEXT_PT)
    _line(page, f"{seller.support_email}  {seller.support_phone}")
    page.ln(_GAP_MM)
    page.set_font(_FONT, "B", _TITLE_PT)
    _line(page, _title(invoice), 2 * _LINE_MM)
    facts = {
        "Number": invoice.invoice_number,
        "Date": _day(invoice.created_at),
        "Due": _day(invoice.due_at),
        "Status": _standing(invoice),
        "Customer": invoice.user_name,
        "E-mail": invoice.user_email or "",
        "Phone": invoice.user_phone or "",
        "Charging session": "" if invoice.session_id is None else str(invoice.session_id),
    }
    for name, value in facts.items():
        if value:
            page.set_font(_FONT, "B", _TEXT_PT)
            page.cell(_LABEL_MM, _LINE_MM, name)
            page.set_font(_FONT, "", _TEXT_PT)
            _line(page, value)
    page.ln(_GAP_MM)


def _table(page: FPDF, invoice: Invoice, lines: Sequence[InvoiceLine]) -> None:
    bold = FontFace(emphasis="BOLD")
    with page.table(
        col_widths=_COLUMNS, text_align=_ALIGNS, headings_style=bold, line_height=_LINE_MM
    ) as table:
        table.row(_NAMES)
        for line in lines:
            table.row(
                (
                    _printable(line.description),
                    _plain(line.quantity),
                    amount(invoice.currency, line.shown_rate_minor),
                    amount(invoice.currency, line.amount_minor),
                )
            )


def _sums(page: FPDF, invoice: Invoice) -> None:
    page.ln(_LINE_MM)
    sums = {"Subtotal": invoice.subtotal_minor, "GST": invoice.tax_minor, "Total": invoice.total_minor}
    for name, minor in sums.items():
        page.set_font(_FONT, "B" if name == "Total" else "", _TEXT_PT)
        page.cell(page.epw - _COLUMNS[-1], _LINE_MM, name, align="R")
        page.cell(
            _COLUMNS[-1],
            _LINE_MM,
            amount(invoice.currency, minor),
            align="R",
            new_x=XPos.LMARGIN,
            new_y=YPos.NEXT,
        )


def _title(invoice: Invoice) -> str:
    return "Invoice" if invoice.session_id is None else "Invoice and receipt"


def _standing(invoice: Invoice) -> str:
    if invoice.is_cancelled:
        return "Cancelled"
    return "To be paid" if invoice.paid_at is None else f"Paid on {_day(invoice.paid_at)}"


def _line(page: FPDF, text: str, height_mm: float = _LINE_MM) -> None:
    page.multi_cell(0, height_mm, _printable(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _day(moment: datetime) -> str:
    return moment.astimezone(ZONE).date().isoformat()


def _plain(quantity: Decimal) -> str:
    text = f"{quantity:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _printable(text: str) -> str:
    return text.encode("latin-1", "replace").decode("latin-1")
