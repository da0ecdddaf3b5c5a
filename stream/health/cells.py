"""How far the cells of a pack are apart, which one is the weakest, and whether they drift.

Used by `stream.health.assess`. `docs/battery-health.md` has the formulas.
"""

from dataclasses import dataclass

import numpy as np

from stream.health.coulomb import resting
from stream.health.window import US_PER_S, Floats, Ints, Window, spread

ROWS_FULL = 100  # so many rows give full confidence
LOADED_CONFIDENCE = 0.5  # under load resistances count as well as charge
DRIFT_DAYS_MIN = 1.0
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Imbalance:
    """Median of the greatest less the least cell voltage (mV), at rest where the battery rests.

    `weakest_cell` counts from 1 and lies `weakest_mv` below the mean. `drift_mv_per_day` is None for a
    window of less than a day.
    """

    imbalance_mv: float
    confidence: float
    weakest_cell: int
    weakest_mv: float
    drift_mv_per_day: float | None
    rows: int
    is_at_rest: bool


def imbalance(window: Window) -> Imbalance | None:
    """What the window's cell voltages show; None for a pack that does not list two cells."""
    if window.cells_v.shape[1] < 2:
        return None
    has_cells = (~np.isnan(window.cells_v)).sum(axis=1) >= 2
    at_rest = has_cells & resting(window)
    rows = np.flatnonzero(at_rest if at_rest.any() else has_cells)
    if not len(rows):
        return None
    least, most = spread(window.cells_v[rows])
    apart_mv = 1000 * (most - least)
    below_mv = 1000 * (np.nanmean(window.cells_v[rows], axis=1)[:, None] - window.cells_v[rows])
    known = ~np.isnan(below_mv).all(axis=0)
    by_cell = np.full(below_mv.shape[1], -np.inf)
    by_cell[known] = np.nanmedian(below_mv[:, known], axis=0)
    weakest = int(np.argmax(by_cell))
    is_at_rest = bool(at_rest.any())
    confidence = min(1.0, len(rows) / ROWS_FULL) * (1.0 if is_at_rest else LOADED_CONFIDENCE)
    return Imbalance(
        imbalance_mv=float(np.median(apart_mv)),
        confidence=confidence,
        weakest_cell=weakest + 1,
        weakest_mv=float(by_cell[weakest]),
        drift_mv_per_day=_drift(window.ts_us[rows], apart_mv),
        rows=len(rows),
        is_at_rest=is_at_rest,
    )


def _drift(
    ts_us: Ints,
    apart_mv: Floats,
) -> float | None:
    days = (ts_us - ts_us[0]) / US_PER_S / DAY_S
    if days[-1] < DRIFT_DAYS_MIN:
        return None
    days_d = days - days.mean()
    return float(days_d @ (apart_mv - apart_mv.mean()) / (days_d @ days_d))
