"""A stretch of one battery's samples as columns, sorted, each time once; NaN stands for what was not said.

Used by every module of this package: they take a `Window` and return plain values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

US_PER_S = 1_000_000
CELLS_MAX = 512


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Columns of one length; `cells_v` and `temperatures_c` have a column for each cell and sensor.

    `ts_us` is strictly increasing (microseconds since 1970 UTC). `flags` are bits of
    `protocols.battery.flags`.
    """

    ts_us: Ints
    voltage_v: Floats
    current_a: Floats
    soc_pct: Floats
    soh_pct: Floats
    flags: Floats
    temperatures_c: Floats
    cells_v: Floats

    @property
    def count(self) -> int:
        """Rows."""
        return len(self.ts_us)

    def after(self, ts_us: int) -> "Window":
        """The rows later than `ts_us`."""
        first = int(np.searchsorted(self.ts_us, ts_us, side="right"))
        return self.rows(slice(first, None))

    def rows(self, rows: slice | Bools) -> "Window":
        """Some of the rows, in their order."""
        return Window(*(getattr(self, name)[rows] for name in Window.__slots__))


def window_of(columns: Mapping[str, Sequence[Any]]) -> Window:
    """Build a window of columns of `battery_samples` (None is NULL), `ts` as microseconds since 1970 UTC.

    Of several rows with one time the last stands. Other columns than `ts` may be missing.
    """
    ts = np.asarray(columns["ts"], dtype=np.int64)
    order = np.argsort(ts, kind="stable")
    ordered = ts[order]
    is_last = np.ones(len(order), dtype=bool)
    is_last[:-1] = ordered[1:] != ordered[:-1]
    rows = order[is_last]
    empty: Sequence[Any] = [None] * len(ts)
    return Window(
        ts_us=ordered[is_last],
        voltage_v=_floats(columns.get("voltage_v", empty))[rows],
        current_a=_floats(columns.get("current_a", empty))[rows],
        soc_pct=_floats(columns.get("soc_pct", empty))[rows],
        soh_pct=_floats(columns.get("soh_pct", empty))[rows],
        flags=_floats(columns.get("flags", empty))[rows],
        temperatures_c=_matrix(columns.get("temperatures_c", empty))[rows],
        cells_v=_matrix(columns.get("cell_voltages_v", empty))[rows],
    )


def _floats(values: Sequence[Any]) -> Floats:
    found = np.array(values, dtype=np.float64)  # None becomes NaN
    found[~np.isfinite(found)] = np.nan
    return found


def _matrix(rows: Sequence[Sequence[Any] | None]) -> Floats:
    """A row for each sample, padded with NaN, filled in one go."""
    lengths = np.fromiter((0 if row is None else len(row) for row in rows), np.int64, len(rows))
    width = int(lengths.max(initial=0))
    items = chain.from_iterable(row for row in rows if row is not None)
    matrix = np.full((len(rows), width), np.nan)
    matrix[np.arange(width) < lengths[:, None]] = np.array(list(items), dtype=np.float64)
    matrix[~np.isfinite(matrix)] = np.nan
    return matrix[:, :CELLS_MAX]


def spread(columns: Floats) -> tuple[Floats, Floats]:
    """Least and greatest of each row; NaN for rows without a value."""
    if not columns.shape[1]:
        nothing = np.full(len(columns), np.nan)
        return nothing, nothing
    return np.fmin.reduce(columns, axis=1), np.fmax.reduce(columns, axis=1)


def median_by_weight(values: Floats, weights: Floats) -> float:
    """The value below and above which half of the weight lies; NaN for none."""
    if not len(values):
        return float("nan")
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulated, cumulated[-1] / 2)])
