"""The metering job on a real database: bills, corrections, wallets; late, doubled and removed samples."""

import asyncio
import random
from datetime import date, timedelta
from decimal import Decimal

import pytest
from nats.aio.client import Client

from storage.database import Pool
from storage.errors import AlreadyExistsError, LedgerError, NotFoundError
from storage.queries import meter_tariffs, metering_due, meters, outbox, unit_wallets
from stream import jobs
from stream.jobs import JobsConfig
from stream.metering import billing, wallets
from tests.stream.metering.estate import (
    INSTALLED,
    NOW,
    Point,
    a_device,
    a_meter,
    a_unit,
    an_estate,
    assign,
    bill_all,
    bills_of,
    clock,
    counts,
    entries_of,
    local,
    remove,
    send,
    top_up,
    wallet_of,
)

DAY = date(2026, 11, 20)
NEXT = date(2026, 11, 21)


@pytest.fixture
async def point(pool: Pool) -> Point:
    async with pool.connection() as connection:
        unit_id = await a_unit(connection, await an_estate(connection), balance_minor=100_000)
        return await a_meter(connection, unit_id)


async def descriptions(pool: Pool, unit_id: int) -> list[tuple[str, int, str]]:
    wallet = await wallet_of(pool, unit_id)
    async with pool.connection() as connection:
        found = await unit_wallets.entries(connection, wallet.id, since=INSTALLED, limit=100)
    return [(entry.direction, entry.amount_minor, entry.description) for entry in found]


async def test_readings_become_a_bill_a_day_and_one_debit_each(pool: Pool, bus: Client, point: Point) -> None:
    await send(pool, point, (local(20, 8), 1_000), (local(20, 12), 3_000), (local(21, 1), 3_000))
    await send(pool, point, (local(21, 12), 4_500))
    await bill_all(pool, bus)
    assert await bills_of(pool, point.meter_id) == {DAY: (Decimal(2_000), 400), NEXT: (Decimal(1_500), 300)}
    assert (await wallet_of(pool, point.unit_id)).balance_minor == 99_300
    assert await descriptions(pool, point.unit_id) == [
        ("debit", 300, "Electricity usage 2026-11-21"),
        ("debit", 400, "Electricity usage 2026-11-20"),
        ("credit", 100_000, "Wallet top-up"),
    ]


async def test_a_second_run_changes_nothing(pool: Pool, bus: Client, point: Point) -> None:
    readings = [(local(20, 8), 1_000.0), (local(20, 12), 3_000.0)]
    await send(pool, point, *readings)
    await bill_all(pool, bus)
    before = await counts(pool)
    await send(pool, point, *readings)
    async with pool.connection() as connection:
        await metering_due.add(connection, [point.device_id] * 3, [INSTALLED] * 3)
    await bill_all(pool, bus)
    assert await counts(pool) == before


async def test_a_late_reading_is_a_correction_of_its_days(pool: Pool, bus: Client, point: Point) -> None:
    # the register stood still in the evening, so the 20th had less than its share, and the 21st more
    await send(pool, point, (local(20, 12), 1_000), (local(21, 12), 3_000))
    await bill_all(pool, bus)
    assert await bills_of(pool, point.meter_id) == {DAY: (Decimal(1_000), 200), NEXT: (Decimal(1_000), 200)}
    await send(pool, point, (local(20, 18), 1_200), (local(21), 1_200))
    await bill_all(pool, bus)
    assert await bills_of(pool, point.meter_id) == {DAY: (Decimal(200), 40), NEXT: (Decimal(1_800), 360)}
    assert await entries_of(pool, point.meter_id) == [
        (DAY, 1, 200, "reading"),
        (DAY, 2, -160, "late"),
        (NEXT, 1, 200, "reading"),
        (NEXT, 2, 160, "reading"),
    ]
    assert (await descriptions(pool, point.unit_id))[:2] == [
        ("debit", 160, "Electricity usage 2026-11-21"),
        ("credit", 160, "Correction of electricity usage 2026-11-20"),
    ]


async def test_a_reprocessed_sample_is_a_correction(pool: Pool, bus: Client, point: Point) -> None:
    await send(pool, point, (local(20, 8), 0), (local(20, 12), 9_000), (local(21, 8), 9_500))
    await bill_all(pool, bus)
    await remove(pool, point, local(20, 8))
    await bill_all(pool, bus)
    found = await bills_of(pool, point.meter_id)
    assert [cost for _, cost in found.values()] == [60, 40]
    await remove(pool, point, local(20, 12))
    await bill_all(pool, bus)
    assert await bills_of(pool, point.meter_id) == {DAY: (Decimal(0), 0), NEXT: (Decimal(0), 0)}
    assert (await wallet_of(pool, point.unit_id)).balance_minor == 100_000
    assert {reason for *_, reason in await entries_of(pool, point.meter_id)} == {"reading", "reprocess"}
    assert (await counts(pool))[0] == 1 + 2 + 1 + 2


async def test_a_spike_that_the_next_reading_unmasks_is_given_back(
    pool: Pool, bus: Client, point: Point
) -> None:
    await send(pool, point, (local(20, 8), 1_000), (local(20, 9), 90_000))
    await bill_all(pool, bus)
    assert (await bills_of(pool, point.meter_id))[DAY] == (Decimal(89_000), 17_800)
    await send(pool, point, (local(20, 10), 2_000))
    await bill_all(pool, bus)
    assert (await bills_of(pool, point.meter_id))[DAY] == (Decimal(1_000), 200)
    assert (await descriptions(pool, point.unit_id))[0] == (
        "credit", 17_600, "Correction of electricity usage 2026-11-20",
    )  # fmt: skip


async def test_a_meter_without_wallet_or_tariff_is_billed_once_it_has_both(pool: Pool, bus: Client) -> None:
    async with pool.connection() as connection:
        unit_id = await a_unit(connection, await an_estate(connection), balance_minor=None)
        point = await a_meter(connection, unit_id, definition=None)
    await send(pool, point, (local(20, 8), 0), (local(20, 12), 1_000), (local(21, 12), 2_000))
    await bill_all(pool, bus)
    assert await counts(pool) == (0, 0, 0, 0, 0)
    async with pool.connection() as connection:
        await wallets.open_wallet(connection, unit_id, "ZAR")
    await bill_all(pool, bus)
    assert await bills_of(pool, point.meter_id) == {}
    async with pool.connection() as connection:
        flat = {"energy": {"kind": "flat", "price_minor": "100"}}
        await assign(connection, point.meter_id, "electricity", flat, local(21, 15))
    await bill_all(pool, bus)
    # half of what flowed from noon to noon; days before the tariff's first cost nothing
    assert await bills_of(pool, point.meter_id) == {NEXT: (Decimal(500), 50)}
    assert (await wallet_of(pool, unit_id)).balance_minor == -50


async def test_a_device_is_replaced(pool: Pool, bus: Client, point: Point) -> None:
    await send(pool, point, (local(20, 8), 1_000), (local(20, 9), 2_000), (local(20, 15), 8_000))
    await bill_all(pool, bus)
    async with pool.connection() as connection:
        device_id = await a_device(connection)
        await meters.install(
            connection,
            meter_id=point.meter_id,
            device_id=device_id,
            quantity="energy_import_wh",
            since=local(20, 12),
        )
    new = Point(point.meter_id, point.unit_id, device_id, point.utility)
    await send(pool, new, (local(20, 11), 77_000), (local(20, 13), 500), (local(20, 14), 700))
    await bill_all(pool, bus)
    assert await bills_of(pool, point.meter_id) == {DAY: (Decimal(1_200), 240)}
    assert {reason for *_, reason in await entries_of(pool, point.meter_id)} == {"reading", "replacement"}


async def test_blocks_of_a_month_move_with_a_late_reading(pool: Pool, bus: Client) -> None:
    blocks = {"energy": {"kind": "block", "blocks": [{"up_to": 1, "price_minor": 100}, {"price_minor": 300}]}}
    async with pool.connection() as connection:
        unit_id = await a_unit(connection, await an_estate(connection), balance_minor=10_000)
        point = await a_meter(connection, unit_id, definition=blocks)
    await send(pool, point, (local(20), 5_000), (local(20, 12), 6_000), (local(21, 12), 6_000))
    await send(pool, point, (local(21, 18), 7_000))
    await bill_all(pool, bus)
    assert [cost for _, cost in (await bills_of(pool, point.meter_id)).values()] == [100, 300]
    await send(pool, point, (local(3), 4_500), (local(4), 5_000))
    await bill_all(pool, bus)
    found = await bills_of(pool, point.meter_id)
    assert found[date(2026, 11, 3)] == (Decimal(500), 50)
    assert found[DAY] == (Decimal(1_000), 200)
    assert found[NEXT] == (Decimal(1_000), 300)
    assert len(found) == 19
    assert (await wallet_of(pool, unit_id)).balance_minor == 10_000 - 550


async def test_months_of_late_data_are_billed_month_by_month(pool: Pool, bus: Client, point: Point) -> None:
    start = local(2, month=10)
    await send(pool, point, *((start + timedelta(hours=6 * i), 100.0 * i) for i in range(4 * 50 + 1)))
    await bill_all(pool, bus)
    found = await bills_of(pool, point.meter_id)
    assert len(found) == 50
    assert set(found.values()) == {(Decimal(400), 80)}
    assert (await wallet_of(pool, point.unit_id)).balance_minor == 100_000 - 50 * 80


async def test_a_meter_that_cannot_be_billed_is_tried_again_and_holds_up_nobody(
    pool: Pool, bus: Client, point: Point
) -> None:
    async with pool.connection() as connection:
        bad_unit = await a_unit(connection, await an_estate(connection), balance_minor=1_000)
        bad = await a_meter(connection, bad_unit, definition=None)
        tariff = await meter_tariffs.insert_tariff(connection, "In euros", "electricity", "EUR", {})
        await meter_tariffs.assign_tariff(connection, bad.meter_id, tariff.id, INSTALLED)
    for each in (bad, point):
        await send(pool, each, (local(20, 8), 0), (local(20, 9), 1_000))
    await bill_all(pool, bus)
    assert (await bills_of(pool, point.meter_id))[DAY] == (Decimal(1_000), 200)
    async with pool.connection() as connection:
        tasks = await outbox.claim_due(connection, NOW + timedelta(days=1), limit=10)
        assert {task.kind for task in tasks} == {"bill_meter"}
        with pytest.raises(billing.BillingError, match=r"tariff in \['EUR'\]"):
            await billing.bill_again(connection, tasks[0].payload, NOW)
    async with pool.connection() as connection:
        good = {"energy": {"kind": "flat", "price_minor": 50}}
        tariff = await meter_tariffs.insert_tariff(connection, "In rand", "electricity", "ZAR", good)
        await meter_tariffs.assign_tariff(connection, bad.meter_id, tariff.id, INSTALLED)
        await billing.bill_again(connection, tasks[0].payload, NOW)
    assert (await bills_of(pool, bad.meter_id))[DAY] == (Decimal(1_000), 50)


async def test_the_jobs_role_bills_until_it_is_stopped(pool: Pool, bus: Client, point: Point) -> None:
    stop = asyncio.Event()
    config = JobsConfig(clock, idle_s=0.01)
    role = asyncio.create_task(jobs.run(config, pool=pool, bus=bus, stop=stop, ready=lambda: None))
    await send(pool, point, (local(20, 8), 0), (local(20, 9), 1_000))
    async with asyncio.timeout(30):
        while not await bills_of(pool, point.meter_id):
            await asyncio.sleep(0.05)
    stop.set()
    await role
    assert (await bills_of(pool, point.meter_id))[DAY] == (Decimal(1_000), 200)


async def test_a_backlog_of_due_rows_is_one_run_a_device(pool: Pool, bus: Client, point: Point) -> None:
    await send(pool, point, (local(20, 8), 0), (local(20, 9), 1_000))
    async with pool.connection() as connection:
        await metering_due.add(connection, [point.device_id] * 100_000, [local(20, 8)] * 100_000)
    assert await billing.bill_due(pool, bus, clock)
    assert not await billing.bill_due(pool, bus, clock)
    assert (await bills_of(pool, point.meter_id))[DAY] == (Decimal(1_000), 200)
    assert len(await entries_of(pool, point.meter_id)) == 1


async def test_two_workers_and_top_ups_at_once_leave_the_ledger_whole(pool: Pool, bus: Client) -> None:
    async with pool.connection() as connection:
        estate_id = await an_estate(connection)
        units = [await a_unit(connection, estate_id, balance_minor=100) for _ in range(6)]
        points = [
            await a_meter(connection, unit_id, utility)
            for unit_id in units
            for utility in ("electricity", "water")
        ]
    rounds = random.Random(4)
    done = asyncio.Event()

    async def work() -> None:
        while not done.is_set():
            if not await billing.bill_due(pool, bus, clock):
                await asyncio.sleep(0.01)

    async def live() -> None:
        for hour in range(1, 16):
            for point in rounds.sample(points, len(points)):
                size = 1_000 if point.utility == "electricity" else 1
                await send(pool, point, (local(20, hour), hour * size), (local(20, 20 - hour), 20 * size))
            async with pool.connection() as connection:
                await top_up(connection, rounds.choice(units), 50)
        done.set()

    await asyncio.gather(work(), work(), live())
    await bill_all(pool, bus)
    before = await counts(pool)
    async with pool.connection() as connection:
        await metering_due.add(connection, [each.device_id for each in points], [INSTALLED] * len(points))
    await bill_all(pool, bus)
    assert await counts(pool) == before
    billed = {
        unit_id: sum(
            [
                cost
                for each in points
                if each.unit_id == unit_id
                for _, cost in (await bills_of(pool, each.meter_id)).values()
            ]
        )
        for unit_id in units
    }
    credited = 6 * 100 + 15 * 50
    balances = [(await wallet_of(pool, unit_id)).balance_minor for unit_id in units]
    assert sum(billed.values()) + sum(balances) == credited


async def test_what_is_wrong_is_refused_by_name(pool: Pool, point: Point) -> None:
    async with pool.connection() as connection:
        with pytest.raises(NotFoundError, match="no register"):
            await meters.install(
                connection, meter_id=point.meter_id, device_id=point.device_id, quantity="power_w", since=NOW
            )
        with pytest.raises(NotFoundError, match="no meter 99"):
            await meters.install(
                connection, meter_id=99, device_id=point.device_id, quantity="gas_m3", since=NOW
            )
        with pytest.raises(AlreadyExistsError, match="is taken since"):
            await meters.install(
                connection,
                meter_id=point.meter_id,
                device_id=point.device_id,
                quantity="energy_import_wh",
                since=INSTALLED - timedelta(days=1),
            )
        with pytest.raises(NotFoundError, match="has no wallet"):
            await top_up(connection, 99, 1)
        with pytest.raises(LedgerError, match="is in ZAR, not in EUR"):
            await wallets.open_wallet(connection, point.unit_id, "EUR")
        assert await meters.uninstall(connection, point.meter_id, NOW)
        assert not await meters.uninstall(connection, point.meter_id, NOW + timedelta(days=1))
