"""How figures are written: halves are rounded up, and a share of nothing is nothing.

Used by the analytics and the health report of Ienerzy.
"""

from decimal import ROUND_HALF_UP, Decimal

TENTH = Decimal("0.1")
_CENT = Decimal("0.01")
_DAY_S = 86_400


def tenth(number: Decimal) -> Decimal:
    """Round to one decimal."""
    return number.quantize(TENTH, ROUND_HALF_UP)


def mean(total: Decimal | int, count: int) -> Decimal:
    """Return `total` / `count`, 0 where there is nothing."""
    return Decimal(total) / count if count else Decimal(0)


def percentage(part: int, whole: int) -> Decimal:
    """Return the share of `part` in `whole` in percent, with one decimal; 0.0 of nothing."""
    return tenth(mean(100 * part, whole))


def percent_text(part: int, whole: int) -> str:
    """Write a share as "83.3%"."""
    return f"{percentage(part, whole)}%"


def days_text(seconds: Decimal | None) -> str:
    """Write a time as "2.5 days"; None as "0.0 days"."""
    return f"{tenth((seconds or Decimal(0)) / _DAY_S)} days"


def as_number(number: Decimal) -> int | float:
    """A number with one decimal; a whole one without a fraction, as the contract's samples have it."""
    return _number(tenth(number))


def rupees(minor: Decimal | int) -> int | float:
    """Paise as rupees with two decimals; a whole number without a fraction."""
    return _number((Decimal(minor) / 100).quantize(_CENT, ROUND_HALF_UP))


def _number(number: Decimal) -> int | float:
    return int(number) if number == int(number) else float(number)
