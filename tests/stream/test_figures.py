"""Days of figures: spans, periods, weeks and months; pure."""

import itertools
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from stream.figures.days import (
    SPAN_DAYS_DEFAULT,
    Days,
    Grouping,
    comparable,
    month,
    periods,
    platform_day,
    span,
    this_month,
    this_week,
)

DATES = st.dates(date(2000, 1, 1), date(2199, 1, 1))


def test_the_platforms_day_begins_at_its_own_midnight() -> None:
    assert platform_day(datetime(2026, 3, 31, 18, 29, 59, tzinfo=UTC)) == date(2026, 3, 31)
    assert platform_day(datetime(2026, 3, 31, 18, 30, tzinfo=UTC)) == date(2026, 4, 1)
    days = Days(date(2026, 4, 1), date(2026, 4, 30))
    assert days.start == datetime(2026, 3, 31, 18, 30, tzinfo=UTC)
    assert days.end == datetime(2026, 4, 30, 18, 30, tzinfo=UTC)
    assert days.count == 30


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    sunday = date(2026, 3, 1)
    assert this_week(sunday) == Days(date(2026, 2, 23), sunday)
    assert this_month(sunday) == Days(sunday, date(2026, 3, 31))
    assert month(2024, 2) == Days(date(2024, 2, 1), date(2024, 2, 29))
    assert month(2026, 12).last == date(2026, 12, 31)


def test_what_a_month_is_compared_with() -> None:
    assert comparable(date(2026, 3, 10)) == Days(date(2026, 2, 1), date(2026, 2, 10))
    assert comparable(date(2026, 3, 31)) == Days(date(2026, 2, 1), date(2026, 2, 28)), (
        "a shorter one is whole"
    )
    assert comparable(date(2026, 1, 1)) == Days(date(2025, 12, 1), date(2025, 12, 1))


def test_what_a_span_is_without_its_ends() -> None:
    today = date(2026, 3, 31)
    assert span(None, None, today) == Days(date(2026, 3, 2), today)
    assert span(None, date(2026, 1, 30), today) == Days(date(2026, 1, 1), date(2026, 1, 30))
    assert span(date(2026, 3, 30), None, today) == Days(date(2026, 3, 30), today)
    assert span(date(2025, 1, 1), None, today).count == SPAN_DAYS_DEFAULT
    assert span(date(2027, 1, 1), None, today) == Days(date(2027, 1, 1), date(2027, 1, 1))


@given(DATES, st.integers(0, 400), st.sampled_from(Grouping))
def test_periods_are_the_days_without_gap_or_overlap(first: date, more: int, grouping: Grouping) -> None:
    days = Days(first, first + timedelta(days=more))
    cut = list(periods(days, grouping))
    assert cut[0].first == days.first
    assert cut[-1].last == days.last
    assert all(before.last + timedelta(days=1) == after.first for before, after in itertools.pairwise(cut))
    assert sum(each.count for each in cut) == days.count
    for each in cut[1:]:
        begins = {
            Grouping.DAY: True,
            Grouping.WEEK: each.first.weekday() == 0,
            Grouping.MONTH: each.first.day == 1,
        }
        assert begins[grouping]
