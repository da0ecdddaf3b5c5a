"""Storing rows of which the table has some already: the slow path beside plain COPY.

Used by `stream.store` when a batch hit the unique key. COPY has no ON CONFLICT, so the rows go to a
temporary table first.
"""

from collections.abc import Sequence

from psycopg import sql

from storage.copy import Piece, copy_encoded
from storage.database import Connection
from storage.hypertables import Column, Hypertable, Type

# TimescaleDB unpacks compressed rows to look for duplicates and by default refuses beyond 100,000 in a
# transaction. Ours are bounded by what was fetched, so the limit is lifted where the server has it.
_LIFT_DECOMPRESSION_LIMIT = """
SELECT set_config(name, '0', true) FROM pg_settings
WHERE name = 'timescaledb.max_tuples_decompressed_per_dml_transaction'
"""


async def merge_encoded(connection: Connection, table: Hypertable, pieces: Sequence[Piece]) -> int:
    """Insert rows (from `storage.copy.encode_pieces`) that `table` does not have; returns their samples.

    The rest were duplicates, of rows in the table or of each other. Inside the caller's transaction.
    """
    names = {"table": sql.Identifier(table.name), "staging": sql.Identifier(f"merge_{table.name}")}
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    await connection.execute(
        sql.SQL(
            "CREATE TEMPORARY TABLE {staging} ON COMMIT DROP AS SELECT {columns} FROM {table} WITH NO DATA"
        ).format(columns=columns, **names)
    )
    await copy_encoded(connection, table, pieces, into=f"merge_{table.name}")
    cursor = await connection.execute(
        sql.SQL(
            "WITH stored AS (INSERT INTO {table} ({columns}) SELECT {columns} FROM {staging}"
            " ON CONFLICT DO NOTHING RETURNING {samples} AS samples)"
            " SELECT coalesce(sum(samples), 0)::bigint FROM stored"
        ).format(columns=columns, samples=_samples(table), **names)
    )
    row = await cursor.fetchone()
    await connection.execute(sql.SQL("DROP TABLE {staging}").format(**names))
    assert row is not None
    return int(row[0])


async def lift_decompression_limit(connection: Connection) -> None:
    """Let this transaction write into compressed chunks however many rows that unpacks."""
    await connection.execute(_LIFT_DECOMPRESSION_LIMIT)


def _samples(table: Hypertable) -> sql.Composable:
    """Return the SQL that counts one row's samples, as `stream.frames.samples_per_row` does in memory."""
    return sql.SQL(" + ").join([sql.SQL("0"), *map(_column_samples, table.quantities)])


def _column_samples(column: Column) -> sql.Composed:
    name = sql.Identifier(column.name)
    if column.type is Type.FLOAT4_ARRAY:
        return sql.SQL("coalesce(cardinality({}), 0)").format(name)
    return sql.SQL("({} IS NOT NULL)::int").format(name)
