"""What readings cost, exactly: consumption and tariffs to money, reading by reading and day by day; pure.

Used by `stream.metering.billing` and `stream.metering.readings`, so that what people see is what they are
debited. The rules:

1. An interval between two readings is cut wherever a local day or a price ends. What it consumed is shared
   out evenly over its time, rounded down to a whole fine unit (mWh, ml) at each cut: the parts sum to it.
2. A day costs its energy and the fixed charge, at least the minimum; a tax that is not included comes on top.
   The fixed charge and the minimum are due on every day into which an interval reaches.
3. A day's cost is rounded once, half up, to a minor unit. A reading costs the rounded cost of its day up to
   its end, less the same up to its start: the readings of a day sum to its bill.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from math import lcm
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from stream.metering.consumption import Ints, Readings, Tag
from stream.metering.days import Slots, slots_between
from stream.metering.tariff import BASIS_POINTS, FINE_PER_UNIT, Blocks, Flat, Tariff

# Integers without a bound, computed with column by column.
_Exact = NDArray[np.object_]
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Run:
    """Days, from `first` to before `end`, that have one tariff; None: they cost nothing as yet."""

    tariff: Tariff | None
    first: date
    end: date


@dataclass(frozen=True, slots=True)
class Parts:
    """Columns of equal length, in order of time: what of reading `rows[i]` is of day `days[i]` at one price.

    `amounts` in fine units, `costs_minor` in minor units, `days` as ordinals.
    """

    rows: Ints
    days: Ints
    amounts: Ints
    costs_minor: Ints


@dataclass(frozen=True, slots=True)
class DayCost:
    """A local day's consumption (fine units) and cost."""

    amount: int
    cost_minor: int


def rate(readings: Readings, runs: Sequence[Run], zone: ZoneInfo) -> Parts:
    """Cut and price what flowed within `runs`, which follow each other without a gap.

    `readings` are one meter's, in order of time, with the whole of the first month where a tariff counts by
    the month.
    """
    slots = slots_between([(run.tariff, run.first, run.end) for run in runs], zone)
    edges = np.concatenate([*(each.edges_us[:-1] for each in slots), slots[-1].edges_us[-1:]])
    days_of = np.concatenate([each.days for each in slots])
    rows, slot, amounts = split(readings, edges)
    days = days_of[slot]
    costs = np.zeros(len(rows), np.int64)
    low_slot = 0
    for run, own in zip(runs, slots, strict=True):
        low, high = np.searchsorted(slot, [low_slot, low_slot + len(own.days)])
        if run.tariff is not None and high > low:
            used = _used_before(run.tariff, days, amounts)[low:high]
            scale = _scale(run.tariff)
            energy = _energy(run.tariff, scale, own, slot[low:high] - low_slot, amounts[low:high], used)
            costs[low:high] = _costs(run.tariff, scale, days[low:high], energy)
        low_slot += len(own.days)
    return Parts(rows, days, amounts, costs)


def day_costs(parts: Parts) -> dict[date, DayCost]:
    """Return the sums of each day that a part falls into."""
    days, first = np.unique(parts.days, return_index=True)
    if not len(days):
        return {}
    amounts = np.add.reduceat(parts.amounts, first).tolist()
    costs = np.add.reduceat(parts.costs_minor, first).tolist()
    return {
        date.fromordinal(day): DayCost(amount, cost)
        for day, amount, cost in zip(days.tolist(), amounts, costs, strict=True)
    }


def split(readings: Readings, edges_us: Ints) -> tuple[Ints, Ints, Ints]:
    """Cut the intervals at `edges_us`: the reading, the slot between two edges and the amount of each part.

    What lies before the first edge or after the last is left out.
    """
    intervals = np.flatnonzero((readings.tags != Tag.FIRST) & (readings.tags != Tag.GLITCH))
    start, end = readings.starts_us[intervals], readings.times_us[intervals]
    low = np.maximum(np.searchsorted(edges_us, start, side="right") - 1, 0)
    high = np.minimum(np.searchsorted(edges_us, end, side="left") - 1, len(edges_us) - 2)
    count = np.maximum(high - low + 1, 0)
    index = np.repeat(np.arange(len(intervals)), count)
    slot = np.arange(len(index)) - np.repeat(np.cumsum(count) - count, count) + low[index]
    amount, took = readings.amounts[intervals][index], (end - start)[index]
    until = np.minimum(edges_us[slot + 1], end[index]) - start[index]
    since = np.maximum(edges_us[slot], start[index]) - start[index]
    return intervals[index], slot, _flowed(amount, until, took) - _flowed(amount, since, took)


def _flowed(amount: Ints, after_us: Ints, took_us: Ints) -> Ints:
    """How much of `amount` flowed in the first `after_us` of `took_us`, rounded down."""
    flowed = np.where(after_us >= took_us, amount, 0)
    inside = (after_us > 0) & (after_us < took_us)
    exact = amount[inside].astype(object) * after_us[inside] // took_us[inside]
    flowed[inside] = exact.astype(np.int64)
    return flowed


def _used_before(tariff: Tariff, days: Ints, amounts: Ints) -> Ints:
    """What was consumed before each part since its month (or day) began."""
    since = days
    if tariff.is_by_month:
        since = (days - _EPOCH_ORDINAL).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    before = np.cumsum(amounts) - amounts
    return before - before[np.searchsorted(since, since, side="left")]


def _energy(tariff: Tariff, scale: int, slots: Slots, slot: Ints, amounts: Ints, used: Ints) -> _Exact:
    """The energy's price of each part, in minor units times `scale`."""
    energy, per_fine = tariff.energy, Fraction(scale, FINE_PER_UNIT)
    if isinstance(energy, Blocks):
        total = np.zeros(len(amounts), object)
        low = 0
        for block in energy.blocks:
            high = np.iinfo(np.int64).max if block.up_to_fine is None else block.up_to_fine
            part = np.clip(used + amounts, low, high) - np.clip(used, low, high)
            total += part.astype(object) * int(block.price_minor * per_fine)
            low = high
        return total
    if isinstance(energy, Flat):
        return amounts.astype(object) * int(energy.price_minor * per_fine)
    prices = np.array([int(price * per_fine) for price in slots.prices], object)
    exact: _Exact = amounts.astype(object) * prices[slot]
    return exact


def _costs(tariff: Tariff, scale: int, days: Ints, energy: _Exact) -> Ints:
    """Rules 2 and 3: what each part adds to its day's rounded cost."""
    fixed, minimum = int(tariff.fixed_minor_per_day * scale), int(tariff.minimum_minor_per_day * scale)
    first = np.searchsorted(days, days, side="left")
    so_far = np.cumsum(energy)
    so_far = np.maximum(so_far - (so_far - energy)[first] + fixed, minimum)
    on_top = 0 if tariff.tax is None or tariff.tax.is_included else tariff.tax.basis_points
    whole = scale * BASIS_POINTS
    rounded = (2 * so_far * (BASIS_POINTS + on_top) + whole) // (2 * whole)
    costs: Ints = np.diff(rounded.astype(np.int64), prepend=np.int64(0))
    is_first = first == np.arange(len(days))
    costs[is_first] = rounded[is_first].astype(np.int64)
    return costs


def _scale(tariff: Tariff) -> int:
    """What makes every price of a fine unit, and the amounts of a day, integers."""
    energy = tariff.energy
    if isinstance(energy, Flat):
        prices = [energy.price_minor]
    elif isinstance(energy, Blocks):
        prices = [block.price_minor for block in energy.blocks]
    else:
        prices = [
            period.price_minor
            for season in energy.seasons
            for _, periods in season.days
            for period in periods
        ]
    per_fine = lcm(*((price / FINE_PER_UNIT).denominator for price in prices))
    return lcm(per_fine, tariff.fixed_minor_per_day.denominator, tariff.minimum_minor_per_day.denominator)
