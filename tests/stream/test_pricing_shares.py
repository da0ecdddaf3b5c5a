"""Surcharges, discounts and fees: the laws that every price with them obeys."""

from dataclasses import replace
from datetime import time
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.rating import (
    Dimension,
    Element,
    Fee,
    Period,
    Price,
    RatingError,
    Restrictions,
    Share,
    Tariff,
    Tax,
    Usage,
    rate,
    tariff_of,
)

S = 1_000_000
START_US = 1_774_656_000 * S  # 2026-03-28T00:00:00Z: the clocks of Berlin change in the night after
BERLIN = ZoneInfo("Europe/Berlin")

halves = st.integers(0, 47).map(lambda half: time(half // 2, half % 2 * 30))


@st.composite
def hours(draw: st.DrawFn) -> Restrictions:
    time_from, time_to = draw(st.none() | halves), draw(st.none() | halves)
    days = draw(st.frozensets(st.integers(0, 6), max_size=3))
    return Restrictions(time_from=time_from, time_to=None if time_to == time_from else time_to, days=days)


def shares(basis_points_max: int) -> st.SearchStrategy[tuple[Share, ...]]:
    one = st.builds(Share, st.just("s"), st.integers(0, basis_points_max), hours())
    return st.lists(one, max_size=4).map(tuple)


def price(dimension: Dimension, per: str) -> st.SearchStrategy[Price]:
    amount = st.integers(0, 10**6).map(lambda hundredths: Fraction(hundredths, 100))
    return st.builds(Price, st.just(dimension), amount, st.just(per))


elements = st.tuples(
    st.builds(lambda one: Element((one,)), price(Dimension.ENERGY, "kwh")),
    st.builds(lambda one: Element((one,)), price(Dimension.PARKING, "minute")),
)
tariffs = st.builds(
    Tariff,
    currency=st.just("INR"),
    elements=elements,
    taxes=st.integers(0, 10_000).map(lambda basis_points: (Tax("GST", basis_points),)),
    surcharges=shares(90_000),
    discounts=shares(10_000),
    fees=st.lists(st.builds(Fee, st.just("f"), st.integers(0, 10_000)), max_size=2).map(tuple),
)
usages = st.lists(
    st.tuples(st.integers(0, 86_400), st.integers(0, 30_000)), max_size=4
)  # length in s, energy in Wh


def used(parts: list[tuple[int, int]], times: int = 1) -> Usage:
    at_us, periods = START_US, []
    for duration_s, energy_wh in parts:
        periods.append(Period(at_us, at_us + duration_s * S, energy_wh * times))
        at_us += duration_s * S
    return Usage(START_US, tuple(periods))


@given(usages, tariffs)
def test_the_lines_sum_to_the_total_and_a_discount_is_never_more_than_there_is(
    parts: list[tuple[int, int]], tariff: Tariff
) -> None:
    charges = rate(used(parts), tariff, BERLIN)
    before_minor = charges.energy_minor + charges.parking_minor + charges.surcharge_minor
    assert 0 <= charges.discount_minor <= before_minor
    assert charges.net_minor == before_minor - charges.discount_minor + charges.fee_minor
    assert charges.total_minor == charges.net_minor + charges.gst_minor
    assert charges.total_minor == sum(line.amount_minor for line in charges.lines)


@given(usages, tariffs)
def test_each_share_is_rounded_once_and_all_discounts_together(
    parts: list[tuple[int, int]], tariff: Tariff
) -> None:
    lines = rate(used(parts), tariff, BERLIN).lines
    for line in lines:
        if line.component in {"surcharge", "fee", "tax"}:
            exact = line.quantity * line.price / 10_000
            assert -Fraction(1, 2) < line.amount_minor - exact <= Fraction(1, 2)
    discounts = [line for line in lines if line.component == "discount"]
    exact = sum((line.quantity * line.price / 10_000 for line in discounts), Fraction(0))
    assert -Fraction(1, 2) < -sum(line.amount_minor for line in discounts) - exact <= Fraction(1, 2)


@given(usages, tariffs, st.integers(1, 20))
def test_more_of_the_same_energy_never_costs_less(
    parts: list[tuple[int, int]], tariff: Tariff, times: int
) -> None:
    less, more = rate(used(parts), tariff, BERLIN), rate(used(parts, times), tariff, BERLIN)
    assert more.energy_minor >= less.energy_minor
    assert more.net_minor >= less.net_minor
    assert more.total_minor >= less.total_minor


@given(usages, tariffs, st.integers(0, 10**5))
def test_more_energy_at_some_time_never_costs_less_but_for_the_rounding_of_a_discount(
    parts: list[tuple[int, int]], tariff: Tariff, more_wh: int
) -> None:
    without_fees = replace(tariff, fees=())
    before = rate(used(parts), without_fees, BERLIN).net_minor
    for index, (duration_s, energy_wh) in enumerate(parts):
        larger = [*parts[:index], (duration_s, energy_wh + more_wh), *parts[index + 1 :]]
        after = rate(used(larger), without_fees, BERLIN).net_minor
        assert after >= before - 1 - len(tariff.surcharges)


@given(usages, elements, st.integers(0, 10_000), st.integers(0, 90_000))
def test_shares_of_all_hours_are_parts_of_the_receipt(
    parts: list[tuple[int, int]], priced: tuple[Element, ...], discount: int, surcharge: int
) -> None:
    plain = Tariff("INR", priced)
    tariff = replace(plain, surcharges=(Share("s", surcharge),), discounts=(Share("d", discount),))
    before, after = rate(used(parts), plain), rate(used(parts), tariff)
    assert (after.energy_minor, after.parking_minor) == (before.energy_minor, before.parking_minor)
    assert after.surcharge_minor == (2 * before.energy_minor * surcharge + 10_000) // 20_000
    base_minor = before.net_minor + after.surcharge_minor
    assert after.discount_minor == (2 * base_minor * discount + 10_000) // 20_000


ENERGY = {"elements": [{"prices": [{"dimension": "energy", "price_minor": 10}]}]}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"surcharges": [{"name": "x", "basis_points": -1}]}, r"surcharges\[0\].*-1 basis points"),
        ({"surcharges": [{"basis_points": 1}]}, "name"),
        ({"discounts": [{"name": "x", "basis_points": 10_001}]}, "10001 is more than all"),
        (
            {"discounts": [{"name": "x", "basis_points": 1, "restrictions": {"days": ["x"]}}]},
            r"discounts\[0\]",
        ),
        ({"fees": [{"name": "x", "basis_points": -5}]}, "fee 'x'"),
        ({"fees": [{"name": "x", "basis_points": 1}] * 11}, "11 fees, not up to 10"),
        ({"surcharges": [{"name": "x", "basis_points": 1}] * 101}, "101 surcharges"),
    ],
)
def test_a_bad_share_is_refused_where_it_is_bad(more: dict[str, object], message: str) -> None:
    with pytest.raises(RatingError, match=message):
        tariff_of("INR", {**ENERGY, **more}, 1800)
