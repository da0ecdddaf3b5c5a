"""Capacity by counting coulombs between anchors, and the state of health that follows from it.

Used by `stream.health.assess`. `docs/battery-health.md` has the formulas. An anchor is a moment at which
the state of charge can be trusted: after a rest, when a BMS corrects it by the voltage. Between the anchors
of a stretch without gaps the counted charge is a straight line of the state of charge; its slope is the
capacity.
"""

from dataclasses import dataclass

import numpy as np

from stream.health.window import US_PER_S, Bools, Floats, Ints, Window

GAP_S_MAX = 300.0  # a longer silence ends a stretch: nobody knows what flowed
REST_A_MAX = 0.5
REST_S_MIN = 120.0
SWING_PCT_MIN = 20.0  # of a stretch between its lowest and highest anchor
CAPACITY_AH_RANGE = (0.5, 5_000.0)
TRAVEL_PCT_FULL = 300.0  # so much swing of anchors gives full confidence
RESIDUAL_MAX = 0.1  # of the capacity: no confidence beyond


@dataclass(frozen=True, slots=True)
class Capacity:
    """`capacity_ah` with a confidence of 0 to 1; `swing_pct` is the state of charge that it rests on."""

    capacity_ah: float
    confidence: float
    swing_pct: float
    stretches: int
    anchors: int


def counted_ah(window: Window, gap_s_max: float = GAP_S_MAX) -> tuple[Floats, Ints]:
    """Charge since the first sample (Ah, by trapezes) and the number of the stretch that each row is in.

    Over a gap, and where a current is missing, nothing is counted and another stretch begins.
    """
    if window.count == 0:
        return np.zeros(0), np.zeros(0, dtype=np.int64)
    elapsed_s = np.diff(window.ts_us) / US_PER_S
    steps = elapsed_s * (window.current_a[1:] + window.current_a[:-1]) / 2 / 3600
    is_broken = (elapsed_s > gap_s_max) | np.isnan(steps)
    counted = np.concatenate([[0.0], np.cumsum(np.where(is_broken, 0.0, steps))])
    return counted, np.concatenate([[0], np.cumsum(is_broken)]).astype(np.int64)


def resting(window: Window, rest_a_max: float = REST_A_MAX, rest_s_min: float = REST_S_MIN) -> Bools:
    """Which rows are at rest since `rest_s_min` at least, without a gap."""
    is_known = ~np.isnan(window.current_a)
    is_resting = np.zeros(window.count, dtype=bool)
    if not is_known.any():
        return is_resting
    ts_us = window.ts_us[is_known]
    is_still = np.abs(window.current_a[is_known]) <= rest_a_max
    is_gap = np.concatenate([[False], np.diff(ts_us) > GAP_S_MAX * US_PER_S])
    begins = is_still & (is_gap | np.concatenate([[True], ~is_still[:-1]]))
    since_us = np.maximum.accumulate(np.where(begins, ts_us, np.iinfo(np.int64).min))
    elapsed_us = np.where(is_still, ts_us - np.where(is_still, since_us, ts_us), -1)
    is_resting[is_known] = elapsed_us >= rest_s_min * US_PER_S
    return is_resting


def capacity(window: Window) -> Capacity | None:
    """The capacity that the window shows; None where no stretch has anchors far enough apart."""
    window = window.rows(~np.isnan(window.current_a))
    counted, stretch = counted_ah(window)
    rows = np.flatnonzero(resting(window) & ~np.isnan(window.soc_pct))
    if len(rows) < 2:
        return None
    names, group = np.unique(stretch[rows], return_inverse=True)
    soc, charge = window.soc_pct[rows], counted[rows]
    lowest, highest = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    np.minimum.at(lowest, group, soc)
    np.maximum.at(highest, group, soc)
    is_wide = (highest - lowest >= SWING_PCT_MIN)[group]
    if not is_wide.any():
        return None
    return _slope(soc[is_wide], charge[is_wide], group[is_wide])


def _slope(soc: Floats, charge: Floats, group: Ints) -> Capacity | None:
    _, group = np.unique(group, return_inverse=True)
    sizes = np.bincount(group)
    soc_d = soc - (np.bincount(group, soc) / sizes)[group]
    charge_d = charge - (np.bincount(group, charge) / sizes)[group]
    ah_per_pct = float(soc_d @ charge_d / (soc_d @ soc_d))
    capacity_ah = 100 * ah_per_pct
    if not CAPACITY_AH_RANGE[0] <= capacity_ah <= CAPACITY_AH_RANGE[1]:
        return None
    residual = float(np.sqrt(np.mean((charge_d - ah_per_pct * soc_d) ** 2)) / capacity_ah)
    is_same = group[1:] == group[:-1]
    swing_pct = float(np.abs(np.diff(soc))[is_same].sum())
    confidence = min(1.0, swing_pct / TRAVEL_PCT_FULL) * max(0.0, 1 - residual / RESIDUAL_MAX)
    return Capacity(capacity_ah, confidence, swing_pct, len(sizes), len(soc))


def soh_capacity_pct(capacity_ah: float, when_new_ah: float) -> float:
    """What is left of the capacity when new, 0 to 100; a new battery that holds more than it says has 100."""
    return float(np.clip(100 * capacity_ah / when_new_ah, 0, 100))
