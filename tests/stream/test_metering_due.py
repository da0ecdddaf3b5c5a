"""The writer tells the jobs role which meters have new samples; two workers never take the same device."""

from nats.aio.client import Client

from protocols.measurements import Measurement, to_rows
from protocols.samples import Rows
from protocols.timestamps import to_datetime
from storage.database import Pool
from storage.queries import metering_due
from storage.queries.metering_due import Due
from stream.writer import WriterConfig
from tests.stream.helpers import (
    SAMPLES_OF_ROW,
    battery_rows,
    drained,
    now_us,
    open_log,
    publisher,
    running_writer,
)

MINUTE_US = 60_000_000


def readings(*times_us: int) -> Rows:
    rows = to_rows([Measurement("water_m3", 7.5, time_us) for time_us in times_us], 0)
    assert rows is not None
    return rows


async def claimed(pool: Pool, limit: int = 10) -> list[Due]:
    async with pool.connection() as connection:
        return await metering_due.claim(connection, limit)


async def test_new_samples_are_due_from_the_earliest_on(pool: Pool, bus: Client) -> None:
    await open_log(bus)
    ts = now_us()
    source = publisher(bus)
    async with running_writer(pool, bus, WriterConfig(now_us)):
        await source.publish(readings(ts, ts - 3 * MINUTE_US), device_id=1, received_at_us=ts)
        await source.publish(readings(ts - MINUTE_US), device_id=2, received_at_us=ts)
        await drained(pool, bus, 3)
    assert await claimed(pool) == [
        Due(1, to_datetime(ts - 3 * MINUTE_US), "reading"),
        Due(2, to_datetime(ts - MINUTE_US), "reading"),
    ]
    assert await claimed(pool) == []
    await source.close()


async def test_what_was_there_already_and_what_is_no_meters_is_not_due(pool: Pool, bus: Client) -> None:
    await open_log(bus)
    ts = now_us()
    source = publisher(bus)
    async with running_writer(pool, bus, WriterConfig(now_us)):
        await source.publish(readings(ts), device_id=1, received_at_us=ts)
        await drained(pool, bus, 1)
        assert len(await claimed(pool)) == 1
        await source.publish(readings(ts), device_id=1, received_at_us=ts)
        await source.publish(battery_rows([ts]), device_id=2, received_at_us=ts)
        laws = await drained(pool, bus, 2 + SAMPLES_OF_ROW)
    assert laws.hold()
    assert laws.duplicate == 1
    assert await claimed(pool) == []
    await source.close()


async def test_two_workers_share_the_devices(pool: Pool) -> None:
    at = to_datetime(now_us())
    async with pool.connection() as connection:
        await metering_due.add(connection, [1, 2, 3, 1], [at] * 4)
    async with pool.connection() as one, pool.connection() as other:
        first = await metering_due.claim(one, 2)
        second = await metering_due.claim(other, 2)
        assert [due.device_id for due in first] == [1, 2]
        assert [due.device_id for due in second] == [3]
        await other.rollback()
    assert [due.device_id for due in await claimed(pool)] == [3]


async def test_the_weightiest_reason_is_told(pool: Pool) -> None:
    at = to_datetime(now_us())
    async with pool.connection() as connection:
        await metering_due.add(connection, [1], [at])
        await metering_due.add(connection, [1], [at], "reprocess")
        await metering_due.add(connection, [1], [at], "replacement")
        assert [due.reason for due in await metering_due.claim(connection, 1)] == ["reprocess"]
