"""The health job on a real database: score, history, alarms once, several workers, too few samples."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from nats.aio.client import Client

from protocols.timestamps import from_datetime
from storage.database import Pool
from storage.queries import batteries, battery_health, devices
from storage.queries.batteries import Battery
from storage.queries.battery_health import BatteryAlarm, BatteryHealth
from stream.health.job import HealthConfig, run_due
from tests.stream.battery_packs import Truth, sample

NOW = datetime.now(UTC).replace(microsecond=0)
S = 1_000_000


async def a_battery(pool: Pool, serial: str, entered: int = 97) -> Battery:
    async with pool.connection() as db:
        await batteries.insert_battery(db, serial, health_score=Decimal(entered), dealer_id=None)
        await devices.register_device(db, "battery", serial)
        made = await batteries.find_battery(db, serial)
    assert made is not None
    return made


async def report(pool: Pool, battery: Battery, columns: dict[str, list[Any]], heard: datetime = NOW) -> None:
    """Store samples as the writer does, and note that the battery was heard of."""
    assert battery.device_id is not None
    names = [name for name in columns if name != "ts"]
    rows = zip(*(columns[name] for name in ("ts", *names)), strict=True)
    statement = (
        f"INSERT INTO battery_samples (ts, device_id, received_at, {', '.join(names)})"
        f" VALUES (to_timestamp(%s / 1e6), {battery.device_id}, now(), {', '.join(['%s'] * len(names))})"
        " ON CONFLICT DO NOTHING"
    )
    async with pool.connection() as db, db.cursor() as cursor:
        await cursor.executemany(statement, list(rows))
        await devices.touch_devices(db, [battery.device_id], heard)


async def state_of(pool: Pool, battery: Battery) -> tuple[Battery, list[BatteryHealth], list[BatteryAlarm]]:
    async with pool.connection() as db:
        now = await batteries.find_battery(db, battery.serial_number)
        assert now is not None
        days = await battery_health.health_history(db, battery.id, 10)
        return now, days, list(await battery_health.list_alarms(db, battery.id, is_open=False, limit=50))


def worn(days: int = 2, step_s: int = 60, **truth: Any) -> dict[str, list[Any]]:
    start_us = from_datetime(NOW - timedelta(days=days))
    return sample(Truth(**truth), days=days, step_s=step_s, start_us=start_us)


async def test_a_battery_gets_a_score_with_what_it_rests_on(pool: Pool, bus: Client) -> None:
    battery = await a_battery(pool, "WORN-1")
    async with pool.connection() as db:
        await db.execute("UPDATE batteries SET rated_capacity_ah = 100 WHERE id = %s", (battery.id,))
    await report(pool, battery, worn(capacity_ah=80))
    assert await run_due(pool, bus, NOW) == 1
    now, (day,), alarms = await state_of(pool, battery)
    assert day.capacity_ah == pytest.approx(80, rel=0.02)
    assert day.soh_capacity_pct == pytest.approx(80, abs=2)
    assert day.health_score == now.health_score
    assert Decimal(70) < now.health_score < Decimal(95)
    assert day.samples == len(worn()["ts"])
    assert {part["name"] for part in day.parts} >= {"capacity", "imbalance"}
    assert day.full_cycles == pytest.approx(2 * 0.59, abs=0.1)
    assert alarms == []


async def test_a_battery_with_few_samples_keeps_its_entered_score(pool: Pool, bus: Client) -> None:
    battery = await a_battery(pool, "FEW-1", entered=88)
    few = {name: values[:5] for name, values in worn().items()}
    await report(pool, battery, few)
    await run_due(pool, bus, NOW)
    now, (day,), _ = await state_of(pool, battery)
    assert now.health_score == Decimal(88)
    assert (day.health_score, day.samples) == (None, 5)


async def test_alarms_open_and_close_once_and_are_told_live(pool: Pool, bus: Client) -> None:
    battery = await a_battery(pool, "HOT-1")
    told: list[dict[str, Any]] = []
    subscription = await bus.subscribe("gridwire.live.battery-alarm")
    start_us = from_datetime(NOW - timedelta(hours=1))
    hot = [20.0] * 5 + [65.0] * 10 + [30.0] * 5
    columns: dict[str, list[Any]] = {
        "ts": [start_us + index * 10 * S for index in range(len(hot))],
        "temperatures_c": [[value] for value in hot],
        "current_a": [0.0] * len(hot),
    }
    first = {name: values[:12] for name, values in columns.items()}
    await report(pool, battery, first)
    await run_due(pool, bus, NOW)
    _, _, (alarm,) = await state_of(pool, battery)
    assert (alarm.kind, alarm.closed_at, alarm.worst) == ("over_temperature", None, 65.0)
    await report(pool, battery, columns)
    later = NOW + timedelta(minutes=1)
    await run_due(pool, bus, later)
    await run_due(pool, bus, later + timedelta(minutes=1))
    _, _, (alarm,) = await state_of(pool, battery)
    assert alarm.closed_at is not None
    assert alarm.closed_at - alarm.opened_at == timedelta(seconds=100)
    while len(told) < 2:
        message = await subscription.next_msg(timeout=5)
        event = json.loads(message.data)
        if event["serial_number"] == "HOT-1":
            told.append(event)
    assert [event["state"] for event in told] == ["opened", "closed"]


async def test_only_batteries_that_were_heard_of_are_looked_at(pool: Pool, bus: Client) -> None:
    battery = await a_battery(pool, "QUIET-1")
    assert await run_due(pool, bus, NOW) == 0  # never heard of
    await report(pool, battery, worn(days=1), heard=NOW)
    assert await run_due(pool, bus, NOW) == 1
    assert await run_due(pool, bus, NOW + timedelta(seconds=10)) == 0  # looked at a moment ago
    assert (
        await run_due(pool, bus, NOW + timedelta(minutes=1)) == 1
    )  # what was heard last may be stored since
    assert await run_due(pool, bus, NOW + timedelta(hours=2)) == 1
    assert await run_due(pool, bus, NOW + timedelta(hours=4)) == 0


async def test_workers_share_batteries_and_count_nothing_twice(pool: Pool, bus: Client) -> None:
    fleet = [await a_battery(pool, f"FLEET-{number}") for number in range(6)]
    for battery in fleet:
        await report(pool, battery, worn(days=1))
    done = await asyncio.gather(*(run_due(pool, bus, NOW) for _ in range(3)))
    assert sum(done) == 6
    for battery in fleet:
        _, (day,), _ = await state_of(pool, battery)
        assert day.full_cycles == pytest.approx(0.47, abs=0.1)


async def test_cycles_over_many_looks_are_those_of_one(pool: Pool, bus: Client) -> None:
    whole, pieces = await a_battery(pool, "WHOLE"), await a_battery(pool, "PIECES")
    columns = worn(days=2)
    await report(pool, whole, columns)
    await run_due(pool, bus, NOW, HealthConfig(assess_every=timedelta(0)))
    count = len(columns["ts"])
    for number in range(4):
        first, last = number * count // 4, (number + 1) * count // 4
        at = NOW + timedelta(minutes=number + 1)
        await report(pool, pieces, {name: values[first:last] for name, values in columns.items()}, heard=at)
        await run_due(pool, bus, at, HealthConfig(assess_every=timedelta(0)))
    _, (one,), _ = await state_of(pool, whole)
    _, (many,), _ = await state_of(pool, pieces)
    assert many.full_cycles == pytest.approx(one.full_cycles)
    assert many.cycle_depths == pytest.approx(one.cycle_depths)


async def test_a_battery_whose_limits_are_wrong_does_not_hold_up_the_others(pool: Pool, bus: Client) -> None:
    wrong, right = await a_battery(pool, "WRONG"), await a_battery(pool, "RIGHT")
    async with pool.connection() as db:
        await db.execute(
            """UPDATE batteries SET alarm_limits = '{"nonsense": {}}' WHERE id = %s""", (wrong.id,)
        )
    for battery in (wrong, right):
        await report(pool, battery, worn(days=1))
    assert await run_due(pool, bus, NOW) == 2
    assert (await state_of(pool, wrong))[1] == []
    assert len((await state_of(pool, right))[1]) == 1


async def test_a_backlog_is_worked_off_though_the_battery_is_silent(pool: Pool, bus: Client) -> None:
    whole, behind = await a_battery(pool, "WHOLE"), await a_battery(pool, "BEHIND")
    for battery in (whole, behind):
        await report(pool, battery, worn(days=1))
    config = HealthConfig(fresh_rows_max=400, assess_every=timedelta(0))
    for number in range(5):
        await run_due(pool, bus, NOW + timedelta(hours=number), config)
    _, (day, *_), _ = await state_of(pool, behind)
    assert day.full_cycles == pytest.approx(0.47, abs=0.1)
    assert await run_due(pool, bus, NOW + timedelta(hours=9), config) == 0


async def test_a_sample_from_the_future_blinds_no_alarm(pool: Pool, bus: Client) -> None:
    """A battery that sends local time as UTC once, as its clock is not set yet."""
    battery = await a_battery(pool, "AHEAD-1")
    ahead_us = from_datetime(NOW + timedelta(hours=5, minutes=30))
    await report(pool, battery, {"ts": [ahead_us], "temperatures_c": [[20.0]], "current_a": [0.0]})
    await run_due(pool, bus, NOW)
    start_us = from_datetime(NOW)
    hot: dict[str, list[Any]] = {
        "ts": [start_us + index * 10 * S for index in range(6)],
        "temperatures_c": [[70.0]] * 6,
        "current_a": [0.0] * 6,
    }
    await report(pool, battery, hot, NOW + timedelta(minutes=1))
    await run_due(pool, bus, NOW + timedelta(minutes=1))
    _, _, alarms = await state_of(pool, battery)
    assert [(alarm.kind, alarm.closed_at) for alarm in alarms] == [("over_temperature", None)]
