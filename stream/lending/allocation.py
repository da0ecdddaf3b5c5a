"""What the payments of a loan make of its instalments; pure. Used by `stream.lending.loans` and by tests.

The state is worked out anew from the plan and all payments, ordered by day, foreclosures last, and key: the
order in which they became known, and how often, does not matter. A payment goes, in this order, to

1. instalments that are due on its day, the oldest first, in each to interest and then to principal;
2. penalties, those of the oldest instalment first;
3. the next instalments, ahead of their time;
4. what is left over: the excess, to be paid back.

Instalments come before penalties so that whoever pays an instalment's amount has paid it: a battery is not
taken out of use for a penalty. The loan is closed when both are paid.

A penalty is simple interest of `penalty_pct` a year of 365 days (actual/365) on what is open of an instalment
after its due date: what was open times the days, summed up, is rounded once, half up.

A foreclosure pays all that is due, penalties, the rest of the principal, the interest of the current period
by its days, and the fee. The interest after it is waived and the instalments that had it are cancelled. One
that is too little for that is a payment like any other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

from stream.rating.tariff import round_half_up

DAYS_OF_YEAR = 365


@dataclass(frozen=True, slots=True)
class Charges:
    """What lateness costs a year, and a foreclosure of the principal that is not due; in percent."""

    penalty_pct: Decimal
    fee_pct: Decimal


@dataclass(frozen=True, slots=True)
class Receipt:
    """A payment: `key` is its identity."""

    key: str
    paid_on: date
    amount_minor: int
    is_foreclosure: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """An instalment and what is paid of it; `overdue_minor_days`: what was open, times days, so far."""

    number: int
    due_date: date
    principal_minor: int
    interest_minor: int
    principal_paid_minor: int = 0
    interest_paid_minor: int = 0
    penalty_paid_minor: int = 0
    overdue_minor_days: int = 0
    counted_to: date = date.min
    paid_on: date | None = None
    is_cancelled: bool = False

    @property
    def paid_minor(self) -> int:
        """What is paid of the instalment, penalties beside."""
        return self.principal_paid_minor + self.interest_paid_minor

    @property
    def open_minor(self) -> int:
        """What is left to pay of the instalment, penalties beside."""
        return 0 if self.is_cancelled else self.principal_minor + self.interest_minor - self.paid_minor

    @property
    def status(self) -> str:
        """Return pending, paid or cancelled, as `emi_schedules` has it."""
        if self.is_cancelled:
            return "cancelled"
        return "pending" if self.open_minor else "paid"

    def minor_days(self, day: date) -> int:
        """What was open after the due date times the days, until `day`."""
        days = (day - max(self.due_date, self.counted_to)).days
        return self.overdue_minor_days + self.open_minor * max(0, days)

    def penalty_minor(self, day: date, charges: Charges) -> int:
        """What lateness has cost until `day`, paid or not."""
        days = self.minor_days(day)
        if not days:
            return 0
        return round_half_up(Fraction(charges.penalty_pct) * days / (100 * DAYS_OF_YEAR))

    def penalty_open_minor(self, day: date, charges: Charges) -> int:
        """What is left to pay of it."""
        return self.penalty_minor(day, charges) - self.penalty_paid_minor

    def paid(self, day: date, *, interest_minor: int, principal_minor: int) -> "Line":
        """Return the instalment after a payment of so much on `day`."""
        after = replace(
            self,
            overdue_minor_days=self.minor_days(day),
            counted_to=day,
            interest_paid_minor=self.interest_paid_minor + interest_minor,
            principal_paid_minor=self.principal_paid_minor + principal_minor,
        )
        return after if after.open_minor else replace(after, paid_on=day)


@dataclass(frozen=True, slots=True)
class Quote:
    """What ends a loan on a day: `due_minor` of instalments, `principal_minor` not due yet, its interest."""

    due_minor: int
    penalty_minor: int
    principal_minor: int
    interest_minor: int
    fee_minor: int

    @property
    def total_minor(self) -> int:
        """What is to be paid."""
        return (
            self.due_minor + self.penalty_minor + self.principal_minor + self.interest_minor + self.fee_minor
        )


@dataclass(frozen=True, slots=True)
class Book:
    """A loan after its payments. `late_keys`: of payments that paid something past due.

    `closed_on`: the day on which all was paid, None: it runs. `as_of`: of the last payment.
    """

    starts_on: date
    lines: tuple[Line, ...]
    fee_minor: int = 0
    excess_minor: int = 0
    is_foreclosed: bool = False
    closed_on: date | None = None
    as_of: date = date.min
    late_keys: frozenset[str] = frozenset()

    @property
    def principal_paid_minor(self) -> int:
        """Principal that is paid back."""
        return sum(line.principal_paid_minor for line in self.lines)

    @property
    def interest_paid_minor(self) -> int:
        """Interest that is paid."""
        return sum(line.interest_paid_minor for line in self.lines)

    @property
    def penalty_paid_minor(self) -> int:
        """Penalties that are paid."""
        return sum(line.penalty_paid_minor for line in self.lines)

    @property
    def principal_left_minor(self) -> int:
        """Principal that is not paid back."""
        return sum(line.principal_minor for line in self.lines) - self.principal_paid_minor

    def due_minor(self, day: date) -> int:
        """What is open of the instalments that are due on `day` or before; penalties beside."""
        return sum(line.open_minor for line in self.lines if line.due_date <= day)

    def overdue(self, day: date) -> list[Line]:
        """Return the instalments past due on `day`."""
        return [line for line in self.lines if line.open_minor and line.due_date < day]

    def penalty_open_minor(self, day: date, charges: Charges) -> int:
        """Return the penalties that are to be paid on `day`."""
        return sum(line.penalty_open_minor(day, charges) for line in self.lines)

    def settles_minor(self, number: int, day: date, charges: Charges) -> int:
        """What is to be paid on `day` for all instalments up to this one and all penalties."""
        open_minor = sum(line.open_minor for line in self.lines if line.number <= number)
        return open_minor + self.penalty_open_minor(day, charges)


def replay(starts_on: date, lines: Sequence[Line], receipts: Iterable[Receipt], charges: Charges) -> Book:
    """Return the loan after these payments; one that is there twice, by its key, counts once."""
    book = Book(starts_on, tuple(lines))
    once = {receipt.key: receipt for receipt in receipts}
    # what was paid on the day of a foreclosure was paid before it: its quote says so
    for receipt in sorted(once.values(), key=lambda each: (each.paid_on, each.is_foreclosure, each.key)):
        book = _receive(book, receipt, charges)
    return book


def quote(book: Book, day: date, charges: Charges) -> Quote:
    """Return what a foreclosure on `day` costs."""
    ahead_minor = sum(
        line.principal_minor - line.principal_paid_minor
        for line in book.lines
        if line.due_date > day and not line.is_cancelled
    )
    return Quote(
        due_minor=book.due_minor(day),
        penalty_minor=book.penalty_open_minor(day, charges),
        principal_minor=ahead_minor,
        interest_minor=_accrued_minor(book, day),
        fee_minor=round_half_up(Fraction(charges.fee_pct) * ahead_minor / 100),
    )


def _accrued_minor(book: Book, day: date) -> int:
    """Return the interest of the current period by its days, less what is paid of it."""
    start = book.starts_on
    for line in book.lines:
        if line.due_date > day:
            days = min(max(0, (day - start).days), (line.due_date - start).days)
            accrued = round_half_up(Fraction(line.interest_minor * days, (line.due_date - start).days))
            return 0 if line.is_cancelled else max(0, accrued - line.interest_paid_minor)
        start = line.due_date
    return 0


def _receive(book: Book, receipt: Receipt, charges: Charges) -> Book:
    day = receipt.paid_on
    if book.closed_on is not None:
        return replace(book, excess_minor=book.excess_minor + receipt.amount_minor, as_of=day)
    if receipt.is_foreclosure and quote(book, day, charges).total_minor <= receipt.amount_minor:
        return _foreclose(book, receipt, charges)
    lines, left_minor, is_late = _allocate(book.lines, receipt, charges)
    is_closed = not any(line.open_minor or line.penalty_open_minor(day, charges) for line in lines)
    return replace(
        book,
        lines=tuple(lines),
        excess_minor=book.excess_minor + left_minor,
        closed_on=day if is_closed else None,
        as_of=day,
        late_keys=book.late_keys | {receipt.key} if is_late else book.late_keys,
    )


def _allocate(before: Sequence[Line], receipt: Receipt, charges: Charges) -> tuple[list[Line], int, bool]:
    """Return the instalments, what is left over, and whether something past due was paid."""
    day, left_minor, lines = receipt.paid_on, receipt.amount_minor, list(before)
    is_late = any(line.due_date < day and line.open_minor for line in lines)
    left_minor = _pay(lines, day, left_minor, ahead=False)
    for index, line in enumerate(lines):
        part_minor = min(left_minor, line.penalty_open_minor(day, charges))
        if part_minor:
            lines[index] = replace(line, penalty_paid_minor=line.penalty_paid_minor + part_minor)
            left_minor -= part_minor
            is_late = True
    return lines, _pay(lines, day, left_minor, ahead=True), is_late


def _pay(lines: list[Line], day: date, left_minor: int, *, ahead: bool) -> int:
    """Pay instalments that are due, or those ahead, in place; returns what is left."""
    for index, line in enumerate(lines):
        part_minor = min(left_minor, line.open_minor)
        if part_minor and (line.due_date > day) == ahead:
            interest_minor = min(part_minor, line.interest_minor - line.interest_paid_minor)
            lines[index] = line.paid(
                day, interest_minor=interest_minor, principal_minor=part_minor - interest_minor
            )
            left_minor -= part_minor
    return left_minor


def _foreclose(book: Book, receipt: Receipt, charges: Charges) -> Book:
    day = receipt.paid_on
    costs = quote(book, day, charges)
    lines: list[Line] = []
    interest_minor = costs.interest_minor
    is_late = False
    for line in book.lines:
        is_late = is_late or (line.due_date < day and bool(line.open_minor))
        penalty_minor = line.penalty_minor(day, charges)
        is_late = is_late or penalty_minor > line.penalty_paid_minor
        after = _foreclosed(line, day, interest_minor) if line.open_minor else line
        if line.due_date > day:
            interest_minor = 0  # it was that of the first one ahead
        lines.append(replace(after, penalty_paid_minor=penalty_minor))
    return replace(
        book,
        lines=tuple(lines),
        fee_minor=costs.fee_minor,
        excess_minor=book.excess_minor + receipt.amount_minor - costs.total_minor,
        is_foreclosed=True,
        closed_on=day,
        as_of=day,
        late_keys=book.late_keys | {receipt.key} if is_late else book.late_keys,
    )


def _foreclosed(line: Line, day: date, accrued_minor: int) -> Line:
    """Pay an instalment that is due as a whole; of one ahead the principal and what has accrued."""
    if line.due_date <= day:
        accrued_minor = line.interest_minor - line.interest_paid_minor
    after = line.paid(
        day,
        interest_minor=accrued_minor,
        principal_minor=line.principal_minor - line.principal_paid_minor,
    )
    return replace(after, is_cancelled=True) if after.open_minor else after
