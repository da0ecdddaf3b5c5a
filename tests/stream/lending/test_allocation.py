"""What payments make of a loan: by cases worked out by hand, and by properties of any set of payments."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from stream.lending.allocation import Book, Charges, Line, Receipt, quote, replay
from stream.lending.rules import LoanTerms, Plan, plan

START = date(2024, 1, 15)
CHARGES = Charges(penalty_pct=Decimal(24), fee_pct=Decimal(2))
FREE = Charges(Decimal(0), Decimal(0))
EXAMPLES = 400


def lines_of(terms: LoanTerms) -> list[Line]:
    return [
        Line(each.number, each.due_date, each.principal_minor, each.interest_minor) for each in plan(terms)
    ]


def sample(months: int = 3, rate: str = "12") -> list[Line]:
    """10,000.00 over three months at 12 %: instalments of 3,400.22, 3,400.22 and 3,400.23."""
    return lines_of(LoanTerms(1_000_000, months, Decimal(rate), "reducing", START))


def after(*payments: tuple[str, int], lines: list[Line] | None = None, charges: Charges = CHARGES) -> Book:
    receipts = [
        Receipt(f"p{number}", date.fromisoformat(day), amount_minor)
        for number, (day, amount_minor) in enumerate(payments)
    ]
    return replay(START, sample() if lines is None else lines, receipts, charges)


def statuses(book: Book) -> list[str]:
    return [line.status for line in book.lines]


def test_the_sample_is_what_it_says() -> None:
    assert [(line.principal_minor, line.interest_minor) for line in sample()] == [
        (330_022, 10_000),
        (333_322, 6_700),
        (336_656, 3_367),
    ]


def test_an_instalment_in_time_is_paid_and_costs_nothing_more() -> None:
    book = after(("2024-02-15", 340_022))
    assert statuses(book) == ["paid", "pending", "pending"]
    assert book.lines[0].paid_on == date(2024, 2, 15)
    assert (book.interest_paid_minor, book.principal_paid_minor) == (10_000, 330_022)
    assert book.penalty_open_minor(date(2024, 3, 15), CHARGES) == 0
    assert book.late_keys == frozenset()


def test_a_part_pays_interest_first_and_the_rest_is_open() -> None:
    book = after(("2024-02-10", 4_000), ("2024-02-12", 10_000))
    assert (book.lines[0].interest_paid_minor, book.lines[0].principal_paid_minor) == (10_000, 4_000)
    assert book.due_minor(date(2024, 2, 15)) == 340_022 - 14_000
    assert book.lines[0].status == "pending"


def test_lateness_costs_simple_interest_by_the_day() -> None:
    # 3,400.22 for 14 days at 24 %: 31.3006...; then nothing, as it is paid
    book = after(("2024-02-29", 340_022))
    assert statuses(book)[0] == "paid"
    assert book.penalty_open_minor(date(2024, 2, 29), CHARGES) == 3_130
    assert book.penalty_open_minor(date(2024, 12, 31), CHARGES) == 3_130 + sum(
        line.penalty_minor(date(2024, 12, 31), CHARGES) for line in book.lines[1:]
    )
    assert book.late_keys == {"p0"}


def test_a_penalty_is_of_what_is_open_and_rounded_once() -> None:
    # 3,400.22 for 10 days and 1,400.22 for 5: (340022 * 10 + 140022 * 5) * 24 / 36500 = 2696.01...
    book = after(("2024-02-25", 200_000), ("2024-03-01", 140_022))
    assert book.lines[0].penalty_minor(date(2024, 3, 1), CHARGES) == 2_696


def test_due_instalments_come_before_penalties_and_these_before_what_is_ahead() -> None:
    book = after(("2024-02-29", 340_022 + 3_130 + 500))
    assert book.penalty_paid_minor == 3_130
    assert book.lines[1].interest_paid_minor == 500
    book = after(("2024-02-29", 340_022 + 1_000))
    assert book.penalty_paid_minor == 1_000
    assert book.lines[1].paid_minor == 0


def test_more_than_is_due_pays_ahead_and_what_is_left_is_excess() -> None:
    book = after(("2024-02-01", 340_022 + 100_000))
    assert statuses(book) == ["paid", "pending", "pending"]
    assert book.lines[1].paid_minor == 100_000
    total = sum(line.principal_minor + line.interest_minor for line in sample())
    book = after(("2024-02-01", total + 777), ("2024-02-02", 5))
    assert statuses(book) == ["paid"] * 3
    assert (book.excess_minor, book.closed_on, book.is_foreclosed) == (782, date(2024, 2, 1), False)


def test_a_loan_is_open_while_a_penalty_is() -> None:
    total = sum(line.principal_minor + line.interest_minor for line in sample())
    book = after(("2024-02-29", total))
    assert book.closed_on is None
    assert book.settles_minor(3, date(2024, 3, 31), CHARGES) > 3_130 - 1
    closed = after(("2024-02-29", total), ("2024-05-01", book.settles_minor(3, date(2024, 5, 1), CHARGES)))
    assert (closed.closed_on, closed.excess_minor) == (date(2024, 5, 1), 0)


def foreclosed(day: str, amount_minor: int, *before: Receipt, charges: Charges = CHARGES) -> Book:
    end = Receipt("end", date.fromisoformat(day), amount_minor, is_foreclosure=True)
    return replay(START, sample(), [*before, end], charges)


def test_a_foreclosure_pays_the_rest_of_the_principal_and_interest_by_the_day() -> None:
    first = Receipt("first", date(2024, 2, 15), 340_022)
    day = date(2024, 3, 1)  # 15 of the 29 days of the second period
    costs = quote(replay(START, sample(), [first], CHARGES), day, CHARGES)
    assert costs.principal_minor == 669_978
    assert costs.interest_minor == 3_466  # 6700 * 15 / 29
    assert costs.fee_minor == 13_400  # 2 % of 669978
    assert (costs.due_minor, costs.penalty_minor) == (0, 0)
    book = foreclosed("2024-03-01", costs.total_minor + 9, first)
    assert statuses(book) == ["paid", "cancelled", "cancelled"]
    assert (book.excess_minor, book.fee_minor, book.closed_on) == (9, 13_400, day)
    assert (book.principal_left_minor, book.interest_paid_minor) == (0, 13_466)
    assert (book.is_foreclosed, book.late_keys) == (True, frozenset())


def test_a_foreclosure_pays_what_is_late_too() -> None:
    costs = quote(replay(START, sample(), [], CHARGES), date(2024, 2, 29), CHARGES)
    assert (costs.due_minor, costs.penalty_minor, costs.interest_minor) == (340_022, 3_130, 3_234)
    book = foreclosed("2024-02-29", costs.total_minor)
    assert (book.closed_on, book.excess_minor, book.late_keys) == (
        date(2024, 2, 29),
        0,
        frozenset({"end"}),
    )


def test_a_foreclosure_that_is_too_little_is_a_payment() -> None:
    costs = quote(replay(START, sample(), [], FREE), date(2024, 2, 1), FREE)
    book = foreclosed("2024-02-01", costs.total_minor - 1, charges=FREE)
    assert (book.is_foreclosed, book.closed_on, book.fee_minor) == (False, None, 0)
    late_known = Receipt("a", date(2024, 1, 20), 1)
    assert foreclosed("2024-02-01", costs.total_minor - 1, late_known, charges=FREE).is_foreclosed


def test_a_payment_of_the_same_day_counts_before_a_foreclosure() -> None:
    costs = quote(replay(START, sample(), [], CHARGES), date(2024, 2, 1), CHARGES)
    same_day = Receipt("zzz", date(2024, 2, 1), 50_000)
    rest = quote(replay(START, sample(), [same_day], CHARGES), date(2024, 2, 1), CHARGES)
    assert rest.total_minor < costs.total_minor
    book = foreclosed("2024-02-01", rest.total_minor, same_day)
    assert (book.is_foreclosed, book.excess_minor) == (True, 0)


def test_interest_paid_ahead_is_not_asked_for_again() -> None:
    ahead = Receipt("ahead", date(2024, 1, 16), 9_000)
    costs = quote(replay(START, sample(), [ahead], CHARGES), date(2024, 2, 1), CHARGES)
    assert (costs.interest_minor, costs.principal_minor) == (0, 1_000_000)


# From here on: any loan, any payments.
@dataclass(frozen=True)
class Case:
    starts_on: date
    lines: list[Line]
    receipts: list[Receipt]
    charges: Charges

    def replay(self, receipts: list[Receipt] | None = None) -> Book:
        chosen = self.receipts if receipts is None else receipts
        return replay(self.starts_on, self.lines, chosen, self.charges)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    months = draw(st.integers(1, 8))
    principal = draw(st.integers(100 * months, 3_000_000))
    method: Plan = draw(st.sampled_from(("reducing", "flat", "interest_free")))
    rate = draw(st.sampled_from(("0", "3", "12.5", "36")))
    start = date(2024, 1, 31)
    charges = draw(st.sampled_from((CHARGES, FREE, Charges(Decimal("99.999"), Decimal("0.5")))))
    receipts = draw(
        st.lists(
            st.builds(
                Receipt,
                st.text("abcdef", min_size=1, max_size=3),
                st.integers(-10, 400).map(lambda days: start + timedelta(days=days)),
                st.integers(1, 1_500_000) | st.just(principal // months),
                st.sampled_from((False, False, False, True)),
            ),
            max_size=7,
            unique_by=lambda receipt: receipt.key,
        )
    )
    lines = lines_of(LoanTerms(principal, months, Decimal(rate), method, start))
    return Case(start, lines, receipts, charges)


@settings(max_examples=EXAMPLES)
@given(cases(), st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(case: Case, random: object) -> None:
    shuffled = [*case.receipts, *case.receipts[:3]]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert case.replay(shuffled) == case.replay()


@settings(max_examples=EXAMPLES)
@given(cases())
def test_each_paisa_is_somewhere_and_no_more_is_taken_than_is_owed(case: Case) -> None:
    book = case.replay()
    paid = sum(receipt.amount_minor for receipt in case.receipts)
    parts = (book.principal_paid_minor, book.interest_paid_minor, book.penalty_paid_minor)
    assert sum(parts) + book.fee_minor + book.excess_minor == paid
    for line in book.lines:
        assert 0 <= line.interest_paid_minor <= line.interest_minor
        assert 0 <= line.principal_paid_minor <= line.principal_minor
        assert 0 <= line.penalty_paid_minor <= line.penalty_minor(book.as_of, case.charges)
        assert (line.status == "paid") == (line.paid_minor == line.principal_minor + line.interest_minor)
        assert (line.paid_on is not None) == (line.open_minor == 0 and not line.is_cancelled) or (
            line.is_cancelled
        )
    assert book.excess_minor == 0 or book.closed_on is not None
    assert book.is_foreclosed or not any(line.is_cancelled for line in book.lines)
    first_open = next((line.number for line in book.lines if line.open_minor), None)
    if (
        first_open is not None
    ):  # the oldest first: behind the first open one nothing that was due is paid more
        assert all(line.open_minor for line in book.lines if line.number > first_open)


@settings(max_examples=EXAMPLES)
@given(cases())
def test_a_loan_is_closed_if_and_only_if_all_is_paid(case: Case) -> None:
    book = case.replay()
    last = date(2030, 1, 1)
    is_all_paid = not any(line.open_minor for line in book.lines) and not book.penalty_open_minor(
        last, case.charges
    )
    assert (book.closed_on is not None) == is_all_paid
    if not is_all_paid:
        assert quote(book, last, case.charges).total_minor > 0
        day = book.as_of if case.receipts else case.starts_on
        costs = quote(book, day, case.charges)
        end = Receipt("~", day, costs.total_minor, is_foreclosure=True)
        closed = case.replay([*case.receipts, end])
        assert (closed.closed_on, closed.excess_minor, closed.principal_left_minor) == (day, 0, 0)


@settings(max_examples=EXAMPLES)
@given(cases())
def test_another_payment_never_leaves_more_to_pay(case: Case) -> None:
    """Whenever it was made, at whatever point of the others."""
    books = [case.replay(case.receipts[:count]) for count in range(len(case.receipts) + 1)]
    for earlier, later in pairwise(books):
        assert later.principal_left_minor <= earlier.principal_left_minor
        assert (earlier.closed_on is None) or (later.closed_on is not None)
        assert all(
            after_it.open_minor <= before_it.open_minor
            for before_it, after_it in zip(earlier.lines, later.lines, strict=True)
        )
