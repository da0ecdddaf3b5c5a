"""Local days and months of an estate, and where a tariff's prices change within them.

Used by `stream.metering.rating`. A day begins at its first moment on the wall clock, so it has 23 or 25 hours
when the clocks change; a price holds whenever the wall clock shows its time, as for charging sessions
(`stream.rating.wall_clock`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from protocols.timestamps import from_datetime, to_datetime
from stream.metering.tariff import Tariff, TimeOfUse
from stream.rating import wall_clock
from stream.rating.tariff import Restrictions

_DAY = timedelta(days=1)
_MONTHS_KEPT = 256  # of slots, over all tariffs and zones


@dataclass(frozen=True, slots=True)
class Slots:
    """Stretches of time without a change of day or price, in order and without a gap.

    Slot `i` is from `edges_us[i]` to `edges_us[i + 1]`, of the local day with the ordinal `days[i]`. `prices`
    (minor units per kWh or m3) are a time-of-use tariff's; 0 for others.
    """

    edges_us: NDArray[np.int64]
    days: NDArray[np.int64]
    prices: tuple[Fraction, ...]


def local_day(at_us: int, zone: ZoneInfo) -> date:
    """Return the day that the wall clock shows at that moment."""
    return to_datetime(at_us).astimezone(zone).date()


def day_start_us(day: date, zone: ZoneInfo) -> int:
    """Return the moment at which a local day begins."""
    return from_datetime(datetime.combine(day, time.min, zone))


def month_start(day: date) -> date:
    """Return the first day of a day's month."""
    return day.replace(day=1)


def next_month(day: date) -> date:
    """Return the first day of the month after a day's."""
    return (day.replace(day=1) + 32 * _DAY).replace(day=1)


@lru_cache(maxsize=_MONTHS_KEPT)
def month_slots(tariff: Tariff | None, zone: ZoneInfo, month: date) -> Slots:
    """Return the slots of a local month, named by its first day, under one tariff (None: days alone)."""
    end = next_month(month)
    days = [month + index * _DAY for index in range((end - month).days + 1)]
    starts_us = [day_start_us(day, zone) for day in days]
    edges = set(starts_us)
    if tariff is not None and isinstance(tariff.energy, TimeOfUse):
        times = {period.starts_at for day in days[:-1] for period in tariff.energy.periods(day)}
        changes = [Restrictions(time_from=each) for each in times]
        edges |= wall_clock.changes(changes, starts_us[0], starts_us[-1], zone)
    edges_us = np.array(sorted(edges), np.int64)
    of_days = np.searchsorted(starts_us, edges_us[:-1], side="right") - 1 + month.toordinal()
    prices = tuple(_price(tariff, at_us, zone) for at_us in edges_us[:-1].tolist())
    return Slots(edges_us, of_days, prices)


def _price(tariff: Tariff | None, at_us: int, zone: ZoneInfo) -> Fraction:
    if tariff is None or not isinstance(tariff.energy, TimeOfUse):
        return Fraction(0)
    shown = to_datetime(at_us).astimezone(zone)
    periods = tariff.energy.periods(shown.date())
    return [period.price_minor for period in periods if period.starts_at <= shown.time()][-1]


def slots_between(tariffs: Sequence[tuple[Tariff | None, date, date]], zone: ZoneInfo) -> list[Slots]:
    """Return the slots of each run of days (first, end excluded) under its tariff."""
    return [_run(tariff, first, end, zone) for tariff, first, end in tariffs]


def _run(tariff: Tariff | None, first: date, end: date, zone: ZoneInfo) -> Slots:
    edges: list[NDArray[np.int64]] = []
    days: list[NDArray[np.int64]] = []
    prices: list[Fraction] = []
    month = month_start(first)
    while month < end:
        slots = month_slots(tariff, zone, month)
        low, high = np.searchsorted(slots.days, [first.toordinal(), end.toordinal()])
        edges.append(slots.edges_us[low:high])
        days.append(slots.days[low:high])
        prices += slots.prices[low:high]
        month = next_month(month)
    edges.append(np.array([day_start_us(end, zone)], np.int64))
    return Slots(np.concatenate(edges), np.concatenate(days), tuple(prices))
