"""Rating against slow fractions: day by day, reading by reading, window by window, on any wall clock."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.metering.consumption import FOREVER_US, Readings, Span, consume
from stream.metering.days import day_start_us, local_day, month_start, next_month
from stream.metering.rating import DayCost, Run, day_costs, rate
from stream.metering.tariff import Tariff, tariff_of
from tests.stream.metering import truth

JOHANNESBURG = ZoneInfo("Africa/Johannesburg")
MINUTE_US = 60_000_000
START_US = truth.us(datetime(2026, 5, 29, tzinfo=UTC))

decimals = st.builds(lambda whole, part: f"{whole}.{part:03}", st.integers(0, 400), st.integers(0, 999))
ends = st.lists(st.integers(1, 60), min_size=0, max_size=3, unique=True).map(sorted)


@st.composite
def tariffs(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["flat", "block", "time_of_use"]))
    energy: dict[str, Any] = {"kind": kind}
    if kind == "flat":
        energy["price_minor"] = draw(decimals)
    elif kind == "block":
        limits = draw(ends)
        energy["per"] = draw(st.sampled_from(["month", "day"]))
        energy["blocks"] = [
            *({"up_to": f"{limit / 2}", "price_minor": draw(decimals)} for limit in limits),
            {"price_minor": draw(decimals)},
        ]
    else:
        energy["holidays"] = draw(st.sampled_from([[], ["2026-06-01", "2026-06-03"]]))
        bounds = draw(st.sampled_from([[("01-01", "12-31")], [("06-01", "08-31"), ("09-01", "05-31")]]))
        energy["seasons"] = [
            {"from": low, "to": high, "days": {"weekday": draw(periods()), "weekend": draw(periods())}}
            for low, high in bounds
        ]
    tariff: dict[str, Any] = {"energy": energy}
    tariff["fixed_minor_per_day"] = draw(st.sampled_from(["0", "33.3"]))
    tariff["minimum_minor_per_day"] = draw(st.sampled_from(["0", "120.5"]))
    if draw(st.booleans()):
        tariff["tax"] = {"basis_points": draw(st.integers(0, 3000)), "is_included": draw(st.booleans())}
    return tariff


@st.composite
def periods(draw: st.DrawFn) -> list[dict[str, Any]]:
    later = draw(st.lists(st.integers(1, 95), max_size=3, unique=True).map(sorted))
    times = [0, *later]
    return [{"from": f"{at // 4:02}:{at % 4 * 15:02}", "price_minor": draw(decimals)} for at in times]


# minutes to the next reading, and what flows till then in mWh
steps = st.lists(st.tuples(st.integers(1, 2_000), st.integers(0, 9_000_000)), min_size=1, max_size=25)


def points_of(flows: list[tuple[int, int]]) -> list[truth.Point]:
    points = [(START_US, 0)]
    for minutes, amount in flows:
        points.append((points[-1][0] + minutes * MINUTE_US, points[-1][1] + amount))
    return points


def readings_of(points: list[truth.Point]) -> Readings:
    span = Span(0, FOREVER_US, 1, 10**15)
    times = np.array([at for at, _ in points], np.int64)
    values = np.array([value for _, value in points], np.float64)
    return consume(times, values, np.array([0, len(points)], np.int64), [span])


def rated(readings: Readings, tariff: Tariff, first: date, end: date) -> dict[date, DayCost]:
    return day_costs(rate(readings, [Run(tariff, first, end)], JOHANNESBURG))


def as_truth(costs: dict[date, DayCost]) -> truth.Bills:
    return {day: (cost.amount, cost.cost_minor) for day, cost in costs.items()}


def reach(points: list[truth.Point]) -> tuple[date, date]:
    last = local_day(points[-1][0], JOHANNESBURG)
    return month_start(local_day(points[0][0], JOHANNESBURG)), last + timedelta(days=1)


@given(tariffs(), steps)
def test_bills_are_the_truth_and_readings_sum_to_them(
    definition: dict[str, Any], flows: list[tuple[int, int]]
) -> None:
    points = points_of(flows)
    first, end = reach(points)
    parts = rate(readings_of(points), [Run(tariff_of(definition), first, end)], JOHANNESBURG)
    expected = truth.bills(definition, points, JOHANNESBURG)
    assert as_truth(day_costs(parts)) == expected
    assert int(parts.costs_minor.sum()) == sum(cost for _, cost in expected.values())
    assert int(parts.amounts.sum()) == points[-1][1]
    assert int(parts.costs_minor.min(initial=0)) >= 0


@given(tariffs(), steps)
def test_a_later_month_by_itself_gives_what_the_whole_gives(
    definition: dict[str, Any], flows: list[tuple[int, int]]
) -> None:
    points = points_of(flows)
    first, end = reach(points)
    tariff = tariff_of(definition)
    whole = rated(readings_of(points), tariff, first, end)
    second = next_month(first)
    if second < end:
        alone = rated(readings_of(points), tariff, second, end)
        assert alone == {day: cost for day, cost in whole.items() if day >= second}


@given(tariffs(), steps, st.integers(1, 5))
def test_a_new_tariff_leaves_the_days_before_it(
    definition: dict[str, Any], flows: list[tuple[int, int]], after: int
) -> None:
    points = points_of(flows)
    first, end = reach(points)
    change = min(local_day(START_US, JOHANNESBURG) + timedelta(days=after), end)
    runs = [
        Run(None, first, change),
        Run(tariff_of(definition), change, end),
    ]
    costs = day_costs(rate(readings_of(points), [run for run in runs if run.first < run.end], JOHANNESBURG))
    expected = truth.bills(definition, points, JOHANNESBURG)
    assert {day: cost.amount for day, cost in costs.items()} == {
        day: amount for day, (amount, _) in expected.items()
    }
    assert {day: cost.cost_minor for day, cost in costs.items() if day >= change} == {
        day: cost for day, (_, cost) in expected.items() if day >= change
    }
    assert all(cost.cost_minor == 0 for day, cost in costs.items() if day < change)


@pytest.mark.parametrize(
    "name", ["Europe/Amsterdam", "America/Havana", "Asia/Beirut", "Australia/Lord_Howe", "Africa/Cairo"]
)
def test_every_day_of_a_year_is_as_long_as_its_wall_clock_says(name: str) -> None:
    zone = ZoneInfo(name)
    at_us = day_start_us(date(2026, 1, 1), zone)
    minutes = (day_start_us(date(2027, 1, 1), zone) - at_us) // MINUTE_US
    # a Wh a minute, by one reading every ten minutes: a day's consumption is its length
    points = [(at_us + index * MINUTE_US, index * 1_000) for index in range(0, minutes + 1, 10)]
    tariff = tariff_of({"energy": {"kind": "flat", "price_minor": "100"}})
    costs = day_costs(rate(readings_of(points), [Run(tariff, date(2026, 1, 1), date(2027, 1, 1))], zone))
    lengths = {
        day: (day_start_us(day + timedelta(days=1), zone) - day_start_us(day, zone)) // MINUTE_US
        for day in costs
    }
    assert len(costs) == 365
    assert {day: cost.amount // 1_000 for day, cost in costs.items()} == lengths
    assert all(local_day(day_start_us(day, zone), zone) == day for day in costs)
    assert all(local_day(day_start_us(day, zone) - 1, zone) == day - timedelta(days=1) for day in costs)
