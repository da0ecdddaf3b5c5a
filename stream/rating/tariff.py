"""A tariff: elements with prices and restrictions, taxes, limits; used by all of `stream.rating`.

The model is that of OCPI 2.2.1 (module Tariffs): at each moment, and for each dimension, the first element
counts that has a price in this dimension and whose restrictions all hold. Where no element does, that
dimension is free. Money is in minor units (paise, cents); a price may have a fraction of one.
"""

from dataclasses import dataclass
from datetime import date, time
from enum import StrEnum
from fractions import Fraction

from stream.errors import StreamError

WH_PER_KWH = 1_000
S_PER_MINUTE = 60
S_PER_HOUR = 3_600
BASIS_POINTS = 10_000


class RatingError(StreamError):
    """A session or a tariff that has no price: the message names the quantity and its value."""


class Dimension(StrEnum):
    """What is priced. Time is that of charging; idle time is what follows it until the session's end.

    Parking is both together: every minute from start to end.
    """

    FLAT = "flat"
    ENERGY = "energy"
    TIME = "time"
    IDLE = "idle"
    PARKING = "parking"


# What one quantity of a dimension is, in lines and steps.
UNITS = {
    Dimension.FLAT: "session",
    Dimension.ENERGY: "Wh",
    Dimension.TIME: "s",
    Dimension.IDLE: "s",
    Dimension.PARKING: "s",
}
# How many of them a price may be for.
PER = {
    Dimension.FLAT: {"session": 1},
    Dimension.ENERGY: {"kwh": WH_PER_KWH},
    Dimension.TIME: {"minute": S_PER_MINUTE, "hour": S_PER_HOUR},
    Dimension.IDLE: {"minute": S_PER_MINUTE, "hour": S_PER_HOUR},
    Dimension.PARKING: {"minute": S_PER_MINUTE, "hour": S_PER_HOUR},
}


@dataclass(frozen=True, slots=True)
class Price:
    """`price_minor` per kWh, minute, hour or session. `step`: billed in whole blocks of so many Wh or s.

    A step of 0 bills exactly what was used.
    """

    dimension: Dimension
    price_minor: Fraction
    per: str
    step: int = 0

    def __post_init__(self) -> None:
        if self.per not in PER[self.dimension]:
            allowed = sorted(PER[self.dimension])
            raise RatingError(f"price of {self.dimension}: per {self.per!r} is none of {allowed}")
        if self.price_minor < 0:
            raise RatingError(f"price of {self.dimension}: {self.price_minor} is negative")
        if self.step < 0:
            raise RatingError(f"price of {self.dimension}: a step of {self.step} is negative")

    @property
    def per_unit_minor(self) -> Fraction:
        """The price of one Wh, second or session."""
        return self.price_minor / PER[self.dimension][self.per]


@dataclass(frozen=True, slots=True)
class Restrictions:
    """When an element holds. Every `..._from` and `min_...` is included, every `..._to` and `max_...` not.

    Times, dates and days are of the station's wall clock, at the moment itself: with `time_from` 22:00 and
    `time_to` 06:00, a Friday is Friday from 00:00 to 06:00 and from 22:00 on. The rest counts from the
    session's start: energy, all time, and idle time so far (`min_idle_s` gives the grace before an idle fee).
    """

    time_from: time | None = None
    time_to: time | None = None
    date_from: date | None = None
    date_to: date | None = None
    days: frozenset[int] = frozenset()  # 0 is Monday; empty: all
    min_energy_wh: int | None = None
    max_energy_wh: int | None = None
    min_duration_s: int | None = None
    max_duration_s: int | None = None
    min_idle_s: int | None = None
    max_idle_s: int | None = None

    def __post_init__(self) -> None:
        if self.time_from is not None and self.time_from == self.time_to:
            raise RatingError(f"restrictions: from {self.time_from} to the same time is no time of day")

    @property
    def is_of_the_calendar(self) -> bool:
        """Whether a wall clock is needed."""
        times = (self.time_from, self.time_to, self.date_from, self.date_to)
        return bool(self.days) or any(each is not None for each in times)


@dataclass(frozen=True, slots=True)
class Element:
    """Prices that hold under the same restrictions; at most one of each dimension."""

    prices: tuple[Price, ...]
    restrictions: Restrictions = Restrictions()

    def __post_init__(self) -> None:
        dimensions = [price.dimension for price in self.prices]
        if len(set(dimensions)) != len(dimensions):
            raise RatingError(f"an element has two prices of one dimension: {dimensions}")

    def price_of(self, dimension: Dimension) -> Price | None:
        """Return the price of this dimension, or None."""
        return next((price for price in self.prices if price.dimension is dimension), None)


@dataclass(frozen=True, slots=True)
class Tax:
    """1800 basis points are 18 %. `dimensions`: what it is taken of; empty: of everything."""

    name: str
    basis_points: int
    dimensions: frozenset[Dimension] = frozenset()

    def __post_init__(self) -> None:
        if self.basis_points < 0:
            raise RatingError(f"tax {self.name!r}: gst_basis_points {self.basis_points} is negative")


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a price, while the restrictions hold: what is taken on top (surcharge), or off (discount)."""

    name: str
    basis_points: int
    restrictions: Restrictions = Restrictions()

    def __post_init__(self) -> None:
        if self.basis_points < 0:
            raise RatingError(f"share {self.name!r}: {self.basis_points} basis points are negative")


@dataclass(frozen=True, slots=True)
class Fee:
    """A part of the whole price before taxes, taken on top of it."""

    name: str
    basis_points: int

    def __post_init__(self) -> None:
        if self.basis_points < 0:
            raise RatingError(f"fee {self.name!r}: {self.basis_points} basis points are negative")


@dataclass(frozen=True, slots=True)
class Tariff:
    """`min_price_minor` and `max_price_minor` bound a session's price before fees and taxes.

    Of `surcharges` (on energy) and `discounts` (on everything) the first counts that holds at a moment.
    Without `has_idle_time` all time of a session is to be taken as charging.
    """

    currency: str
    elements: tuple[Element, ...]
    taxes: tuple[Tax, ...] = ()
    min_price_minor: int | None = None
    max_price_minor: int | None = None
    surcharges: tuple[Share, ...] = ()
    discounts: tuple[Share, ...] = ()
    fees: tuple[Fee, ...] = ()
    has_idle_time: bool = True

    def __post_init__(self) -> None:
        for discount in self.discounts:
            if discount.basis_points > BASIS_POINTS:
                raise RatingError(f"discount {discount.name!r}: {discount.basis_points} is more than all")
        low, high = self.min_price_minor, self.max_price_minor
        if (low is not None and low < 0) or (high is not None and high < 0):
            raise RatingError(f"a minimum of {low} and a maximum of {high}: neither may be negative")
        if low is not None and high is not None and low > high:
            raise RatingError(f"a minimum of {low} above a maximum of {high} has no price between them")

    @property
    def energy_minor_per_kwh(self) -> int:
        """The first element's price of energy, rounded half up: what a list of sessions shows."""
        return self._first(Dimension.ENERGY, WH_PER_KWH)

    @property
    def parking_minor_per_minute(self) -> int:
        """The first element's price of a minute of parking, rounded half up."""
        return self._first(Dimension.PARKING, S_PER_MINUTE)

    @property
    def restrictions(self) -> list[Restrictions]:
        """All that anything here depends on."""
        parts: tuple[Element | Share, ...] = (*self.elements, *self.surcharges, *self.discounts)
        return [each.restrictions for each in parts]

    @property
    def needs_course(self) -> bool:
        """Whether the price depends on when energy flowed, and not on the ends of the session alone."""
        is_split = any(
            element.price_of(dimension) is not None
            for element in self.elements
            for dimension in (Dimension.TIME, Dimension.IDLE)
        )
        return (self.has_idle_time and is_split) or any(each != Restrictions() for each in self.restrictions)

    def _first(self, dimension: Dimension, quantity: int) -> int:
        for element in self.elements:
            price = element.price_of(dimension)
            if price is not None:
                return round_half_up(price.per_unit_minor * quantity)
        return 0


def simple_tariff(
    currency: str,
    energy_minor_per_kwh: int,
    time_minor_per_minute: int,
    parking_minor_per_minute: int,
    gst_basis_points: int,
) -> Tariff:
    """One element without restrictions, and one tax (GST); it knows no idle time, as nothing tells it.

    Raises `RatingError` for a negative price.
    """
    prices = (
        Price(Dimension.ENERGY, Fraction(energy_minor_per_kwh), "kwh"),
        Price(Dimension.TIME, Fraction(time_minor_per_minute), "minute"),
        Price(Dimension.IDLE, Fraction(parking_minor_per_minute), "minute"),
    )
    return Tariff(currency, (Element(prices),), (Tax("GST", gst_basis_points),), has_idle_time=False)


def round_half_up(value: Fraction) -> int:
    """Return the nearest integer, halves away from zero; for amounts that are not negative."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)
