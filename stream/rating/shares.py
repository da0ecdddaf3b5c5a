"""Surcharges and discounts: parts of a session's lines, for the time in which they hold.

Used by `stream.rating.price`, whose rules 5 and 6 these are. Both are taken of the rounded lines, the
amounts that a receipt shows; of a line that lies partly in their time, the part that its quantity has there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from stream.rating.charges import Line
from stream.rating.tariff import BASIS_POINTS, Dimension, Share, Tariff, round_half_up

# Which surcharge and which discount held (their index, or None), and for how much of a line's quantity.
Held = tuple[int | None, int | None]
Portions = Mapping[Held, Fraction]


@dataclass(frozen=True, slots=True)
class Portioned:
    """A line with its quantity by what held."""

    line: Line
    portions: Portions

    def minor(self, held: Iterable[Held]) -> Fraction:
        """The part of the amount that falls on `held`."""
        total = sum(self.portions.values(), Fraction(0))
        part = sum((self.portions[each] for each in held), Fraction(0))
        return self.line.amount_minor * part / total if total else Fraction(0)


def share_lines(priced: Sequence[Portioned], tariff: Tariff) -> list[Line]:
    """Return the lines of the surcharges and discounts of `tariff` that held at any time."""
    surcharges = _surcharges(priced, tariff.surcharges)
    discounts = _discounts([*priced, *surcharges], tariff.discounts)
    return [*(each.line for each in surcharges), *discounts]


def _surcharges(priced: Sequence[Portioned], surcharges: Sequence[Share]) -> list[Portioned]:
    energy = [each for each in priced if each.line.component == Dimension.ENERGY]
    made = []
    for index, surcharge in enumerate(surcharges):
        portions: dict[Held, Fraction] = {}
        for each in energy:
            for held in each.portions:
                if held[0] == index:
                    portions[held] = portions.get(held, Fraction(0)) + each.minor([held])
        if portions:
            base = sum(portions.values(), Fraction(0))
            amount_minor = round_half_up(base * surcharge.basis_points / BASIS_POINTS)
            made.append(Portioned(_line("surcharge", surcharge, base, amount_minor), portions))
    return made


def _discounts(priced: Sequence[Portioned], discounts: Sequence[Share]) -> list[Line]:
    """Each takes what it adds to the rounded sum, so that all together never take more than there is."""
    made: list[Line] = []
    exact, taken_minor = Fraction(0), 0
    for index, discount in enumerate(discounts):
        held = [[each for each in line.portions if each[1] == index] for line in priced]
        if not any(held):
            continue
        base = sum((line.minor(own) for line, own in zip(priced, held, strict=True)), Fraction(0))
        exact += base * discount.basis_points / BASIS_POINTS
        amount_minor = round_half_up(exact) - taken_minor
        taken_minor += amount_minor
        made.append(_line("discount", discount, base, -amount_minor))
    return made


def _line(component: str, share: Share, base: Fraction, amount_minor: int) -> Line:
    price = Fraction(share.basis_points)
    return Line(component, share.name, base, "minor", price, "basis_points", amount_minor)
