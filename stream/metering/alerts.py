"""What readings say is wrong with a meter; pure. `stream.metering.watch` opens and closes the alerts.

silent    no reading for three times the expected interval
stuck     the register has not moved for days, and did before
leak      water or gas flowed in every interval of a night
reverse   the register went back
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np

from protocols.timestamps import US_PER_SECOND, format_utc_ms, from_datetime
from stream.metering.consumption import Readings, Tag
from stream.metering.days import local_day

Kind = Literal["silent", "stuck", "leak", "reverse"]
KINDS: tuple[Kind, ...] = ("silent", "stuck", "leak", "reverse")

SILENT_INTERVALS = 3
STUCK_FOR = timedelta(days=3)
STUCK_READINGS_MIN = 12
LOOKED_AT = timedelta(days=10)  # of a meter's past: longer than it takes to be stuck
REVERSE_FOR = timedelta(days=1)  # after a register went back, the alert stays that long
# Long enough after people went to bed, and before the first of them is up.
_NIGHT = (time(1), time(5))
NIGHT_READINGS_MIN = 4
_LEAKS = frozenset({"water", "gas"})
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and `detail` as JSON values for people."""

    kind: Kind
    detail: Mapping[str, Any]


def findings(
    readings: Readings, utility: str, interval_s: int | None, now: datetime, zone: ZoneInfo
) -> list[Finding]:
    """Return what one meter's readings of the past `LOOKED_AT` say, as of `now`."""
    good = readings.where(readings.tags != Tag.GLITCH)
    now_us = from_datetime(now)
    found = [
        _silent(good, interval_s, now_us),
        _stuck(good, now_us),
        _leak(good, utility, now, zone),
        _reverse(good, now_us),
    ]
    return [each for each in found if each is not None]


def _silent(readings: Readings, interval_s: int | None, now_us: int) -> Finding | None:
    """A meter that was never heard, or not in all that time, is for the registry to tell of."""
    if interval_s is None or not len(readings.times_us):
        return None
    last_us = int(readings.times_us[-1])
    if now_us - last_us <= SILENT_INTERVALS * interval_s * US_PER_SECOND:
        return None
    return Finding("silent", {"last_at": format_utc_ms(last_us), "interval_s": interval_s})


def _stuck(readings: Readings, now_us: int) -> Finding | None:
    since_us = now_us - STUCK_FOR // timedelta(microseconds=1)
    lately = readings.starts_us >= since_us
    if lately.sum() < STUCK_READINGS_MIN or readings.amounts[lately].any():
        return None
    if not readings.amounts[~lately].any():
        return None  # nobody used anything before either
    moved = readings.times_us[np.flatnonzero(readings.amounts)[-1]]
    return Finding("stuck", {"moved_at": format_utc_ms(int(moved)), "readings": int(lately.sum())})


def _leak(readings: Readings, utility: str, now: datetime, zone: ZoneInfo) -> Finding | None:
    """Of the newest night that is over."""
    if utility not in _LEAKS:
        return None
    day = local_day(from_datetime(now), zone)
    if now.astimezone(zone).time() < _NIGHT[1]:
        day -= _DAY
    low_us, high_us = (_moment_us(day, at, zone) for at in _NIGHT)
    night = (readings.starts_us >= low_us) & (readings.times_us <= high_us)
    night &= readings.times_us > readings.starts_us
    if night.sum() < NIGHT_READINGS_MIN or not readings.amounts[night].all():
        return None
    detail = {"night": day.isoformat(), "litres": int(readings.amounts[night].sum()) // 1_000}
    return Finding("leak", detail)


def _reverse(readings: Readings, now_us: int) -> Finding | None:
    since_us = now_us - REVERSE_FOR // timedelta(microseconds=1)
    back = np.flatnonzero((readings.tags == Tag.REVERSE) & (readings.times_us >= since_us))
    if not len(back):
        return None
    return Finding("reverse", {"at": format_utc_ms(int(readings.times_us[back[-1]]))})


def _moment_us(day: date, at: time, zone: ZoneInfo) -> int:
    return from_datetime(datetime.combine(day, at, zone).astimezone(UTC))
