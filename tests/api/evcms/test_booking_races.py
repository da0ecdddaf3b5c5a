"""Many at once: one booking for one slot, one start for one booking, one end for one fee."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from api.tokens import Claims, issue
from storage import ledger
from storage.database import Pool
from stream.bookings.jobs import run_due
from tests.api.evcms.booking_scene import FEE_MINOR, URL, WEALTH_MINOR, Scene, enrich, make_scene, wallet_of
from tests.api.helpers import SECRET, Clock, Person, bearer, begin_session, gateway, result

DRIVERS = 200
RACE_S_MAX = 60

# Drivers with a vehicle and money, all at once; their ids and their vehicles'.
_CROWD = """
WITH people AS (
    INSERT INTO users (system, role, name, email)
    SELECT 'evcms', 'user', 'D', 'd' || n || '@example.com' FROM generate_series(1, %(drivers)s) AS n
    RETURNING id
), wallets AS (
    INSERT INTO accounts (kind, owner_id, currency, balance_minor)
    SELECT 'wallet', id, 'INR', %(balance)s FROM people
)
INSERT INTO vehicles (user_id, make, model, year, battery_capacity_kwh, registration_number)
SELECT id, 'Tata', 'Nexon', 2025, 40, 'MH12AB1234' FROM people
RETURNING user_id, id
"""


@pytest.fixture
async def scene(api: httpx.AsyncClient, pool: Pool, clock: Clock, brand: Person, driver: Person) -> Scene:
    await enrich(pool, driver.id)
    return await make_scene(pool, api, clock, brand.id)


async def crowd(scene: Scene) -> list[tuple[str, dict[str, str]]]:
    """Their vehicles' ids and their headers."""
    async with scene.pool.connection() as db:
        made = await db.execute(_CROWD, {"drivers": DRIVERS, "balance": WEALTH_MINOR})
        rows = await made.fetchall()
    return [
        (
            str(vehicle_id),
            bearer(issue(SECRET, "evcms", Claims(user_id, 0, None), now_us=scene.clock(), life_s=3_600)),
        )
        for user_id, vehicle_id in rows
    ]


async def test_of_many_who_want_one_slot_one_wins(scene: Scene, driver: Person, pool: Pool) -> None:
    people = await crowd(scene)
    body = await scene.order(driver)
    begins_s = time.monotonic()
    answers = await asyncio.gather(
        *(
            scene.api.post(URL, json={**body, "vehicleId": vehicle_id}, headers=headers)
            for vehicle_id, headers in people
        )
    )
    took_s = time.monotonic() - begins_s
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(201), statuses.count(409)) == (1, DRIVERS - 1), set(statuses)
    async with pool.connection() as db:
        held = await db.execute("SELECT count(*), sum(held_minor) FROM accounts WHERE held_minor > 0")
        assert await held.fetchone() == (1, FEE_MINOR)
        assert await (await db.execute("SELECT count(*) FROM bookings")).fetchone() == (1,)
        holds = await db.execute("SELECT count(*) FROM transfers WHERE state = 'pending'")
        assert await holds.fetchone() == (1,)
        assert await ledger.trial_balance(db) == {"INR": DRIVERS * WEALTH_MINOR}, "what the crowd was given"
    assert took_s < RACE_S_MAX


async def test_the_same_key_at_once_makes_one_booking(scene: Scene, driver: Person, pool: Pool) -> None:
    body = await scene.order(driver)
    headers = {**driver.headers, "Idempotency-Key": "k"}
    answers = await asyncio.gather(*(scene.api.post(URL, json=body, headers=headers) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["data"]["id"] for answer in answers}) == 1
    assert (await wallet_of(pool, driver.id)).held_minor == FEE_MINOR


async def test_many_slots_at_once_have_numbers_without_gaps(scene: Scene, driver: Person) -> None:
    bodies = [await scene.order(driver, ahead_minutes=60 * n) for n in range(1, 13)]
    answers = await asyncio.gather(
        *(scene.api.post(URL, json=body, headers=driver.headers) for body in bodies)
    )
    numbers = sorted(answer.json()["data"]["bookingNumber"][-4:] for answer in answers)
    assert numbers == [f"{n:04d}" for n in range(1, 13)]


async def test_two_starts_at_once_reach_the_charger_once(
    scene: Scene, driver: Person, pool: Pool, bus: Client
) -> None:
    booking = await scene.book(driver, ahead_minutes=5)

    async def react(action: str, payload: Any) -> Any:
        await asyncio.sleep(0.3)
        at = scene.clock.moment()
        await begin_session(pool, scene.device_id, driver.id, at, id_tag=payload["idTag"])
        return result(status="Accepted")

    async with gateway(bus, scene.device_id, react) as calls:
        answers = await asyncio.gather(*(scene.put(driver, booking["id"], "start") for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    assert len(calls) == 1
    wallet = await wallet_of(pool, driver.id)
    assert (wallet.balance_minor, wallet.held_minor) == (WEALTH_MINOR - FEE_MINOR, 0)


async def test_cancelled_expired_and_started_at_once_end_the_fee_once(
    scene: Scene, driver: Person, admin: Person, pool: Pool, bus: Client
) -> None:
    for _ in range(4):
        booking = await scene.book(driver, ahead_minutes=0, estimatedDuration=5)
        scene.clock.advance(5 * 60)
        now = scene.clock.moment()
        cancelled, *_ = await asyncio.gather(
            scene.put(admin, booking["id"], "cancel", {"reason": "x"}),
            scene.put(driver, booking["id"], "start"),
            run_due(pool, bus, now),
            run_due(pool, bus, now),
        )
        assert cancelled.status_code in {200, 400}
        ended = await scene.get(driver, booking["id"])
        assert ended["status"] == "cancelled"
        assert [log["event"] for log in ended["logs"] if log["event"] in {"cancelled", "expired"}] == [
            "cancelled" if cancelled.status_code == 200 else "expired"
        ]
    assert (await wallet_of(pool, driver.id)).held_minor == 0
    async with pool.connection() as db:
        assert await ledger.trial_balance(db) == {"INR": 0}
