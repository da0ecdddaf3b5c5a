"""EV-CMS nearby stations (EV-023): the same as measuring the distance to each, and by the index."""

import random
from typing import Any

import httpx
import pytest

from storage.database import Pool
from storage.queries import places
from stream.geography import boxes_around, distance_m
from tests.api.evcms.places_scene import ADMIN_STATIONS, STATIONS, make_station
from tests.api.helpers import Person

NEARBY = f"{STATIONS}/nearby"
# The 180th meridian, both poles and both tropics are where boxes go wrong.
CENTRES = [
    (12.9716, 77.5946),
    (0.0, 180.0),
    (0.0, -180.0),
    (65.5, 179.95),
    (-16.8, -179.99),
    (90.0, 0.0),
    (-90.0, 12.0),
    (89.7, -120.0),
    (-89.9, 179.0),
    (0.0, 0.0),
]


async def fill(pool: Pool, points: list[tuple[float, float]]) -> None:
    async with pool.connection() as db, db.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO stations (name, latitude, longitude) VALUES ('S', %s, %s)", points
        )


def around(rng: random.Random, latitude: float, longitude: float) -> tuple[float, float]:
    """A point within some two degrees; near a pole at any longitude."""
    north = max(-90.0, min(90.0, latitude + rng.uniform(-1.5, 1.5)))
    spread = 180 if abs(latitude) > 88 else 2
    return north, (longitude + rng.uniform(-spread, spread) + 540) % 360 - 180


async def test_the_same_as_by_measuring_each(pool: Pool) -> None:
    rng = random.Random(5)
    points = [around(rng, *rng.choice(CENTRES)) for _ in range(1_500)]
    points += [(latitude, longitude) for latitude, longitude in CENTRES]
    await fill(pool, points)
    async with pool.connection() as db:
        for _ in range(60):
            latitude, longitude = around(rng, *rng.choice(CENTRES))
            radius = rng.choice([1_000, 20_000, 100_000])
            boxes = [(b.west, b.south, b.east, b.north) for b in boxes_around(latitude, longitude, radius)]
            found = await places.near_places(db, latitude, longitude, radius, boxes, limit=10_000)
            expected = sorted(
                distance_m(latitude, longitude, *point)
                for point in points
                if distance_m(latitude, longitude, *point) <= radius
            )
            assert [place.distance_m for place in found] == pytest.approx(expected, rel=1e-6, abs=1e-3)


async def test_the_index_is_what_finds_them(pool: Pool) -> None:
    rng = random.Random(6)
    await fill(pool, [(rng.uniform(-60, 60), rng.uniform(-180, 180)) for _ in range(5_000)])
    plans: list[str] = []
    for longitude in (77.0, 180.0):
        plans.clear()
        boxes = [(b.west, b.south, b.east, b.north) for b in boxes_around(12.0, longitude, 5_000)]
        async with pool.connection() as db:
            await db.execute("ANALYZE stations")
            await db.execute("LOAD 'auto_explain'")
            await db.execute("SET auto_explain.log_min_duration = 0")
            await db.execute("SET client_min_messages = log")
            db.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))
            await places.near_places(db, 12.0, longitude, 5_000, boxes, limit=100)
        assert any("stations_place" in plan for plan in plans), plans


async def nearby(api: httpx.AsyncClient, person: Person, **query: Any) -> dict[str, Any]:
    answer = await api.get(NEARBY, params=query, headers=person.headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_stations_by_distance(
    api: httpx.AsyncClient, driver: Person, brand: Person, rival: Person, admin: Person
) -> None:
    far = await make_station(api, brand, location={"latitude": 12.99, "longitude": 77.5946})
    near = await make_station(api, rival, location={"latitude": 12.9717, "longitude": 77.5946})
    await make_station(api, brand, location={"latitude": 13.5, "longitude": 77.5946})
    gone = await make_station(api, brand, location={"latitude": 12.9716, "longitude": 77.5946})
    deleted = await api.delete(f"{ADMIN_STATIONS}/{gone['id']}", headers=admin.headers)
    assert deleted.status_code == 200
    found = await nearby(api, driver, latitude=12.9716, longitude=77.5946)
    assert [each["id"] for each in found["data"]] == [near["id"], far["id"]]
    assert found["stations"] == found["data"]
    assert found["count"] == 2
    assert "pagination" not in found
    assert found["data"][0]["distance"] == pytest.approx(11.1, abs=0.1)
    wide = await nearby(api, driver, latitude=12.9716, longitude=77.5946, radius=100_000)
    assert wide["count"] == 3
    assert (await nearby(api, driver, latitude=12.9716, longitude=77.5946, radius=5))["count"] == 0
    own = await nearby(api, rival, latitude=12.9716, longitude=77.5946, radius=100_000)
    assert [each["id"] for each in own["data"]] == [near["id"]]


WRONG: list[dict[str, Any]] = [
    {},
    {"latitude": 1},
    {"latitude": 91, "longitude": 0},
    {"latitude": 0, "longitude": -181},
    {"latitude": "nan", "longitude": 0},
    {"latitude": 0, "longitude": 0, "radius": 0},
    {"latitude": 0, "longitude": 0, "radius": 100_001},
    {"latitude": 0, "longitude": 0, "radius": "inf"},
    {"latitude": 0, "longitude": 0, "radius": "1 OR 1=1"},
]


async def test_what_is_no_place(api: httpx.AsyncClient, driver: Person) -> None:
    for query in WRONG:
        answer = await api.get(NEARBY, params=query, headers=driver.headers)
        assert answer.status_code == 422, query
        assert answer.json()["errors"]


async def test_a_search_has_no_more_than_a_hundred(
    api: httpx.AsyncClient, driver: Person, pool: Pool
) -> None:
    await fill(pool, [(10.0, 10.0 + number / 100_000) for number in range(120)])
    found = await nearby(api, driver, latitude=10, longitude=10)
    assert found["count"] == len(found["data"]) == 100
    distances = [each["distance"] for each in found["data"]]
    assert distances == sorted(distances)
