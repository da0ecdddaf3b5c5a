"""Rating: rounding, definitions, and the laws that every price obeys. Whole sessions: `test_golden_cdrs`."""

from dataclasses import replace
from datetime import date, time
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.rating import (
    Charges,
    Dimension,
    Element,
    Kind,
    Period,
    Price,
    RatingError,
    Restrictions,
    Tariff,
    Tax,
    Usage,
    rate,
    simple_tariff,
    tariff_of,
)

S = 1_000_000
DAY_S = 86_400
START_US = 1_774_656_000 * S  # 2026-03-28T00:00:00Z: the clocks of Berlin change in the night after
BERLIN = ZoneInfo("Europe/Berlin")
INDIA = simple_tariff("INR", 1500, 0, 0, 1800)


def usage(energy_wh: int, duration_s: int = 0, idle_s: int = 0) -> Usage:
    end_us = START_US + duration_s * S
    charging = Period(START_US, end_us, energy_wh)
    return Usage(START_US, (charging, Period(end_us, end_us + idle_s * S, 0, Kind.IDLE)))


def parts(charges: Charges) -> tuple[int, int, int, int]:
    return charges.energy_minor, charges.time_minor, charges.parking_minor, charges.gst_minor


@pytest.mark.parametrize(
    ("used", "prices", "expected"),
    [
        ((0, 0, 0), (1500, 0, 0, 1800), (0, 0, 0, 0)),
        ((10_000, 3_600, 0), (1500, 0, 0, 1800), (15_000, 0, 0, 2_700)),
        ((1, 0, 0), (1500, 0, 0, 1800), (2, 0, 0, 0)),  # 1.5 rounds up; its tax of 0.36 down
        ((333, 0, 0), (1500, 0, 0, 1800), (500, 0, 0, 90)),  # 499.5
        ((1, 0, 0), (499, 0, 0, 0), (0, 0, 0, 0)),  # 0.499
        ((1, 0, 0), (500, 0, 0, 0), (1, 0, 0, 0)),  # 0.5
        ((0, 59, 0), (0, 100, 0, 0), (0, 98, 0, 0)),  # 98.33
        ((0, 0, 90), (0, 0, 1, 0), (0, 0, 2, 0)),  # 1.5
        ((7_777, 1_800, 600), (1234, 50, 200, 1800), (9_597, 1_500, 2_000, 2_357)),  # 9596.818; tax 2357.46
        ((0, 60, 0), (0, 25, 0, 1000), (0, 25, 0, 3)),  # tax 2.5
        ((10**12, 10**7, 10**7), (10**9, 10**9, 10**9, 10_000),
         (10**18, 166_666_666_666_667, 166_666_666_666_667, 1_000_333_333_333_333_334)),
    ],
)  # fmt: skip
def test_simple_tariffs(
    used: tuple[int, int, int], prices: tuple[int, int, int, int], expected: tuple[int, int, int, int]
) -> None:
    charges = rate(usage(*used), simple_tariff("INR", *prices))
    assert parts(charges) == expected
    assert charges.total_minor == sum(expected)


def test_what_is_negative_or_out_of_order_has_no_price() -> None:
    with pytest.raises(RatingError, match=r"energy_wh of -5"):
        usage(-5)
    with pytest.raises(RatingError, match="ends at"):
        usage(5, -1)
    with pytest.raises(RatingError, match="ends at"):
        Usage(START_US, (Period(START_US, START_US + 2, 1), Period(START_US + 1, START_US + 3, 1)))
    with pytest.raises(RatingError, match="800 days"):
        usage(5, 801 * DAY_S)
    with pytest.raises(RatingError, match="gst_basis_points"):
        simple_tariff("INR", 1, 1, 1, -5)
    with pytest.raises(RatingError, match="energy: -1 is negative"):
        simple_tariff("INR", -1, 1, 1, 5)
    with pytest.raises(RatingError, match="neither may be negative"):
        replace(INDIA, min_price_minor=-1)
    with pytest.raises(RatingError, match="above a maximum"):
        replace(INDIA, min_price_minor=2, max_price_minor=1)


ENERGY = {"dimension": "energy", "price_minor": 10}


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({}, "elements"),
        ({"elements": []}, "0 elements, not 1 to 200"),
        ({"elements": [{"prices": [ENERGY]}], "vat": 1}, "vat"),
        ({"elements": [{"prices": [{**ENERGY, "price_minor": "1/3"}]}]}, r"elements\[0\]: price_minor '1/3'"),
        ({"elements": [{"prices": [{**ENERGY, "price_minor": -1}]}]}, "price_minor '-1'"),
        ({"elements": [{"prices": [{**ENERGY, "price_minor": 1.5}]}]}, r"got `float`.*prices\[0\]"),
        ({"elements": [{"prices": [{**ENERGY, "per": "minute"}]}]}, "'minute' is none of"),
        ({"elements": [{"prices": [{**ENERGY, "step": -1}]}]}, "a step of -1"),
        ({"elements": [{"prices": [{**ENERGY, "dimension": "power"}]}]}, "power"),
        ({"elements": [{"prices": [ENERGY, ENERGY]}]}, "two prices of one dimension"),
        ({"elements": [{"prices": [ENERGY], "restrictions": {"time_from": "25:00"}}]}, "hour must be"),
        ({"elements": [{"prices": [ENERGY], "restrictions": {"days": ["Monday"]}}]}, "'Monday'"),
        (
            {"elements": [{"prices": [ENERGY], "restrictions": {"time_from": "08:00", "time_to": "08:00"}}]},
            "same time",
        ),
        ({"elements": [{"prices": [ENERGY]}], "taxes": [{"name": "T", "basis_points": -1}]}, "tax 'T'"),
    ],
)
def test_a_bad_definition_is_refused_where_it_is_bad(definition: dict[str, object], message: str) -> None:
    with pytest.raises(RatingError, match=message):
        tariff_of("INR", definition, 1800)


def test_a_definition_without_taxes_has_gst_and_one_with_an_empty_list_has_none() -> None:
    elements = {"elements": [{"prices": [ENERGY]}]}
    assert tariff_of("INR", elements, 1800).taxes == (Tax("GST", 1800),)
    assert tariff_of("INR", {**elements, "taxes": []}, 1800).taxes == ()


# Laws. Restrictions of the calendar, of energy, of time, and of idle time, over a change of the clocks.

halves = st.integers(0, 47).map(lambda half: time(half // 2, half % 2 * 30))
optional_wh = st.none() | st.integers(1, 60_000)
optional_s = st.none() | st.integers(1, 2 * DAY_S)


@st.composite
def restrictions(draw: st.DrawFn, *, is_calendar_only: bool = False) -> Restrictions:
    time_from, time_to = draw(st.none() | halves), draw(st.none() | halves)
    calendar = Restrictions(
        time_from=time_from,
        time_to=None if time_to == time_from else time_to,
        days=draw(st.frozensets(st.integers(0, 6), max_size=3)),
        date_from=draw(st.none() | st.dates(date(2026, 3, 27), date(2026, 3, 31))),
    )
    if is_calendar_only:
        return calendar
    return replace(
        calendar,
        min_energy_wh=draw(optional_wh),
        max_energy_wh=draw(optional_wh),
        min_duration_s=draw(optional_s),
        max_duration_s=draw(optional_s),
        min_idle_s=draw(optional_s),
        max_idle_s=draw(optional_s),
    )


def prices(step_max: int = 1_000) -> st.SearchStrategy[tuple[Price, ...]]:
    amount = st.integers(0, 10**6).map(lambda thousandths: Fraction(thousandths, 1000))
    steps = st.integers(0, step_max)
    per = st.sampled_from(["minute", "hour"])
    of = {
        Dimension.FLAT: st.builds(Price, st.just(Dimension.FLAT), amount, st.just("session")),
        Dimension.ENERGY: st.builds(Price, st.just(Dimension.ENERGY), amount, st.just("kwh"), steps),
        Dimension.TIME: st.builds(Price, st.just(Dimension.TIME), amount, per, steps),
        Dimension.IDLE: st.builds(Price, st.just(Dimension.IDLE), amount, st.just("minute"), steps),
        Dimension.PARKING: st.builds(Price, st.just(Dimension.PARKING), amount, per, steps),
    }  # fmt: skip
    chosen = st.lists(st.sampled_from(list(Dimension)), unique=True, max_size=5)
    return chosen.flatmap(lambda dimensions: st.tuples(*(of[dimension] for dimension in dimensions)))


taxes = st.lists(
    st.builds(Tax, st.just("T"), st.integers(0, 10_000), st.frozensets(st.sampled_from(list(Dimension)))),
    max_size=3,
).map(tuple)
elements = st.lists(st.builds(Element, prices(), restrictions()), min_size=1, max_size=4).map(tuple)
limits = st.none() | st.integers(0, 10**5)


@st.composite
def tariffs(draw: st.DrawFn) -> Tariff:
    low, high = draw(limits), draw(limits)
    if low is not None and high is not None:
        low, high = min(low, high), max(low, high)
    return Tariff("EUR", draw(elements), draw(taxes), low, high)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    lengths = st.tuples(st.integers(0, DAY_S), st.integers(0, 30_000), st.sampled_from(Kind))
    at_us, made = START_US, []
    for duration_s, energy_wh, kind in draw(st.lists(lengths, max_size=5)):
        wh = 0 if kind is Kind.IDLE else energy_wh
        made.append(Period(at_us, at_us + duration_s * S, wh, kind))
        at_us += duration_s * S
    return Usage(START_US, tuple(made))


@given(usages(), tariffs())
def test_the_lines_sum_to_the_total_and_each_is_its_quantity_times_its_price(
    used: Usage, tariff: Tariff
) -> None:
    charges = rate(used, tariff, BERLIN)
    assert charges.total_minor == sum(line.amount_minor for line in charges.lines)
    assert charges.total_minor == (
        sum(parts(charges)) + charges.flat_minor + charges.adjustment_minor
    )  # what a record's columns must sum to
    assert charges.total_minor >= 0
    per = {"kwh": 1000, "minute": 60, "hour": 3600, "session": 1, "basis_points": 10_000}
    for line in charges.lines:
        if line.component not in {"minimum", "maximum"}:
            exact = line.quantity * line.price / per[line.per]
            assert -Fraction(1, 2) < line.amount_minor - exact <= Fraction(1, 2)  # half up, once


@given(usages(), tariffs())
def test_the_minimum_and_the_maximum_hold(used: Usage, tariff: Tariff) -> None:
    net_minor = rate(used, tariff, BERLIN).net_minor
    if tariff.max_price_minor is not None:
        assert net_minor <= tariff.max_price_minor
    if tariff.min_price_minor is not None and used.energy_wh > 0:
        assert net_minor >= tariff.min_price_minor


@given(usages(), tariffs(), st.data())
def test_splitting_a_period_in_two_changes_nothing(used: Usage, tariff: Tariff, data: st.DataObject) -> None:
    long = [index for index, period in enumerate(used.periods) if period.duration_us > 0]
    if not long:
        return
    index = data.draw(st.sampled_from(long))
    whole = used.periods[index]
    at_us = data.draw(st.integers(whole.start_us, whole.end_us))
    first_wh = Fraction(at_us - whole.start_us, whole.duration_us) * whole.energy_wh
    halves_ = (
        replace(whole, end_us=at_us, energy_wh=first_wh),
        replace(whole, start_us=at_us, energy_wh=whole.energy_wh - first_wh),
    )
    split = Usage(used.start_us, (*used.periods[:index], *halves_, *used.periods[index + 1 :]))
    assert rate(split, tariff, BERLIN) == rate(used, tariff, BERLIN)


# Without restrictions on energy and steps: with them, more energy may make other energy or time cheaper.
calendar_tariffs = st.builds(
    Tariff,
    st.just("EUR"),
    st.lists(
        st.builds(Element, prices(step_max=0), restrictions(is_calendar_only=True)), min_size=1, max_size=4
    ).map(tuple),
    taxes,
)


@given(usages(), calendar_tariffs, st.integers(0, 10**5))
def test_more_energy_never_costs_less(used: Usage, tariff: Tariff, more_wh: int) -> None:
    for index, period in enumerate(used.periods):
        larger = replace(period, energy_wh=period.energy_wh + more_wh)
        changed = Usage(used.start_us, (*used.periods[:index], larger, *used.periods[index + 1 :]))
        before, after = rate(used, tariff, BERLIN), rate(changed, tariff, BERLIN)
        assert after.net_minor >= before.net_minor


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=4), st.integers(0, 10**5), st.integers(0, 10**5))
def test_more_energy_in_tiers_never_costs_less(amounts: list[int], energy_wh: int, more_wh: int) -> None:
    tiers = tuple(
        Element(
            (Price(Dimension.ENERGY, Fraction(amount), "kwh"),), Restrictions(max_energy_wh=10_000 * number)
        )
        for number, amount in enumerate(amounts, 1)
    )  # fmt: skip
    tariff = Tariff("EUR", tiers)
    less = rate(usage(energy_wh, 3600), tariff).total_minor
    assert rate(usage(energy_wh + more_wh, 3600), tariff).total_minor >= less


@given(tariffs())
def test_a_session_of_nothing_costs_the_flat_fee_or_nothing(tariff: Tariff) -> None:
    charges = rate(Usage(START_US), tariff, BERLIN)
    fees = {round(2 * price.price_minor + 1) // 2 for element in tariff.elements for price in element.prices
            if price.dimension is Dimension.FLAT}  # fmt: skip
    assert charges.flat_minor in {0, *fees, *(fee - 1 for fee in fees)}
    assert charges.net_minor == charges.flat_minor + charges.adjustment_minor
    assert charges.adjustment_minor <= 0
    assert parts(charges)[:3] == (0, 0, 0)


@given(usages(), tariffs())
def test_every_second_and_wh_is_billed_at_most_once_before_steps(used: Usage, tariff: Tariff) -> None:
    bare = replace(
        tariff,
        elements=tuple(
            replace(element, prices=tuple(replace(price, step=0) for price in element.prices))
            for element in tariff.elements
        ),
    )
    lines = rate(used, bare, BERLIN).lines
    billed = {
        dimension: sum((line.quantity for line in lines if line.component == dimension), Fraction(0))
        for dimension in Dimension
    }
    assert billed[Dimension.ENERGY] <= used.energy_wh
    assert billed[Dimension.TIME] * S <= used.duration_us(Kind.CHARGING)
    assert billed[Dimension.IDLE] * S <= used.duration_us(Kind.IDLE)
    assert billed[Dimension.PARKING] * S <= sum(used.duration_us(kind) for kind in Kind)
    assert billed[Dimension.FLAT] <= 1
