import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.columns import Batch, ColumnData
from storage.hypertables import BATTERY_SAMPLES, CHARGER_SAMPLES, DEVICE_EVENTS, SERIES, Hypertable
from stream.errors import FrameError
from stream.frames import REASON, Frame, decode_frame, encode_frame, samples_per_row
from tests.storage.batches import Value, batch_of, rows_of


def with_reason(batch: Batch) -> Batch:
    return batch.with_column("reason", ColumnData(np.arange(batch.rows, dtype=np.int16) % 5))


def assert_same(one: ColumnData, other: ColumnData) -> None:
    np.testing.assert_array_equal(one.validity, other.validity)
    if one.offsets is None:
        assert other.offsets is None
        np.testing.assert_array_equal(one.values[one.validity], other.values[other.validity])
    else:
        assert other.offsets is not None
        np.testing.assert_array_equal(one.offsets, other.offsets)
        np.testing.assert_array_equal(one.values, other.values)


@pytest.mark.parametrize("table", SERIES, ids=lambda table: table.name)
@given(data=st.data())
def test_decode_after_encode_is_identity(table: Hypertable, data: st.DataObject) -> None:
    batch = with_reason(batch_of(table, data.draw(rows_of(table))))
    frame = decode_frame(encode_frame(table, batch))
    assert frame.table is table
    assert frame.batch.rows == batch.rows
    assert frame.unknown == ()
    for name in (*table.by_name, "reason"):
        assert_same(batch.columns[name], frame.batch.columns[name])


@given(st.binary(max_size=300))
def test_any_bytes_are_a_frame_or_a_frame_error(data: bytes) -> None:
    for candidate in (data, b"GWF1" + data):
        with pytest.raises(FrameError):
            decode_frame(candidate)


@given(st.data())
def test_a_damaged_frame_is_a_frame_or_a_frame_error(data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(SERIES))
    good = encode_frame(table, with_reason(batch_of(table, data.draw(rows_of(table, 4)))))
    kind = data.draw(st.sampled_from(["cut", "longer", "changed", "header"]))
    if kind == "cut":
        with pytest.raises(FrameError):
            decode_frame(good[: data.draw(st.integers(0, len(good) - 1))])
        return
    if kind == "longer":
        with pytest.raises(FrameError):
            decode_frame(good + data.draw(st.binary(min_size=1, max_size=20)))
        return
    at = data.draw(st.integers(0, 200 if kind == "header" else len(good) - 1)) % len(good)
    changed = bytearray(good)
    changed[at] = data.draw(st.integers(0, 255))
    try:
        frame = decode_frame(bytes(changed))
    except FrameError:
        return
    assert isinstance(frame, Frame)
    samples_per_row(frame.table, frame.batch)


def test_values_are_not_copied() -> None:
    batch = with_reason(batch_of(CHARGER_SAMPLES, [(1, 2, 3, 4, 5, 6, 7, 8, None, 1.5)]))
    data = encode_frame(CHARGER_SAMPLES, batch)
    values = decode_frame(data).batch.columns["value"].values
    assert np.shares_memory(values, np.frombuffer(data, np.uint8))


def reshaped(table: Hypertable, batch: Batch, drop: str) -> bytes:
    """Encode by a layout that lacks a column of today's."""
    columns = tuple(column for column in table.columns if column.name != drop)
    layout = Hypertable(table.name, columns, (), table.chunk, table.retention)
    return encode_frame(layout, batch)


ROW: tuple[Value, ...] = (1, 2, 3, 48.0, None, 50.0, None, 7, None, None, None, [1.0, 2.0], None)


def test_a_missing_nullable_column_is_null() -> None:
    batch = with_reason(batch_of(BATTERY_SAMPLES, [ROW]))
    for name in ("soc_pct", "temperatures_c"):
        column = decode_frame(reshaped(BATTERY_SAMPLES, batch, drop=name)).batch.columns[name]
        assert not column.validity.any()
        assert len(column) == 1


def test_a_missing_required_column_is_an_error() -> None:
    batch = with_reason(batch_of(BATTERY_SAMPLES, [ROW]))
    with pytest.raises(FrameError, match="without column 'received_at'"):
        decode_frame(reshaped(BATTERY_SAMPLES, batch, drop="received_at"))


def test_an_unknown_column_is_named_and_left_out() -> None:
    batch = with_reason(batch_of(BATTERY_SAMPLES, [ROW]))
    columns = (*BATTERY_SAMPLES.columns, type(REASON)("humidity_pct", REASON.type))
    newer = Hypertable(BATTERY_SAMPLES.name, columns, (), BATTERY_SAMPLES.chunk, BATTERY_SAMPLES.retention)
    data = encode_frame(newer, batch.with_column("humidity_pct", ColumnData(np.array([3], np.int16))))
    frame = decode_frame(data)
    assert frame.unknown == ("humidity_pct",)
    assert "humidity_pct" not in frame.batch.columns


def test_a_narrower_dtype_is_widened_and_a_wider_one_refused() -> None:
    batch = with_reason(batch_of(BATTERY_SAMPLES, [ROW]))
    by_name = BATTERY_SAMPLES.by_name

    def stored_as(name: str, as_name: str) -> bytes:
        columns = tuple(
            type(column)(name, by_name[as_name].type, column.nullable) if column.name == name else column
            for column in BATTERY_SAMPLES.columns
        )
        older = Hypertable("battery_samples", columns, (), BATTERY_SAMPLES.chunk, BATTERY_SAMPLES.retention)
        values = batch.columns[name].values.astype(by_name[as_name].type.dtype)
        return encode_frame(older, batch.with_column(name, ColumnData(values)))

    frame = decode_frame(stored_as("latitude_deg", "voltage_v"))  # float4 where float8 is declared
    assert frame.batch.columns["latitude_deg"].values.dtype == np.float64
    with pytest.raises(FrameError, match="voltage_v"):
        decode_frame(stored_as("voltage_v", "latitude_deg"))


def test_samples_are_the_values_of_quantities() -> None:
    empty: tuple[Value, ...] = (1, 2, 3, *[None] * 10)
    batch = batch_of(BATTERY_SAMPLES, [ROW, empty])
    assert samples_per_row(BATTERY_SAMPLES, batch).tolist() == [5, 0]
    event = batch_of(DEVICE_EVENTS, [(1, 2, 3, b"k", 4, b"{}")])
    assert samples_per_row(DEVICE_EVENTS, event).tolist() == [0]
