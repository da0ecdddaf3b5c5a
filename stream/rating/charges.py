"""A session's price, line by line; what `stream.rating.rate` returns and settlement stores."""

from dataclasses import dataclass
from fractions import Fraction

from stream.rating.tariff import Dimension

_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a receipt. `component`: a `Dimension`, surcharge, discount, minimum, maximum, fee or tax.

    `quantity` is in `unit`: Wh, s, session, or for what is a part of other lines (surcharge, discount, fee,
    tax; these have a `name`) the minor units that it is taken of; `price` is in minor units as the tariff has
    it, with what it is `per`; of a part in basis points. A discount's amount is negative.
    """

    component: str
    name: str
    quantity: Fraction
    unit: str
    price: Fraction
    per: str
    amount_minor: int

    def as_json(self) -> dict[str, object]:
        """Numbers that are whole as integers, others as decimal text of six digits."""
        return {
            "component": self.component,
            "name": self.name,
            "quantity": _number(self.quantity),
            "unit": self.unit,
            "price": _number(self.price),
            "per": self.per,
            "amount_minor": self.amount_minor,
        }


@dataclass(frozen=True, slots=True)
class Charges:
    """The lines of a session; every amount here is a sum of theirs, in minor units."""

    lines: tuple[Line, ...]

    def _sum(self, *components: str) -> int:
        return sum(line.amount_minor for line in self.lines if line.component in components)

    @property
    def energy_minor(self) -> int:
        """The price of the energy."""
        return self._sum(Dimension.ENERGY)

    @property
    def time_minor(self) -> int:
        """The price of the time of charging."""
        return self._sum(Dimension.TIME)

    @property
    def parking_minor(self) -> int:
        """The price of the idle time, and of parking."""
        return self._sum(Dimension.IDLE, Dimension.PARKING)

    @property
    def flat_minor(self) -> int:
        """The fee of the session itself."""
        return self._sum(Dimension.FLAT)

    @property
    def adjustment_minor(self) -> int:
        """What the minimum adds, or the maximum takes away (negative)."""
        return self._sum("minimum", "maximum")

    @property
    def surcharge_minor(self) -> int:
        """What peak hours add to the price of the energy."""
        return self._sum("surcharge")

    @property
    def discount_minor(self) -> int:
        """What discounts take away; not negative."""
        return -self._sum("discount")

    @property
    def fee_minor(self) -> int:
        """All fees that are a part of the price."""
        return self._sum("fee")

    @property
    def gst_minor(self) -> int:
        """All taxes."""
        return self._sum("tax")

    @property
    def net_minor(self) -> int:
        """The price before taxes, with fees."""
        return self.total_minor - self.gst_minor

    @property
    def total_minor(self) -> int:
        """What the driver pays: the sum of all lines."""
        return sum(line.amount_minor for line in self.lines)

    def basis_points(self, component: str) -> int:
        """The largest rate of a surcharge or discount that counted, or 0."""
        return max((int(line.price) for line in self.lines if line.component == component), default=0)


def _number(value: Fraction) -> int | str:
    if value.denominator == 1:
        return value.numerator
    scaled = round(value * 10**_DECIMALS)
    whole, fraction = divmod(abs(scaled), 10**_DECIMALS)
    sign = "-" if scaled < 0 else ""
    return f"{sign}{whole}.{fraction:0{_DECIMALS}d}".rstrip("0").rstrip(".")
