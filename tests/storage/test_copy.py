import json
import math
import struct
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import sql

from storage import copy
from storage.copy import HEADER, TRAILER, copy_rows, encode
from storage.database import Connection, Pool
from storage.hypertables import HYPERTABLES, SERIES, Column, Hypertable, Type
from tests.storage.batches import VALUES, YEAR_1_US, YEAR_9999_US, Value, batch_of, rows_of

EVERYTHING = Hypertable(
    name="everything",
    columns=tuple(
        Column(f"{kind.name.lower()}_{suffix}", kind, suffix == "nullable")
        for kind in Type
        for suffix in ("required", "nullable")
    ),
    key=(),
    chunk=timedelta(days=1),
    retention=timedelta(days=1),
)


def naive_field(kind: Type, value: Value) -> bytes:
    if value is None:
        return struct.pack(">i", -1)
    if isinstance(value, list):
        elements = b"".join(struct.pack(">if", 4, element) for element in value)
        dimensions = struct.pack(">ii", len(value), 1) if value else b""
        payload = struct.pack(">iii", 1 if value else 0, 0, 700) + dimensions + elements
    elif isinstance(value, bytes):
        payload = (b"\x01" if kind is Type.JSONB else b"") + value
    elif kind is Type.TIMESTAMPTZ:
        assert isinstance(value, int)
        payload = struct.pack(">q", value - 946_684_800_000_000)
    else:
        code = {Type.INT2: "h", Type.INT4: "i", Type.INT8: "q", Type.FLOAT4: "f", Type.FLOAT8: "d"}[kind]
        payload = struct.pack(f">{code}", value)
    return struct.pack(">i", len(payload)) + payload


def naive(table: Hypertable, rows: list[tuple[Value, ...]]) -> bytes:
    body = b"".join(
        struct.pack(">h", len(row))
        + b"".join(naive_field(column.type, value) for column, value in zip(table.columns, row, strict=True))
        for row in rows
    )
    return HEADER + body + TRAILER


@pytest.mark.parametrize("table", [*HYPERTABLES.values(), EVERYTHING], ids=lambda table: table.name)
@given(data=st.data())
def test_bytes_are_those_of_a_naive_encoder(table: Hypertable, data: st.DataObject) -> None:
    rows = data.draw(rows_of(table))
    assert encode(table, batch_of(table, rows)) == naive(table, rows)


@pytest.mark.parametrize("bound", [1, 300, 5000])
@given(rows=rows_of(EVERYTHING))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pieces_change_nothing(
    rows: list[tuple[Value, ...]], bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy, "PADDED_BYTES_MAX", bound)
    assert encode(EVERYTHING, batch_of(EVERYTHING, rows)) == naive(EVERYTHING, rows)


def test_one_long_text_does_not_widen_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Hypertable("t", (Column("text", Type.TEXT),), (), timedelta(1), timedelta(1))
    rows: list[tuple[Value, ...]] = [(b"short",)] * 1000
    rows[500] = (b"x" * 1_000_000,)
    pieces = list(copy._pieces(table, batch_of(table, rows)))
    assert sum(piece.rows for piece in pieces) == len(rows)
    assert all(
        piece.rows == 1 or piece.rows * copy._padded_width(table, piece) <= copy.PADDED_BYTES_MAX
        for piece in pieces
    )
    assert len(pieces) < 20


def test_a_column_that_is_null_throughout_costs_only_its_length() -> None:
    table = Hypertable("t", (Column("a", Type.FLOAT8, nullable=True),), (), timedelta(1), timedelta(1))
    assert len(encode(table, batch_of(table, [(None,)] * 10))) == len(HEADER) + 10 * (2 + 4) + len(TRAILER)


def test_values_of_null_rows_do_not_reach_the_wire() -> None:
    """A frame may carry elements under a NULL; they are cut out with it."""
    table = Hypertable("t", (Column("a", Type.TEXT, nullable=True),), (), timedelta(1), timedelta(1))
    batch = batch_of(table, [(b"ab",), (b"cdef",), (b"g",)])
    data = batch.columns["a"]
    masked = batch.with_column("a", type(data)(data.values, np.array([True, False, True]), data.offsets))
    assert encode(table, masked) == naive(table, [(b"ab",), (None,), (b"g",)])


EXTREMES: dict[Type, list[Value]] = {
    Type.TIMESTAMPTZ: [YEAR_1_US, 0, YEAR_9999_US],
    Type.INT2: [-(2**15), 0, 2**15 - 1],
    Type.INT4: [-(2**31), 0, 2**31 - 1],
    Type.INT8: [-(2**63), 0, 2**63 - 1],
    Type.FLOAT4: [math.inf, -0.0, 3.4028234663852886e38],
    Type.FLOAT8: [-math.inf, math.nan, 1.7976931348623157e308],
    Type.FLOAT4_ARRAY: [[], [math.nan, math.inf], [1.5]],
    Type.TEXT: [b"", "µ€\U0001f50b".encode(), b"x" * 5000],
    Type.JSONB: [b"{}", b'""', b'{"a": [1, null]}'],
    Type.BYTEA: [b"", bytes(range(256)), b"\xff" * 5000],
}
EXTREME_ROWS = [
    *[tuple(EXTREMES[column.type][i] for column in EVERYTHING.columns) for i in range(3)],
    tuple(None if column.nullable else EXTREMES[column.type][0] for column in EVERYTHING.columns),
]


@pytest.fixture
async def everything(pool: Pool) -> AsyncIterator[Connection]:
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}{}").format(
            sql.Identifier(column.name),
            sql.SQL(column.type.sql),
            sql.SQL("" if column.nullable else " NOT NULL"),
        )
        for column in EVERYTHING.columns
    )
    async with pool.connection() as connection:
        await connection.execute(sql.SQL("CREATE TEMPORARY TABLE everything ({})").format(columns))
        yield connection


async def read_back(connection: Connection) -> list[tuple[object, ...]]:
    def expression(column: Column) -> sql.Composed:
        name = sql.Identifier(column.name)
        if column.type is Type.TIMESTAMPTZ:
            return sql.SQL("(extract(epoch FROM {}) * 1000000)::bigint").format(name)
        exact = {Type.FLOAT4: "::float8", Type.FLOAT4_ARRAY: "::float8[]"}  # text has 8 digits only
        return sql.SQL("{}{}").format(name, sql.SQL(exact.get(column.type, "")))

    columns = sql.SQL(", ").join(map(expression, EVERYTHING.columns))
    cursor = await connection.execute(sql.SQL("SELECT {} FROM everything ORDER BY ctid").format(columns))
    return await cursor.fetchall()


def as_read(kind: Type, value: Value) -> object:
    if isinstance(value, bytes):
        if kind is Type.BYTEA:
            return value
        return json.loads(value) if kind is Type.JSONB else value.decode()
    return value


async def round_trip(connection: Connection, rows: list[tuple[Value, ...]]) -> None:
    await connection.execute("TRUNCATE everything")
    await copy_rows(connection, EVERYTHING, batch_of(EVERYTHING, rows))
    kinds = [column.type for column in EVERYTHING.columns]
    expected = [tuple(map(as_read, kinds, row)) for row in rows]
    np.testing.assert_equal(await read_back(connection), expected)


async def test_extremes_come_back_from_postgresql(
    everything: Connection,
) -> None:
    await round_trip(everything, EXTREME_ROWS)


@given(rows=rows_of(EVERYTHING))
@example(rows=[])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_rows_come_back_from_postgresql(
    everything: Connection, rows: list[tuple[Value, ...]]
) -> None:
    await round_trip(everything, rows)


async def test_into_another_table_with_the_same_columns(
    everything: Connection,
) -> None:
    await everything.execute("CREATE TEMPORARY TABLE other AS TABLE everything")
    await copy_rows(everything, EVERYTHING, batch_of(EVERYTHING, EXTREME_ROWS), into="other")
    assert await read_back(everything) == []
    cursor = await everything.execute("SELECT count(*) FROM other")
    assert await cursor.fetchone() == (len(EXTREME_ROWS),)


def test_every_type_is_drawn() -> None:
    assert set(VALUES) == set(Type)
    assert {column.type for table in SERIES for column in table.columns} <= set(VALUES)
    assert all(a != b for a, b in pairwise(EXTREMES))
