"""A tariff's definition as JSON (`tariffs.definition`) to a `Tariff`; used by `stream.records`.

    {"elements": [{"prices": [{"dimension": "energy", "price_minor": 1500, "per": "kwh", "step": 1}],
                   "restrictions": {"time_from": "22:00", "time_to": "06:00", "days": ["monday"]}}],
     "taxes": [{"name": "GST", "basis_points": 1800, "dimensions": ["energy"]}],
     "surcharges": [{"name": "Peak hours", "basis_points": 5000, "restrictions": {"time_from": "18:00"}}],
     "discounts": [{"name": "Discount", "basis_points": 1000}],
     "fees": [{"name": "Platform fee", "basis_points": 250}],
     "min_price_minor": 500, "max_price_minor": 90000, "has_idle_time": true}

`price_minor` is an integer, or decimal text where it has a fraction. The fields are those of
`stream.rating.tariff`; all but `elements` may be left out, and no other is taken.
"""

import re
from collections.abc import Mapping
from datetime import date, time
from fractions import Fraction

import msgspec

from stream.rating.tariff import (
    Dimension,
    Element,
    Fee,
    Price,
    RatingError,
    Restrictions,
    Share,
    Tariff,
    Tax,
)

ELEMENTS_MAX = 200
SHARES_MAX = 100
FEES_MAX = 10
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DECIMAL = re.compile(r"\d{1,15}(\.\d{1,9})?", re.ASCII)
_DEFAULT_PER = {
    Dimension.FLAT: "session",
    Dimension.ENERGY: "kwh",
    Dimension.TIME: "minute",
    Dimension.IDLE: "minute",
    Dimension.PARKING: "minute",
}


class _Price(msgspec.Struct, forbid_unknown_fields=True):
    dimension: Dimension
    price_minor: int | str
    per: str | None = None
    step: int = 0


class _Restrictions(msgspec.Struct, forbid_unknown_fields=True):
    time_from: str | None = None
    time_to: str | None = None
    date_from: str | None = None
    date_to: str | None = None
    days: list[str] = []
    min_energy_wh: int | None = None
    max_energy_wh: int | None = None
    min_duration_s: int | None = None
    max_duration_s: int | None = None
    min_idle_s: int | None = None
    max_idle_s: int | None = None


class _Element(msgspec.Struct, forbid_unknown_fields=True):
    prices: list[_Price]
    restrictions: _Restrictions = msgspec.field(default_factory=_Restrictions)


class _Tax(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    basis_points: int
    dimensions: list[Dimension] = []


class _Share(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    basis_points: int
    restrictions: _Restrictions = msgspec.field(default_factory=_Restrictions)


class _Fee(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    basis_points: int


class _Definition(msgspec.Struct, forbid_unknown_fields=True):
    elements: list[_Element]
    taxes: list[_Tax] | None = None
    min_price_minor: int | None = None
    max_price_minor: int | None = None
    surcharges: list[_Share] = []
    discounts: list[_Share] = []
    fees: list[_Fee] = []
    has_idle_time: bool = True


def tariff_of(currency: str, definition: Mapping[str, object], gst_basis_points: int) -> Tariff:
    """Read a definition; one that names no taxes has GST. Raises `RatingError` that says where it is bad."""
    try:
        read = msgspec.convert(definition, _Definition)
    except msgspec.ValidationError as error:
        raise RatingError(f"tariff definition: {error}") from error
    _check_sizes(read)
    taxes = [_Tax("GST", gst_basis_points)] if read.taxes is None else read.taxes
    return Tariff(
        currency,
        tuple(_element(element, f"elements[{index}]") for index, element in enumerate(read.elements)),
        tuple(Tax(tax.name, tax.basis_points, frozenset(tax.dimensions)) for tax in taxes),
        read.min_price_minor,
        read.max_price_minor,
        _shares(read.surcharges, "surcharges"),
        _shares(read.discounts, "discounts"),
        tuple(Fee(fee.name, fee.basis_points) for fee in read.fees),
        read.has_idle_time,
    )


def _check_sizes(read: _Definition) -> None:
    if not 1 <= len(read.elements) <= ELEMENTS_MAX:
        raise RatingError(f"tariff definition: {len(read.elements)} elements, not 1 to {ELEMENTS_MAX}")
    sizes = (
        ("surcharges", len(read.surcharges), SHARES_MAX),
        ("discounts", len(read.discounts), SHARES_MAX),
        ("fees", len(read.fees), FEES_MAX),
    )
    for name, size, size_max in sizes:
        if size > size_max:
            raise RatingError(f"tariff definition: {size} {name}, not up to {size_max}")


def _shares(read: list[_Share], where: str) -> tuple[Share, ...]:
    made = []
    for index, share in enumerate(read):
        try:
            made.append(Share(share.name, share.basis_points, _restrictions(share.restrictions)))
        except (RatingError, ValueError) as error:
            raise RatingError(f"tariff definition, {where}[{index}]: {error}") from error
    return tuple(made)


def _element(element: _Element, where: str) -> Element:
    try:
        return Element(tuple(map(_price, element.prices)), _restrictions(element.restrictions))
    except (RatingError, ValueError) as error:
        raise RatingError(f"tariff definition, {where}: {error}") from error


def _price(price: _Price) -> Price:
    text = str(price.price_minor)
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"price_minor {text!r:.40} is no decimal number of 0 or more")
    return Price(price.dimension, Fraction(text), price.per or _DEFAULT_PER[price.dimension], price.step)


def _restrictions(read: _Restrictions) -> Restrictions:
    unknown = [day for day in read.days if day not in DAYS]
    if unknown:
        raise ValueError(f"days {unknown} are none of {list(DAYS)}")
    return Restrictions(
        time_from=None if read.time_from is None else time.fromisoformat(read.time_from),
        time_to=None if read.time_to is None else time.fromisoformat(read.time_to),
        date_from=None if read.date_from is None else date.fromisoformat(read.date_from),
        date_to=None if read.date_to is None else date.fromisoformat(read.date_to),
        days=frozenset(map(DAYS.index, read.days)),
        min_energy_wh=read.min_energy_wh,
        max_energy_wh=read.max_energy_wh,
        min_duration_s=read.min_duration_s,
        max_duration_s=read.max_duration_s,
        min_idle_s=read.min_idle_s,
        max_idle_s=read.max_idle_s,
    )
