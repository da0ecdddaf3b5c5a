"""Hypothesis strategies for columns of every type, and their plain Python values for comparison."""

import json

import numpy as np
from hypothesis import strategies as st

from storage.columns import Batch, ColumnData
from storage.hypertables import Column, Hypertable, Type

Value = int | float | bytes | list[float] | None

YEAR_1_US = -62_135_596_800_000_000
YEAR_9999_US = 253_402_300_799_999_999

_TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=5,
)
VALUES: dict[Type, st.SearchStrategy[Value]] = {
    Type.TIMESTAMPTZ: st.integers(YEAR_1_US, YEAR_9999_US),
    Type.INT2: st.integers(-(2**15), 2**15 - 1),
    Type.INT4: st.integers(-(2**31), 2**31 - 1),
    Type.INT8: st.integers(-(2**63), 2**63 - 1),
    Type.FLOAT4: st.floats(width=32),
    Type.FLOAT8: st.floats(),
    Type.FLOAT4_ARRAY: st.lists(st.floats(width=32), max_size=6),
    Type.TEXT: _TEXT.map(str.encode),
    Type.JSONB: _JSON.map(lambda value: json.dumps(value).encode()),
    Type.BYTEA: st.binary(max_size=40),
}


def column_of(column: Column, values: list[Value]) -> ColumnData:
    """Build a column from plain values, slowly and obviously; None is NULL."""
    valid = np.array([value is not None for value in values], np.bool_) if column.nullable else None
    if not column.type.is_variable:
        return ColumnData(
            np.array([0 if value is None else value for value in values], column.type.dtype), valid
        )
    items = [list(value) if isinstance(value, (bytes, list)) else [] for value in values]
    flat = np.array([element for item in items for element in item], column.type.dtype)
    offsets = np.cumsum([0, *map(len, items)], dtype=np.int64)
    return ColumnData(flat, valid, offsets)


def batch_of(table: Hypertable, rows: list[tuple[Value, ...]]) -> Batch:
    """Build a batch from rows in the order of the table's columns."""
    columns = {
        column.name: column_of(column, [row[i] for row in rows]) for i, column in enumerate(table.columns)
    }
    return Batch(columns, len(rows))


def rows_of(table: Hypertable, size_max: int = 12) -> st.SearchStrategy[list[tuple[Value, ...]]]:
    """Draw rows of a table: any value of each column's type, NULL where it may be."""
    cells = [
        st.none() | VALUES[column.type] if column.nullable else VALUES[column.type]
        for column in table.columns
    ]
    return st.lists(st.tuples(*cells), max_size=size_max)
