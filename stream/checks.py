"""Which rows cannot be true: their clock, their ranges; decided for all rows of a batch at once.

Used by `stream.writer`, which sends them to the `..._quarantine` twin with the reason found here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocols.samples import Reason
from storage.columns import Array, Batch, Bools, ColumnData
from storage.hypertables import BATTERY_SAMPLES, CHARGER_SAMPLES, METER_SAMPLES, Hypertable
from stream.frames import REASON

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class ClockLimits:
    """How far a row's time may lie from when it arrived: device clocks stand in 1970, or local time."""

    past_us: int = 400 * DAY_US
    future_us: int = 1 * DAY_US


@dataclass(frozen=True, slots=True)
class Range:
    """What a quantity can be, ends included; an array has it for each of its items."""

    table: Hypertable
    column: str
    low: float
    high: float


# Wide enough for every pack from a scooter's to a truck's: what lies outside was not measured.
RANGES = (
    Range(BATTERY_SAMPLES, "voltage_v", 0.0, 1500.0),
    Range(BATTERY_SAMPLES, "current_a", -5000.0, 5000.0),
    Range(BATTERY_SAMPLES, "soc_pct", 0.0, 100.0),
    Range(BATTERY_SAMPLES, "soh_pct", 0.0, 110.0),  # new cells hold more than their rating
    Range(BATTERY_SAMPLES, "cycles", 0.0, 100_000.0),
    Range(BATTERY_SAMPLES, "latitude_deg", -90.0, 90.0),
    Range(BATTERY_SAMPLES, "longitude_deg", -180.0, 180.0),
    Range(BATTERY_SAMPLES, "temperatures_c", -60.0, 200.0),
    Range(BATTERY_SAMPLES, "cell_voltages_v", 0.0, 10.0),
    Range(CHARGER_SAMPLES, "value", -1e12, 1e12),  # energy registers in Wh are the largest
    Range(METER_SAMPLES, "value", -1e15, 1e15),  # integers of a float64, registers in Wh
)


def check(table: Hypertable, batch: Batch, clock: ClockLimits) -> NDArray[np.int16]:
    """Return the reason of each row, shape (rows,); 0 is fine.

    A reason that a row came with stays; else the first of: clock, not finite, out of range.
    """
    reasons = batch.columns[REASON.name].values.astype(np.int16)
    for reason, wrong in (*_clock(batch, clock), *_values(table, batch)):
        reasons[wrong & (reasons == Reason.OK)] = reason
    return reasons


def _clock(batch: Batch, clock: ClockLimits) -> list[tuple[Reason, Bools]]:
    age_us = batch.integers("received_at") - batch.integers("ts")
    return [
        (Reason.CLOCK_PAST, age_us > clock.past_us),
        (Reason.CLOCK_FUTURE, age_us < -clock.future_us),
    ]


def _values(table: Hypertable, batch: Batch) -> list[tuple[Reason, Bools]]:
    """Look at every quantity; what is not finite is so before it is out of range."""
    not_finite: list[tuple[Reason, Bools]] = []
    out_of_range: list[tuple[Reason, Bools]] = []
    bounds = {rule.column: (rule.low, rule.high) for rule in RANGES if rule.table is table}
    for column in table.quantities:
        data = batch.columns[column.name]
        low, high = bounds.get(column.name, (-np.inf, np.inf))
        if _all_within(data.values, low, high):
            continue
        values = data.values.astype(np.float64)
        not_finite.append((Reason.NOT_FINITE, _any(data, ~np.isfinite(values))))
        out_of_range.append((Reason.OUT_OF_RANGE, _any(data, (values < low) | (values > high))))
    return [*not_finite, *out_of_range]


def _all_within(values: Array, low: float, high: float) -> bool:
    """Return whether all values are finite and within bounds: the usual case, by one fast pass."""
    if not len(values):
        return True
    lowest, highest = float(values.min()), float(values.max())  # NaN among them makes both NaN
    return low <= lowest and highest <= high and bool(np.isfinite([lowest, highest]).all())


def _any(data: ColumnData, wrong: Bools) -> Bools:
    """Return whether a row has a wrong value, shape (rows,), from `wrong` of each value; NULL has none."""
    if data.offsets is not None:
        before = np.concatenate(([0], np.cumsum(wrong)))
        wrong = before[data.offsets[1:]] > before[data.offsets[:-1]]
    return wrong if data.valid is None else wrong & data.valid
