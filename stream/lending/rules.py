"""How a loan is split into instalments; pure. Used by `stream.lending.loans` and by tests.

An instalment of the reducing balance is P r (1 + r)^n / ((1 + r)^n - 1) with r a twelfth of the yearly rate:
of 45,000 rupees over 24 months at 12.5 % that is 2,128.83. Flat interest is that of the whole principal over
the whole tenure: 2,343.75. Without interest an instalment is amount / tenure: 1,875.00. Fractions are exact;
each instalment is rounded half up to a paisa and the last one takes the rest.
"""

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from stream.errors import StreamError
from stream.lending.terms import Method
from stream.rating.tariff import round_half_up

Plan = Method | Literal["agreed"]

INSTALMENT_MINOR_MIN = 100  # of principal, on average: what rounding adds up to over 120 months is less
TENURE_MONTHS_MAX = 120


class TooLittleError(StreamError):
    """The amount is too little for so many instalments."""


@dataclass(frozen=True, slots=True)
class Planned:
    """An instalment, numbered from 1."""

    number: int
    due_date: date
    principal_minor: int
    interest_minor: int

    @property
    def amount_minor(self) -> int:
        """What is to be paid."""
        return self.principal_minor + self.interest_minor


@dataclass(frozen=True, slots=True)
class LoanTerms:
    """What a loan was agreed on. `rate_pct` a year; None as 0. `emi_minor` of an agreed instalment alone."""

    principal_minor: int
    tenure_months: int
    rate_pct: Decimal | None
    method: Plan
    starts_on: date
    emi_minor: int | None = None


def plan(terms: LoanTerms) -> list[Planned]:
    """Return the instalments, the first one due a month after the start. Raises `TooLittleError`."""
    least_minor = INSTALMENT_MINOR_MIN * terms.tenure_months
    if terms.principal_minor < least_minor:
        raise TooLittleError(
            f"{terms.principal_minor} minor units are too little for {terms.tenure_months} instalments:"
            f" at least {least_minor} are needed"
        )
    parts = _reducing(terms) if _is_reducing(terms) else _spread(terms)
    return [
        Planned(number, due_date(terms.starts_on, number), principal_minor, interest_minor)
        for number, (principal_minor, interest_minor) in enumerate(parts, start=1)
    ]


def instalment_minor(terms: LoanTerms) -> int:
    """Return what each instalment but the last one is."""
    months = terms.tenure_months
    if terms.method == "agreed":
        assert terms.emi_minor is not None
        return terms.emi_minor
    if not _is_reducing(terms):
        return round_half_up(Fraction(_total_minor(terms), months))
    rate = _monthly_rate(terms)
    growth = (1 + rate) ** months
    return round_half_up(terms.principal_minor * rate * growth / (growth - 1))


def due_date(starts_on: date, months: int) -> date:
    """Return the same day `months` months later, or that month's last: 31 January, 28 February, 31 March."""
    year, month = divmod(starts_on.year * 12 + starts_on.month - 1 + months, 12)
    return date(year, month + 1, min(starts_on.day, monthrange(year, month + 1)[1]))


def _is_reducing(terms: LoanTerms) -> bool:
    return terms.method == "reducing" and bool(terms.rate_pct)


def _monthly_rate(terms: LoanTerms) -> Fraction:
    return Fraction(terms.rate_pct or 0) / 1_200


def _total_minor(terms: LoanTerms) -> int:
    """Return principal and interest of a plan that is not of a reducing balance."""
    if terms.method == "agreed":
        return max(instalment_minor(terms) * terms.tenure_months, terms.principal_minor)
    if terms.method == "flat":
        return terms.principal_minor + round_half_up(
            terms.principal_minor * _monthly_rate(terms) * terms.tenure_months
        )
    return terms.principal_minor


def _reducing(terms: LoanTerms) -> list[tuple[int, int]]:
    """Interest of a month is that of the balance before it."""
    rate, emi_minor, balance_minor = _monthly_rate(terms), instalment_minor(terms), terms.principal_minor
    parts: list[tuple[int, int]] = []
    for left in range(terms.tenure_months - 1, -1, -1):
        interest_minor = round_half_up(balance_minor * rate)
        # the half paisa that rounding adds grows with interest: something is left for each later instalment
        principal_minor = min(emi_minor - interest_minor, balance_minor - left) if left else balance_minor
        parts.append((principal_minor, interest_minor))
        balance_minor -= principal_minor
    return parts


def _spread(terms: LoanTerms) -> list[tuple[int, int]]:
    """Principal and interest have the same share in each instalment."""
    total_minor, emi_minor, months = _total_minor(terms), instalment_minor(terms), terms.tenure_months
    ends = [*(emi_minor * number for number in range(1, months)), total_minor]
    principals = [round_half_up(Fraction(terms.principal_minor * end, total_minor)) for end in ends]
    return [
        (principal_minor, amount_minor - principal_minor)
        for principal_minor, amount_minor in zip(_steps(principals), _steps(ends), strict=True)
    ]


def _steps(ends: Sequence[int]) -> list[int]:
    return [end - start for start, end in zip((0, *ends), ends, strict=False)]
