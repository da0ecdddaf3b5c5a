"""Completeness of counters against a device whose every message is known."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.timestamps import from_datetime
from stream.completeness import (
    DAYS_MAX,
    RANGES_MAX,
    Completeness,
    Integers,
    Missing,
    by_day,
    completeness,
)

MINUTE_US = 60_000_000
NONE = np.empty(0, np.int64)


def of(*counters: int, joins: tuple[int, ...] = (), before: int | None = None) -> Completeness:
    """Messages a minute apart; `joins` are indexes of messages that a join comes right before."""
    times = np.arange(len(counters), dtype=np.int64) * MINUTE_US
    joined = np.array([index * MINUTE_US - 1 for index in joins], np.int64)
    return completeness(times, np.array(counters, np.int64), joined_at_us=joined, before=before)


def figures(found: Completeness) -> tuple[int, int, int, int]:
    return found.received, found.missing, found.duplicates, found.sessions


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (of(), (0, 0, 0, 0)),
        (of(7), (1, 0, 0, 1)),
        (of(7, 8, 9), (3, 0, 0, 1)),
        (of(7, 9, 10, 14), (4, 4, 0, 1)),
        (of(7, 8, 8, 8, 9), (3, 0, 2, 1)),
        (of(10, 11, before=7), (2, 2, 0, 1)),
        (of(8, 9, before=7), (2, 0, 0, 1)),
        (of(7, 8, before=7), (2, 0, 0, 1)),
        (of(65_534, 65_535, 0, 1), (4, 0, 0, 1)),  # 16 bits roll over
        (of(65_534, 2, 3), (3, 3, 0, 1)),
        (of(1, 2, before=65_535), (2, 1, 0, 1)),
        (of(65_535, 65_536, 65_537), (3, 0, 0, 1)),  # 32 bits do not
        (of(70_000, 5_000), (2, 5_000, 0, 2)),  # nor do they come back like that
        (of(500, 501, 0, 1, 2), (5, 0, 0, 2)),  # a reset
        (of(500, 501, 2, 3), (4, 2, 0, 2)),  # whose first messages are missing
        (of(5, 6, 5, 6, 7, joins=(2,)), (5, 5, 0, 2)),
        (of(0, 1, 2, 0, 1, joins=(0, 3)), (5, 0, 0, 2)),
        (of(3, 4, joins=(0,), before=900), (2, 3, 0, 1)),
        (of(7, 40_000, 40_001), (3, 0, 0, 2)),  # further than any network lets a counter jump
        (of(2**62, 3, 4), (2, 0, 0, 1)),  # no counter of anything
    ],
)
def test_figures(found: Completeness, expected: tuple[int, int, int, int]) -> None:
    assert figures(found) == expected


def test_messages_that_overtook_each_other_are_one_session() -> None:
    times = np.array([0, 60, 61, 120], np.int64) * 1_000_000
    found = completeness(times, np.array([7, 9, 8, 10], np.int64))
    assert figures(found) == (4, 0, 0, 1)


def test_the_ranges_say_what_and_when() -> None:
    found = of(4, 5, 8, 20, joins=(0,))
    assert found.ranges == (
        Missing(0, 3, None, 0),
        Missing(6, 7, MINUTE_US, 2 * MINUTE_US),
        Missing(9, 19, 2 * MINUTE_US, 3 * MINUTE_US),
    )
    assert found.missing == 17
    assert found.share == 4 / 21
    assert (found.first_at_us, found.last_at_us) == (0, 3 * MINUTE_US)
    assert len(of(*range(0, 4 * RANGES_MAX, 2)).ranges) == RANGES_MAX


@dataclass
class Truth:
    times: list[int]
    counters: list[int]
    joins: list[int]
    received: int = 0
    missing: int = 0
    duplicates: int = 0


@st.composite
def days(draw: st.DrawFn) -> Truth:
    """Sessions of a device that joins each time; messages are lost and repeated."""
    truth, now_us = Truth([], [], []), 0
    for _ in range(draw(st.integers(1, 4))):
        truth.joins.append(now_us)
        fates = draw(st.lists(st.sampled_from([0, 1, 1, 1, 2]), max_size=30))
        lost = 0
        for counter, copies in enumerate(fates):
            now_us += MINUTE_US
            lost += copies == 0
            if copies:
                truth.missing += lost
                lost = 0
                truth.received += 1
                truth.duplicates += copies - 1
                truth.times += [now_us + copy * 1_000 for copy in range(copies)]
                truth.counters += [counter] * copies
        now_us += MINUTE_US
    return truth


@given(days(), st.randoms(use_true_random=False))
def test_what_is_lost_and_repeated_is_found_in_any_order(truth: Truth, random: object) -> None:
    order = list(range(len(truth.times)))
    random.shuffle(order)  # type: ignore[attr-defined]
    found = completeness(
        np.array([truth.times[at] for at in order], np.int64),
        np.array([truth.counters[at] for at in order], np.int64),
        joined_at_us=np.array(truth.joins, np.int64),
    )
    assert (found.received, found.missing, found.duplicates) == (
        truth.received,
        truth.missing,
        truth.duplicates,
    )
    assert sum(each.last - each.first + 1 for each in found.ranges) == found.missing


@given(st.lists(st.tuples(st.integers(0, 2**40), st.integers(-(2**63), 2**63 - 1)), max_size=50))
def test_any_numbers_give_figures_that_add_up(messages: list[tuple[int, int]]) -> None:
    times = np.array([time for time, _ in messages], np.int64)
    found = completeness(times, np.array([counter for _, counter in messages], np.int64))
    counted = [counter for _, counter in messages if 0 <= counter < 1 << 39]
    assert found.received + found.duplicates == len(counted)
    assert found.missing >= 0


def test_days_of_a_zone() -> None:
    zone = ZoneInfo("Africa/Johannesburg")
    since, until = datetime(2026, 3, 1, 22, tzinfo=UTC), datetime(2026, 3, 3, 22, tzinfo=UTC)
    begin = from_datetime(since)
    hour = 3_600_000_000
    times = np.array([begin + 1, begin + 23 * hour, begin + 25 * hour, begin + 26 * hour], np.int64)
    counters = np.array([10, 11, 13, 14], np.int64)
    found = by_day(
        times,
        counters,
        joined_at_us=NONE,
        before=7,
        zone=zone,
        since=since,
        until=until,
        interval_s=3_600,
    )
    assert [each.day for each in found] == [date(2026, 3, 2), date(2026, 3, 3)]
    first, second = (each.completeness for each in found)
    assert (first.received, first.missing, first.expected) == (2, 2, 24)
    assert (second.received, second.missing, second.expected) == (2, 1, 24)


def test_a_range_within_days_a_join_and_a_silent_day() -> None:
    since, until = datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 4, tzinfo=UTC)
    start = from_datetime(since)
    last = from_datetime(datetime(2026, 3, 3, 1, tzinfo=UTC))
    found = by_day(
        np.array([start, last], np.int64),
        np.array([500, 2], np.int64),
        joined_at_us=np.array([start + 1], np.int64),
        before=None,
        zone=ZoneInfo("UTC"),
        since=since,
        until=until,
        interval_s=43_200,
    )
    assert [(each.completeness.received, each.completeness.expected) for each in found] == [
        (1, 1),
        (0, 2),
        (1, 2),
    ]
    assert found[2].completeness.missing == 2


def test_too_many_days_are_refused() -> None:
    since, until = datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match=f"at most {DAYS_MAX}"):
        by_day(
            NONE,
            NONE,
            joined_at_us=NONE,
            before=None,
            zone=ZoneInfo("UTC"),
            since=since,
            until=until,
            interval_s=None,
        )


def test_a_month_of_a_busy_device_is_quick() -> None:
    counters: Integers = np.arange(200_000, dtype=np.int64)
    found = completeness(counters * MINUTE_US, counters[:])
    assert figures(found) == (200_000, 0, 0, 1)
