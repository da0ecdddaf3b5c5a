import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from storage.database import Connection, Pool
from storage.hypertables import HYPERTABLES
from storage.queries.samples import (
    battery_range,
    count_devices_heard,
    count_rows,
    latest_battery,
    latest_charger_values,
)
from storage.queries.totals import (
    SampleTotal,
    add_samples,
    add_totals,
    advance_position,
    get_position,
    get_producers,
    record_producer,
    sample_totals,
)

NOW = datetime.now(UTC).replace(microsecond=0)
MINUTE = timedelta(minutes=1)


async def insert_battery_row(connection: Connection, ts: datetime, voltage: float | None) -> None:
    await connection.execute(
        "INSERT INTO battery_samples (ts, device_id, received_at, voltage_v, cell_voltages_v)"
        " VALUES (%s, 1, %s, %s, %s)",
        (ts, ts, voltage, [3.5, 3.25]),
    )


async def insert_charger_row(connection: Connection, ts: datetime, connector: int, value: float) -> None:
    await connection.execute(
        "INSERT INTO charger_samples (ts, device_id, received_at, connector_id, measurand, phase, location,"
        " context, value) VALUES (%s, 1, %s, %s, 5, 0, 0, 0, %s)",
        (ts, ts, connector, value),
    )


async def test_the_latest_row_and_ranges_of_a_battery(connection: Connection) -> None:
    assert await latest_battery(connection, 1) is None
    for minutes, voltage in ((3, 48.5), (2, None), (1, 49.0)):
        await insert_battery_row(connection, NOW - minutes * MINUTE, voltage)
    latest = await latest_battery(connection, 1)
    assert latest is not None
    assert (latest.ts, latest.voltage_v, latest.cell_voltages_v) == (NOW - MINUTE, 49.0, [3.5, 3.25])
    columns = await battery_range(
        connection, 1, NOW - 3 * MINUTE, NOW - MINUTE, columns=["ts", "voltage_v"], limit=10
    )
    assert columns == {"ts": [NOW - 3 * MINUTE, NOW - 2 * MINUTE], "voltage_v": [48.5, None]}
    everything = await battery_range(connection, 1, NOW - 3 * MINUTE, NOW, limit=1)
    assert everything["soc_pct"] == [None]
    assert "device_id" not in everything
    empty = await battery_range(connection, 2, NOW - MINUTE, NOW, columns=["ts"], limit=10)
    assert empty == {"ts": []}
    with pytest.raises(ValueError, match="no columns"):
        await battery_range(connection, 1, NOW, NOW, columns=["ts; DROP TABLE users"], limit=1)


async def test_the_latest_values_of_a_charger(connection: Connection) -> None:
    for minutes, connector, value in ((3, 1, 7.0), (1, 1, 8.0), (2, 2, 9.0), (90, 3, 1.0)):
        await insert_charger_row(connection, NOW - minutes * MINUTE, connector, value)
    since = NOW - 60 * MINUTE
    values = await latest_charger_values(connection, 1, since)
    assert [(item.connector_id, item.value) for item in values] == [(1, 8.0), (2, 9.0)]
    only = await latest_charger_values(connection, 1, since, connector_id=2)
    assert [item.ts for item in only] == [NOW - 2 * MINUTE]


async def test_counts_by_table(connection: Connection) -> None:
    await insert_battery_row(connection, NOW, 1.0)
    await insert_charger_row(connection, NOW, 1, 1.0)
    counts = await count_rows(connection)
    assert counts == dict.fromkeys(HYPERTABLES, 0) | {"battery_samples": 1, "charger_samples": 1}
    assert await count_devices_heard(connection, "battery_samples", NOW - MINUTE) == 1
    assert await count_devices_heard(connection, "battery_samples", NOW + MINUTE) == 0


async def test_a_position_moves_only_from_where_it_stands(connection: Connection) -> None:
    assert await get_position(connection, 0) == 0
    assert not await advance_position(connection, 0, 5, 9)
    assert await advance_position(connection, 0, 0, 9)
    assert not await advance_position(connection, 0, 0, 9)
    assert await advance_position(connection, 0, 9, 12)
    assert await get_position(connection, 0) == 12
    assert await get_position(connection, 1) == 0


async def test_two_writers_of_a_partition_cannot_both_advance(pool: Pool) -> None:
    async def advance() -> bool:
        async with pool.connection() as connection:
            return await advance_position(connection, 0, 0, 7)

    assert sum(await asyncio.gather(*(advance() for _ in range(8)))) == 1


async def test_a_frame_of_a_producer_counts_once(connection: Connection) -> None:
    assert await record_producer(connection, "p1", "ocpp", 1, 10, 9, {"json": 1})
    assert not await record_producer(connection, "p1", "ocpp", 1, 10, 9, {"json": 1})
    assert await record_producer(connection, "p1", "ocpp", 2, 20, 18, {"json": 2})
    assert await record_producer(connection, "p2", "mqtt", 1, 5, 5, {})
    first, second = await get_producers(connection)
    assert (first.producer, first.seq, first.received, first.decoded) == ("p1", 2, 20, 18)
    assert first.refused == {"json": 2}
    assert await get_producers(connection, ["p2", "p3"]) == [second]


async def test_totals_add_up_under_many_writers(pool: Pool) -> None:
    wanted = [
        SampleTotal("battery_samples", "stored", "", 3),
        SampleTotal("battery_samples", "quarantined", "clock_future", 1),
        SampleTotal("charger_samples", "duplicate", "", 2),
    ]

    async def add(number: int) -> None:
        async with pool.connection() as connection:
            await add_totals(connection, wanted if number % 2 else wanted[::-1])
            await asyncio.sleep(0)

    await asyncio.gather(*(add(number) for number in range(20)))
    async with pool.connection() as connection:
        await add_samples(connection, "charger_samples", "duplicate", "", 1)
        totals = await sample_totals(connection)
    assert [(total.outcome, total.samples) for total in totals] == [
        ("quarantined", 20),
        ("stored", 60),
        ("duplicate", 41),
    ]
