"""Readings with their cost, and usage: what people see is what they are debited."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from nats.aio.client import Client

from storage.database import Pool
from storage.errors import NotFoundError
from stream.metering import readings
from stream.metering.readings import USAGE_DAYS_MAX, UsageBucket
from tests.stream.metering.estate import (
    NOW,
    Point,
    a_meter,
    a_unit,
    an_estate,
    bill_all,
    bills_of,
    local,
    send,
    wallet_of,
)

BLOCKS = {
    "energy": {
        "kind": "block",
        "blocks": [{"up_to": "2.5", "price_minor": "101.7"}, {"price_minor": "333.3"}],
    },
    "fixed_minor_per_day": "12.5",
    "tax": {"basis_points": 1500, "is_included": False},
}


async def a_point(pool: Pool, **meter: Any) -> Point:
    async with pool.connection() as connection:
        return await a_meter(connection, await a_unit(connection, await an_estate(connection)), **meter)


async def test_readings_are_newest_first_in_the_display_unit(pool: Pool) -> None:
    point = await a_point(pool)
    await send(pool, point, (local(20, 8), 1_100_000), (local(20, 12), 1_250_500), (local(20, 13), 9e9))
    await send(pool, point, (local(20, 14), 1_250_500))
    async with pool.connection() as connection:
        found = await readings.rated_readings(connection, point.meter_id, since=local(1), until=NOW, limit=10)
        latest = await readings.latest_reading(connection, point.meter_id)
    assert [(each.at, each.register, each.consumption, each.cost_minor, each.tag) for each in found] == [
        (local(20, 14), Decimal("1250.5"), Decimal(0), 0, "rise"),
        (local(20, 12), Decimal("1250.5"), Decimal("150.5"), 30_100, "rise"),
        (local(20, 8), Decimal(1_100), Decimal(0), 0, "first"),
    ]
    assert found[0].id == int(local(20, 14).timestamp())
    assert latest == (Decimal("1250.5"), local(20, 14))


async def test_the_costs_of_all_readings_sum_to_the_bills_and_the_debits(pool: Pool, bus: Client) -> None:
    point = await a_point(pool, definition=BLOCKS)
    start = local(28, 3, month=10)
    await send(pool, point, *((start + timedelta(hours=7 * i), 123.0 * i) for i in range(80)))
    await bill_all(pool, bus)
    bills = await bills_of(pool, point.meter_id)
    billed = sum(cost for _, cost in bills.values())
    async with pool.connection() as connection:
        found = await readings.rated_readings(
            connection, point.meter_id, since=local(1, month=10), until=NOW, limit=1_000
        )
        newest = await readings.rated_readings(
            connection, point.meter_id, since=local(1, month=10), until=NOW, limit=7
        )
        days = await readings.usage(
            connection, point.meter_id, period="day", since=local(1, month=10), until=NOW
        )
        weeks = await readings.usage(
            connection, point.meter_id, period="week", since=date(2026, 10, 1), until=date(2026, 12, 1)
        )
        months = await readings.usage(
            connection, point.meter_id, period="month", since=date(2026, 10, 1), until=date(2026, 12, 1)
        )
    assert len(found) == 80
    assert newest == found[:7]
    assert sum(each.cost_minor for each in found) == billed
    assert sum(each.consumption for each in found) == Decimal("9.717")
    assert -(await wallet_of(pool, point.unit_id)).balance_minor == billed
    assert {each.start: (each.consumption * 1_000, each.cost_minor) for each in days} == bills
    assert [each.start.isoformat() for each in weeks] == [
        "2026-10-26", "2026-11-02", "2026-11-09", "2026-11-16",
    ]  # fmt: skip
    assert [each.start for each in months] == [date(2026, 10, 1), date(2026, 11, 1)]
    for buckets in (weeks, months):
        assert sum(each.cost_minor for each in buckets) == billed
        assert sum(each.consumption for each in buckets) == Decimal("9.717")


async def test_a_meter_without_tariff_has_consumption_that_costs_nothing(pool: Pool) -> None:
    point = await a_point(pool, utility="water", definition=None)
    await send(pool, point, (local(20, 8), 7.25), (local(20, 12), 8.5))
    async with pool.connection() as connection:
        found = await readings.rated_readings(
            connection, point.meter_id, since=local(20, 9), until=NOW, limit=10
        )
        usage = await readings.usage(
            connection, point.meter_id, period="day", since=date(2026, 11, 20), until=date(2026, 11, 21)
        )
    assert [(each.consumption, each.cost_minor) for each in found] == [(Decimal("1.25"), 0)]
    assert usage == [UsageBucket(date(2026, 11, 20), Decimal("1.25"), 0)]


async def test_there_may_be_nothing_to_show(pool: Pool) -> None:
    point = await a_point(pool)
    async with pool.connection() as connection:
        assert await readings.latest_reading(connection, point.meter_id) is None
        assert not await readings.rated_readings(
            connection, point.meter_id, since=local(1), until=NOW, limit=10
        )
        assert not await readings.usage(connection, point.meter_id, period="day", since=local(1), until=NOW)
        with pytest.raises(NotFoundError, match="no meter 77"):
            await readings.latest_reading(connection, 77)
        until = date(2026, 1, 1) + timedelta(days=USAGE_DAYS_MAX + 1)
        with pytest.raises(ValueError, match="at most"):
            await readings.usage(
                connection, point.meter_id, period="day", since=date(2026, 1, 1), until=until
            )
