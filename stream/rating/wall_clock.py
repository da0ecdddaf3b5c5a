"""The station's wall clock: does a moment lie in an element's hours, and when does that change.

Used by `stream.rating.price`. Days on which the clocks change have 23 or 25 hours: a restriction holds
whenever the wall clock shows it, so an hour that is shown twice counts twice, and one that is left out never.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from stream.rating.tariff import Restrictions

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_DAY = timedelta(days=1)


def holds(restrictions: Restrictions, at_us: int, zone: tzinfo) -> bool:
    """Whether the times, dates and days of `restrictions` hold at `at_us`."""
    if not restrictions.is_of_the_calendar:
        return True
    local = (_EPOCH + at_us * _US).astimezone(zone)
    if restrictions.days and local.weekday() not in restrictions.days:
        return False
    if restrictions.date_from is not None and local.date() < restrictions.date_from:
        return False
    if restrictions.date_to is not None and local.date() >= restrictions.date_to:
        return False
    return _is_in_hours(restrictions, local.time())


def _is_in_hours(restrictions: Restrictions, shown: time) -> bool:
    start = restrictions.time_from or time.min
    # midnight as an end is the day's
    end = restrictions.time_to or None
    if end is None or end == time.min:
        return shown >= start
    if start < end:
        return start <= shown < end
    return shown >= start or shown < end


def changes(all_restrictions: Iterable[Restrictions], start_us: int, end_us: int, zone: tzinfo) -> set[int]:
    """Return every moment between the two at which one of the restrictions may begin or cease to hold."""
    needed = [each for each in all_restrictions if each.is_of_the_calendar]
    if not needed:
        return set()
    times = {time.min}  # a day begins
    for each in needed:
        times |= {at for at in (each.time_from, each.time_to) if at is not None}
    moments: set[int] = set()
    for day in _days(start_us, end_us, zone):
        moments |= {
            _us(datetime.combine(day, at, zone).replace(fold=fold)) for at in times for fold in (0, 1)
        }
        moments |= _clock_change(day, zone)
    return {moment for moment in moments if start_us < moment < end_us}


def _days(start_us: int, end_us: int, zone: tzinfo) -> Iterator[date]:
    day = (_EPOCH + start_us * _US).astimezone(zone).date()
    last = (_EPOCH + end_us * _US).astimezone(zone).date()
    while day <= last:
        yield day
        day += _DAY


def _clock_change(day: date, zone: tzinfo) -> set[int]:
    """The moment of this day at which the offset from UTC changes; no zone has had two in one day."""
    low = datetime.combine(day, time.min, zone).astimezone(UTC)
    high = datetime.combine(day + _DAY, time.min, zone).astimezone(UTC)
    before = low.astimezone(zone).utcoffset()
    if high.astimezone(zone).utcoffset() == before:
        return set()
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return {_us(high)}


def _us(at: datetime) -> int:
    return (at - _EPOCH) // _US
