import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from storage.database import Connection, Pool, fetch_value, find_abilities
from storage.errors import PartitionRefusedError, StorageError
from storage.hypertables import BATTERY_SAMPLES, DEVICE_EVENTS, HYPERTABLES, Hypertable
from storage.partitions import (
    CHUNKS_AHEAD,
    CHUNKS_BEHIND,
    PARTITIONS_AT_ONCE_MAX,
    ensure_partitions,
    maintain,
    partitions_around,
    partitions_for,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MIDNIGHT = datetime(2020, 2, 29, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
TABLES = st.sampled_from(list(HYPERTABLES.values()))
# 1900 to 2200: seconds before and after 1970
TIMES = st.integers(-2_208_988_800 * 10**6, 7_258_118_400 * 10**6).map(lambda us: EPOCH + us * MICROSECOND)


def us(*times: datetime) -> NDArray[np.int64]:
    return np.array([(time - EPOCH) // MICROSECOND for time in times], np.int64)


async def insert(connection: Connection, *times: datetime) -> None:
    for time in times:
        await connection.execute(
            "INSERT INTO battery_samples (ts, device_id, received_at) VALUES (%s, 1, now())", (time,)
        )


async def parts_of(connection: Connection, table: Hypertable) -> int:
    """Count native partitions, or a hypertable's chunks."""
    query = "SELECT count(*) FROM pg_inherits WHERE inhparent = %(table)s::regclass"
    return int(await fetch_value(connection, query, {"table": table.name}))


async def has_hypertables(connection: Connection) -> bool:
    return (await find_abilities(connection)).has_hypertables


@given(TABLES, TIMES)
def test_every_time_has_one_partition_around_it(table: Hypertable, time: datetime) -> None:
    (partition,) = partitions_for(table, us(time)).values()
    assert partition.start <= time < partition.end
    assert partition.end - partition.start == table.chunk
    assert partition.name == f"{table.name}_p{partition.start:%Y%m%d}"


@given(TABLES, st.lists(TIMES, max_size=20))
def test_many_times_have_the_partitions_that_each_has(table: Hypertable, times: list[datetime]) -> None:
    each = [partitions_for(table, us(time)) for time in times]
    assert partitions_for(table, us(*times)) == {name: made[name] for made in each for name in made}


@given(TABLES, TIMES)
def test_the_partitions_around_now_leave_no_gap(table: Hypertable, now: datetime) -> None:
    around = list(partitions_around(table, now).values())
    assert len(around) == CHUNKS_BEHIND + 1 + CHUNKS_AHEAD
    assert all(left.end == right.start for left, right in itertools.pairwise(around))
    assert around[CHUNKS_BEHIND].start <= now < around[CHUNKS_BEHIND].end


def test_a_time_outside_the_calendar_is_refused() -> None:
    with pytest.raises(PartitionRefusedError, match="battery_samples"):
        partitions_for(BATTERY_SAMPLES, np.array([2**62], np.int64))


async def test_rows_on_both_sides_of_a_boundary_are_stored(pool: Pool) -> None:
    times = (MIDNIGHT - MICROSECOND, MIDNIGHT, MIDNIGHT + MICROSECOND)
    async with pool.connection() as connection:
        before = await parts_of(connection, BATTERY_SAMPLES)
        await ensure_partitions(connection, BATTERY_SAMPLES, us(*times))
        await insert(connection, *times)
        assert await parts_of(connection, BATTERY_SAMPLES) == before + 2
        stored = await (await connection.execute("SELECT ts FROM battery_samples ORDER BY ts")).fetchall()
    assert [time for (time,) in stored] == list(times)


async def test_a_late_row_needs_its_partition(pool: Pool) -> None:
    async with pool.connection() as connection:
        if await has_hypertables(connection):
            pytest.skip("TimescaleDB makes chunks itself")
        with pytest.raises(psycopg.errors.CheckViolation):
            async with connection.transaction():
                await insert(connection, MIDNIGHT)
        await ensure_partitions(connection, BATTERY_SAMPLES, us(MIDNIGHT))
        await insert(connection, MIDNIGHT)


async def test_the_key_and_the_checks_hold_in_new_partitions(pool: Pool) -> None:
    async with pool.connection() as connection:
        await ensure_partitions(connection, BATTERY_SAMPLES, us(MIDNIGHT))
        await insert(connection, MIDNIGHT)
        with pytest.raises(psycopg.errors.UniqueViolation):
            async with connection.transaction():
                await insert(connection, MIDNIGHT)
        with pytest.raises(psycopg.errors.CheckViolation, match="battery_samples_check_1"):
            await connection.execute(
                "INSERT INTO battery_samples (ts, device_id, received_at) VALUES (%s, 0, now())", (MIDNIGHT,)
            )


async def test_writers_make_the_same_partition_at_once(pool: Pool) -> None:
    async def write(device_id: int) -> None:
        async with pool.connection() as connection:
            # the table is in use by this transaction when the partition is wanted, as in the writer
            await connection.execute("DELETE FROM battery_samples WHERE device_id = -1")
            await ensure_partitions(connection, BATTERY_SAMPLES, us(MIDNIGHT))
            await connection.execute(
                "INSERT INTO battery_samples (ts, device_id, received_at) VALUES (%s, %s, now())",
                (MIDNIGHT, device_id),
            )

    await asyncio.gather(*(write(device_id) for device_id in range(1, 9)))
    async with pool.connection() as connection:
        assert await fetch_value(connection, "SELECT count(*) FROM battery_samples", {}) == 8


async def test_making_a_partition_does_not_stop_other_writers(pool: Pool) -> None:
    async with pool.connection() as making, pool.connection() as writing:
        await ensure_partitions(making, BATTERY_SAMPLES, us(MIDNIGHT))
        await writing.execute("SET LOCAL lock_timeout = '1s'")
        await insert(writing, datetime.now(UTC))
        await writing.rollback()


async def test_too_many_partitions_at_once_are_refused(pool: Pool) -> None:
    times = us(MIDNIGHT)[0] + np.arange(PARTITIONS_AT_ONCE_MAX + 1) * (86_400 * 1_000_000)
    async with pool.connection() as connection:
        if await has_hypertables(connection):
            pytest.skip("TimescaleDB makes chunks itself")
        with pytest.raises(PartitionRefusedError, match="split the batch"):
            await ensure_partitions(connection, BATTERY_SAMPLES, times)
        await ensure_partitions(connection, BATTERY_SAMPLES, times[:-1])


async def test_maintenance_makes_ahead_and_drops_what_is_past_retention(pool: Pool) -> None:
    now = datetime.now(UTC)
    edge = now - BATTERY_SAMPLES.retention
    gone, kept = edge - BATTERY_SAMPLES.chunk - timedelta(seconds=1), edge + timedelta(hours=1)
    async with pool.connection() as connection:
        await ensure_partitions(connection, BATTERY_SAMPLES, us(gone, kept))
        await insert(connection, gone, kept)
        await connection.commit()
        later = now + timedelta(days=3)
        report = await maintain(connection, now)
        assert report.dropped == {**dict.fromkeys(HYPERTABLES, 0), "battery_samples": 1}
        rows = await connection.execute("SELECT ts FROM battery_samples")
        assert await rows.fetchall() == [(kept,)]
        await connection.commit()
        ahead = await maintain(connection, later)
        native = not await has_hypertables(connection)
        assert ahead.made["battery_samples"] == (3 if native else 0)
        await connection.commit()
        assert (await maintain(connection, later)).made == dict.fromkeys(HYPERTABLES, 0)


async def test_maintenance_wants_a_connection_outside_a_transaction(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("SELECT 1")
        with pytest.raises(StorageError, match="in a transaction"):
            await maintain(connection, datetime.now(UTC))


async def test_partitions_of_a_rolled_back_transaction_are_gone(pool: Pool) -> None:
    async with pool.connection() as connection:
        before = await parts_of(connection, DEVICE_EVENTS)
        await ensure_partitions(connection, DEVICE_EVENTS, us(MIDNIGHT))
        await connection.rollback()
        assert await parts_of(connection, DEVICE_EVENTS) == before
