"""Days, weeks and months of figures; pure, used by dashboards, analytics, reports and exports.

A session counts on the day on which it started. An admin's days are the platform's; a brand's are those of
its stations, by their own clocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from storage.queries.session_days import PLATFORM_TIME_ZONE

PLATFORM_ZONE = ZoneInfo(PLATFORM_TIME_ZONE)
SPAN_DAYS_DEFAULT = 30
SPAN_DAYS_MAX = 366
_DAY = timedelta(days=1)


class Grouping(StrEnum):
    """How long a period is."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Days:
    """From the first to the last day, both included."""

    first: date
    last: date

    @property
    def count(self) -> int:
        """How many days these are; below 1 where the last is before the first."""
        return (self.last - self.first).days + 1

    @property
    def start(self) -> datetime:
        """The first instant, by the platform's clock."""
        return midnight(self.first)

    @property
    def end(self) -> datetime:
        """The first instant behind them, by the platform's clock."""
        return midnight(self.last + _DAY)


def midnight(day: date) -> datetime:
    """Return the platform's first instant of the day."""
    return datetime.combine(day, time(), PLATFORM_ZONE)


def platform_day(moment: datetime) -> date:
    """Return the platform's day at this instant."""
    return moment.astimezone(PLATFORM_ZONE).date()


def this_week(today: date) -> Days:
    """Return Monday until today."""
    return Days(today - timedelta(days=today.weekday()), today)


def this_month(today: date) -> Days:
    """Return all days of today's month."""
    return month(today.year, today.month)


def month(year: int, number: int) -> Days:
    """Return all days of a month; `number` counts from 1."""
    first = date(year, number, 1)
    following = (first + timedelta(days=31)).replace(day=1)
    return Days(first, following - _DAY)


def comparable(today: date) -> Days:
    """Return as many days of the month before as this month has had, or all of it where it is shorter."""
    last_of_before = today.replace(day=1) - _DAY
    first = last_of_before.replace(day=1)
    return Days(first, min(last_of_before, first + timedelta(days=today.day - 1)))


def span(start: date | None, end: date | None, today: date) -> Days:
    """Fill in what was left out: up to today, `SPAN_DAYS_DEFAULT` days from the start, or up to the end."""
    length = timedelta(days=SPAN_DAYS_DEFAULT - 1)
    if end is None:
        end = today if start is None else min(start + length, max(start, today))
    return Days(end - length if start is None else start, end)


def periods(days: Days, grouping: Grouping) -> Iterator[Days]:
    """Cut `days` into days, weeks from Monday, or calendar months; the first and last may be cut short."""
    first = days.first
    while first <= days.last:
        last = min(_last_of_period(first, grouping), days.last)
        yield Days(first, last)
        first = last + _DAY


def _last_of_period(day: date, grouping: Grouping) -> date:
    match grouping:
        case Grouping.DAY:
            return day
        case Grouping.WEEK:
            return day + timedelta(days=6 - day.weekday())
        case Grouping.MONTH:
            return month(day.year, day.month).last
