"""Rainflow counting of the state of charge (ASTM E1049-85, clause 5.4.4), a piece at a time.

Used by `stream.health.assess`, which keeps a `Rainflow` with each battery and feeds it what is new. Only
reversals go through the loop; samples become reversals by numpy. Counting in pieces gives what counting the
whole gives.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stream.health.window import Floats

BINS = 10  # of depth, each 10 % of the state of charge wide
BIN_PCT = 100 / BINS
RANGE_PCT_MIN = 2.0  # smaller cycles are noise and are not counted
RESIDUE_MAX = 1_000  # reversals that wait; ranges among them grow and shrink, so there are few


@dataclass(frozen=True, slots=True)
class Rainflow:
    """What was counted and what waits.

    `histogram`: cycles by depth, a half one is 0.5. `full_cycles`: their depths added up, 100 % being 1.
    `residue`: reversals that no cycle has closed yet, the last of them the latest value.
    """

    histogram: tuple[float, ...] = (0.0,) * BINS
    full_cycles: float = 0.0
    residue: tuple[float, ...] = ()


def feed(state: Rainflow, soc_pct: Floats, range_pct_min: float = RANGE_PCT_MIN) -> Rainflow:
    """`state` and what `soc_pct` (in order of time, NaN is skipped) adds to it."""
    fresh = soc_pct[~np.isnan(soc_pct)]
    if not len(fresh):
        return state
    points, closed = _close(reversals(np.concatenate([np.array(state.residue), fresh])))
    return _add(state, closed, points, range_pct_min)


def total(state: Rainflow, range_pct_min: float = RANGE_PCT_MIN) -> Rainflow:
    """What is counted if nothing more comes: the residue as half cycles (clause 5.4.4, step 6)."""
    residue = state.residue
    halves = [(abs(b - a), 0.5) for a, b in pairwise(residue)]
    return _add(state, halves, [], range_pct_min)


def reversals(values: Floats) -> Floats:
    """The first value, each at which the direction changes, and the last."""
    if len(values) < 2:
        return values
    moved: Floats = values[np.concatenate([[True], np.diff(values) != 0])]
    if len(moved) < 3:
        return moved
    turns = np.sign(np.diff(moved[1:])) != np.sign(np.diff(moved[:-1]))
    found: Floats = moved[np.concatenate([[True], turns, [True]])]
    return found


def _close(values: Floats) -> tuple[list[float], list[tuple[float, float]]]:
    """The residue of the reversals and the cycles that they close: (range, 1 or 0.5).

    The last value may still move on, so nothing is closed by it that a later value would not close as well:
    a range that has reached another's only grows.
    """
    points: list[float] = []
    closed: list[tuple[float, float]] = []
    for value in values.tolist():
        points.append(value)
        while len(points) >= 3:
            newest, before = abs(points[-1] - points[-2]), abs(points[-2] - points[-3])
            if newest < before:
                break
            if len(points) == 3:  # the range has the starting point
                closed.append((before, 0.5))
                points.pop(0)
            else:
                closed.append((before, 1.0))
                del points[-3:-1]
    return points[-RESIDUE_MAX:], closed


def _add(
    state: Rainflow, closed: list[tuple[float, float]], residue: list[float], range_pct_min: float
) -> Rainflow:
    ranges = np.array([size for size, _ in closed])
    counts = np.array([count for _, count in closed])
    is_cycle = ranges >= range_pct_min
    ranges, counts = ranges[is_cycle], counts[is_cycle]
    bins = np.clip((ranges / BIN_PCT).astype(np.int64), 0, BINS - 1)
    histogram = np.array(state.histogram) + np.bincount(bins, counts, minlength=BINS)
    full_cycles = state.full_cycles + float(ranges @ counts) / 100
    return Rainflow(tuple(histogram.tolist()), full_cycles, tuple(residue))
