"""The outbox on a real database: billed once whatever happens, debts, failures, backoff."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from nats.aio.client import Client

from protocols.timestamps import from_datetime, to_datetime
from storage import ledger
from storage.database import Pool
from storage.queries import cdrs, devices, outbox, sessions, stations
from storage.queries.sessions import Session
from storage.queries.wallet_entries import list_entries
from stream import budgets, jobs, records, settlement
from stream.jobs import HANDLERS, JobsConfig, backoff, work_one
from stream.rating import RatingError
from stream.settlement import SettlementError

START = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)


class Clock:
    """A clock that tests move by hand."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC) + timedelta(minutes=1)  # past every `due_at` that the database sets

    def __call__(self) -> int:
        return from_datetime(self.now)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def config(clock: Clock) -> JobsConfig:
    return JobsConfig(clock, workers=4, idle_s=0.01)


_numbers = itertools.count(1)


async def a_driver(pool: Pool, balance_minor: int) -> int:
    async with pool.connection() as connection:
        row = await (
            await connection.execute(
                "INSERT INTO users (system, role, name, email)"
                " VALUES ('evcms', 'user', 'D', %s) RETURNING id",
                (f"driver{next(_numbers)}@example.com",),
            )
        ).fetchone()
        assert row is not None
    if balance_minor:
        await top_up(pool, row[0], balance_minor)
    return int(row[0])


async def top_up(pool: Pool, user_id: int, amount_minor: int) -> None:
    async with pool.connection() as connection:
        wallet = await ledger.ensure_wallet(connection, user_id)
        funding = await ledger.house_account(connection, "funding")
        await ledger.transfer(
            connection, key=f"topup:{next(_numbers)}", debit_account_id=funding.id,
            credit_account_id=wallet.id, amount_minor=amount_minor, description="top-up",
        )  # fmt: skip
        await outbox.enqueue(connection, "settle_debts", {"user_id": user_id})


async def balance(pool: Pool, user_id: int) -> int:
    async with pool.connection() as connection:
        wallet = await ledger.wallet(connection, user_id)
    return 0 if wallet is None else wallet.balance_minor


async def stopped(
    pool: Pool,
    user_id: int | None,
    energy_wh: int,
    *,
    seconds: int = 1800,
    deliveries: int = 1,
    received_s: int | None = None,
) -> Session:
    """A session that was stopped, with its task in the outbox."""
    number = next(_numbers)
    async with pool.connection() as connection:
        device = await devices.register_device(connection, "charger", f"CP{number % 7}")
        session, _ = await sessions.start_session(
            connection, device_id=device.id, connector_id=1, id_tag=f"TAG{number}", user_id=user_id,
            vehicle_id=None, started_at=START, received_at=START, meter_start_wh=1_000,
        )  # fmt: skip
        received_at = START + timedelta(seconds=seconds if received_s is None else received_s)
        ended, _ = await sessions.stop_session(
            connection, device_id=device.id, transaction_id=session.transaction_id,
            ended_at=START + timedelta(seconds=seconds), received_at=received_at,
            meter_stop_wh=1_000 + energy_wh, reason="Local",
        )  # fmt: skip
        for _ in range(deliveries):
            await outbox.enqueue(connection, "rate_session", {"session_id": session.id})
    assert ended is not None
    return ended


async def payment(pool: Pool, session: Session) -> str:
    async with pool.connection() as connection:
        found = await sessions.get_session(connection, session.id)
    assert found is not None
    return found.payment_status


async def pending(pool: Pool) -> int:
    async with pool.connection() as connection:
        return await outbox.pending_count(connection)


async def drain(config: JobsConfig, pool: Pool, bus: Client) -> None:
    while await work_one(config, pool, bus):
        pass


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.05)


async def listen(bus: Client) -> list[tuple[str, dict[str, Any]]]:
    heard: list[tuple[str, dict[str, Any]]] = []

    async def hear(message: Any) -> None:
        heard.append((message.subject, json.loads(message.data)))

    await bus.subscribe("gridwire.live.>", cb=hear)
    return heard


async def test_a_stopped_session_is_rated_debited_and_announced(
    pool: Pool, bus: Client, config: JobsConfig
) -> None:
    heard = await listen(bus)
    driver = await a_driver(pool, 20_000)
    session = await stopped(pool, driver, 10_000)
    await drain(config, pool, bus)
    async with pool.connection() as connection:
        record = await cdrs.get_cdr(connection, session.id)
        wallet = await ledger.wallet(connection, driver)
        assert wallet is not None
        entries, _ = await list_entries(connection, user_id=driver, direction="debit", limit=10)
        tax = await ledger.house_account(connection, "tax")
        revenue = await ledger.house_account(connection, "revenue")
    assert record is not None
    assert (record.energy_minor, record.gst_minor, record.total_minor) == (15_000, 2_700, 17_700)
    assert (record.energy_wh, record.duration_s) == (10_000, 1_800)
    assert wallet.balance_minor == 2_300
    assert [(entry.amount_minor, entry.session_id) for entry in entries] == [(17_700, session.id)]
    assert (revenue.balance_minor, tax.balance_minor) == (15_000, 2_700)
    assert await payment(pool, session) == "paid"
    await bus.flush()
    await until(lambda: _is(len(heard) == 5))
    told = [event["notification"]["title"] for subject, event in heard if subject.endswith("notification")]
    assert told == ["Charging is complete", "Payment made", "Wallet balance low"]
    by_topic = {subject.removeprefix("gridwire.live."): event for subject, event in heard}
    stop = by_topic["session-stopped"]
    assert (stop["session_id"], stop["total_minor"], stop["payment_status"]) == (session.id, 17_700, "paid")
    assert by_topic["low-balance"] == {"user_id": driver, "currency": "INR", "balance_minor": 2_300}


async def _is(value: bool) -> bool:
    return value


async def test_sessions_delivered_twice_to_many_workers_are_billed_once(
    pool: Pool, bus: Client, config: JobsConfig
) -> None:
    heard = await listen(bus)
    drivers = [await a_driver(pool, 10_000_000) for _ in range(5)]
    made = [
        await stopped(pool, drivers[i % 5], 1_000 + i, deliveries=2) for i in range(200)
    ]  # both deliveries fall due together
    stop = asyncio.Event()
    runs = [
        asyncio.create_task(jobs.run(config, pool=pool, bus=bus, stop=stop, ready=lambda: None))
        for _ in range(2)
    ]

    async def is_done() -> bool:
        return await pending(pool) == 0

    await until(is_done)
    stop.set()
    await asyncio.gather(*runs)
    expected = dict.fromkeys(drivers, 10000000)
    async with pool.connection() as connection:
        for session in made:
            record = await cdrs.get_cdr(connection, session.id)
            assert record is not None
            expected[record.user_id or 0] -= record.total_minor
        counted = await (
            await connection.execute("SELECT count(*) FROM transfers WHERE key LIKE 'session:%'")
        ).fetchone()
        assert await ledger.trial_balance(connection) == {"INR": 0}
        tax = await ledger.house_account(connection, "tax")
    assert {driver: await balance(pool, driver) for driver in drivers} == expected
    assert counted == (400,)  # one debit and one of tax for each
    assert tax.balance_minor > 0
    assert {await payment(pool, session) for session in made} == {"paid"}
    await bus.flush()
    stops = [event["session_id"] for subject, event in heard if subject.endswith("session-stopped")]
    assert sorted(stops) == sorted(session.id for session in made)


async def test_a_driver_without_money_owes_and_a_top_up_pays_the_oldest_first(
    pool: Pool, bus: Client, config: JobsConfig
) -> None:
    driver = await a_driver(pool, 0)
    owed = [await stopped(pool, driver, 1_000) for _ in range(3)]  # 1,770 each
    await drain(config, pool, bus)
    assert [await payment(pool, session) for session in owed] == ["failed"] * 3
    await top_up(pool, driver, 4_000)
    await drain(config, pool, bus)
    assert [await payment(pool, session) for session in owed] == ["paid", "paid", "failed"]
    assert await balance(pool, driver) == 460
    await top_up(pool, driver, 2_000)
    await drain(config, pool, bus)
    assert [await payment(pool, session) for session in owed] == ["paid"] * 3
    assert await balance(pool, driver) == 690
    async with pool.connection() as connection:
        assert await ledger.trial_balance(connection) == {"INR": 0}


async def test_debts_are_found_beyond_the_first_page(
    pool: Pool, bus: Client, config: JobsConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settlement, "SESSIONS_PAGE", 2)
    driver = await a_driver(pool, 0)
    owed = [await stopped(pool, driver, 1_000) for _ in range(5)]
    await drain(config, pool, bus)
    await top_up(pool, driver, 100_000)
    await drain(config, pool, bus)
    assert [await payment(pool, session) for session in owed] == ["paid"] * 5


async def test_a_top_up_beside_a_failing_debit_never_leaves_a_debt_that_could_be_paid(
    pool: Pool, bus: Client, config: JobsConfig
) -> None:
    for _ in range(15):
        driver = await a_driver(pool, 0)
        session = await stopped(pool, driver, 1_000)
        await asyncio.gather(work_one(config, pool, bus), top_up(pool, driver, 5_000))
        await drain(config, pool, bus)
        assert await payment(pool, session) == "paid"


async def test_a_session_of_nobody_has_a_record_and_no_debit(
    pool: Pool, bus: Client, config: JobsConfig
) -> None:
    session = await stopped(pool, None, 1_000)
    await drain(config, pool, bus)
    async with pool.connection() as connection:
        record = await cdrs.get_cdr(connection, session.id)
        assert await ledger.trial_balance(connection) in ({}, {"INR": 0})
    assert record is not None
    assert record.user_id is None
    assert await payment(pool, session) == "pending"


async def test_a_free_session_is_paid_without_a_transfer(pool: Pool, bus: Client, config: JobsConfig) -> None:
    session = await stopped(pool, await a_driver(pool, 0), 0)
    await drain(config, pool, bus)
    assert await payment(pool, session) == "paid"


async def test_a_session_that_cannot_be_rated_is_tried_later(
    pool: Pool, bus: Client, config: JobsConfig, clock: Clock
) -> None:
    bad = await stopped(pool, await a_driver(pool, 9_000), 500)
    good = await stopped(pool, await a_driver(pool, 9_000), 1_000)
    async with pool.connection() as connection:
        definition = {"elements": [{"prices": [{"dimension": "energy", "price_minor": 1}]}]}
        tariff = await stations.insert_tariff(
            connection, "mars", energy_minor_per_kwh=0, definition=definition
        )
        station = await stations.insert_station(connection, "Nowhere", tariff_id=tariff.id, time_zone="UTC+3")
        await connection.execute(
            "UPDATE chargers SET station_id = %s WHERE device_id = %s", (station.id, bad.device_id)
        )
    await drain(config, pool, bus)
    assert (await payment(pool, bad), await payment(pool, good)) == ("pending", "paid")
    async with pool.connection() as connection:
        assert await cdrs.get_cdr(connection, bad.id) is None
        with pytest.raises(RatingError, match="time zone"):
            await settlement.rate_session(connection, bad.id)
        row = await (
            await connection.execute("SELECT attempts, last_error FROM outbox WHERE done_at IS NULL")
        ).fetchone()
    assert row is not None
    assert row[0] == 1
    assert "RatingError" in row[1]
    assert not await work_one(config, pool, bus)  # not due yet
    clock.now += timedelta(seconds=config.backoff_s_min)
    assert await work_one(config, pool, bus)


async def test_a_charger_whose_clock_was_set_back_is_billed_by_ours(pool: Pool) -> None:
    session = await stopped(pool, None, 1_000, seconds=-86_400, received_s=600)
    assert records.duration(session) == 600


async def test_an_active_or_unknown_session_is_refused(pool: Pool) -> None:
    async with pool.connection() as connection:
        device = await devices.register_device(connection, "charger", "CPX")
        session, _ = await sessions.start_session(
            connection, device_id=device.id, connector_id=1, id_tag="T", user_id=None, vehicle_id=None,
            started_at=START, received_at=START, meter_start_wh=0,
        )  # fmt: skip
        with pytest.raises(SettlementError, match="still active"):
            await settlement.rate_session(connection, session.id)
        with pytest.raises(SettlementError, match="unknown"):
            await settlement.rate_session(connection, 999_999)


async def test_the_tariff_is_that_of_the_chargers_station(
    pool: Pool, bus: Client, config: JobsConfig
) -> None:
    driver = await a_driver(pool, 100_000)
    session = await stopped(pool, driver, 2_000, seconds=90)
    async with pool.connection() as connection:
        tariff = await stations.insert_tariff(
            connection, "city", energy_minor_per_kwh=1_000, time_minor_per_minute=100, gst_basis_points=500
        )
        station = await stations.insert_station(connection, "City", tariff_id=tariff.id)
        await connection.execute(
            "UPDATE chargers SET station_id = %s WHERE device_id = %s", (station.id, session.device_id)
        )
    await drain(config, pool, bus)
    async with pool.connection() as connection:
        record = await cdrs.get_cdr(connection, session.id)
    assert record is not None
    assert (record.tariff_id, record.energy_minor, record.time_minor, record.gst_minor) == (
        tariff.id, 2_000, 150, 108,  # 107.5 rounds up
    )  # fmt: skip


async def test_a_task_of_an_unknown_kind_waits_for_a_version_that_knows_it(
    pool: Pool, bus: Client, config: JobsConfig
) -> None:
    async with pool.connection() as connection:
        await outbox.enqueue(connection, "of_the_future", {})
    assert await work_one(config, pool, bus)
    assert await pending(pool) == 1


async def test_what_a_failing_handler_wrote_is_undone_whatever_it_says(
    pool: Pool, bus: Client, config: JobsConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def says_nul(connection: Any, payload: Any, config: Any) -> list[settlement.LiveEvent]:
        raise ValueError("a provider said a\0b")

    monkeypatch.setitem(HANDLERS, "settle_debts", says_nul)
    async with pool.connection() as connection:
        await outbox.enqueue(connection, "settle_debts", {"user_id": 1})
    assert await work_one(config, pool, bus)
    assert not await work_one(config, pool, bus), "it waits, and lets others pass"
    async with pool.connection() as connection:
        await connection.execute("DELETE FROM outbox")

    async def writes_and_fails(connection: Any, payload: Any, config: Any) -> list[settlement.LiveEvent]:
        await connection.execute("INSERT INTO stations (name) VALUES ('half done')")
        await connection.execute("SELECT 1 / 0")
        raise AssertionError("not reached")

    monkeypatch.setitem(HANDLERS, "rate_session", writes_and_fails)
    await stopped(pool, None, 1_000)
    assert await work_one(config, pool, bus)
    async with pool.connection() as connection:
        assert await stations.list_stations(connection, limit=10) == []
    assert await pending(pool) == 1


async def test_workers_outlive_a_database_that_drops_their_connections(
    pool: Pool, bus: Client, config: JobsConfig, database_url: str
) -> None:
    stop = asyncio.Event()
    run = asyncio.create_task(jobs.run(config, pool=pool, bus=bus, stop=stop, ready=lambda: None))
    driver = await a_driver(pool, 1_000_000)
    for _ in range(10):
        await stopped(pool, driver, 1_000)
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as killer:
            await killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    async def is_done() -> bool:
        return await pending(pool) == 0

    await until(is_done)
    stop.set()
    await run
    assert await balance(pool, driver) == 1_000_000 - 10 * 1_770


async def test_partitions_are_maintained_at_start(pool: Pool, bus: Client, config: JobsConfig) -> None:
    stop = asyncio.Event()
    is_ready = asyncio.Event()
    run = asyncio.create_task(jobs.run(config, pool=pool, bus=bus, stop=stop, ready=is_ready.set))
    await asyncio.wait_for(is_ready.wait(), 5)
    stop.set()
    await asyncio.wait_for(run, 10)


async def test_tasks_done_long_ago_are_forgotten(pool: Pool, bus: Client, config: JobsConfig) -> None:
    now = to_datetime(config.clock())
    async with pool.connection() as connection:
        ids = [await outbox.enqueue(connection, "settle_debts", {"user_id": 1}) for _ in range(3)]
        old, recent, due = ids
        await outbox.finish(connection, old, now - timedelta(days=8))
        await outbox.finish(connection, recent, now - timedelta(days=6))
        assert await outbox.purge(connection, now - timedelta(days=7), 10) == 1
        left = await (await connection.execute("SELECT id FROM outbox ORDER BY id")).fetchall()
    assert left == [(recent,), (due,)]


async def test_a_periodic_job_that_fails_for_any_reason_is_tried_again(
    pool: Pool, bus: Client, config: JobsConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, tries = asyncio.Event(), 0

    async def broken(pool: Pool, now: datetime) -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OverflowError("a figure that no meter has")
        stop.set()
        return 0

    monkeypatch.setattr(budgets, "raise_alerts", broken)
    async with asyncio.timeout(10):
        await jobs.run(
            replace(config, budgets_interval_s=0.01), pool=pool, bus=bus, stop=stop, ready=lambda: None
        )
    assert tries == 2


def test_waits_double_up_to_the_cap(config: JobsConfig) -> None:
    waits = [backoff(attempts, config) for attempts in (0, 1, 2, 9, 10, 10_000)]
    assert waits == [1.0, 2.0, 4.0, 512.0, 900.0, 900.0]
