"""The lines of a charge detail record and what corrected it: beside the documented fields of a CDR.

All from what the record keeps: never from a tariff, which may have changed since.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from api.evcms.envelope import Maybe, Out, Time
from api.fields import money
from storage.queries.cdrs import Cdr

MINOR_PER_MAJOR = 100
BASIS_POINTS_PER_PERCENT = 100
WH_PER_KWH = 1_000
S_PER_MINUTE = 60


class LineOut(Out):
    """One line; the `amount`s of all lines make the record's `totalCost`. Money in units of its currency.

    `component`: energy, time, idle, parking, flat, surcharge, discount, minimum, maximum, fee or tax.
    `quantity` is in `unit` (Wh, s, session; of a part of other lines, as a tax is one, the currency), steps
    included; `price` is `per` kwh, minute, hour or session; of a part percent. A record from before lines
    were kept has its parts as lines, without what it does not tell.
    """

    component: str
    name: str
    quantity: Maybe[float]
    unit: Maybe[str]
    price: Maybe[float]
    per: Maybe[str]
    amount: float


class ReceiptOut(Out):
    """What a session came to by one record: kWh, minutes, money. `isEstimated`: a rule ended the session."""

    energy_consumed: float
    duration: float
    total_cost: float
    is_estimated: bool
    lines: list[LineOut]

    @classmethod
    def of(cls, record: Cdr) -> "ReceiptOut":
        """Show what a record, or a correction, says."""
        return cls(
            energy_consumed=round(record.energy_wh / WH_PER_KWH, 3),
            duration=minutes(record.duration_s),
            total_cost=money(record.total_minor),
            is_estimated=record.is_estimated,
            lines=lines_of(record),
        )


class CorrectionOut(Out):
    """A record is never changed: `before` is what it said, `difference` what was paid on top, or back."""

    corrected_at: Time
    difference: float
    before: ReceiptOut

    @classmethod
    def of(cls, first: Cdr, latest: Cdr, corrected_at: datetime) -> "CorrectionOut":
        """Show how the record that was written first became the latest."""
        difference_minor = latest.total_minor - first.total_minor
        return cls(corrected_at=corrected_at, difference=money(difference_minor), before=ReceiptOut.of(first))


def minutes(seconds: float) -> float:
    """Seconds as minutes with two decimals."""
    return round(seconds / S_PER_MINUTE, 2)


def lines_of(record: Cdr) -> list[LineOut]:
    """The lines as they were stored; of a record without any, those that its parts tell."""
    if record.lines:
        return [_line(line, record.currency) for line in record.lines]
    energy = LineOut(
        component="energy",
        name="",
        quantity=record.energy_wh,
        unit="Wh",
        price=money(record.energy_minor_per_kwh),
        per="kwh",
        amount=money(record.energy_minor),
    )
    amounts = {
        "time": record.time_minor,
        "idle": record.parking_minor,
        "flat": record.flat_minor,
        "tax": record.gst_minor,
    }
    others = [_part(name, amount_minor) for name, amount_minor in amounts.items() if amount_minor]
    return [energy, *others]


def _line(line: Mapping[str, Any], currency: str) -> LineOut:
    """A line as `stream.rating.charges` writes it."""
    quantity, price = Decimal(str(line["quantity"])), Decimal(str(line["price"]))
    is_part = line["per"] == "basis_points"
    return LineOut(
        component=line["component"],
        name=line["name"],
        quantity=float(quantity / MINOR_PER_MAJOR if is_part else quantity),
        unit=currency if is_part else line["unit"],
        price=float(price / (BASIS_POINTS_PER_PERCENT if is_part else MINOR_PER_MAJOR)),
        per="percent" if is_part else line["per"],
        amount=money(line["amount_minor"]),
    )


def _part(component: str, amount_minor: int) -> LineOut:
    return LineOut(
        component=component,
        name="",
        quantity=None,
        unit=None,
        price=None,
        per=None,
        amount=money(amount_minor),
    )
