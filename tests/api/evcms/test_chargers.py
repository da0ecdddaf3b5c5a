"""EV-CMS chargers (EV-033 to EV-037): registering, changing, archiving and restoring, work on them."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import httpx
from nats.aio.client import Client

from storage.database import Pool
from storage.queries import chargers, devices, maintenance, outbox, places
from stream.release import REST_KIND
from tests.api.evcms.places_scene import (
    ADMIN_STATIONS,
    CHARGERS,
    actions,
    charger_at,
    get_station,
    make_station,
)
from tests.api.helpers import Clock, Person, begin_session, make_charger


def charger_body(station_id: str, **changes: Any) -> dict[str, Any]:
    facts = {"chargerId": "CP-9", "name": "Gate 9", "manufacturer": "Acme", "model": "AC22"}
    return {**facts, "stationId": station_id, **changes}


async def register(api: httpx.AsyncClient, person: Person, station_id: str, **changes: Any) -> httpx.Response:
    return await api.post(CHARGERS, json=charger_body(station_id, **changes), headers=person.headers)


async def listed(api: httpx.AsyncClient, person: Person, **query: Any) -> list[str]:
    answer = await api.get(CHARGERS, params=query, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return [row["chargerId"] for row in answer.json()["data"]]


async def status_of(pool: Pool, device_id: int) -> tuple[str, int | None]:
    async with pool.connection() as db:
        device = await devices.get_device(db, device_id)
    assert device is not None
    return device.status, device.owner_id


async def test_registering_a_new_charger(api: httpx.AsyncClient, brand: Person, pool: Pool) -> None:
    station = await make_station(api, brand)
    answer = await register(api, brand, station["id"], ownerId="1", isArchived=True, status="Online")
    assert answer.status_code == 201, answer.text
    data = answer.json()["data"]
    made = data.pop("charger")
    assert data == made
    expected = {
        "chargerId": "CP-9", "chargerName": "Gate 9", "stationId": station["id"], "manufacturer": "Acme",
        "model": "AC22", "status": "Offline", "connectors": [], "location": station["name"],
        "isArchived": False,
    }  # fmt: skip
    assert {key: made[key] for key in expected} == expected
    assert await status_of(pool, int(made["id"])) == ("active", brand.id)
    assert await listed(api, brand) == ["CP-9"]
    assert await actions(pool, f"charger:{made['id']}") == ["charger.register"]


async def test_adopting_one_that_has_connected_already(
    api: httpx.AsyncClient, brand: Person, pool: Pool, clock: Clock
) -> None:
    async with pool.connection() as db:
        waiting = await devices.register_device(db, "charger", "cp-9", status="quarantined")
    station = await make_station(api, brand)
    answer = await register(api, brand, station["id"], name=None, chargerName="Gate 9")
    assert answer.status_code == 422
    body = charger_body(station["id"])
    body["chargerName"] = body.pop("name")
    made = (await api.post(CHARGERS, json=body, headers=brand.headers)).json()["data"]
    assert (made["id"], made["chargerId"], made["chargerName"]) == (str(waiting.id), "cp-9", "Gate 9")
    assert await status_of(pool, waiting.id) == ("active", brand.id)
    async with pool.connection() as db:
        due = await outbox.claim_due(db, clock.moment() + timedelta(seconds=1), 100)
    assert {"device_id": waiting.id} in [task.payload for task in due if task.kind == REST_KIND]


async def test_what_is_no_registration(
    api: httpx.AsyncClient, driver: Person, brand: Person, rival: Person, admin: Person
) -> None:
    station = await make_station(api, brand)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"chargerId": ""}, "chargerId"),
        ({"chargerId": "a/b"}, "chargerId"),
        ({"chargerId": "a\0"}, "chargerId"),
        ({"chargerId": "x" * 49}, "chargerId"),
        ({"name": ""}, "name"),
        ({"manufacturer": None}, "manufacturer"),
    ]
    for change, field in wrong:
        answer = await register(api, brand, station["id"], **change)
        assert answer.status_code == 422, change
        assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await register(api, driver, station["id"])).status_code == 403
    assert (await register(api, rival, station["id"])).status_code == 403
    assert (await register(api, brand, "999")).status_code == 404
    deleted = await make_station(api, brand)
    await api.delete(f"{ADMIN_STATIONS}/{deleted['id']}", headers=admin.headers)
    assert (await register(api, brand, deleted["id"])).status_code == 404


async def test_a_charger_has_one_owner(
    api: httpx.AsyncClient, brand: Person, rival: Person, admin: Person
) -> None:
    own, other = await make_station(api, brand), await make_station(api, rival)
    made = await register(api, brand, own["id"])
    assert made.status_code == 201
    path = f"{CHARGERS}/{made.json()['data']['id']}"
    for person, station in ((brand, own), (rival, other), (admin, own)):
        assert (await register(api, person, station["id"], chargerId="cp-9")).status_code == 409
    assert (await api.patch(f"{path}/archive", headers=brand.headers)).status_code == 200
    assert (await register(api, brand, own["id"])).status_code == 409
    assert (await register(api, rival, other["id"])).status_code == 409


async def test_two_brands_at_once(api: httpx.AsyncClient, brand: Person, rival: Person) -> None:
    own, other = await make_station(api, brand), await make_station(api, rival)
    answers = await asyncio.gather(
        *(register(api, *side) for side in [(brand, own["id"]), (rival, other["id"])] * 4)
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


async def test_changing_a_charger(
    api: httpx.AsyncClient, driver: Person, brand: Person, rival: Person, pool: Pool
) -> None:
    station, second = await make_station(api, brand), await make_station(api, brand)
    foreign = await make_station(api, rival)
    device_id = await charger_at(pool, "CP-1", station["id"], brand.id)
    path = f"{CHARGERS}/{device_id}"

    async def put(person: Person, **changes: Any) -> httpx.Response:
        return await api.put(path, json=changes, headers=person.headers)

    assert (await put(driver, name="x")).status_code == 403
    assert (await put(rival, name="x")).status_code == 403
    assert (await put(brand, status="Broken")).status_code == 422
    assert (await put(brand, name="North gate", chargerId="CP-2")).json()["data"][
        "chargerName"
    ] == "North gate"
    down = (await put(brand, status="Maintenance")).json()["data"]
    assert (down["status"], down["chargerId"]) == ("Maintenance", "CP-1")
    assert down["connectors"][0]["status"] == "Unavailable"
    assert await listed(api, brand, status="Maintenance") == ["CP-1"]
    assert (await put(brand, status="Online")).json()["data"]["status"] == "Online"
    assert (await put(brand, stationId=foreign["id"])).status_code == 403
    moved = (await put(brand, stationId=second["id"], chargerName="South")).json()["data"]
    assert (moved["stationId"], moved["chargerName"]) == (second["id"], "South")
    assert (await get_station(api, brand, station["id"]))["connectors"][0]["status"] == "unavailable"
    assert (await get_station(api, brand, second["id"]))["connectors"][0]["status"] == "available"
    assert await listed(api, brand, stationId=second["id"]) == ["CP-1"]
    assert await actions(pool, f"charger:{device_id}") == ["charger.update"] * 4
    async with pool.connection() as db:
        rows = await db.execute("SELECT payload FROM outbox WHERE kind = 'live_event' ORDER BY id")
        told = [payload["payload"]["is_in_maintenance"] for (payload,) in await rows.fetchall()]
    assert told == [True, False]


async def test_a_charger_in_use_is_neither_moved_nor_archived(
    api: httpx.AsyncClient, brand: Person, driver: Person, pool: Pool, clock: Clock
) -> None:
    station, second = await make_station(api, brand), await make_station(api, brand)
    device_id = await charger_at(pool, "CP-1", station["id"], brand.id)
    await begin_session(pool, device_id, driver.id, clock.moment())
    path = f"{CHARGERS}/{device_id}"
    moved = await api.put(path, json={"stationId": second["id"]}, headers=brand.headers)
    assert moved.status_code == 409
    assert (await api.patch(f"{path}/archive", headers=brand.headers)).status_code == 409
    same = await api.put(path, json={"stationId": station["id"]}, headers=brand.headers)
    assert same.status_code == 200


async def test_archiving_and_restoring(
    api: httpx.AsyncClient,
    brand: Person,
    rival: Person,
    driver: Person,
    admin: Person,
    pool: Pool,
    bus: Client,
) -> None:
    station = await make_station(api, brand)
    device_id = await charger_at(pool, "CP-1", station["id"], brand.id)
    path, told = f"{CHARGERS}/{device_id}", []

    async def hear(message: Any) -> None:
        told.append(json.loads(message.data))

    await bus.subscribe(f"gridwire.charger.{device_id}.taken", cb=hear)
    for person in (driver, rival):
        assert (await api.patch(f"{path}/archive", headers=person.headers)).status_code == 403
    assert (await api.patch(f"{path}/restore", headers=admin.headers)).status_code == 409
    done = await api.patch(f"{path}/archive", headers=brand.headers)
    assert done.json() == {"success": True, "message": "Charger archived"}
    async with asyncio.timeout(10.0):
        while not told:
            await asyncio.sleep(0.01)
    assert told == [{"generation": 2}]  # its socket was the first
    for person in (brand, driver, admin):
        assert await listed(api, person) == []
    stats = (await api.get(f"{CHARGERS}/stats", headers=admin.headers)).json()["data"]
    assert stats["totalChargers"] == 0
    shown = (await api.get(path, headers=brand.headers)).json()["data"]
    assert (shown["isArchived"], shown["status"]) == (True, "Offline")
    assert (await api.get(path, headers=driver.headers)).status_code == 404
    assert (await get_station(api, brand, station["id"]))["connectors"][0]["status"] == "unavailable"
    assert (await api.patch(f"{path}/archive", headers=brand.headers)).status_code == 409
    assert (await api.put(path, json={"name": "x"}, headers=brand.headers)).status_code == 409
    assert (await api.patch(f"{path}/restore", headers=brand.headers)).status_code == 403
    assert (await api.patch(f"{path}/restore", headers=admin.headers)).status_code == 200
    assert await listed(api, brand) == ["CP-1"]
    async with pool.connection() as db:
        linked = await (await db.execute("SELECT device_id FROM station_connectors")).fetchall()
    assert linked == [(device_id,)]
    assert await actions(pool, f"charger:{device_id}") == ["charger.archive", "charger.restore"]


async def test_restoring_takes_the_station_before_the_charger(
    api: httpx.AsyncClient, brand: Person, admin: Person, pool: Pool
) -> None:
    """As registering and moving do: in another order the two would wait for each other."""
    station = await make_station(api, brand)
    device_id = await charger_at(pool, "CP-1", station["id"], brand.id)
    path = f"{CHARGERS}/{device_id}"
    assert (await api.patch(f"{path}/archive", headers=brand.headers)).status_code == 200
    async with pool.connection() as db:
        await places.lock_place(db, int(station["id"]))
        restoring = asyncio.create_task(api.patch(f"{path}/restore", headers=admin.headers))
        await asyncio.sleep(0.3)
        assert not restoring.done()
        await db.execute("SET LOCAL lock_timeout = '2s'")
        assert await chargers.lock_charger(db, device_id) is not None
    assert (await restoring).status_code == 200


async def test_no_such_charger(api: httpx.AsyncClient, admin: Person) -> None:
    for id_ in ("0", "99999", "x", "9" * 40, "%00"):
        path = f"{CHARGERS}/{id_}"
        calls = [("PUT", path), ("PATCH", f"{path}/archive"), ("PATCH", f"{path}/restore")]
        for method, url in [*calls, ("GET", f"{path}/maintenance-history")]:
            answer = await api.request(method, url, json={}, headers=admin.headers)
            assert answer.status_code == 404, (method, url)


async def test_maintenance_history(
    api: httpx.AsyncClient, brand: Person, rival: Person, driver: Person, pool: Pool, clock: Clock
) -> None:
    device_id = await make_charger(pool, "CP-1", brand.id)
    async with pool.connection() as db:
        for description in ("Cable", "Screen"):
            await maintenance.insert_records(
                db,
                [device_id],
                type_="corrective",
                description=description,
                priority="high",
                scheduled_at=clock.moment(),
                assigned_to="Asha",
                created_by=brand.id,
                now=clock.moment(),
            )
        await db.execute("UPDATE maintenance_records SET deleted_at = now() WHERE description = 'Screen'")
    path = f"{CHARGERS}/{device_id}/maintenance-history"
    answer = (await api.get(path, headers=brand.headers)).json()
    assert answer["history"] == answer["data"]
    (record,) = answer["data"]
    assert (record["chargerId"], record["description"], record["assignedTo"]) == ("CP-1", "Cable", "Asha")
    (shown,) = (await api.get(path, headers=driver.headers)).json()["data"]
    assert "assignedTo" not in shown
    assert (await api.get(path, headers=rival.headers)).status_code == 403
