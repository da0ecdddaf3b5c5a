import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.columns import Batch, ColumnData, concatenate, nulls
from storage.hypertables import SERIES, Column, Type
from tests.storage.batches import Value, batch_of, column_of, rows_of


def plain(data: ColumnData) -> list[object]:
    """Return the values one by one, slowly and obviously."""
    out: list[object] = []
    for i in range(len(data)):
        if not data.validity[i]:
            out.append(None)
        elif data.offsets is None:
            out.append(data.values[i].tobytes())
        else:
            out.append(data.values[data.offsets[i] : data.offsets[i + 1]].tobytes())
    return out


@given(st.data())
def test_taking_rows_takes_their_values(data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(SERIES))
    rows = data.draw(rows_of(table, 8))
    batch = batch_of(table, rows)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))), np.bool_)
    start, stop = sorted(data.draw(st.tuples(st.integers(0, 9), st.integers(0, 9))))
    positions = np.array(data.draw(st.permutations(range(len(rows)))), np.intp)
    for index in (mask, slice(start, stop), positions):
        taken = batch.take(index)
        kept = np.arange(len(rows))[index]
        assert taken.rows == len(kept)
        for name, column in batch.columns.items():
            expected = plain(column)
            assert plain(taken.columns[name]) == [expected[i] for i in kept]


@given(st.data())
def test_concatenating_what_was_cut_is_identity(data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(SERIES))
    batch = batch_of(table, data.draw(rows_of(table, 8)))
    at = data.draw(st.integers(0, batch.rows))
    joined = Batch.concatenate([batch.take(slice(at)), batch.take(slice(at, None))])
    for name, column in batch.columns.items():
        assert plain(joined.columns[name]) == plain(column)


@pytest.mark.parametrize("kind", list(Type))
def test_nulls_are_null(kind: Type) -> None:
    column = nulls(kind.dtype, 3, is_variable=kind.is_variable)
    assert plain(column) == [None] * 3
    values: list[Value] = [None, None]
    assert plain(concatenate([column, column_of(Column("a", kind, nullable=True), values)])) == [None] * 5


def test_padding_is_zero_behind_each_row() -> None:
    column = column_of(Column("a", Type.TEXT), [b"ab", b"", b"cde"])
    assert column.padded().tolist() == [[97, 98, 0], [0, 0, 0], [99, 100, 101]]


def test_columns_of_other_lengths_are_an_error() -> None:
    with pytest.raises(ValueError, match="other lengths"):
        Batch({"a": ColumnData(np.zeros(2)), "b": ColumnData(np.zeros(3))}, 2)
