"""Battery health and alarms of the Ienerzy family: explanation, scope, a battery without samples."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from storage.database import Pool
from storage.queries import batteries, battery_health
from storage.queries.battery_health import BatteryHealth
from tests.api.helpers import Person

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PART = {"name": "capacity", "value": 81.2, "confidence": 0.9, "weight": 0.405, "text": "81.2 Ah counted"}


def a_day(day: int, score: str | None) -> BatteryHealth:
    at = NOW + timedelta(days=day)
    return BatteryHealth(
        day=at.date(),
        assessed_at=at,
        since=at - timedelta(days=7),
        until=at,
        samples=4_000,
        health_score=None if score is None else Decimal(score),
        known=0.5,
        penalty=5.0,
        capacity_ah=81.2,
        soh_capacity_pct=81.2,
        resistance_ohm=0.0312,
        soh_resistance_pct=96.0,
        reported_soh_pct=None,
        imbalance_mv=12.5,
        weakest_cell=3,
        full_cycles=212.4,
        cycle_depths=[0.5] * 10,
        anomaly_score=0.0,
        figures={"imbalance_mv": 12.5},
        parts=[PART],
    )


async def add(api: httpx.AsyncClient, dealer: Person, serial: str, score: int = 97) -> None:
    body = {"serial_number": serial, "health_score": score}
    answer = await api.post("/api/batteries", json=body, headers=dealer.headers)
    assert answer.status_code == 201


async def get(api: httpx.AsyncClient, who: Person, path: str) -> Any:
    answer = await api.get(f"/api/batteries/{path}", headers=who.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def measure(pool: Pool, serial: str, *days: BatteryHealth) -> int:
    async with pool.connection() as db:
        battery = await batteries.find_battery(db, serial)
        assert battery is not None
        for day in days:
            await battery_health.put_health(db, battery.id, day)
        return battery.id


async def test_a_battery_without_samples_says_that_its_score_was_entered(
    api: httpx.AsyncClient, dealer: Person
) -> None:
    await add(api, dealer, "B1", 93)
    health = await get(api, dealer, "B1/health")
    assert (health["health_score"], health["source"], health["samples"]) == (93, "entered", 0)
    assert "entered" in health["explanation"]
    assert (health["measured"], health["parts"], health["history"], health["open_alarms"]) == (
        None,
        [],
        [],
        [],
    )
    assert await get(api, dealer, "B1/alarms") == []


async def test_the_score_comes_with_its_parts_and_history(
    api: httpx.AsyncClient, dealer: Person, pool: Pool
) -> None:
    await add(api, dealer, "B1")
    await measure(pool, "B1", a_day(0, "86.0"), a_day(1, "84.5"))
    health = await get(api, dealer, "B1/health")
    assert (health["health_score"], health["source"]) == (84.5, "measured")
    assert health["parts"] == [PART]
    assert health["assessed_at"] == "2026-03-02T12:00:00Z"
    assert health["measured"]["resistance_milliohm"] == pytest.approx(31.2)
    assert health["measured"]["weakest_cell"] == 3
    assert health["history"] == [
        {"day": "2026-03-02", "health_score": 84.5},
        {"day": "2026-03-01", "health_score": 86},
    ]
    assert (await get(api, dealer, "B1"))["battery"]["health_score"] == 84.5
    assert (await get(api, dealer, "health-report"))["overall_health_score"] == 84.5


async def test_a_day_that_shows_too_little_leaves_the_score(
    api: httpx.AsyncClient, dealer: Person, pool: Pool
) -> None:
    await add(api, dealer, "B1", 93)
    await measure(pool, "B1", a_day(0, None))
    health = await get(api, dealer, "B1/health")
    assert (health["health_score"], health["source"], health["samples"]) == (93, "entered", 4_000)


async def test_alarms_are_listed_newest_first_and_open_ones_alone(
    api: httpx.AsyncClient, dealer: Person, pool: Pool
) -> None:
    await add(api, dealer, "B1")
    battery_id = await measure(pool, "B1")
    async with pool.connection() as db:
        for number, kind in enumerate(("over_temperature", "cell_over_voltage")):
            at = NOW + timedelta(hours=number)
            facts = {"kind": kind, "severity": "critical", "at": at, "worst": 4.31, "cell": number or None}
            assert await battery_health.open_alarm(db, battery_id, **facts)  # type: ignore[arg-type]
            assert not await battery_health.open_alarm(db, battery_id, **facts)  # type: ignore[arg-type]
        end = NOW + timedelta(minutes=5)
        await battery_health.close_alarm(db, battery_id, kind="over_temperature", at=end, worst=66.0)
    newest, older = await get(api, dealer, "B1/alarms")
    assert (newest["kind"], newest["closed_at"], newest["cell"]) == ("cell_over_voltage", None, 1)
    assert (older["kind"], older["closed_at"], older["worst"]) == (
        "over_temperature",
        "2026-03-01T12:05:00Z",
        66.0,
    )
    assert await get(api, dealer, "B1/alarms?open=true") == [newest]
    assert (await get(api, dealer, "B1/health"))["open_alarms"] == [newest]


@pytest.mark.parametrize("path", ["health", "alarms"])
async def test_others_are_told_nothing(
    api: httpx.AsyncClient, dealer: Person, other_dealer: Person, consumer: Person, path: str
) -> None:
    await add(api, dealer, "B1")
    for who in (other_dealer, consumer):
        answer = await api.get(f"/api/batteries/B1/{path}", headers=who.headers)
        assert answer.status_code == 404
    assert (await api.get(f"/api/batteries/B1/{path}")).status_code == 401
    answer = await api.get("/api/batteries/B1/alarms?limit=0", headers=dealer.headers)
    assert answer.status_code == 400
