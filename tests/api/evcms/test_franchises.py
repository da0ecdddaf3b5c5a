"""EV-CMS franchises (EV-117 to EV-119, EV-128 to EV-133) and their staff (EV-X05): two groups, one table."""

import asyncio
from typing import Any

import httpx
import pytest

from storage.database import Pool
from storage.queries import franchises
from tests.api.evcms.places_scene import ADMIN_STATIONS, FRANCHISES, STATIONS, actions, body, make_station
from tests.api.helpers import Clock, Person

PARTNERS = "/api/v1/partners/franchises"
FACTS = {"name": "North", "location": "Delhi", "contactPerson": "Asha"}


async def add(
    api: httpx.AsyncClient, person: Person, url: str = FRANCHISES, **changes: Any
) -> httpx.Response:
    return await api.post(url, json={**FACTS, **changes}, headers=person.headers)


async def ids(api: httpx.AsyncClient, person: Person, url: str = FRANCHISES, **query: Any) -> list[str]:
    answer = await api.get(url, params=query, headers=person.headers)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["franchises"] == body["data"]
    return [row["id"] for row in body["data"]]


async def test_two_groups_of_paths_are_one_table(api: httpx.AsyncClient, brand: Person) -> None:
    first = await add(api, brand, PARTNERS, agreement="Five years", ownerId="77", status="suspended")
    assert first.status_code == 201, first.text
    data = first.json()["data"]
    made = data.pop("franchise")
    assert data == made
    assert made == {
        "id": made["id"],
        "name": "North",
        "location": "Delhi",
        "contactPerson": "Asha",
        "agreement": "Five years",
        "status": "active",
        "ownerId": str(brand.id),
        "createdAt": made["createdAt"],
    }
    second = (await add(api, brand, name="South", phone="+919876543210", email="S@Example.com")).json()[
        "data"
    ]
    assert second["email"] == "s@example.com"
    for url in (FRANCHISES, PARTNERS):
        assert await ids(api, brand, url) == [second["id"], made["id"]]
        shown = await api.get(f"{url}/{made['id']}", headers=brand.headers)
        assert shown.json()["data"]["franchise"] == made
        assert (await add(api, brand, url, name="nORTH")).status_code == 409


async def test_roles_and_ownership(
    api: httpx.AsyncClient, driver: Person, brand: Person, rival: Person, admin: Person
) -> None:
    own = (await add(api, brand)).json()["data"]["id"]
    assert (await add(api, rival)).status_code == 201
    entered = (await add(api, admin, ownerId=str(brand.id), name="West")).json()["data"]
    assert entered["ownerId"] == str(brand.id)
    assert await ids(api, brand) == [entered["id"], own]
    assert len(await ids(api, admin)) == len(await ids(api, admin, PARTNERS)) == 3
    for url in (FRANCHISES, PARTNERS):
        assert (await api.get(url, headers=driver.headers)).status_code == 403
        assert (await add(api, driver, url)).status_code == 403
        for person, status in ((driver, 403), (rival, 403), (brand, 200), (admin, 200)):
            assert (await api.get(f"{url}/{own}", headers=person.headers)).status_code == status
        for id_ in ("0", "x", "9" * 40):
            assert (await api.get(f"{url}/{id_}", headers=admin.headers)).status_code == 404
    staff = f"{FRANCHISES}/{own}/staff"
    for person in (driver, rival):
        assert (await api.put(f"{FRANCHISES}/{own}", json={}, headers=person.headers)).status_code == 403
        assert (await api.get(staff, headers=person.headers)).status_code == 403
        body = {"name": "Ravi", "role": "manager"}
        assert (await api.post(staff, json=body, headers=person.headers)).status_code == 403
        assert (await api.delete(f"{staff}/1", headers=person.headers)).status_code == 403
        assert (await api.delete(f"{FRANCHISES}/{own}", headers=person.headers)).status_code == 403
    assert (await api.delete(f"{FRANCHISES}/{own}", headers=brand.headers)).status_code == 403


async def test_filters_and_changes(api: httpx.AsyncClient, brand: Person, pool: Pool) -> None:
    first = (await add(api, brand)).json()["data"]["franchise"]
    second = (await add(api, brand, name="South", location="Chennai")).json()["data"]
    path = f"{FRANCHISES}/{first['id']}"
    changed = await api.put(path, json={"status": "suspended", "phone": "0801234"}, headers=brand.headers)
    assert changed.json()["data"]["franchise"] == {**first, "status": "suspended", "phone": "0801234"}
    assert await ids(api, brand, status="suspended") == [first["id"]]
    assert await ids(api, brand, PARTNERS, status="active") == [second["id"]]
    assert await ids(api, brand, search="chenn") == [second["id"]]
    assert await ids(api, brand, search="_") == []
    assert (await api.get(FRANCHISES, params={"status": "x"}, headers=brand.headers)).status_code == 422
    taken = await api.put(path, json={"name": "south"}, headers=brand.headers)
    assert taken.status_code == 409
    for fault in ({"status": "gone"}, {"email": "nobody"}, {"name": ""}, {"name": "a\0"}):
        assert (await api.put(path, json=fault, headers=brand.headers)).status_code == 422
    for missing in FACTS:
        assert (await add(api, brand, FRANCHISES, **{missing: None})).status_code == 422
    assert await actions(pool, f"franchise:{first['id']}") == ["franchise.create", "franchise.update"]


async def test_deleting(api: httpx.AsyncClient, brand: Person, admin: Person) -> None:
    made = (await add(api, brand)).json()["data"]["id"]
    station = await make_station(api, brand, franchiseId=made)
    path = f"{FRANCHISES}/{made}"
    assert (await api.delete(path, headers=admin.headers)).status_code == 409
    await api.delete(f"{ADMIN_STATIONS}/{station['id']}", headers=admin.headers)
    assert (await api.delete(path, headers=admin.headers)).json()["success"] is True
    assert (await api.delete(path, headers=admin.headers)).status_code == 404
    assert (await api.get(path, headers=brand.headers)).status_code == 404
    assert await ids(api, brand) == []
    assert (await add(api, brand)).status_code == 201
    restored = await api.patch(f"{ADMIN_STATIONS}/{station['id']}/restore", headers=admin.headers)
    data = restored.json()["data"]
    assert (data["ownerType"], data["ownerId"]) == ("brand", str(brand.id))


async def test_no_station_comes_to_a_franchise_that_is_being_deleted(
    api: httpx.AsyncClient, brand: Person, pool: Pool, clock: Clock
) -> None:
    made = (await add(api, brand)).json()["data"]["id"]
    async with pool.connection() as db:
        await franchises.lock_franchise(db, int(made))
        adding = asyncio.create_task(api.post(STATIONS, json=body(franchiseId=made), headers=brand.headers))
        await asyncio.sleep(0.3)
        assert not adding.done()
        await franchises.delete_franchise(db, int(made), clock.moment())
    assert (await adding).status_code == 404


async def test_staff(
    api: httpx.AsyncClient, brand: Person, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, other = [(await add(api, brand, name=name)).json()["data"]["id"] for name in ("A", "B")]
    path = f"{FRANCHISES}/{made}/staff"
    body = {"name": "Ravi", "role": "manager", "email": "ravi@example.com", "franchiseId": other}
    answer = await api.post(path, json=body, headers=brand.headers)
    assert answer.status_code == 201, answer.text
    somebody = answer.json()["data"]["staff"]
    assert somebody == {
        "id": somebody["id"], "franchiseId": made, "name": "Ravi", "role": "manager",
        "email": "ravi@example.com", "createdAt": somebody["createdAt"],
    }  # fmt: skip
    found = (await api.get(path, headers=brand.headers)).json()
    assert found["staff"] == found["data"] == [somebody]
    elsewhere = f"{FRANCHISES}/{other}/staff/{somebody['id']}"
    assert (await api.delete(elsewhere, headers=brand.headers)).status_code == 404
    for wrong in ({"name": "Ravi"}, {"name": "", "role": "x"}, {"name": "a", "role": "b", "email": "c"}):
        assert (await api.post(path, json=wrong, headers=brand.headers)).status_code == 422
    monkeypatch.setattr(franchises, "STAFF_MAX", 1)
    assert (await api.post(path, json=body, headers=brand.headers)).status_code == 400
    gone = f"{path}/{somebody['id']}"
    assert (await api.delete(gone, headers=brand.headers)).status_code == 200
    assert (await api.delete(gone, headers=brand.headers)).status_code == 404
    assert (await api.get(path, headers=brand.headers)).json()["data"] == []
