"""EV-CMS stations (EV-022 to EV-028) and admin stations (EV-104 to EV-107): shapes, roles, changes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.evcms.schemas.availability import is_open
from storage.database import Pool
from storage.queries import chargers
from tests.api.evcms.places_scene import (
    ADMIN_STATIONS,
    CHARGERS,
    FRANCHISES,
    STATIONS,
    actions,
    body,
    book,
    charger_at,
    get_station,
    make_station,
)
from tests.api.helpers import Clock, Person, begin_session

KEYS = {
    "id", "name", "address", "location", "city", "state", "pincode", "status", "rating", "totalReviews",
    "amenities", "operatingHours", "images", "connectors", "ownerId", "ownerType", "verified", "createdAt",
}  # fmt: skip


async def ids(api: httpx.AsyncClient, person: Person, **query: Any) -> list[str]:
    answer = await api.get(STATIONS, params=query, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["data"]]


async def put(api: httpx.AsyncClient, person: Person, station_id: str, **changes: Any) -> httpx.Response:
    return await api.put(f"{STATIONS}/{station_id}", json=changes, headers=person.headers)


async def test_a_station_has_the_documented_shape(
    api: httpx.AsyncClient, brand: Person, driver: Person
) -> None:
    made = await make_station(
        api,
        brand,
        city="Bengaluru",
        state="Karnataka",
        pincode="560001",
        amenities=["wifi", "cafe"],
        operatingHours={"open": "06:00", "close": "22:00"},
        images=["/uploads/station/a.jpg"],
        connectors=[
            {"connectorId": 1, "type": "CCS", "power": 50, "pricing": {"basePrice": 18.5, "parkingFee": 2}},
            {"type": "Type2", "power": 7.4},
        ],
        ownerId="999",
        rating=5,
        isVerified=True,
    )
    assert await get_station(api, driver, made["id"]) == made
    assert set(made) == KEYS
    assert made["location"] == {"type": "Point", "coordinates": [77.5946, 12.9716]}
    assert made["operatingHours"] == {"open": "06:00", "close": "22:00"}
    assert (made["ownerId"], made["ownerType"]) == (str(brand.id), "brand")
    assert (made["status"], made["rating"], made["totalReviews"], made["verified"]) == ("active", 0, 0, False)
    assert made["connectors"] == [
        {
            "connectorId": "1",
            "type": "CCS",
            "power": 50.0,
            "status": "unavailable",
            "pricing": {"basePrice": 18.5, "parkingFee": 2.0, "reservationFee": 50.0},
        },
        {
            "connectorId": "2",
            "type": "Type2",
            "power": 7.4,
            "status": "unavailable",
            "pricing": {"basePrice": 15.0, "parkingFee": 0.0, "reservationFee": 50.0},
        },
    ]


async def test_the_answer_has_every_readers_key(api: httpx.AsyncClient, brand: Person) -> None:
    data = (await api.post(STATIONS, json=body(), headers=brand.headers)).json()["data"]
    station = data.pop("station")
    assert data == station


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"location": None}, "location"),
    ({"location": {"type": "Point", "coordinates": [200, 12]}}, "location.coordinates.0"),
    ({"location": {"type": "Polygon", "coordinates": [1, 2]}}, "location.type"),
    ({"location": {"latitude": 95, "longitude": 1}}, "location.coordinates.1"),
    ({"location": {"latitude": 5}}, "location.coordinates.0"),
    ({"connectors": []}, "connectors"),
    ({"connectors": [{"type": "Schuko", "power": 3}]}, "connectors.0.type"),
    ({"connectors": [{"type": "CCS", "power": -1}]}, "connectors.0.power"),
    (
        {"connectors": [{"type": "CCS", "power": 1, "pricing": {"basePrice": 1.005}}]},
        "connectors.0.pricing.basePrice",
    ),
    ({"connectors": [{"connectorId": "1", "type": "CCS", "power": 1}] * 2}, ""),
    ({"connectors": [{"type": "CCS", "power": 1}] * 51}, "connectors"),
    ({"operatingHours": {"open": "6:00", "close": "22:00"}}, "operatingHours.open"),
    ({"images": ["javascript:alert(1)"]}, "images.0"),
    ({"amenities": ["x" * 51]}, "amenities.0"),
]


async def test_what_is_no_station(api: httpx.AsyncClient, brand: Person) -> None:
    for change, field in WRONG:
        answer = await api.post(STATIONS, json=body(**change), headers=brand.headers)
        assert answer.status_code == 422, change
        assert field in [error["field"] for error in answer.json()["errors"]], answer.text


async def test_who_may_enter_change_and_delete(
    api: httpx.AsyncClient, driver: Person, brand: Person, rival: Person, admin: Person
) -> None:
    assert (await api.post(STATIONS, json=body(), headers=driver.headers)).status_code == 403
    own = await make_station(api, brand)
    for_brand = await make_station(api, admin, ownerId=str(brand.id))
    assert for_brand["ownerId"] == str(brand.id)
    unknown = await api.post(STATIONS, json=body(ownerId=str(driver.id)), headers=admin.headers)
    assert unknown.status_code == 404
    for person, status in ((driver, 403), (rival, 403), (brand, 200), (admin, 200)):
        assert (await put(api, person, own["id"], name="New")).status_code == status
    for person, status in ((driver, 403), (rival, 403), (brand, 403), (admin, 200)):
        for url in (STATIONS, ADMIN_STATIONS):
            answer = await api.delete(f"{url}/{own['id']}", headers=person.headers)
            assert answer.status_code == status, (url, person)
            if status == 200:
                break
    for person in (driver, brand, admin):
        assert (await api.get(ADMIN_STATIONS, headers=person.headers)).status_code == (
            200 if person is admin else 403
        )


async def test_a_brand_sees_its_own_and_the_others_all(
    api: httpx.AsyncClient, driver: Person, brand: Person, rival: Person, admin: Person
) -> None:
    own = (await make_station(api, brand))["id"]
    other = (await make_station(api, rival))["id"]
    assert await ids(api, brand) == [own]
    assert await ids(api, driver) == await ids(api, admin) == [other, own]
    for path in ("", "/availability"):
        foreign = await api.get(f"{STATIONS}/{other}{path}", headers=brand.headers)
        assert foreign.status_code == 403


async def test_no_such_station(api: httpx.AsyncClient, admin: Person) -> None:
    for id_ in ("0", "99999", "x", "-1", "9" * 40, "1.5", "%00"):
        path, admin_path = f"{STATIONS}/{id_}", f"{ADMIN_STATIONS}/{id_}"
        calls = [("GET", path), ("GET", f"{path}/availability"), ("PUT", path), ("DELETE", path)]
        calls += [("PATCH", f"{admin_path}/restore"), ("DELETE", admin_path), ("PUT", f"{admin_path}/verify")]
        for method, url in calls:
            answer = await api.request(method, url, json={"verified": True}, headers=admin.headers)
            assert answer.status_code == 404, (method, url)


async def test_the_same_station_twice(api: httpx.AsyncClient, brand: Person, rival: Person) -> None:
    same = body()
    assert (await api.post(STATIONS, json=same, headers=brand.headers)).status_code == 201
    assert (await api.post(STATIONS, json=same, headers=brand.headers)).status_code == 409
    assert (await api.post(STATIONS, json=same, headers=rival.headers)).status_code == 201


async def test_filters(api: httpx.AsyncClient, driver: Person, brand: Person) -> None:
    first = (await make_station(api, brand, name="Harbour 100%", city="Kochi"))["id"]
    connectors = [{"type": "CHAdeMO", "power": 50}]
    second = (await make_station(api, brand, name="Hill_top", city="Ooty", connectors=connectors))["id"]
    assert (await put(api, brand, second, status="maintenance")).status_code == 200
    assert await ids(api, driver, status="maintenance") == [second]
    assert await ids(api, driver, status="inactive") == []
    assert await ids(api, driver, type="CCS") == [first]
    assert await ids(api, driver, type="CHAdeMO", status="maintenance") == [second]
    assert await ids(api, driver, search="KOCH") == [first]
    assert await ids(api, driver, search="airport road") == [second, first]
    assert await ids(api, driver, search="%") == await ids(api, driver, search="100%") == [first]
    assert await ids(api, driver, search="l_t") == [second]
    assert await ids(api, driver, search="'; DROP TABLE stations; --") == []
    assert await ids(api, driver, limit=1, page=2) == [first]
    for query in ({"status": "gone"}, {"type": "Schuko"}, {"page": 0}):
        assert (await api.get(STATIONS, params=query, headers=driver.headers)).status_code == 422


async def test_the_search_is_by_the_index(pool: Pool) -> None:
    async with pool.connection() as db:
        await db.execute("SET enable_seqscan = off")
        plan = await db.execute(
            "EXPLAIN SELECT id FROM stations WHERE (name || ' ' || address || ' ' || city) ILIKE '%harbour%'"
        )
        assert "stations_search" in str(await plan.fetchall())


async def test_lists_ask_as_often_for_many_as_for_one(
    api: httpx.AsyncClient, driver: Person, brand: Person, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    cursor = pool.connection_class.cursor

    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append("")
        return cursor(self, *args, **kwargs)

    await make_station(api, brand)
    monkeypatch.setattr(pool.connection_class, "cursor", counting)
    await ids(api, driver)
    for_one = len(asked)
    monkeypatch.undo()
    for _ in range(4):
        await make_station(api, brand)
    asked.clear()
    monkeypatch.setattr(pool.connection_class, "cursor", counting)
    assert len(await ids(api, driver)) == 5
    assert len(asked) == for_one


async def test_a_change_sets_what_is_given(api: httpx.AsyncClient, brand: Person, pool: Pool) -> None:
    made = await make_station(api, brand, city="Pune", amenities=["wifi"])
    changed = (await put(api, brand, made["id"], status="inactive", amenities=[], ownerId="7")).json()["data"]
    del changed["station"]
    assert changed == {**made, "status": "inactive", "amenities": []}
    moved = await put(api, brand, made["id"], location={"latitude": 1.5, "longitude": -2.5}, name="B")
    assert moved.json()["data"]["location"]["coordinates"] == [-2.5, 1.5]
    assert await actions(pool, f"station:{made['id']}") == ["station.create"] + ["station.update"] * 2


async def test_connectors_are_replaced_as_a_list(
    api: httpx.AsyncClient, brand: Person, driver: Person, pool: Pool
) -> None:
    made = await make_station(api, brand, connectors=[{"type": "CCS", "power": 50}] * 3)
    wanted = [
        {"connectorId": "2", "type": "CCS", "power": 60, "pricing": {"basePrice": 0}},
        {"connectorId": "A1", "type": "Type2", "power": 22},
        {"type": "CHAdeMO", "power": 40},
    ]
    shown = (await put(api, brand, made["id"], connectors=wanted)).json()["data"]["connectors"]
    assert [(each["connectorId"], each["type"], each["power"]) for each in shown] == [
        ("2", "CCS", 60.0),
        ("A1", "Type2", 22.0),
        ("4", "CHAdeMO", 40.0),
    ]
    assert shown[0]["pricing"]["basePrice"] == 0
    for status in ("completed", "confirmed"):
        await book(pool, made["id"], driver.id, datetime.now(UTC), status=status, label="A1")
        refused = await put(api, brand, made["id"], connectors=wanted[:1])
        assert refused.status_code == 409
        assert "A1" in refused.json()["error"]
    kept = await put(api, brand, made["id"], connectors=wanted[:2])
    assert [each["connectorId"] for each in kept.json()["data"]["connectors"]] == ["2", "A1"]


async def test_a_connector_with_a_charger_behind_it_stays(
    api: httpx.AsyncClient, brand: Person, pool: Pool
) -> None:
    made = await make_station(api, brand)
    device_id = await charger_at(pool, "CP-1", made["id"], brand.id)
    refused = await put(api, brand, made["id"], connectors=[{"connectorId": "9", "type": "CCS", "power": 1}])
    assert refused.status_code == 409
    described = [{"connectorId": "1", "type": "CHAdeMO", "power": 62.5}]
    assert (await put(api, brand, made["id"], connectors=described)).status_code == 200
    shown = (await api.get(f"{CHARGERS}/{device_id}", headers=brand.headers)).json()["data"]
    assert (shown["connectors"][0]["type"], shown["connectors"][0]["power"]) == ("CHAdeMO", 62.5)


async def test_deleting_and_restoring(
    api: httpx.AsyncClient, brand: Person, driver: Person, admin: Person, pool: Pool, clock: Clock
) -> None:
    made = await make_station(api, brand)
    path, admin_path = f"{STATIONS}/{made['id']}", f"{ADMIN_STATIONS}/{made['id']}"
    booking = await book(pool, made["id"], driver.id, clock.moment())
    device_id = await charger_at(pool, "CP-1", made["id"], brand.id)
    for url in (path, admin_path):
        assert (await api.delete(url, headers=admin.headers)).status_code == 409
    async with pool.connection() as db:
        await db.execute("UPDATE bookings SET status = 'cancelled' WHERE id = %s", (booking,))
    session = await begin_session(pool, device_id, driver.id, clock.moment())
    assert (await api.delete(path, headers=admin.headers)).status_code == 409
    async with pool.connection() as db:
        await db.execute(
            "UPDATE sessions SET status = 'completed', ended_at = now() WHERE id = %s", (session,)
        )
    assert (await api.patch(f"{admin_path}/restore", headers=admin.headers)).status_code == 409
    deleted = await api.delete(path, headers=admin.headers)
    assert deleted.json() == {"success": True, "message": "Station deleted"}
    for person in (driver, brand, admin):
        assert (await api.get(path, headers=person.headers)).status_code == 404
        assert await ids(api, person) == []
    assert (await api.delete(path, headers=admin.headers)).status_code == 404
    assert (await put(api, brand, made["id"], name="B")).status_code == 404
    listed = (await api.get(f"{CHARGERS}/{device_id}", headers=brand.headers)).json()["data"]
    assert (listed["stationId"], listed["location"]) == ("", "")
    assert (await api.patch(f"{admin_path}/restore", headers=brand.headers)).status_code == 403
    restored = await api.patch(f"{admin_path}/restore", headers=admin.headers)
    assert restored.json()["data"]["station"]["id"] == made["id"]
    assert await ids(api, driver) == [made["id"]]
    assert await actions(pool, f"station:{made['id']}") == [
        "station.create", "station.delete", "station.restore",
    ]  # fmt: skip


async def test_verifying(api: httpx.AsyncClient, brand: Person, driver: Person, admin: Person) -> None:
    made = await make_station(api, brand)
    path = f"{ADMIN_STATIONS}/{made['id']}/verify"
    answer = {"verified": True, "notes": "Seen on site"}
    assert (await api.put(path, json=answer, headers=brand.headers)).status_code == 403
    assert (await api.put(path, json={"notes": "x"}, headers=admin.headers)).status_code == 422
    verified = (await api.put(path, json=answer, headers=admin.headers)).json()["data"]
    assert verified["verified"] is True
    assert (await get_station(api, brand, made["id"]))["verificationNotes"] == "Seen on site"
    shown = await get_station(api, driver, made["id"])
    assert shown["verified"] is True
    assert "verificationNotes" not in shown
    listed = await api.get(ADMIN_STATIONS, params={"status": "active"}, headers=admin.headers)
    assert listed.json()["stations"][0]["verified"] is True
    assert listed.json()["pagination"]["total"] == 1


async def test_a_franchises_station(api: httpx.AsyncClient, brand: Person, rival: Person) -> None:
    facts = {"name": "North", "location": "Delhi", "contactPerson": "A"}
    own = (await api.post(FRANCHISES, json=facts, headers=brand.headers)).json()["data"]["id"]
    made = await make_station(api, brand, franchiseId=own)
    assert (made["ownerId"], made["ownerType"]) == (own, "franchise")
    foreign = await api.post(STATIONS, json=body(franchiseId=own), headers=rival.headers)
    assert foreign.status_code == 403
    assert (await put(api, brand, made["id"], franchiseId="99")).status_code == 404


STATES = [
    ("Available", "available", "Available"),
    ("Preparing", "occupied", "Charging"),
    ("Charging", "occupied", "Charging"),
    ("SuspendedEV", "occupied", "Charging"),
    ("SuspendedEVSE", "occupied", "Charging"),
    ("Finishing", "occupied", "Charging"),
    ("Occupied", "occupied", "Charging"),
    ("Reserved", "unavailable", "Unavailable"),
    ("Unavailable", "unavailable", "Unavailable"),
    ("Faulted", "faulted", "Faulted"),
]


async def test_one_state_in_two_vocabularies(api: httpx.AsyncClient, brand: Person, pool: Pool) -> None:
    made = await make_station(api, brand)
    device_id = await charger_at(pool, "CP-1", made["id"], brand.id)
    for status, of_station, of_charger in STATES:
        async with pool.connection() as db:
            await chargers.set_connector_status(db, device_id, 1, status, "NoError", datetime.now(UTC))
        assert (await get_station(api, brand, made["id"]))["connectors"][0]["status"] == of_station
        charger = (await api.get(f"{CHARGERS}/{device_id}", headers=brand.headers)).json()["data"]
        assert charger["connectors"][0]["status"] == of_charger


NOT_READY = [
    ("UPDATE chargers SET is_connected = %s", (False, True)),
    ("UPDATE chargers SET maintenance = %s", (True, False)),
    ("UPDATE devices SET status = %s", ("quarantined", "active")),
    (
        """INSERT INTO connectors (device_id, connector_id, status) SELECT device_id, 0, %s FROM chargers
           ON CONFLICT (device_id, connector_id) DO UPDATE SET status = EXCLUDED.status""",
        ("Unavailable", "Available"),
    ),
]


async def test_a_charger_that_is_not_ready_has_no_connectors(
    api: httpx.AsyncClient, admin: Person, brand: Person, pool: Pool
) -> None:
    made = await make_station(api, brand)
    device_id = await charger_at(pool, "CP-1", made["id"], brand.id)
    for statement, (bad, good) in NOT_READY:
        async with pool.connection() as db:
            await db.execute(statement.encode(), (bad,))
        assert (await get_station(api, brand, made["id"]))["connectors"][0]["status"] == "unavailable"
        charger = (await api.get(f"{CHARGERS}/{device_id}", headers=admin.headers)).json()["data"]
        assert charger["connectors"][0]["status"] == "Unavailable"
        async with pool.connection() as db:
            await db.execute(statement.encode(), (good,))
        assert (await get_station(api, brand, made["id"]))["connectors"][0]["status"] == "available"


async def available(api: httpx.AsyncClient, person: Person, station_id: str) -> dict[str, Any]:
    answer = await api.get(f"{STATIONS}/{station_id}/availability", headers=person.headers)
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


async def test_availability(
    api: httpx.AsyncClient, brand: Person, driver: Person, pool: Pool, clock: Clock
) -> None:
    # noon in the station's zone, half past six by UTC
    noon = clock.moment().replace(hour=6, minute=30, second=0, microsecond=0)
    clock.now_us = int(noon.timestamp() * 1e6)
    made = await make_station(api, brand)
    assert (await available(api, driver, made["id"])) == {
        "available": False,
        "connectors": [{"connectorId": "1", "type": "CCS", "power": 50.0, "status": "unavailable"}],
    }
    await charger_at(pool, "CP-1", made["id"], brand.id)
    assert (await available(api, driver, made["id"]))["available"] is True
    await book(pool, made["id"], driver.id, noon + timedelta(hours=13))  # tomorrow, by the station's clock
    assert "nextBooking" not in (await available(api, driver, made["id"]))["connectors"][0]
    later = noon + timedelta(hours=2)
    await book(pool, made["id"], driver.id, later)
    await book(pool, made["id"], driver.id, noon + timedelta(hours=1), status="cancelled")
    soon = await available(api, driver, made["id"])
    assert soon["available"] is True
    assert soon["connectors"][0]["nextBooking"] == f"{later:%Y-%m-%dT%H:%M:%S}.000Z"
    await book(pool, made["id"], driver.id, noon - timedelta(minutes=10), minutes=30)
    now = await available(api, driver, made["id"])
    assert now["available"] is False
    assert now["connectors"][0]["status"] == "available"
    assert now["connectors"][0]["bookedUntil"] == f"{noon + timedelta(minutes=20):%Y-%m-%dT%H:%M:%S}.000Z"


async def test_a_station_that_does_not_serve_is_not_available(
    api: httpx.AsyncClient, brand: Person, pool: Pool, clock: Clock
) -> None:
    noon = clock.moment().replace(hour=6, minute=30)
    clock.now_us = int(noon.timestamp() * 1e6)
    made = await make_station(api, brand)
    await charger_at(pool, "CP-1", made["id"], brand.id)
    closed, open_ = ({"operatingHours": {"open": hour, "close": "20:00"}} for hour in ("13:00", "12:00"))
    for change, expected in (
        ({"status": "maintenance"}, False),
        ({"status": "active"}, True),
        (closed, False),
        (open_, True),
    ):
        assert (await put(api, brand, made["id"], **change)).status_code == 200
        assert (await available(api, brand, made["id"]))["available"] is expected


@pytest.mark.parametrize(
    ("opens", "closes", "clock", "expected"),
    [
        ("00:00", "23:59", "23:59", True),
        ("08:00", "20:00", "08:00", True),
        ("08:00", "20:00", "20:00", False),
        ("08:00", "20:00", "07:59", False),
        ("22:00", "06:00", "23:00", True),
        ("22:00", "06:00", "05:59", True),
        ("22:00", "06:00", "06:00", False),
        ("22:00", "06:00", "12:00", False),
        ("10:00", "10:00", "03:00", True),
    ],
)
def test_opening_hours(opens: str, closes: str, clock: str, expected: bool) -> None:
    assert is_open(opens, closes, clock) is expected
