"""Energy from register readings: rollover, reset, glitches, and idle time."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from stream.rating import Kind, Reading, has_reset, periods_of, register_energy

MINUTE_US = 60_000_000


def readings(*registers_wh: int, minutes: int = 15) -> list[Reading]:
    return [Reading(index * minutes * MINUTE_US, wh) for index, wh in enumerate(registers_wh)]


def test_rises_telescope_to_stop_less_start() -> None:
    assert register_energy(readings(1_000, 1_500, 1_500, 4_000)) == 3_000


def test_rollovers_of_each_size() -> None:
    for size_wh in (10**6, 10**7, 10**8, 10**9, 2**32):
        assert register_energy(readings(size_wh - 400, size_wh - 100, 200, 700)) == 1_100
        assert not has_reset(readings(size_wh - 400, 200))


def test_a_fall_that_no_rollover_explains_is_a_reset() -> None:
    for fall in ((500_000, 100), (999_900, 999_800), (950_001, 40_000), (2**31, 5)):
        assert register_energy(readings(*fall)) == 0
        assert has_reset(readings(*fall))
    # what a rollover would stand for cannot flow in a minute
    assert register_energy(readings(980_000, 20_000, minutes=1)) == 0


def test_a_register_below_zero_has_not_rolled_over() -> None:
    assert register_energy(readings(99_999, -2)) == 0
    assert has_reset(readings(99_999, -1))


def test_counting_goes_on_after_a_reset() -> None:
    assert register_energy(readings(40_000, 41_000, 42_000, 0, 500, 1_700)) == 3_700


def test_dips_and_spikes_are_left_out() -> None:
    assert register_energy(readings(7_000, 8_000, 0, 0, 0, 9_000)) == 2_000
    assert register_energy(readings(7_000, 8_000, 900_000_000, 900_000_000, 8_500, 9_000)) == 2_000
    assert not has_reset(readings(7_000, 8_000, 0, 9_000))


def test_a_sample_that_was_rounded_up_does_not_cost_the_stop() -> None:
    # the last sample 1 Wh above the stop is no reset
    assert register_energy(readings(1_000, 3_000, 5_001, 5_000)) == 4_000
    assert not has_reset(readings(1_000, 3_000, 5_001, 5_000))


def test_a_stop_before_the_start_costs_nothing() -> None:
    assert register_energy(readings(5_000, 4_500)) == 0
    assert register_energy(readings(5_000)) == 0


def test_idle_begins_where_the_register_stands_still_for_good() -> None:
    periods = periods_of(readings(0, 100, 100, 200, 200, 200))
    assert [(period.energy_wh, period.kind) for period in periods] == [
        (100, Kind.CHARGING), (0, Kind.CHARGING), (100, Kind.CHARGING), (0, Kind.IDLE), (0, Kind.IDLE),
    ]  # fmt: skip


def test_start_and_stop_alone_tell_of_no_idle_time() -> None:
    (period,) = periods_of(readings(100, 100))
    assert period.kind is Kind.CHARGING


def test_fine_samples_are_put_together() -> None:
    second_us = 1_000_000
    fine = [Reading(index * second_us, 10 * min(index, 300)) for index in range(601)]
    periods = periods_of(fine)
    assert len(periods) == 10
    assert sum(period.energy_wh for period in periods) == 3_000
    assert sum(period.duration_us for period in periods if period.kind is Kind.IDLE) == 300 * second_us


registers = st.lists(st.integers(-10, 2**33), min_size=1, max_size=40)


@given(registers)
def test_energy_is_never_negative_and_periods_carry_all_of_it(values: list[int]) -> None:
    made = readings(*values)
    periods = periods_of(made)
    assert register_energy(made) == sum(period.energy_wh for period in periods) >= 0
    assert all(period.energy_wh >= 0 for period in periods)
    if len(made) > 1:
        assert (periods[0].start_us, periods[-1].end_us) == (made[0].at_us, made[-1].at_us)
    for before, after in pairwise(periods):
        assert before.end_us == after.start_us


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=30).map(sorted), st.data())
def test_one_glitch_changes_no_energy(rising: list[int], data: st.DataObject) -> None:
    """A wrong reading between two right ones, far from both."""
    index = data.draw(st.integers(1, len(rising) - 1))
    wrong_wh = data.draw(st.sampled_from([-1, 10**9]))
    values = [*rising[:index], wrong_wh, *rising[index:]]
    assert register_energy(readings(*values)) == rising[-1] - rising[0]
