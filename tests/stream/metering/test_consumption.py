"""Registers to consumption: the faults of real registers, exactness, and that only neighbours matter."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.metering.consumption import (
    FOREVER_US,
    GLITCHES_MAX,
    LOOKAHEAD,
    LOOKBACK,
    ConsumptionError,
    Readings,
    Span,
    Tag,
    consume,
)

HOUR_US = 3_600_000_000
WIDE = 10**15


def a_span(
    *,
    since_us: int = 0,
    until_us: int = FOREVER_US,
    fine: int = 1,
    rate_max: int = WIDE,
    multiplier: Fraction = Fraction(1),
    modulus: int | None = None,
) -> Span:
    return Span(
        since_us, until_us, fine, rate_max, multiplier, None if modulus is None else Fraction(modulus)
    )


def run(registers: list[float], span: Span | None = None, times: list[int] | None = None) -> Readings:
    at = [index * HOUR_US for index in range(len(registers))] if times is None else times
    bounds = np.array([0, len(registers)], np.int64)
    return consume(
        np.array(at, np.int64), np.array(registers, np.float64), bounds, [a_span() if span is None else span]
    )


def tags(readings: Readings) -> list[str]:
    return [Tag(tag).name for tag in readings.tags.tolist()]


def rows(readings: Readings) -> list[tuple[int, ...]]:
    columns = (
        readings.spans,
        readings.times_us,
        readings.starts_us,
        readings.registers,
        readings.amounts,
        readings.tags,
    )
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize(
    ("registers", "modulus", "amounts", "named"),
    [
        ([5, 7, 7, 10], None, [0, 2, 0, 3], ["FIRST", "RISE", "RISE", "RISE"]),
        ([998, 999, 1, 4], 1000, [0, 1, 2, 3], ["FIRST", "RISE", "ROLLOVER", "RISE"]),
        ([500, 510, 1, 4], 1000, [0, 10, 1, 3], ["FIRST", "RISE", "RESET", "RISE"]),
        ([500, 510, 1, 4], None, [0, 10, 1, 3], ["FIRST", "RISE", "RESET", "RISE"]),
        ([500, 510, 499, 520], None, [0, 10, 0, 10], ["FIRST", "RISE", "GLITCH", "RISE"]),
        ([500, 510, 498, 505], None, [0, 10, 0, 7], ["FIRST", "RISE", "REVERSE", "RISE"]),
        ([500, 90_000, 501], None, [0, 0, 1], ["FIRST", "GLITCH", "RISE"]),
        ([500, 0, 501], None, [0, 0, 1], ["FIRST", "GLITCH", "RISE"]),
        ([3, 999, 5], 1000, [0, 0, 2], ["FIRST", "GLITCH", "RISE"]),
        ([900, 10, 905], 1000, [0, 0, 5], ["FIRST", "GLITCH", "RISE"]),
        ([5, 0], None, [0, 0], ["FIRST", "RESET"]),
        ([7], None, [0], ["FIRST"]),
        ([], None, [], []),
    ],
)
def test_what_a_register_counts_for(
    registers: list[float], modulus: int | None, amounts: list[int], named: list[str]
) -> None:
    readings = run(registers, a_span(modulus=modulus))
    assert readings.amounts.tolist() == amounts
    assert tags(readings) == named


def test_more_than_can_flow_is_not_counted_and_the_register_goes_on() -> None:
    readings = run([0, 50, 151, 160], a_span(rate_max=100))
    assert readings.amounts.tolist() == [0, 50, 0, 9]
    assert tags(readings) == ["FIRST", "RISE", "IMPLAUSIBLE", "RISE"]


def test_a_coarse_register_may_jump_in_a_short_time() -> None:
    # 25 in one second: a quarter of an hour's worth of the rate is granted
    readings = run([0, 25], a_span(rate_max=100), times=[0, 1_000_000])
    assert readings.amounts.tolist() == [0, 25]


def test_values_that_are_no_register_are_left_out() -> None:
    readings = run([1, float("nan"), -3, float("inf"), 1e300, 4])
    assert readings.registers.tolist() == [1, 4]
    assert readings.amounts.tolist() == [0, 3]


def test_no_float_drifts() -> None:
    # a tenth of a Wh a reading, ten thousand times
    readings = run([index / 10 for index in range(10_001)], a_span(fine=1000))
    assert set(readings.amounts[1:].tolist()) == {100}
    assert int(readings.amounts.sum()) == 1_000_000


@pytest.mark.parametrize("multiplier", [Fraction(1, 3), Fraction(120), Fraction(25, 1000)])
def test_a_multiplier_keeps_the_sum(multiplier: Fraction) -> None:
    readings = run(list(range(0, 7000, 7)), a_span(multiplier=multiplier))
    assert int(readings.amounts.sum()) == 6993 * multiplier.numerator // multiplier.denominator


def test_installations_follow_each_other_and_nothing_counts_across() -> None:
    times = np.array([0, 1, 2, 3, 1, 2, 3, 4], np.int64) * HOUR_US
    values = np.array([10, 12, 99, 99, 600, 700, 701, 705], np.float64)
    spans = [a_span(until_us=2 * HOUR_US), a_span(since_us=2 * HOUR_US)]
    readings = consume(times, values, np.array([0, 4, 8], np.int64), spans)
    assert readings.amounts.tolist() == [0, 2, 0, 1, 4]
    assert tags(readings) == ["FIRST", "RISE", "FIRST", "RISE", "RISE"]


def test_a_long_run_of_doubtful_readings_is_what_the_register_shows() -> None:
    zigzag = [float(1000 + (index % 2) * 500 + index) for index in range(40)]
    readings = run(zigzag)
    assert tags(readings).count("GLITCH") == GLITCHES_MAX
    assert int(readings.amounts.min()) == 0


@pytest.mark.parametrize("multiplier", [Fraction(0), Fraction(-1), Fraction(2**40, 3**30)])
def test_a_multiplier_that_cannot_be_computed_with_is_refused(multiplier: Fraction) -> None:
    with pytest.raises(ConsumptionError, match="multiplier"):
        a_span(multiplier=multiplier)


def test_a_modulus_that_cannot_be_computed_with_is_refused() -> None:
    with pytest.raises(ConsumptionError, match="register_modulus"):
        a_span(modulus=0)


# small numbers, so that glitches, rollovers and resets are everywhere
wild = st.lists(st.integers(0, 60), min_size=1, max_size=120)
moduli = st.sampled_from([None, 64, 61])
# runs of doubtful readings, longer than what is taken for a glitch, with good ones between
zigzags = st.lists(st.integers(1, 30), min_size=1, max_size=6).map(
    lambda runs: [
        100 * run + index // 2 + 50 * (index % 2)
        for run, length in enumerate(runs)
        for index in range(length)
    ]
)


@given(wild | zigzags, moduli, st.data())
def test_only_the_neighbours_of_a_window_matter(
    registers: list[int], modulus: int | None, data: st.DataObject
) -> None:
    span = a_span(modulus=modulus)
    whole = rows(run([float(value) for value in registers], span))
    low = data.draw(st.integers(0, len(registers)))
    high = data.draw(st.integers(low, len(registers)))
    first, end = max(0, low - LOOKBACK), min(len(registers), high + LOOKAHEAD)
    times = [index * HOUR_US for index in range(first, end)]
    part = rows(run([float(value) for value in registers[first:end]], span, times))
    assert part[low - first : high - first] == whole[low:high]
    # and the interval that goes over the window's end is whole
    crossing = [row for row in whole if row[2] < high * HOUR_US <= row[1]]
    assert [row for row in part if row[2] < high * HOUR_US <= row[1]] == crossing


@given(wild, moduli, st.data())
def test_order_and_repeats_do_not_matter_and_nothing_is_negative(
    registers: list[int], modulus: int | None, data: st.DataObject
) -> None:
    span = a_span(modulus=modulus)
    sent = [(index * HOUR_US, float(value)) for index, value in enumerate(registers)]
    plain = run([value for _, value in sent], span, [at for at, _ in sent])
    assert int(plain.amounts.min()) >= 0
    again = data.draw(st.permutations(sent + data.draw(st.lists(st.sampled_from(sent), max_size=10))))
    mixed = run([value for _, value in again], span, [at for at, _ in again])
    assert rows(mixed) == rows(plain)


@given(st.lists(wild, min_size=1, max_size=6), st.data())
def test_many_meters_at_once_are_each_by_itself(meters: list[list[int]], data: st.DataObject) -> None:
    spans = [a_span(modulus=data.draw(moduli)) for _ in meters]
    times = np.concatenate([np.arange(len(each)) * HOUR_US for each in meters])
    values = np.array([value for each in meters for value in each], np.float64)
    bounds = np.cumsum([0, *map(len, meters)])
    together = consume(times, values, bounds, spans)
    for index, each in enumerate(meters):
        alone = run([float(value) for value in each], spans[index])
        own = together.where(together.spans == index)
        assert [row[1:] for row in rows(own)] == [row[1:] for row in rows(alone)]


@given(
    st.lists(st.integers(0, 200), min_size=1, max_size=200),
    st.integers(0, 999),
    st.integers(1, 8),
)
def test_a_register_that_rolls_over_counts_all_that_flowed(flows: list[int], start: int, scale: int) -> None:
    shown = [(start + sum(flows[:index])) % 1000 / 10 for index in range(len(flows) + 1)]
    readings = run(shown, Span(0, FOREVER_US, 10 * scale, WIDE, Fraction(1), Fraction(100)))
    assert int(readings.amounts.sum()) == sum(flows) * scale
