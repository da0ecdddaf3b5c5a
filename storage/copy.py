"""PostgreSQL's binary COPY format, made from columns by numpy alone, and the COPY itself.

Used by `stream.writer` (all series), `storage.merge` (temporary tables) and the benchmark. The format is
that of PostgreSQL's documentation, "COPY", section "Binary Format": a header, then for each row a
16-bit count of fields and for each field a 32-bit length (-1 is NULL) with that many bytes, all
big-endian, then a trailer. No Python loop runs over rows: the rows of a piece are one packed structured
array in which every row has the same width, and what a row does not fill is cut out by one boolean mask.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from storage.columns import Array, Batch, Bools, ColumnData
from storage.database import Connection
from storage.hypertables import Column, Hypertable, Type

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # signature, no flags, no header extension
TRAILER = b"\xff\xff"
PADDED_BYTES_MAX = 4 << 20  # of one piece, padding included; a single longer row is a piece of its own
RUN_ROWS_MIN = 256  # rows of one shape, on average, that are worth a piece of their own
POSTGRES_EPOCH_US = 946_684_800_000_000  # 2000-01-01, where timestamptz counts from

Piece = bytes | memoryview  # consecutive bytes of a COPY stream

_FLOAT4_OID = 700
_NULL = -1
_LENGTH = np.dtype(">i4")
_ARRAY_HEADER = np.dtype([(name, ">i4") for name in ("dimensions", "flags", "oid", "size", "lower")])
_EMPTY_ARRAY_BYTES = 12  # no dimensions: neither size nor lower bound follow
_ELEMENT = np.dtype([("length", ">i4"), ("value", ">f4")])
_BYTES = (Type.TEXT, Type.JSONB, Type.BYTEA)


def encode(table: Hypertable, batch: Batch) -> bytes:
    """Return the whole COPY stream of `batch` as one buffer; see `encode_pieces`."""
    return b"".join(encode_pieces(table, batch))


def encode_pieces(table: Hypertable, batch: Batch) -> list[Piece]:
    """Return the COPY stream of `batch` in pieces: header, rows in their order, trailer.

    `batch` has every column of `table` (others are ignored) with the declared dtypes; timestamps are
    microseconds since 1970. The working memory beyond the result stays under `PADDED_BYTES_MAX`
    bytes and a mask of half that size.
    """
    return [HEADER, *(_encode_piece(table, piece) for piece in _pieces(table, batch)), TRAILER]


async def copy_rows(connection: Connection, table: Hypertable, batch: Batch, into: str | None = None) -> None:
    """COPY `batch` into `table`, or into a table named `into` with the same columns.

    Raises `psycopg.Error` as the server does; the caller owns the transaction.
    """
    await copy_encoded(connection, table, encode_pieces(table, batch), into)


async def copy_encoded(
    connection: Connection, table: Hypertable, pieces: Iterable[Piece], into: str | None = None
) -> None:
    """COPY what `encode_pieces` made before, perhaps in another thread."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(into or table.name),
        sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns),
    )
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for piece in pieces:
            await copy.write(memoryview(piece))


def shapes(table: Hypertable, batch: Batch) -> NDArray[np.int64] | None:
    """Return a number for each row that is the same for rows that fill the same slots, shape (rows,).

    Rows of one shape (which columns are NULL, how long the arrays are) need no mask, so whoever may
    choose the order puts them together. None for tables with texts, where hardly two rows are alike.
    """
    shape = np.zeros(batch.rows, np.int64)
    for column in table.columns:
        data = batch.columns[column.name]
        if column.type in _BYTES:
            return None
        if column.type.is_variable:
            longest = int(data.lengths.max(initial=0))
            shape = shape * (longest + 1) + data.lengths
        if data.valid is not None and not data.valid.all():
            shape = shape * 2 + data.valid
    return shape


def _runs(table: Hypertable, batch: Batch) -> list[Batch]:
    """Cut where the shape changes, unless it changes so often that a mask is cheaper."""
    shape = shapes(table, batch)
    if shape is None:
        return [batch]
    cuts = np.flatnonzero(shape[1:] != shape[:-1]) + 1
    if not len(cuts) or len(cuts) * RUN_ROWS_MIN > batch.rows:
        return [batch]
    bounds = [0, *cuts.tolist(), batch.rows]
    return [batch.take(slice(start, end)) for start, end in pairwise(bounds)]


def _pieces(table: Hypertable, batch: Batch) -> Iterator[Batch]:
    """Cut `batch` so that each piece, padded to its own longest values, keeps the bound.

    Halving keeps one long text from making its many short neighbours wide.
    """
    todo = _runs(table, batch)[::-1] if batch.rows else []
    while todo:
        piece = todo.pop()
        if piece.rows > 1 and piece.rows * _padded_width(table, piece) > PADDED_BYTES_MAX:
            half = piece.rows // 2
            todo += [piece.take(slice(half, None)), piece.take(slice(half))]
        else:
            yield piece


def _padded_width(table: Hypertable, batch: Batch) -> int:
    """Return an upper bound of a row's bytes in the padded form."""
    width = 2
    for column in table.columns:
        data = batch.columns[column.name]
        longest = int(data.lengths.max(initial=0)) if column.type.is_variable else 1
        element = _ELEMENT.itemsize if column.type is Type.FLOAT4_ARRAY else max(column.type.width, 1)
        width += _LENGTH.itemsize + _ARRAY_HEADER.itemsize + longest * element
    return width


@dataclass(frozen=True, slots=True)
class _Field:
    """One column of a piece: what stands in its slot, for all rows.

    `lengths`: the length words, one for all rows or one a row. `parts`: arrays that make up the payload
    slot in order, each with its wire dtype; none where every row is NULL. `kept`: payload bytes of each
    row that belong to the stream, or None where all rows fill the slot.
    """

    lengths: int | NDArray[np.int64]
    parts: tuple[tuple[np.dtype[np.void] | np.dtype[np.generic], Array], ...] = ()
    kept: NDArray[np.int64] | None = None


def _encode_piece(table: Hypertable, batch: Batch) -> memoryview:
    fields = [_field(column, batch.columns[column.name]) for column in table.columns]
    layout: list[tuple[str, np.dtype[np.generic]]] = [("count", np.dtype(">i2"))]
    for i, field in enumerate(fields):
        layout.append((f"length{i}", _LENGTH))
        layout += [(f"part{i}.{j}", dtype) for j, (dtype, _) in enumerate(field.parts)]
    rows = np.empty(batch.rows, np.dtype(layout))
    rows["count"] = len(fields)
    for i, field in enumerate(fields):
        rows[f"length{i}"] = field.lengths
        for j, (_, values) in enumerate(field.parts):
            _fill(rows[f"part{i}.{j}"], values)
    # all but text has even widths, and masking 16-bit units takes a quarter of the time of bytes
    unit = np.dtype(np.uint8 if any(column.type in _BYTES for column in table.columns) else np.uint16)
    mask = _mask(rows.dtype, fields, batch.rows, unit.itemsize)
    if mask is None:
        return rows.view(np.uint8).data
    return rows.view(unit).reshape(mask.shape)[mask].view(np.uint8).data


def _fill(slot: NDArray[Any], values: NDArray[Any]) -> None:
    """Assign by member: numpy copies arrays of structures one by one, and their members in bulk."""
    if values.dtype.names is None:
        slot[...] = values
    else:
        for name in values.dtype.names:
            slot[name] = values[name]


def _mask(dtype: np.dtype[np.void], fields: list[_Field], rows: int, unit: int) -> Bools | None:
    """Return which units of `unit` bytes of the padded rows belong to the stream; None: all.

    Shape (rows, units of a row).
    """
    if all(field.kept is None for field in fields):
        return None
    assert dtype.fields is not None
    mask = np.ones((rows, dtype.itemsize // unit), np.bool_)
    for i, field in enumerate(fields):
        if field.kept is not None:
            start = dtype.fields[f"part{i}.0"][1] // unit
            width = sum(part.itemsize for part, _ in field.parts) // unit
            kept = (field.kept // unit).astype(np.int32)
            np.less(np.arange(width, dtype=np.int32), kept[:, None], out=mask[:, start : start + width])
    return mask


def _field(column: Column, data: ColumnData) -> _Field:
    if data.valid is not None and not data.valid.any():
        return _Field(_NULL)
    if data.offsets is None:
        return _fixed(column, data)
    return _array(data) if column.type is Type.FLOAT4_ARRAY else _bytes(column, data)


def _fixed(column: Column, data: ColumnData) -> _Field:
    values = data.values
    if column.type is Type.TIMESTAMPTZ:
        values = values.astype(np.int64) - POSTGRES_EPOCH_US
    parts = ((column.type.dtype.newbyteorder(">"), values),)
    if data.valid is None or data.valid.all():
        return _Field(column.type.width, parts)
    kept = np.where(data.valid, column.type.width, 0)
    return _Field(np.where(data.valid, column.type.width, _NULL), parts, kept)


def _array(data: ColumnData) -> _Field:
    """Build float4[]: one dimension from 1 on, no NULL elements (`array_recv` in PostgreSQL's source)."""
    lengths = data.lengths
    header = np.zeros(len(data), _ARRAY_HEADER)
    header["dimensions"] = lengths > 0
    header["oid"] = _FLOAT4_OID
    header["size"] = lengths
    header["lower"] = 1
    padded = data.padded()
    elements = np.empty(padded.shape, _ELEMENT)
    elements["length"] = 4
    elements["value"] = padded
    full = _ARRAY_HEADER.itemsize + _ELEMENT.itemsize * lengths
    wire = np.where(lengths > 0, full, _EMPTY_ARRAY_BYTES)
    slot = np.dtype((_ELEMENT, (padded.shape[1],)))
    return _variable(data, wire, ((_ARRAY_HEADER, header), (slot, elements)))


def _bytes(column: Column, data: ColumnData) -> _Field:
    """Build text or bytes, or jsonb with its version byte (1) in front."""
    padded = data.padded()
    slot = np.dtype((np.uint8, (padded.shape[1],)))
    if column.type is not Type.JSONB:
        return _variable(data, data.lengths, ((slot, padded),))
    version = np.ones(len(data), np.uint8)
    return _variable(data, data.lengths + 1, ((version.dtype, version), (slot, padded)))


def _variable(
    data: ColumnData, wire: NDArray[np.int64], parts: tuple[tuple[np.dtype[np.generic], Array], ...]
) -> _Field:
    """Join the parts of a variable payload of `wire` bytes a row, leaving out what is NULL."""
    width = sum(dtype.itemsize for dtype, _ in parts)
    is_null = None if data.valid is None else ~data.valid
    lengths = wire if is_null is None else np.where(is_null, _NULL, wire)
    kept = wire if is_null is None else np.where(is_null, 0, wire)
    return _Field(lengths, parts, None if (kept == width).all() else kept)
