"""Goods and services tax of an order: which taxes an invoice names. Pure; used by orders and their invoices.

Within one state the tax is half the centre's (CGST) and half the state's (SGST, in a union territory without
a legislature UTGST); between states it is all integrated (IGST Act 2017, sections 7 and 8). The states are
the first two digits of the two GST numbers; where one is not known the tax is integrated.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from stream.invoicing import tax_minor

# CGST Rules 2017, rule 10: state code, PAN, number of the registration in the state, Z, check character.
_GSTIN = re.compile(r"[0-9]{2}[A-Z]{5}[0-9]{4}[A-Z][0-9A-Z]{3}")
# Andaman and Nicobar, Chandigarh, Dadra and Nagar Haveli and Daman and Diu, Ladakh, Lakshadweep.
_UNION_TERRITORIES = frozenset({"04", "26", "31", "35", "38"})
BASIS_POINTS_PER_PERCENT = 100


@dataclass(frozen=True, slots=True)
class Seller:
    """What the invoices of orders say of the seller beside its name, which is the platform's."""

    gstin: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """What one line of an order comes to, in minor units: without tax, and its tax."""

    amount_minor: int
    tax_minor: int

    @classmethod
    def of(cls, quantity: int, price_minor: int, basis_points: int) -> "Line":
        """Work out a line: the tax is a part of the amount, rounded half up once."""
        amount_minor = quantity * price_minor
        return cls(amount_minor, tax_minor(amount_minor, basis_points))


def state_of(gstin: str) -> str | None:
    """Return the state's code of a GST number, or None for what is none."""
    return gstin[:2] if _GSTIN.fullmatch(gstin) else None


def shares(tax_minor: int, seller_gstin: str, buyer_gstin: str) -> dict[str, int]:
    """Return a tax by the names that an invoice gives it; the parts come to the whole exactly.

    An odd paisa is in the state's half.
    """
    seller, buyer = state_of(seller_gstin), state_of(buyer_gstin)
    if seller is None or seller != buyer:
        return {"IGST": tax_minor}
    half = tax_minor // 2
    state = "UTGST" if seller in _UNION_TERRITORIES else "SGST"
    return {"CGST": half, state: tax_minor - half}


def percent(basis_points: int, parts: int = 1) -> str:
    """A rate, or an equal part of it, in words, as in "18" or "2.5"."""
    return f"{Decimal(basis_points) / BASIS_POINTS_PER_PERCENT / parts:f}"
