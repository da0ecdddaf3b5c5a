"""How much of what a device counted has arrived: gaps in its counters, a day at a time. Pure; numpy only.

Used by the portal and the command line, over `storage.queries.completeness`. A counter begins at 0 with each
session of the device (LoRaWAN 1.0.4 section 4.3.1.5); one of 16 bits goes on at 0 after 65535.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from protocols.timestamps import from_datetime

Integers = npt.NDArray[np.int64]

GAP_MAX = 16_384  # LoRaWAN's MAX_FCNT_GAP: a counter further ahead is another session's
ROLLOVER = 1 << 16
ROLLOVER_GAP_MAX = 1_024  # missing around a rollover; more is taken for a new session
# Gateways' clocks differ by seconds, a device pauses for longer: a counter behind the one before it is out of
# order within this time, and a new session's beyond it.
REORDER_US_MAX = 30_000_000
REORDER_MAX = 16
RANGES_MAX = 1_000
DAYS_MAX = 400
JOINED = -1  # before a session's first message
_SESSION = 1 << 40  # counters of one session lie within, so that session and counter are one sortable number


@dataclass(frozen=True, slots=True)
class Missing:
    """Counters `first` to `last` of a session never arrived; heard between two times (microseconds).

    `after_us` is None where nothing was heard of the session before.
    """

    first: int
    last: int
    after_us: int | None
    before_us: int


@dataclass(frozen=True, slots=True)
class Completeness:
    """`received` counts each counter once, `duplicates` the rest; `expected` by the interval, if any is said.

    `missing` counters lie between those that arrived; `ranges` tells of the first `RANGES_MAX` gaps.
    """

    received: int = 0
    missing: int = 0
    duplicates: int = 0
    sessions: int = 0
    expected: int | None = None
    first_at_us: int | None = None
    last_at_us: int | None = None
    ranges: tuple[Missing, ...] = ()

    @property
    def share(self) -> float | None:
        """What arrived of what was sent, 0 to 1; None where nothing is known to have been sent."""
        sent = self.received + self.missing
        return self.received / sent if sent else None


@dataclass(frozen=True, slots=True)
class Day:
    """A local day."""

    day: date
    completeness: Completeness


def completeness(
    heard_at_us: Integers,
    counters: Integers,
    *,
    joined_at_us: Integers | None = None,
    before: int | None = None,
    expected: int | None = None,
) -> Completeness:
    """Return what arrived and what did not, of messages in any order.

    `joined_at_us`: when new sessions began, where that is known. `before`: the last counter before these, or
    `JOINED`; None where neither is known.
    """
    is_counter = (counters >= 0) & (counters < _SESSION // 2)
    heard_at_us, counters = heard_at_us[is_counter], counters[is_counter]
    if len(counters) == 0:
        return Completeness(expected=expected)
    order = np.lexsort((counters, heard_at_us))
    times, values = heard_at_us[order], counters[order]
    joins = np.sort(joined_at_us) if joined_at_us is not None else np.empty(0, np.int64)
    session, unwrapped, is_from_zero = _sessions(times, values, joins, before)
    keys, firsts = np.unique(session * _SESSION + unwrapped, return_index=True)
    missing, ranges = _gaps(keys, times[firsts], is_from_zero, before)
    return Completeness(
        received=len(keys),
        missing=missing,
        duplicates=len(values) - len(keys),
        sessions=int(session[-1]) + 1,
        expected=expected,
        first_at_us=int(times[0]),
        last_at_us=int(times[-1]),
        ranges=ranges,
    )


def by_day(
    heard_at_us: Integers,
    counters: Integers,
    *,
    joined_at_us: Integers,
    before: int | None,
    zone: ZoneInfo,
    since: datetime,
    until: datetime,
    interval_s: int | None,
) -> list[Day]:
    """Return the completeness of each local day that `since <= t < until` touches, oldest first.

    A gap over midnight belongs to the day in which it ends. Raises `ValueError` beyond `DAYS_MAX` days.
    """
    days = _days(zone, since, until)
    order = np.lexsort((counters, heard_at_us))
    times, values = heard_at_us[order], counters[order]
    found = []
    for day, since_us, until_us in days:
        low, high = np.searchsorted(times, (since_us, until_us))
        joins = joined_at_us[(joined_at_us >= since_us) & (joined_at_us < until_us)]
        expected = None if interval_s is None else round((until_us - since_us) / 1e6 / interval_s)
        part = completeness(
            times[low:high], values[low:high], joined_at_us=joins, before=before, expected=expected
        )
        found.append(Day(day, part))
        before = _behind(times[low:high], values[low:high], joins, before)
    return found


def _behind(times: Integers, values: Integers, joins: Integers, before: int | None) -> int | None:
    """Return the counter that the next day goes on from: `JOINED` where a join came after the last one."""
    if len(joins) and (len(times) == 0 or joins.max() > times[-1]):
        return JOINED
    return int(values[-1]) if len(values) else before


def _sessions(
    times: Integers, values: Integers, joins: Integers, before: int | None
) -> tuple[Integers, Integers, npt.NDArray[np.bool_]]:
    """Return each message's session, its counter without rollovers, and which sessions began at 0 here.

    A rollover stays within its session; anything else that goes back, or far ahead, begins a new one.
    """
    start = int(values[0]) if before is None else before
    steps = np.diff(values, prepend=start)
    pauses = np.diff(times, prepend=times[0] - REORDER_US_MAX - 1)
    previous = values - steps
    is_rollover = (steps < 0) & (previous < ROLLOVER) & (steps + ROLLOVER <= ROLLOVER_GAP_MAX)
    is_out_of_order = (steps < 0) & (steps >= -REORDER_MAX) & (pauses <= REORDER_US_MAX)
    is_new = ((steps < 0) & ~is_rollover & ~is_out_of_order) | (steps > GAP_MAX)
    joined = np.searchsorted(joins, times, side="right")
    is_new |= np.diff(joined, prepend=0) > 0
    is_from_zero = is_new & (values <= GAP_MAX)
    is_new[0] = False  # for the first session is number 0, whether it began here or goes on
    session = np.cumsum(is_new, dtype=np.int64)
    starts = np.flatnonzero(np.diff(session, prepend=-1))
    rollovers = np.cumsum(is_rollover & ~is_new & ~is_from_zero, dtype=np.int64)
    behind = np.concatenate(([0], rollovers))[starts]  # before each session's first message
    return session, values + ROLLOVER * (rollovers - behind[session]), is_from_zero[starts]


def _gaps(
    keys: Integers, times: Integers, is_from_zero: npt.NDArray[np.bool_], before: int | None
) -> tuple[int, tuple[Missing, ...]]:
    """Return how many counters are missing and the first gaps; `keys` are sessions and counters, sorted."""
    session, counter = keys // _SESSION, keys % _SESSION
    previous = np.roll(counter, 1)
    is_first = np.diff(session, prepend=-1) > 0
    # nothing is missing before a session's first message, unless the session began at 0 or goes on
    previous[is_first] = np.where(is_from_zero, -1, counter[is_first] - 1)
    if before is not None and not is_from_zero[0]:
        previous[0] = min(before, counter[0] - 1)
    lengths = counter - previous - 1
    ranges = tuple(
        Missing(
            int(previous[at]) + 1,
            int(counter[at]) - 1,
            None if is_first[at] else int(times[at - 1]),
            int(times[at]),
        )
        for at in np.flatnonzero(lengths)[:RANGES_MAX]
    )
    return int(lengths.sum()), ranges


def _days(zone: ZoneInfo, since: datetime, until: datetime) -> Sequence[tuple[date, int, int]]:
    """Return the local days of a range with their first and last instants, cut to the range."""
    first, last = since.astimezone(zone).date(), (until - timedelta(microseconds=1)).astimezone(zone).date()
    if (last - first).days >= DAYS_MAX:
        raise ValueError(f"{(last - first).days + 1} days, at most {DAYS_MAX} are told of at a time")
    bounds = [
        datetime.combine(first + timedelta(days=number), time(), zone)
        for number in range((last - first).days + 2)
    ]
    return [
        (begin.date(), from_datetime(max(begin, since)), from_datetime(min(end, until)))
        for begin, end in pairwise(bounds)
    ]
