"""Hours and days on the station's wall clock, against a look at the clock every minute."""

from datetime import UTC, datetime, time
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.timestamps import from_datetime
from stream.rating import Dimension, Element, Period, Price, Restrictions, Tariff, Usage, rate
from stream.rating.wall_clock import holds

MINUTE_US = 60_000_000
MINUTES = 2 * 24 * 60
# The noon before the clocks change: by an hour at 02:00 or 03:00, by half an hour, at midnight, and never.
CHANGES = [
    ("Europe/Berlin", datetime(2026, 3, 28, 12, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 24, 12, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 0, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 0, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2026, 4, 23, 10, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2026, 10, 29, 10, tzinfo=UTC)),
    ("Asia/Kolkata", datetime(2026, 1, 15, 0, tzinfo=UTC)),
]
times = st.none() | st.times(time(0), time(23, 59)).map(lambda at: at.replace(second=0, microsecond=0))


@pytest.mark.parametrize(("name", "noon"), CHANGES)
@settings(max_examples=25, deadline=None)
@given(times, times, st.frozensets(st.integers(0, 6), max_size=4))
def test_time_is_billed_while_the_clock_shows_it(
    name: str, noon: datetime, time_from: time | None, time_to: time | None, days: frozenset[int]
) -> None:
    if time_from is not None and time_from == time_to:
        return
    zone, start_us = ZoneInfo(name), from_datetime(noon)
    restrictions = Restrictions(time_from=time_from, time_to=time_to, days=days)
    element = Element((Price(Dimension.TIME, Fraction(1), "minute"),), restrictions)
    usage = Usage(start_us, (Period(start_us, start_us + MINUTES * MINUTE_US, 1),))
    shown = sum(holds(restrictions, start_us + minute * MINUTE_US, zone) for minute in range(MINUTES))
    assert rate(usage, Tariff("EUR", (element,)), zone).total_minor == shown
