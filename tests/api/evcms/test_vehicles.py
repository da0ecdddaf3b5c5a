"""EV-CMS vehicles (EV-010 to EV-017): one default each, under any race; history and sums that agree."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx

from storage.database import Pool
from tests.api.evcms.people import START, charge
from tests.api.helpers import Person, make_charger

URL = "/api/v1/profile/vehicles"
CAR = {
    "make": "Tata",
    "model": "Nexon",
    "year": 2024,
    "batteryCapacity": 40.5,
    "registrationNumber": "MH 12 AB 1",
}


async def add(api: httpx.AsyncClient, person: Person, **changes: Any) -> dict[str, Any]:
    answer = await api.post(URL, json={**CAR, **changes}, headers=person.headers)
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["data"]["vehicle"])


async def defaults(api: httpx.AsyncClient, person: Person) -> dict[str, bool]:
    rows = (await api.get(URL, headers=person.headers)).json()["vehicles"]
    return {row["registrationNumber"]: row["isDefault"] for row in rows}


async def test_the_first_vehicle_is_the_default_and_another_can_be(
    api: httpx.AsyncClient, driver: Person
) -> None:
    first, second = (
        await add(api, driver),
        await add(api, driver, registrationNumber="KA-05", userId="1", isDefault=True),
    )
    assert (first["isDefault"], second["isDefault"]) == (True, False)
    assert set(first) == {*CAR, "id", "isDefault", "createdAt"}
    made = await api.patch(f"{URL}/{second['id']}/set-default", headers=driver.headers)
    assert made.json()["data"]["isDefault"] is True
    assert await defaults(api, driver) == {"MH 12 AB 1": False, "KA-05": True}
    body = {"make": "MG", "batteryCapacity": 50, "year": 1999, "isDefault": False, "registrationNumber": "X1"}
    changed = (await api.put(f"{URL}/{second['id']}", json=body, headers=driver.headers)).json()["data"]
    assert changed["vehicle"] == {**second, "make": "MG", "batteryCapacity": 50.0, "isDefault": True}
    assert (await api.delete(f"{URL}/{second['id']}", headers=driver.headers)).json()["success"] is True
    assert await defaults(api, driver) == {"MH 12 AB 1": True}
    for method in ("GET", "DELETE"):
        gone = await api.request(method, f"{URL}/{second['id']}", headers=driver.headers)
        assert gone.status_code == 404
    me = (await api.get("/api/v1/auth/me", headers=driver.headers)).json()["data"]
    assert [vehicle["id"] for vehicle in me["vehicles"]] == [first["id"]]


async def test_one_default_and_one_of_each_number_whatever_happens_at_once(
    api: httpx.AsyncClient, driver: Person
) -> None:
    numbers = ["MH 1", "mh-1", "MH1", "KA 2", "DL 3", "TN 4"]
    answers = await asyncio.gather(
        *(api.post(URL, json={**CAR, "registrationNumber": each}, headers=driver.headers) for each in numbers)
    )
    assert sorted(answer.status_code for answer in answers) == [201, 201, 201, 201, 409, 409]
    made = [answer.json()["data"]["id"] for answer in answers if answer.status_code == 201]
    assert list((await defaults(api, driver)).values()).count(True) == 1
    await asyncio.gather(
        *(api.patch(f"{URL}/{each}/set-default", headers=driver.headers) for each in made * 3),
        api.delete(f"{URL}/{made[0]}", headers=driver.headers),
    )
    assert list((await defaults(api, driver)).values()).count(True) == 1


async def test_vehicles_of_others_are_theirs(
    api: httpx.AsyncClient, driver: Person, stranger: Person, brand: Person, admin: Person, pool: Pool
) -> None:
    car = f"{URL}/{(await add(api, driver))['id']}"
    for person in (stranger, brand):
        for method, path in (
            ("GET", car), ("DELETE", car), ("PUT", car), ("PATCH", f"{car}/set-default"),
            ("GET", f"{car}/history"), ("GET", f"{car}/stats"),
        ):  # fmt: skip
            body = {"make": "X"} if method == "PUT" else None
            answer = await api.request(method, path, json=body, headers=person.headers)
            assert answer.status_code == 403, (method, path)
    assert (await api.get(URL, headers=stranger.headers)).json()["data"] == []
    for reference in ("0", "999999", "x", "1e3", "9" * 30, "%00"):
        assert (await api.get(f"{URL}/{reference}", headers=driver.headers)).status_code == 404, reference
    assert (await api.put(car, json={"make": "X"}, headers=admin.headers)).status_code == 200
    async with pool.connection() as db:
        row = await (await db.execute("SELECT actor_id, action, subject FROM admin_actions")).fetchall()
    assert row == [(admin.id, "vehicle.update", f"user:{driver.id}")]


async def test_what_is_no_vehicle(api: httpx.AsyncClient, driver: Person) -> None:
    wrong: dict[str, list[Any]] = {
        "make": ["", None, 5, "x" * 201, "a\x00"],
        "year": [1899, 2.5, "x", 9_000, 10**30],
        "batteryCapacity": [0, -1, 10_001, "NaN", 1.234, None],
        "registrationNumber": ["", "- -", "x" * 33],
    }
    for field, values in wrong.items():
        for value in values:
            answer = await api.post(URL, json={**CAR, field: value}, headers=driver.headers)
            assert answer.status_code == 422, (field, value)
            assert [each["field"] for each in answer.json()["errors"]] == [field]


async def test_history_and_sums_are_of_its_owners_ended_sessions(
    api: httpx.AsyncClient, driver: Person, stranger: Person, pool: Pool
) -> None:
    device_id = await make_charger(pool)
    car = await add(api, driver)
    url = f"{URL}/{car['id']}"
    for hours in range(3):
        await charge(pool, device_id, driver.id, vehicle=car["id"], at=START + timedelta(hours=2 * hours))
    await charge(pool, device_id, driver.id, vehicle=None, at=START + timedelta(days=1))
    await charge(pool, device_id, stranger.id, vehicle=car["id"], at=START + timedelta(days=2))
    page = (await api.get(f"{url}/history", params={"limit": 2}, headers=driver.headers)).json()
    assert page["pagination"]["total"] == 3
    assert [row["vehicleId"] for row in page["sessions"]] == [car["id"]] * 2
    rest = (await api.get(f"{url}/history", params={"limit": 2, "page": 2}, headers=driver.headers)).json()
    rows = page["data"] + rest["data"]
    assert [row["startTime"] for row in rows] == sorted((row["startTime"] for row in rows), reverse=True)
    stats = (await api.get(f"{url}/stats", headers=driver.headers)).json()["data"]
    assert stats == {
        "totalSessions": 3,
        "totalEnergy": 30.0,
        "totalCost": round(sum(row["cost"] for row in rows), 2),
        "avgSessionDuration": 60.0,
        "co2Saved": 5.7,
    }
