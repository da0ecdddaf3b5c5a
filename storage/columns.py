"""Columns in memory: numpy arrays with optional validity and offsets, many rows at a time.

A `Batch` is what travels from the batcher through frames, checks and COPY. The layout is Arrow's in
small: a fixed-width column is one array; a variable one (text, arrays) is a flat array of elements
with `offsets`; a nullable one has a boolean `valid`. Nothing here loops over rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

Bools = NDArray[np.bool_]
Array = NDArray[np.generic]
Index = NDArray[np.intp] | Bools | slice


@dataclass(frozen=True, slots=True)
class ColumnData:
    """Values of one column.

    `values`: shape (rows,) for a fixed-width column, (elements,) for a variable one.
    `valid`: shape (rows,), False where the row is NULL; None means that all are valid.
    `offsets`: shape (rows + 1,), int64, only for a variable column: row i is
    `values[offsets[i]:offsets[i + 1]]`, empty where NULL.
    """

    values: Array
    valid: Bools | None = None
    offsets: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.values) if self.offsets is None else len(self.offsets) - 1

    @property
    def validity(self) -> Bools:
        """`valid`, written out: shape (rows,)."""
        return np.ones(len(self), np.bool_) if self.valid is None else self.valid

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Elements of each row of a variable column: shape (rows,)."""
        assert self.offsets is not None
        return np.diff(self.offsets)

    def padded(self) -> Array:
        """Return a variable column as a matrix (rows, longest), zero behind the end of each row."""
        lengths = self.lengths
        longest = int(lengths.max(initial=0))
        if (lengths == longest).all():
            return self.values.reshape(len(self), longest)
        padded = np.zeros((len(self), longest), self.values.dtype)
        padded[np.arange(longest) < lengths[:, None]] = self.values
        return padded

    def take(self, index: Index) -> "ColumnData":
        """The rows at `index` (a boolean mask, positions or a slice), in that order."""
        valid = None if self.valid is None else self.valid[index]
        if self.offsets is None:
            return ColumnData(self.values[index], valid)
        if isinstance(index, slice) and index.step in (None, 1):
            start, stop, _ = index.indices(len(self))
            cut = self.offsets[start : max(start, stop) + 1]
            return ColumnData(self.values[cut[0] : cut[-1]], valid, cut - cut[0])
        if len(self) and len(self.values) and (self.lengths == self.lengths[0]).all():
            matrix = self.padded()[index]  # all rows alike: no need to gather by element
            return ColumnData(matrix.ravel(), valid, np.arange(len(matrix) + 1) * matrix.shape[1])
        starts, lengths = self.offsets[:-1][index], self.lengths[index]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        # position of each element: its row's start, plus how far it stands behind that row's first
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        return ColumnData(self.values[np.repeat(starts, lengths) + within], valid, offsets)


def nulls(dtype: DTypeLike, rows: int, *, is_variable: bool) -> ColumnData:
    """Make a column that is NULL in every one of `rows` rows."""
    valid = np.zeros(rows, np.bool_)
    if is_variable:
        return ColumnData(np.empty(0, dtype), valid, np.zeros(rows + 1, np.int64))
    return ColumnData(np.zeros(rows, dtype), valid)


def concatenate(parts: Sequence[ColumnData]) -> ColumnData:
    """Stack the same column of several batches; all parts variable or none."""
    values = np.concatenate([part.values for part in parts])
    nullable = any(part.valid is not None for part in parts)
    valid = np.concatenate([part.validity for part in parts]) if nullable else None
    if parts[0].offsets is None:
        return ColumnData(values, valid)
    lengths = np.concatenate([part.lengths for part in parts])
    return ColumnData(values, valid, np.concatenate(([0], np.cumsum(lengths))))


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one table, column by column; every column has `rows` rows."""

    columns: Mapping[str, ColumnData]
    rows: int

    def __post_init__(self) -> None:
        wrong = {name: len(data) for name, data in self.columns.items() if len(data) != self.rows}
        if wrong:
            raise ValueError(f"columns with other lengths than {self.rows} rows: {wrong}")

    def take(self, index: Index) -> "Batch":
        """The rows at `index` of every column."""
        columns = {name: data.take(index) for name, data in self.columns.items()}
        return Batch(columns, len(next(iter(columns.values()))) if columns else 0)

    def integers(self, name: str) -> NDArray[np.int64]:
        """Return one fixed-width integer column as int64 (times, ids, reasons), shape (rows,)."""
        return self.columns[name].values.astype(np.int64, copy=False)

    def with_column(self, name: str, data: ColumnData) -> "Batch":
        """The same rows with one column more, or replaced."""
        return Batch({**self.columns, name: data}, self.rows)

    @staticmethod
    def concatenate(batches: Sequence["Batch"]) -> "Batch":
        """Stack batches that have the same columns, in order."""
        if len(batches) == 1:
            return batches[0]
        names = batches[0].columns
        columns = {name: concatenate([batch.columns[name] for batch in batches]) for name in names}
        return Batch(columns, sum(batch.rows for batch in batches))
