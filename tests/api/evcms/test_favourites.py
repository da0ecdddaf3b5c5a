"""EV-CMS favourite stations (EV-X03)."""

import asyncio
from typing import Any

import httpx
import pytest

from storage.database import Pool
from storage.queries import favourites
from tests.api.evcms.places_scene import ADMIN_STATIONS, STATIONS, make_station
from tests.api.helpers import Clock, Person

URL = "/api/v1/profile/favourites"


async def favour(api: httpx.AsyncClient, person: Person, station_id: str, method: str = "PUT") -> int:
    answer = await api.request(method, f"{STATIONS}/{station_id}/favourite", headers=person.headers)
    return answer.status_code


async def listed(api: httpx.AsyncClient, person: Person, **query: Any) -> list[str]:
    answer = await api.get(URL, params=query, headers=person.headers)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["stations"] == body["data"]
    return [row["id"] for row in body["data"]]


async def test_favourites_are_ones_own(
    api: httpx.AsyncClient, driver: Person, stranger: Person, brand: Person, admin: Person, clock: Clock
) -> None:
    ids = [(await make_station(api, brand))["id"] for _ in range(3)]
    for id_ in ids:
        assert await favour(api, driver, id_) == 200
        clock.advance(1)
    assert await favour(api, driver, ids[0]) == 200
    assert await listed(api, driver) == [ids[2], ids[1], ids[0]]
    assert await listed(api, driver, limit=1, page=2) == [ids[1]]
    assert await listed(api, stranger) == []
    assert await favour(api, stranger, ids[1], "DELETE") == 200
    assert await favour(api, driver, ids[1], "DELETE") == 200
    assert await favour(api, driver, ids[1], "DELETE") == 200
    await api.delete(f"{ADMIN_STATIONS}/{ids[2]}", headers=admin.headers)
    assert await listed(api, driver) == [ids[0]]


async def test_what_is_not_there(
    api: httpx.AsyncClient, driver: Person, brand: Person, rival: Person
) -> None:
    station = await make_station(api, brand)
    for method in ("PUT", "DELETE"):
        for id_ in ("0", "x", "9" * 40):
            assert await favour(api, driver, id_, method) == 404
        assert await favour(api, rival, station["id"], method) == 403


async def test_there_is_a_most(
    api: httpx.AsyncClient, driver: Person, brand: Person, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(favourites, "FAVOURITES_MAX", 2)
    ids = [(await make_station(api, brand))["id"] for _ in range(5)]
    statuses = await asyncio.gather(*(favour(api, driver, id_) for id_ in ids))
    assert sorted(statuses) == [200, 200, 400, 400, 400]
    assert len(await listed(api, driver)) == 2
