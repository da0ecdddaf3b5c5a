"""The tax invoice of a wholesaler's order as PDF, on A4; used by the Lithovolt API.

It says what was kept with the order when it was approved: it is the same whenever it is drawn. CGST Rules
2017, rule 46: seller, buyer and their GST numbers, number, date, HSN, quantity, value, rate and tax.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from fpdf import FPDF

from storage.database import Connection
from storage.queries import orders
from storage.queries.orders import Order, OrderItem
from stream.documents import layout
from stream.notices import amount
from stream.stock.gst import percent, shares, state_of

CURRENCY = "INR"
_COLUMNS = (60, 20, 14, 32, 16, 26, 32)
_NAMES = ("Model", "HSN", "Qty", "Price", "Tax", "Tax amount", "Value")
_ALIGNS = ("LEFT", "LEFT", "RIGHT", "RIGHT", "RIGHT", "RIGHT", "RIGHT")
_SMALL_PT = 8
_SMALL_MM = 4.0


async def render_order_invoice(connection: Connection, order: Order) -> tuple[str, bytes]:
    """Return the name and the bytes of an approved order's invoice."""
    items = (await orders.items_of(connection, [order.id]))[order.id]
    serials = await orders.serials_sent(connection, order.id)
    content = await asyncio.to_thread(draw, order, items, serials)
    return f"{order.invoice_number}.pdf", content


def draw(order: Order, items: Sequence[OrderItem], serials: Mapping[int, Sequence[str]]) -> bytes:
    """Return the PDF; `serials` by model."""
    assert order.invoice_number is not None, "only approved orders have an invoice"
    assert order.invoiced_at is not None, "the table has both or none"
    assert order.invoice_facts is not None, "and this is written with them"
    seller, buyer, goods = (order.invoice_facts[name] for name in ("seller", "buyer", "goods"))
    page = layout.new_page(f"Invoice {order.invoice_number}", order.invoiced_at)
    _head(page, order, seller, buyer)
    _table(page, items, goods)
    taxes = _taxes(items, seller["gstin"], buyer["gstin"])
    named = {"Value without tax": order.subtotal_minor, **taxes, "Total": order.total_minor}
    shown = {name: amount(CURRENCY, minor) for name, minor in named.items()}
    layout.sums(page, shown, _COLUMNS[-1])
    _serials(page, items, goods, serials)
    return bytes(page.output())


def _head(page: FPDF, order: Order, seller: Mapping[str, Any], buyer: Mapping[str, Any]) -> None:
    layout.heading(page, seller["name"])
    for text in (seller["address"], f"{seller['email']}  {seller['phone']}"):
        if text.strip():
            layout.line(page, text)
    layout.facts(page, {"GSTIN": seller["gstin"]})
    page.ln(layout.GAP_MM)
    layout.heading(page, "Tax invoice")
    assert order.invoiced_at is not None
    facts = {
        "Number": order.invoice_number or "",
        "Date": layout.day(order.invoiced_at),
        "Order": f"{order.order_number} of {layout.day(order.created_at)}",
        "Buyer": buyer["name"],
        "Address": buyer["address"],
        "GSTIN": buyer["gstin"],
        "Place of supply": _state(buyer["gstin"]),
        "E-mail": buyer["email"],
        "Phone": buyer["phone"],
    }
    layout.facts(page, facts)
    page.ln(layout.GAP_MM)


def _state(gstin: str) -> str:
    code = state_of(gstin)
    return "" if code is None else f"State {code}"


def _table(page: FPDF, items: Sequence[OrderItem], goods: Mapping[str, Any]) -> None:
    rows = [
        (
            f"{good['name']} ({good['code']})",
            good["hsn"],
            str(item.quantity),
            amount("", item.price_minor).strip(),
            f"{percent(item.tax_basis_points)} %",
            amount("", item.tax_minor).strip(),
            amount("", item.amount_minor).strip(),
        )
        for item in items
        for good in (goods[str(item.model_id)],)
    ]
    layout.table(page, _NAMES, _COLUMNS, _ALIGNS, rows)


def _taxes(items: Sequence[OrderItem], seller_gstin: str, buyer_gstin: str) -> dict[str, int]:
    """By name and rate, as in "IGST 18 %"; they come to the order's tax exactly."""
    by_rate: dict[int, int] = {}
    for item in items:
        by_rate[item.tax_basis_points] = by_rate.get(item.tax_basis_points, 0) + item.tax_minor
    taxes = {}
    for basis_points, tax_minor in sorted(by_rate.items()):
        parts = shares(tax_minor, seller_gstin, buyer_gstin)
        rate = percent(basis_points, len(parts))
        taxes.update({f"{name} {rate} %": minor for name, minor in parts.items()})
    return taxes


def _serials(
    page: FPDF,
    items: Sequence[OrderItem],
    goods: Mapping[str, Any],
    serials: Mapping[int, Sequence[str]],
) -> None:
    page.ln(layout.GAP_MM)
    page.set_font(layout.FONT, "B", layout.TEXT_PT)
    layout.line(page, "Serial numbers")
    for item in items:
        page.set_font(layout.FONT, "B", _SMALL_PT)
        layout.line(page, goods[str(item.model_id)]["name"], _SMALL_MM)
        page.set_font(layout.FONT, "", _SMALL_PT)
        _columns(page, serials.get(item.model_id, ()))


def _columns(page: FPDF, texts: Sequence[str]) -> None:
    """As many in a row as the longest of them allows."""
    width_mm = max((page.get_string_width(text) for text in texts), default=0) + _SMALL_MM
    in_row = max(1, int(page.epw / width_mm))
    for first in range(0, len(texts), in_row):
        for text in texts[first : first + in_row]:
            page.cell(width_mm, _SMALL_MM, text)
        page.ln(_SMALL_MM)
