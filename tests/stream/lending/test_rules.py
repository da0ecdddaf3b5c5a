"""Instalments: reference values, sums that are exact for any loan, and due dates at the ends of months."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.lending.rules import LoanTerms, Plan, TooLittleError, due_date, instalment_minor, plan

START = date(2024, 1, 15)
PLANS: tuple[Plan, ...] = ("reducing", "flat", "interest_free", "agreed")


def sample(method: Plan, rate: str | None = "12.5", emi_minor: int | None = None) -> LoanTerms:
    rate_pct = None if rate is None else Decimal(rate)
    return LoanTerms(4_500_000, 24, rate_pct, method, START, emi_minor)


@st.composite
def loans(draw: st.DrawFn) -> LoanTerms:
    months = draw(st.integers(1, 120))
    method = draw(st.sampled_from(PLANS))
    return LoanTerms(
        draw(st.integers(100 * months, 10**12)),
        months,
        draw(st.none() | st.decimals(0, 100, places=3)),
        method,
        draw(st.dates(date(2000, 1, 1), date(2100, 1, 1))),
        draw(st.integers(1, 10**12)) if method == "agreed" else None,
    )


@pytest.mark.parametrize(
    ("terms", "emi_minor"),
    [
        (sample("reducing"), 212_883),
        (sample("flat"), 234_375),
        (sample("interest_free"), 187_500),
        (sample("reducing", "0"), 187_500),
        (sample("reducing", None), 187_500),
        (sample("flat", "0"), 187_500),
        (sample("agreed", emi_minor=187_500), 187_500),
        (sample("agreed", emi_minor=220_000), 220_000),
    ],
)
def test_an_instalment_is_that_of_the_reference(terms: LoanTerms, emi_minor: int) -> None:
    planned = plan(terms)
    assert instalment_minor(terms) == emi_minor
    assert {each.amount_minor for each in planned[:-1]} == {emi_minor}
    assert abs(planned[-1].amount_minor - emi_minor) <= 12


def test_the_reducing_balance_is_that_of_the_textbook() -> None:
    planned = plan(sample("reducing"))
    assert [(each.principal_minor, each.interest_minor) for each in planned[:2]] == [
        (166_008, 46_875),
        (167_737, 45_146),
    ]
    assert planned[-1].interest_minor == round(planned[-1].principal_minor * 0.125 / 12)
    assert sum(each.interest_minor for each in planned) == 609_190


def test_an_agreed_instalment_that_is_too_small_leaves_the_rest_to_the_last() -> None:
    planned = plan(sample("agreed", emi_minor=100_000))
    assert planned[-1].amount_minor == 4_500_000 - 23 * 100_000
    assert sum(each.interest_minor for each in planned) == 0


def test_the_last_instalment_takes_the_rest() -> None:
    planned = plan(LoanTerms(1_000_000, 3, None, "interest_free", START))
    assert [each.amount_minor for each in planned] == [333_333, 333_333, 333_334]


@settings(max_examples=600)
@given(loans())
def test_parts_sum_to_principal_and_interest_exactly(terms: LoanTerms) -> None:
    planned = plan(terms)
    emi_minor = instalment_minor(terms)
    assert [each.number for each in planned] == list(range(1, terms.tenure_months + 1))
    assert sum(each.principal_minor for each in planned) == terms.principal_minor
    assert all(each.principal_minor >= 0 and each.interest_minor >= 0 for each in planned)
    assert all(each.amount_minor >= 1 for each in planned)
    interest_minor = sum(each.interest_minor for each in planned)
    if terms.method == "agreed":
        assert interest_minor == max(emi_minor * terms.tenure_months - terms.principal_minor, 0)
    elif terms.method == "interest_free" or not terms.rate_pct:
        assert interest_minor == 0
    elif terms.method == "flat":
        whole = terms.principal_minor * terms.rate_pct * terms.tenure_months / 1_200
        assert abs(interest_minor - whole) <= Decimal("0.5")
    if terms.method != "reducing":
        assert all(each.amount_minor == emi_minor for each in planned[:-1])


@settings(max_examples=200)
@given(st.integers(10_000_00, 10**10), st.integers(1, 60), st.decimals(1, 36, places=2))
def test_a_usual_reducing_loan_has_equal_instalments(principal: int, months: int, rate: Decimal) -> None:
    terms = LoanTerms(principal, months, rate, "reducing", START)
    amounts = [each.amount_minor for each in plan(terms)]
    assert set(amounts[:-1]) <= {instalment_minor(terms)}
    growth = (1 + rate / 1_200) ** months  # half a paisa of each instalment, with its interest
    assert abs(amounts[-1] - instalment_minor(terms)) <= months * growth + 1


def test_what_is_too_little_is_refused() -> None:
    with pytest.raises(TooLittleError, match="2399 minor units are too little for 24 instalments"):
        plan(LoanTerms(2_399, 24, None, "reducing", START))


@pytest.mark.parametrize(
    ("start", "due"),
    [
        (date(2024, 1, 15), ["2024-02-15", "2024-03-15", "2024-04-15"]),
        (date(2024, 1, 31), ["2024-02-29", "2024-03-31", "2024-04-30"]),
        (date(2023, 1, 31), ["2023-02-28", "2023-03-31", "2023-04-30"]),
        (date(2023, 11, 30), ["2023-12-30", "2024-01-30", "2024-02-29"]),
    ],
)
def test_instalments_are_due_monthly(start: date, due: list[str]) -> None:
    assert [due_date(start, months).isoformat() for months in (1, 2, 3)] == due
    planned = plan(LoanTerms(300_000, 3, None, "interest_free", start))
    assert [each.due_date.isoformat() for each in planned] == due
