"""Frames: the columns of many rows of one table as one message of the log.

Written by `stream.log` (publishing), read by `stream.writer`. Layout: magic `GWF1`, uint32 length of the
JSON header, the header, then the columns' buffers in the header's order, each aligned to 8 bytes:
values, then validity (one byte a row) where some rows are NULL, then offsets (int32, rows + 1) where the
column is variable. Numbers are little-endian. A column that is NULL throughout has no buffers.

Columns are found by name and carry their dtype, so that a frame of an older or newer layout still reads.
"""

import struct
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from storage.columns import Array, Batch, ColumnData, nulls
from storage.hypertables import SERIES, Column, Hypertable, Type
from stream.errors import FrameError

MAGIC = b"GWF1"
ROWS_MAX = 1 << 20  # of one frame; keeps a damaged header from asking for the machine's memory
HEADER_BYTES_MAX = 64 << 10
ALIGNMENT = 8

REASON = Column("reason", Type.INT2)
_PREFIX = struct.Struct("<4sI")
_OFFSET = np.dtype("<i4")
_DTYPES = {kind.dtype.str: kind.dtype for kind in Type}
_TABLES = {table.name: table for table in SERIES}


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame: every column of `table` and `reason`; `unknown` names columns that were left out."""

    table: Hypertable
    batch: Batch
    unknown: tuple[str, ...] = ()


class _ColumnHeader(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    name: str
    dtype: str
    nulls: Literal["none", "some", "all"]
    elements: int
    variable: bool


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    table: str
    rows: int
    columns: list[_ColumnHeader]


_HEADER = msgspec.json.Decoder(_Header)


def encode_frame(table: Hypertable, batch: Batch) -> bytes:
    """Return the frame of `batch`, which has the columns of `table` and `reason` (int2, 0 is fine)."""
    headers: list[_ColumnHeader] = []
    buffers: list[bytes] = []
    for column in (*table.columns, REASON):
        header, arrays = _column_parts(column, batch.columns[column.name])
        headers.append(header)
        buffers += [_aligned(array.tobytes()) for array in arrays]
    header_bytes = msgspec.json.encode(_Header(table.name, batch.rows, headers))
    # JSON may end in blanks, so the first buffer is aligned by them
    header_bytes += b" " * (-(_PREFIX.size + len(header_bytes)) % ALIGNMENT)
    return b"".join((_PREFIX.pack(MAGIC, len(header_bytes)), header_bytes, *buffers))


def _column_parts(column: Column, data: ColumnData) -> tuple[_ColumnHeader, list[Array]]:
    valid = data.validity
    present: Literal["none", "some", "all"] = "none" if valid.all() else "some" if valid.any() else "all"
    arrays: list[Array] = []
    if present != "all" or not len(data):
        arrays.append(data.values)
        if present == "some":
            arrays.append(valid)
        if data.offsets is not None:
            arrays.append(data.offsets.astype(_OFFSET))
    header = _ColumnHeader(
        column.name, column.type.dtype.str, present, len(data.values), column.type.is_variable
    )
    return header, arrays


def _aligned(buffer: bytes) -> bytes:
    return buffer + bytes(-len(buffer) % ALIGNMENT)


def decode_frame(data: bytes) -> Frame:
    """Read a frame without copying its values. Raises `FrameError` for any other bytes, and nothing else.

    A nullable column that the frame lacks is NULL, an absent `reason` is 0, a narrower dtype is widened;
    columns that this version does not know are named in `Frame.unknown`.
    """
    header, start = _read_header(data)
    if header.table not in _TABLES:
        raise FrameError(f"frame of table {header.table!r}, which this version does not have")
    table = _TABLES[header.table]
    found = _read_columns(data, start, header)
    columns = {
        column.name: _conform(table, column, found.pop(column.name, None), header.rows)
        for column in (*table.columns, REASON)
    }
    return Frame(table, Batch(columns, header.rows), tuple(found))


def _read_header(data: bytes) -> tuple[_Header, int]:
    if len(data) < _PREFIX.size:
        raise FrameError(f"frame of {len(data)} bytes, shorter than its prefix")
    magic, length = _PREFIX.unpack_from(data)
    end = _PREFIX.size + length
    if magic != MAGIC:
        raise FrameError(f"frame begins with {magic!r}, not {MAGIC!r}")
    if length > HEADER_BYTES_MAX or end > len(data):
        raise FrameError(f"frame header of {length} bytes in a frame of {len(data)}")
    try:
        header = _HEADER.decode(memoryview(data)[_PREFIX.size : end])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FrameError(f"frame header: {error}") from error
    if not 0 <= header.rows <= ROWS_MAX:
        raise FrameError(f"frame of {header.rows} rows, at most {ROWS_MAX}")
    return header, end


class _Buffers:
    """Takes one aligned array after the other out of a frame."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data = data
        self._at = start

    def take(self, dtype: np.dtype[np.generic], count: int) -> Array:
        size = dtype.itemsize * count
        if count < 0 or self._at + size > len(self._data):
            raise FrameError(f"frame ends within a buffer of {count} x {dtype}")
        array = np.frombuffer(self._data, dtype, count, self._at)
        self._at += size + -size % ALIGNMENT
        return array

    def finish(self) -> None:
        if self._at != len(self._data):
            raise FrameError(f"frame of {len(self._data)} bytes, its buffers end at {self._at}")


def _read_columns(data: bytes, start: int, header: _Header) -> dict[str, ColumnData]:
    buffers = _Buffers(data, start)
    columns: dict[str, ColumnData] = {}
    for column in header.columns:
        if column.name in columns:
            raise FrameError(f"frame has column {column.name!r} twice")
        columns[column.name] = _read_column(buffers, column, header.rows)
    buffers.finish()
    return columns


def _read_column(buffers: _Buffers, column: _ColumnHeader, rows: int) -> ColumnData:
    dtype = _DTYPES.get(column.dtype)
    if dtype is None:
        raise FrameError(f"column {column.name!r} of unknown dtype {column.dtype!r}")
    if column.nulls == "all" and rows:
        return nulls(dtype, rows, is_variable=column.variable)
    if not column.variable and column.elements != rows:
        raise FrameError(f"column {column.name!r} of {column.elements} values in a frame of {rows} rows")
    values = buffers.take(dtype, column.elements)
    valid = _read_valid(buffers, column, rows) if column.nulls == "some" else None
    offsets = _read_offsets(buffers, column, rows) if column.variable else None
    return ColumnData(values, valid, offsets)


def _read_valid(buffers: _Buffers, column: _ColumnHeader, rows: int) -> NDArray[np.bool_]:
    raw = buffers.take(np.dtype(np.uint8), rows)
    if (raw > 1).any():  # type: ignore[operator]  # numpy has no order for generic elements
        raise FrameError(f"column {column.name!r}: validity is neither 0 nor 1")
    return raw.view(np.bool_)


def _read_offsets(buffers: _Buffers, column: _ColumnHeader, rows: int) -> NDArray[np.int64]:
    offsets = buffers.take(_OFFSET, rows + 1).astype(np.int64)
    if offsets[0] or offsets[-1] != column.elements or (np.diff(offsets) < 0).any():
        raise FrameError(f"column {column.name!r}: offsets do not rise from 0 to {column.elements}")
    return offsets


def _conform(table: Hypertable, column: Column, data: ColumnData | None, rows: int) -> ColumnData:
    """Bring a column of a frame to its declaration of today."""
    kind = column.type
    if data is None and column is REASON:
        return ColumnData(np.zeros(rows, kind.dtype))
    if data is None and column.nullable:
        return nulls(kind.dtype, rows, is_variable=kind.is_variable)
    if data is None:
        raise FrameError(f"frame of {table.name} without column {column.name!r}")
    if data.valid is not None and not column.nullable:
        raise FrameError(f"{table.name}.{column.name} is NULL in a frame, but must not be")
    if (data.offsets is not None) != kind.is_variable or not np.can_cast(data.values.dtype, kind.dtype):
        raise FrameError(f"{table.name}.{column.name} is {data.values.dtype} in a frame, not {kind.sql}")
    if data.values.dtype == kind.dtype:
        return data
    return ColumnData(data.values.astype(kind.dtype), data.valid, data.offsets)


def samples_per_row(table: Hypertable, batch: Batch) -> NDArray[np.int64]:
    """Count the samples of each row: non-NULL values of quantities, each item of an array is one."""
    counts = np.zeros(batch.rows, np.int64)
    for column in table.quantities:
        data = batch.columns[column.name]
        if data.offsets is not None:
            counts += data.lengths if data.valid is None else np.where(data.valid, data.lengths, 0)
        elif data.valid is None:
            counts += 1
        else:
            counts += data.valid
    return counts


def count_samples(table: Hypertable, batch: Batch) -> int:
    """Return the sum of `samples_per_row`, without an array a row."""
    total = 0
    for column in table.quantities:
        data = batch.columns[column.name]
        if data.offsets is None:
            total += batch.rows if data.valid is None else int(np.count_nonzero(data.valid))
        elif data.valid is None:
            total += int(data.offsets[-1] - data.offsets[0])
        else:
            total += int(data.lengths[data.valid].sum())
    return total
