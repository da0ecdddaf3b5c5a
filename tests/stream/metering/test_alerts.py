"""Meter alerts: what readings say is wrong, and when an alert is opened, told once, and closed."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from nats.aio.client import Client

from protocols.timestamps import from_datetime
from storage.database import Pool
from storage.queries import meter_alerts
from stream.metering.alerts import findings
from stream.metering.consumption import FOREVER_US, Readings, Span, consume
from stream.metering.watch import watch_meters
from tests.stream.metering.estate import (
    INSTALLED,
    NOW,
    a_meter,
    a_unit,
    an_estate,
    local,
    send,
)

ZONE = ZoneInfo("Africa/Johannesburg")
HOUR = timedelta(hours=1)


def readings_of(*registers: tuple[datetime, float]) -> Readings:
    times = np.array([from_datetime(at) for at, _ in registers], np.int64)
    values = np.array([value for _, value in registers], np.float64)
    span = Span(0, FOREVER_US, 1_000_000, 10**12)
    return consume(times, values, np.array([0, len(registers)], np.int64), [span])


def hours(start: datetime, *registers: float) -> list[tuple[datetime, float]]:
    return [(start + index * HOUR, value) for index, value in enumerate(registers)]


def kinds(
    readings: Readings, now: datetime, utility: str = "water", interval_s: int | None = 3600
) -> set[str]:
    return {finding.kind for finding in findings(readings, utility, interval_s, now, ZONE)}


def test_a_meter_is_silent_after_three_intervals() -> None:
    readings = readings_of(*hours(local(20, 8), 1, 2))
    assert kinds(readings, local(20, 12)) == set()
    assert kinds(readings, local(20, 12, 1)) == {"silent"}
    assert kinds(readings, local(22), interval_s=None) == set()
    assert kinds(readings_of(), local(22)) == set()


def test_a_register_is_stuck_that_moved_before() -> None:
    still = hours(local(18), *[5.0] * 90)
    moved = hours(local(17), *[index / 10 for index in range(20)])
    now = local(21, 17)
    assert kinds(readings_of(*moved, *still), now) == {"stuck"}
    assert kinds(readings_of(*still), now) == set()  # an empty flat
    assert kinds(readings_of(*moved, *still[:-1], (now, 5.1)), now) == set()


@pytest.mark.parametrize(
    ("utility", "night", "expected"),
    [
        ("water", [1, 2, 3, 4, 5], {"leak"}),
        ("gas", [1, 2, 3, 4, 5], {"leak"}),
        ("electricity", [1, 2, 3, 4, 5], set()),
        ("water", [1, 2, 2, 4, 5], set()),
        ("water", [1, 2, 3, 4], set()),  # three intervals are too few to tell
    ],
)
def test_a_leak_flows_all_night(utility: str, night: list[float], expected: set[str]) -> None:
    readings = readings_of(*hours(local(20, 1), *night))
    assert kinds(readings, local(20, 6), utility, None) == expected
    assert kinds(readings, local(20, 4), utility, None) == set()  # the night is not over
    assert kinds(readings, local(21, 6), utility, None) == set()  # it was another night


def test_a_register_that_goes_back_is_reverse_flow_for_a_day() -> None:
    readings = readings_of(*hours(local(20, 8), 10, 11, 9.5, 9.6))
    assert kinds(readings, local(20, 12)) == {"reverse"}
    assert kinds(readings, local(21, 11), interval_s=None) == set()


async def test_an_alert_is_opened_and_told_once_and_closed(pool: Pool, bus: Client) -> None:
    heard: list[dict[str, Any]] = []

    async def hear(message: Any) -> None:
        heard.append(json.loads(message.data))

    await bus.subscribe("gridwire.live.meter-alert", cb=hear)
    async with pool.connection() as connection:
        unit_id = await a_unit(connection, await an_estate(connection))
        point = await a_meter(connection, unit_id, "water", downlinks={})  # every 900 s
        await a_meter(connection, unit_id)  # never heard
    await send(pool, point, (NOW - HOUR, 5))
    for now in (NOW, NOW + HOUR):
        await watch_meters(pool, bus, now)
    await send(pool, point, (NOW + HOUR, 6))
    await watch_meters(pool, bus, NOW + HOUR + timedelta(seconds=1))
    await bus.flush()
    await asyncio.sleep(0.05)
    assert [(event["kind"], event["meter_id"]) for event in heard] == [("silent", point.meter_id)]
    async with pool.connection() as connection:
        found = await meter_alerts.alerts_of(connection, [point.meter_id], since=INSTALLED, limit=10)
        told = await connection.execute("SELECT payload FROM outbox WHERE kind = 'notify_meter_alert'")
        assert await told.fetchall() == [({"alert_id": heard[0]["alert_id"]},)]
    assert [(each.kind, each.opened_at, each.closed_at) for each in found] == [
        ("silent", NOW, NOW + HOUR + timedelta(seconds=1))
    ]


async def test_a_meter_that_stays_silent_keeps_its_alert(pool: Pool, bus: Client) -> None:
    async with pool.connection() as connection:
        unit_id = await a_unit(connection, await an_estate(connection))
        point = await a_meter(connection, unit_id, "water", downlinks={})
    await send(pool, point, (NOW - HOUR, 5))
    for days in (0, 5, 15):
        await watch_meters(pool, bus, NOW + timedelta(days=days))
        async with pool.connection() as connection:
            found = await meter_alerts.alerts_of(connection, [point.meter_id], since=INSTALLED, limit=10)
        assert [(each.kind, each.opened_at, each.closed_at) for each in found] == [("silent", NOW, None)]
