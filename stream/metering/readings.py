"""A meter's readings with what they cost, and its usage by day, week and month; used by the Mobile family.

Computed from the samples by the functions that bills are made with, so they cannot differ from those.
Registers and consumption are in the display unit of the utility: kWh (electricity, heat, cooling) or m3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np

from protocols.timestamps import US_PER_SECOND, from_datetime, to_datetime
from storage.database import Connection
from storage.errors import NotFoundError
from storage.queries import meter_samples, meter_tariffs, meters
from storage.queries.meter_tariffs import Assignment
from storage.queries.meters import BilledMeter, Installation
from stream.metering import course
from stream.metering.consumption import Ints, Readings, Tag
from stream.metering.days import day_start_us, local_day, month_start, next_month
from stream.metering.rating import DayCost, Parts, day_costs, rate

READINGS_MAX = 10_000
USAGE_DAYS_MAX = 800

UsagePeriod = Literal["day", "week", "month"]


@dataclass(frozen=True, slots=True)
class RatedReading:
    """A reading; `consumption` and `cost_minor` are of the time since the one before it.

    `id`: seconds since 1970. `tag`: what the register's step was taken for (`consumption.Tag`, lower case).
    """

    id: int
    at: datetime
    register: Decimal
    consumption: Decimal
    cost_minor: int
    tag: str


@dataclass(frozen=True, slots=True)
class UsageBucket:
    """A local day, a week from Monday on or a month, as far as it lies in what was asked for."""

    start: date
    consumption: Decimal
    cost_minor: int


@dataclass(frozen=True, slots=True)
class _Source:
    meter: BilledMeter
    zone: ZoneInfo
    installations: list[Installation]
    assignments: list[Assignment]


async def rated_readings(
    connection: Connection, meter_id: int, *, since: datetime, until: datetime, limit: int
) -> list[RatedReading]:
    """Return the newest `limit` readings with `since <= at < until`, newest first; glitches are left out.

    Without a tariff they cost nothing. Raises `NotFoundError`, `ConsumptionError`, `TariffError`.
    """
    source = await _source(connection, meter_id)
    limit = min(limit, READINGS_MAX)
    oldest = await meter_samples.nth_newest(connection, source.installations, since, until, limit)
    if oldest is None:
        return []
    readings, parts = await _rated(connection, source, from_datetime(oldest), from_datetime(until))
    costs = np.zeros(len(readings.times_us), np.int64)
    np.add.at(costs, parts.rows, parts.costs_minor)
    low_us, high_us = from_datetime(oldest), from_datetime(until)
    shown = (readings.times_us >= low_us) & (readings.times_us < high_us) & (readings.tags != Tag.GLITCH)
    return _listed(readings, costs, np.flatnonzero(shown)[::-1][:limit])


async def latest_reading(connection: Connection, meter_id: int) -> tuple[Decimal, datetime] | None:
    """Return the newest register, in the display unit, and its time; None where there is none."""
    source = await _source(connection, meter_id)
    if not source.installations:
        return None
    reach = await meter_samples.reach(connection, source.installations, source.installations[0].since, 1)
    if reach.last is None:
        return None
    at_us = from_datetime(reach.last)
    readings = await course.measured(
        connection, source.meter.utility_type, source.installations, at_us, at_us + 1
    )
    good = np.flatnonzero(readings.tags != Tag.GLITCH)
    if not len(good):
        return None
    last = good[-1]
    return course.in_display_unit(int(readings.registers[last])), to_datetime(int(readings.times_us[last]))


async def usage(
    connection: Connection,
    meter_id: int,
    *,
    period: UsagePeriod,
    since: date | datetime,
    until: date | datetime,
) -> list[UsageBucket]:
    """Return the usage of the local days from `since` to before `until`, by day, week or month, oldest first.

    A moment stands for its local day, which `until` then includes. Buckets without a reading are left out.
    Raises `ValueError` (more than `USAGE_DAYS_MAX` days), and as `rated_readings`.
    """
    source = await _source(connection, meter_id)
    first, end = _day(since, source.zone), _day(until, source.zone)
    if isinstance(until, datetime):
        end += timedelta(days=1)
    if (end - first).days > USAGE_DAYS_MAX:
        raise ValueError(
            f"usage of {(end - first).days} days was asked for, at most {USAGE_DAYS_MAX} are told"
        )
    buckets: dict[date, DayCost] = {}
    for low, high in _months(first, end):
        for day, cost in (await _days(connection, source, low, high)).items():
            start = _bucket(day, period)
            before = buckets.get(start, DayCost(0, 0))
            buckets[start] = DayCost(before.amount + cost.amount, before.cost_minor + cost.cost_minor)
    return [
        UsageBucket(start, course.in_display_unit(each.amount), each.cost_minor)
        for start, each in sorted(buckets.items())
    ]


async def _source(connection: Connection, meter_id: int) -> _Source:
    meter = await meters.billed_meter(connection, meter_id)
    if meter is None:
        raise NotFoundError(f"there is no meter {meter_id}")
    return _Source(
        meter,
        ZoneInfo(meter.time_zone),
        await meters.installations(connection, meter_id),
        await meter_tariffs.assignments(connection, meter_id),
    )


async def _rated(connection: Connection, source: _Source, from_us: int, to_us: int) -> tuple[Readings, Parts]:
    """Return what was read between the two, and what it costs, from as early on as its price needs."""
    zone = source.zone
    # an interval that ends after `from_us` may have begun days before it: its first parts cost as well
    context = await course.measured(
        connection, source.meter.utility_type, source.installations, from_us, to_us
    )
    ending = context.starts_us[context.times_us >= from_us]
    first = local_day(min(from_us, int(ending.min(initial=from_us))), zone)
    first = course.window_start(source.assignments, first, zone)
    end = local_day(to_us - 1, zone) + timedelta(days=1)
    readings = await course.measured(
        connection, source.meter.utility_type, source.installations, day_start_us(first, zone), to_us
    )
    return readings, rate(readings, course.runs_of(source.assignments, first, end, zone), zone)


async def _days(connection: Connection, source: _Source, first: date, end: date) -> dict[date, DayCost]:
    zone = source.zone
    start = course.window_start(source.assignments, first, zone)
    readings = await course.measured(
        connection,
        source.meter.utility_type,
        source.installations,
        day_start_us(start, zone),
        day_start_us(end, zone),
    )
    costs = day_costs(rate(readings, course.runs_of(source.assignments, start, end, zone), zone))
    return {day: cost for day, cost in costs.items() if first <= day < end}


def _listed(readings: Readings, costs: Ints, rows: Ints) -> list[RatedReading]:
    return [
        RatedReading(
            at_us // US_PER_SECOND,
            to_datetime(at_us),
            course.in_display_unit(register),
            course.in_display_unit(amount),
            cost,
            Tag(tag).name.lower(),
        )
        for at_us, register, amount, cost, tag in zip(
            readings.times_us[rows].tolist(),
            readings.registers[rows].tolist(),
            readings.amounts[rows].tolist(),
            costs[rows].tolist(),
            readings.tags[rows].tolist(),
            strict=True,
        )
    ]


def _months(first: date, end: date) -> Sequence[tuple[date, date]]:
    """Cut the days at the ends of months: one read of samples each."""
    cuts = []
    while first < end:
        high = min(next_month(first), end)
        cuts.append((first, high))
        first = high
    return cuts


def _bucket(day: date, period: UsagePeriod) -> date:
    if period == "week":
        return day - timedelta(days=day.weekday())
    return month_start(day) if period == "month" else day


def _day(at: date | datetime, zone: ZoneInfo) -> date:
    return at.astimezone(zone).date() if isinstance(at, datetime) else at
