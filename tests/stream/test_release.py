"""A quarantined device that is let in: its waiting rows are stored, checked and counted, once."""

import pytest
from nats.aio.client import Client

from protocols.measurements import Measurement, to_rows
from protocols.samples import Reason, Rows
from storage.database import Pool
from storage.queries import devices, metering_due
from stream import jobs, release
from stream.checks import DAY_US
from stream.jobs import JobsConfig
from stream.release import Released
from stream.writer import WriterConfig
from tests.stream.helpers import (
    SAMPLES_OF_ROW,
    battery_rows,
    drained,
    now_us,
    open_log,
    publisher,
    running_writer,
    scalar,
)

HOUR_US = 3_600_000_000


def readings(times_us: list[int]) -> Rows:
    rows = to_rows([Measurement("energy_import_wh", 5.0, time_us) for time_us in times_us], 0)
    assert rows is not None
    return rows


async def quarantined(pool: Pool, identity: str) -> int:
    async with pool.connection() as connection:
        device = await devices.register_device(connection, "meter", identity, status="quarantined")
        return device.id


async def test_what_waited_is_stored_and_counted(pool: Pool, bus: Client) -> None:
    await open_log(bus)
    ts, device_id = now_us(), await quarantined(pool, "a")
    other_id = await quarantined(pool, "b")
    source = publisher(bus)

    async def send(rows: Rows, device: int) -> None:
        await source.publish(rows, device_id=device, received_at_us=ts, reason=Reason.UNKNOWN_DEVICE)

    async with running_writer(pool, bus, WriterConfig(now_us)):
        times = [ts - hour * HOUR_US for hour in range(5)]
        await send(readings(times), device_id)
        await send(readings(times[:2]), device_id)  # sent again
        await send(readings([ts - 900 * DAY_US]), device_id)
        await send(readings(times), other_id)
        await send(battery_rows([ts]), device_id)
        await drained(pool, bus, 13 + SAMPLES_OF_ROW)
        released = await release.release(pool, device_id, now_us())
        laws = await drained(pool, bus, 13 + SAMPLES_OF_ROW)
    assert released == Released(stored=5 + SAMPLES_OF_ROW, duplicate=2, quarantined=1)
    assert laws.hold()
    assert laws.stored == 5 + SAMPLES_OF_ROW
    assert await scalar(pool, "SELECT count(*) FROM meter_samples") == 5
    assert await scalar(pool, "SELECT count(*) FROM meter_samples_quarantine WHERE reason = 2") == 1
    assert await scalar(pool, f"SELECT count(*) FROM meter_samples WHERE device_id = {other_id}") == 0
    assert await scalar(pool, f"SELECT status FROM devices WHERE id = {device_id}") == "active"
    async with pool.connection() as connection:
        assert [due.device_id for due in await metering_due.claim(connection, 9)] == [device_id]
    assert await release.release(pool, device_id, now_us()) == Released()
    await source.close()


async def test_a_long_quarantine_is_released_in_several_transactions(
    pool: Pool, bus: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_log(bus)
    ts, device_id = now_us(), await quarantined(pool, "a")
    source = publisher(bus)
    async with running_writer(pool, bus, WriterConfig(now_us)):
        for part in range(7):
            times = [ts - (part * 100 + i) * 60_000_000 for i in range(100)]
            await source.publish(
                readings(times), device_id=device_id, received_at_us=ts, reason=Reason.UNKNOWN_DEVICE
            )
        await drained(pool, bus, 700)
        monkeypatch.setattr(release, "ROWS_MAX", 150)
        assert await release.release(pool, device_id, now_us()) == Released(stored=700)
        assert (await drained(pool, bus, 700)).hold()
    await source.close()


async def test_what_comes_while_a_device_is_released_is_stored_by_the_jobs_role(
    pool: Pool, bus: Client
) -> None:
    await open_log(bus)
    ts, device_id = now_us(), await quarantined(pool, "a")
    source = publisher(bus)
    later_us = ts + 3_600_000_000
    jobs_later = JobsConfig(lambda: later_us)

    async def late(hour: int) -> None:
        """A shell that has not noticed yet."""
        rows = readings([ts - hour * HOUR_US])
        await source.publish(rows, device_id=device_id, received_at_us=ts, reason=Reason.UNKNOWN_DEVICE)

    async with running_writer(pool, bus, WriterConfig(now_us)):
        assert await release.release(pool, device_id, ts) == Released()
        await late(0)
        await drained(pool, bus, 1)
        assert not await jobs.work_one(JobsConfig(lambda: ts), pool, bus)
        assert await jobs.work_one(jobs_later, pool, bus)
        assert await scalar(pool, "SELECT count(*) FROM meter_samples") == 1
        async with pool.connection() as connection:
            await devices.set_device_status(connection, device_id, "quarantined")
        await late(1)
        await drained(pool, bus, 2)
        assert await jobs.work_one(jobs_later, pool, bus)
        assert not await jobs.work_one(jobs_later, pool, bus)
        assert await scalar(pool, "SELECT count(*) FROM meter_samples") == 1
        assert (await drained(pool, bus, 2)).hold()
    await source.close()
