"""DDL of the time series, from their declarations, and the care of native partitions.

Used by `storage.migrate` (makes the tables), `stream.writer` (makes what a late row needs) and the
jobs role (makes partitions ahead, drops those past retention). On TimescaleDB the server makes chunks
itself; on plain PostgreSQL this module makes range partitions with the same bounds. Nothing above can
tell: tables, columns and key indexes have the same names on both.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from psycopg.pq import TransactionStatus

from storage.database import Abilities, Connection
from storage.errors import PartitionRefusedError, StorageError
from storage.hypertables import HYPERTABLES, Column, Hypertable

CHUNKS_AHEAD = 7
CHUNKS_BEHIND = 2
PARTITIONS_AT_ONCE_MAX = 128
COMPRESS_AFTER = timedelta(days=7)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# One lock for all tables: whoever makes partitions of two of them cannot meet another halfway.
LOCK_SQL = "SELECT pg_advisory_xact_lock(hashtext('gridwire partitions'))"

# The given partitions that do not exist; none for a table that is not partitioned natively.
MISSING_SQL = """
SELECT name FROM unnest(%(names)s::text[]) AS name
WHERE to_regclass(quote_ident(name)) IS NULL
  AND (SELECT relkind FROM pg_class WHERE oid = to_regclass(%(table)s)) = 'p'
"""

# The table is locked while its partition goes: better late than with all writers waiting behind us.
_DROP_LOCK_SQL = "SET LOCAL lock_timeout = '5s'"

_PARTITIONS_SQL = """
SELECT child.relname
FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = to_regclass(%(table)s) AND child.relname ~ '_p[0-9]{8}$'
ORDER BY child.relname
"""

_IS_NATIVE_SQL = "SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(%(table)s)"


@dataclass(frozen=True, slots=True)
class Partition:
    """One native partition: rows with `start <= time < end`."""

    name: str
    start: datetime
    end: datetime


def _partition(table: Hypertable, index: int) -> Partition:
    """Return the chunk with number `index`, counted from 1970-01-01 UTC as TimescaleDB counts them."""
    try:
        start = _EPOCH + index * table.chunk
        return Partition(f"{table.name}_p{start:%Y%m%d}", start, start + table.chunk)
    except OverflowError as error:
        raise PartitionRefusedError(
            f"{table.name}: a timestamp outside the years 1 to 9999; mask such rows before"
        ) from error


def partitions_for(table: Hypertable, ts_us: NDArray[np.int64]) -> dict[str, Partition]:
    """Return the partitions that rows at `ts_us` (microseconds since 1970, any shape) fall into, by name."""
    if not ts_us.size:
        return {}
    chunk_us = table.chunk // _MICROSECOND
    first, last = int(ts_us.min()) // chunk_us, int(ts_us.max()) // chunk_us
    # most batches lie within one chunk or two: no need to sort them
    chunks = range(first, last + 1) if last - first <= 1 else np.unique(ts_us // chunk_us)
    return {partition.name: partition for partition in (_partition(table, int(index)) for index in chunks)}


def partitions_around(table: Hypertable, now: datetime) -> dict[str, Partition]:
    """Return the partitions that stand ready at any time: `CHUNKS_BEHIND` now, and `CHUNKS_AHEAD`."""
    current = (now - _EPOCH) // table.chunk
    indexes = range(current - CHUNKS_BEHIND, current + CHUNKS_AHEAD + 1)
    return {partition.name: partition for partition in (_partition(table, index) for index in indexes)}


def partition_ddl(table: Hypertable, partition: Partition) -> list[sql.Composed]:
    """Return the statements that make one partition.

    ATTACH, because CREATE ... PARTITION OF would lock out every writer of the table until commit.
    """
    names = {"table": sql.Identifier(table.name), "partition": sql.Identifier(partition.name)}
    bounds = {"start": sql.Literal(partition.start), "end": sql.Literal(partition.end)}
    return [
        sql.SQL("CREATE TABLE {partition} (LIKE {table} INCLUDING ALL)").format(**names),
        sql.SQL(
            "ALTER TABLE {table} ATTACH PARTITION {partition} FOR VALUES FROM ({start}) TO ({end})"
        ).format(**names, **bounds),
    ]


def _column_ddl(column: Column) -> sql.Composed:
    null = sql.SQL("" if column.nullable else " NOT NULL")
    return sql.SQL("{} {}{}").format(sql.Identifier(column.name), sql.SQL(column.type.sql), null)


def _check_ddl(name: str, expression: str) -> sql.Composed:
    return sql.SQL("CONSTRAINT {} CHECK ({})").format(sql.Identifier(name), sql.SQL(expression))


def _names(columns: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(column) for column in columns)


def _index_ddl(table: Hypertable) -> sql.Composed:
    """Return the only index, since each costs ingest: the key; by device and arrival where there is none."""
    if table.key:
        return sql.SQL("CREATE UNIQUE INDEX IF NOT EXISTS {} ON {} ({})").format(
            sql.Identifier(f"{table.name}_key"), sql.Identifier(table.name), _names(table.key)
        )
    return sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} ({})").format(
        sql.Identifier(f"{table.name}_device"),
        sql.Identifier(table.name),
        _names((table.segment_by, table.time)),
    )


def _columnstore_ddl(table: Hypertable) -> list[sql.Composed]:
    """Return compression of old chunks: only TimescaleDB Community has it."""
    rest = [name for name in table.key if name not in (table.segment_by, table.time)]
    order = ", ".join([f"{table.time} DESC", *rest])
    return [
        sql.SQL(
            "ALTER TABLE {} SET (timescaledb.compress,"
            " timescaledb.compress_segmentby = {}, timescaledb.compress_orderby = {})"
        ).format(sql.Identifier(table.name), sql.Literal(table.segment_by), sql.Literal(order)),
        sql.SQL("SELECT add_compression_policy({}, {}::interval, if_not_exists => true)").format(
            sql.Literal(table.name), sql.Literal(COMPRESS_AFTER)
        ),
    ]


def table_ddl(table: Hypertable, abilities: Abilities) -> list[sql.Composed]:
    """Return the statements that make one series table, empty and with its index, on such a server."""
    checks = [_check_ddl(f"{table.name}_check_{i}", check) for i, check in enumerate(table.checks, 1)]
    body = sql.SQL(", ").join([*map(_column_ddl, table.columns), *checks])
    by_range = sql.SQL(" PARTITION BY RANGE ({})").format(sql.Identifier(table.time))
    create = sql.SQL("CREATE TABLE {} ({}){}").format(
        sql.Identifier(table.name), body, sql.SQL("") if abilities.has_hypertables else by_range
    )
    hypertable = sql.SQL(
        "SELECT create_hypertable({}, by_range({}, {}::interval), create_default_indexes => false)"
    ).format(sql.Literal(table.name), sql.Literal(table.time), sql.Literal(table.chunk))
    return [
        create,
        *([hypertable] if abilities.has_hypertables else []),
        _index_ddl(table),
        *(_columnstore_ddl(table) if abilities is Abilities.COMMUNITY and table.is_compressed else []),
    ]


async def _missing(
    connection: Connection, table: Hypertable, wanted: dict[str, Partition]
) -> list[Partition]:
    rows = await connection.execute(MISSING_SQL, {"names": list(wanted), "table": table.name})
    return [wanted[name] for (name,) in await rows.fetchall()]


async def _make(connection: Connection, table: Hypertable, wanted: dict[str, Partition]) -> int:
    """Make what is missing of `wanted`; a second look under the lock, since another may have made it."""
    if not await _missing(connection, table, wanted):
        return 0
    await connection.execute(LOCK_SQL)
    missing = await _missing(connection, table, wanted)
    if len(missing) > PARTITIONS_AT_ONCE_MAX:
        raise PartitionRefusedError(
            f"{table.name}: {len(missing)} partitions to make for one batch, at most"
            f" {PARTITIONS_AT_ONCE_MAX}; split the batch by time"
        )
    for partition in missing:
        for statement in partition_ddl(table, partition):
            await connection.execute(statement)
    return len(missing)


async def ensure_partitions(connection: Connection, table: Hypertable, ts_us: NDArray[np.int64]) -> None:
    """Make the partitions that rows with these times need; on TimescaleDB nothing is to do.

    `ts_us`: values of the table's `time` column, microseconds since 1970 UTC, in any order. Several
    writers may call it at once. They last if the caller's transaction commits. Raises
    `PartitionRefusedError` when more than `PARTITIONS_AT_ONCE_MAX` would have to be made.
    """
    await _make(connection, table, partitions_for(table, ts_us))


@dataclass(frozen=True, slots=True)
class Maintenance:
    """What one round did, by table name: partitions made ahead, and partitions or chunks dropped."""

    made: dict[str, int]
    dropped: dict[str, int]


async def maintain(connection: Connection, now: datetime) -> Maintenance:
    """Make partitions ahead of `now` and drop what is past retention, on every kind of server.

    Every step is a transaction of its own, so that writers never wait behind more than one; hence
    the connection must not be inside one.
    """
    if connection.info.transaction_status != TransactionStatus.IDLE:
        raise StorageError("maintain: the connection is in a transaction; commit it before")
    made: dict[str, int] = {}
    dropped: dict[str, int] = {}
    for table in HYPERTABLES.values():
        async with connection.transaction():
            made[table.name] = await _make(connection, table, partitions_around(table, now))
        dropped[table.name] = await _drop_old(connection, table, now - table.retention)
    return Maintenance(made, dropped)


async def _drop_old(connection: Connection, table: Hypertable, horizon: datetime) -> int:
    """Drop what ends at or before `horizon`; returns how many partitions or chunks that were."""
    async with connection.transaction():
        native = await (await connection.execute(_IS_NATIVE_SQL, {"table": table.name})).fetchone()
        rows = await connection.execute(_PARTITIONS_SQL, {"table": table.name})
        old = [name for (name,) in await rows.fetchall() if _end_of(table, name) <= horizon]
    if native == (False,):
        return await _drop_chunks(connection, table, horizon)
    for name in old:
        async with connection.transaction():
            await connection.execute(_DROP_LOCK_SQL)
            await connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))
    return len(old)


async def _drop_chunks(connection: Connection, table: Hypertable, horizon: datetime) -> int:
    async with connection.transaction():
        chunks = await connection.execute(
            "SELECT drop_chunks(%s::regclass, older_than => %s::timestamptz)", (table.name, horizon)
        )
        return len(await chunks.fetchall())


def _end_of(table: Hypertable, partition_name: str) -> datetime:
    start = datetime.strptime(partition_name[-8:], "%Y%m%d").replace(tzinfo=UTC)
    return start + table.chunk
