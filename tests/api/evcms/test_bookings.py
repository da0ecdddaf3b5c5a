"""EV-CMS bookings (EV-039 to EV-044, EV-108): made, shown, started, completed, rated and cancelled."""

from typing import Any

import httpx
import pytest
from nats.aio.client import Client
from psycopg import AsyncCursor
from psycopg.types.json import Jsonb

from storage import ledger
from storage.database import Pool
from stream.bookings.jobs import complete_booking, run_due
from tests.api.evcms.booking_scene import (
    FEE_MINOR,
    URL,
    WEALTH_MINOR,
    Scene,
    charge_level,
    end_session,
    enrich,
    give_vehicle,
    make_scene,
    make_station,
    wallet_of,
)
from tests.api.helpers import CHARGER, Clock, Person, begin_session, gateway, result

COST = {
    "energyCost", "reservationFee", "parkingFee", "platformFee", "discount", "subtotal", "gst", "total",
}  # fmt: skip
REQUIRED = {
    "id", "bookingNumber", "userId", "stationId", "stationName", "connectorId", "vehicleId", "status",
    "scheduledTime", "estimatedDuration", "cost", "logs",
}  # fmt: skip
DONE: dict[str, Any] = {"energyConsumed": 99, "finalSoC": 80}


@pytest.fixture
async def scene(
    api: httpx.AsyncClient, pool: Pool, clock: Clock, brand: Person, driver: Person, stranger: Person
) -> Scene:
    await enrich(pool, driver.id)
    await enrich(pool, stranger.id)
    return await make_scene(pool, api, clock, brand.id)


def charging(scene: Scene, driver: Person) -> tuple[list[int], Any]:
    """The sessions that a charger has begun, and how it reacts to what it is asked."""
    begun: list[int] = []

    async def react(action: str, payload: Any) -> Any:
        if action == "RemoteStartTransaction":
            at, tag = scene.clock.moment(), payload["idTag"].upper()
            begun.append(await begin_session(scene.pool, scene.device_id, driver.id, at, id_tag=tag))
        else:
            scene.clock.advance(1_800)
            await end_session(scene.pool, scene.clock, begun[-1])
            async with scene.pool.connection() as db:  # the jobs role is faster than whoever asked
                await complete_booking(db, begun[-1], scene.clock.moment())
        return result(status="Accepted")

    return begun, react


async def test_a_booking_is_confirmed_with_its_fee_held(scene: Scene, driver: Person, pool: Pool) -> None:
    body = await scene.order(driver)
    answer = await scene.api.post(URL, json=body, headers=driver.headers)
    assert answer.status_code == 201, answer.text
    data = answer.json()["data"]
    booking = data.pop("booking")
    assert data == booking
    assert set(booking) >= REQUIRED
    assert set(booking["cost"]) == COST
    assert not {"startTime", "endTime", "duration", "energyConsumed", "finalSoC", "rating"} & set(booking)
    assert (booking["status"], booking["stationName"], booking["connectorId"]) == (
        "confirmed",
        "Harbour",
        "1",
    )
    assert booking["bookingNumber"] == f"BK-{scene.clock.moment():%Y%m%d}-0001"
    assert [log["event"] for log in booking["logs"]] == ["created", "confirmed"]
    assert booking["logs"][0]["timestamp"].endswith("Z")
    cost = booking["cost"]
    assert cost["reservationFee"] == FEE_MINOR / 100
    assert cost["energyCost"] > 0
    assert (
        cost["subtotal"] == cost["energyCost"] + cost["parkingFee"] + cost["platformFee"] - cost["discount"]
    )
    assert round(cost["subtotal"] + cost["gst"] + cost["reservationFee"], 2) == cost["total"]
    wallet = await wallet_of(pool, driver.id)
    assert (wallet.balance_minor, wallet.held_minor) == (WEALTH_MINOR, FEE_MINOR)
    second = await scene.book(driver, ahead_minutes=200, connectorId=1)
    assert second["bookingNumber"].endswith("-0002")
    async with pool.connection() as db:
        rows = await db.execute("SELECT count(*) FROM notifications WHERE user_id = %s", (driver.id,))
        assert await rows.fetchone() == (2,)


async def test_the_connectors_own_fee_or_none(scene: Scene, driver: Person, pool: Pool) -> None:
    async with pool.connection() as db:
        await db.execute("UPDATE station_connectors SET reservation_fee_minor = 0")
    booking = await scene.book(driver)
    assert booking["cost"]["reservationFee"] == 0
    assert (await wallet_of(pool, driver.id)).held_minor == 0
    cancelled = await scene.put(driver, booking["id"], "cancel", {"reason": "later"})
    assert cancelled.json()["data"]["status"] == "cancelled"


UNBOOKABLE: tuple[tuple[dict[str, Any], int], ...] = (
    ({"stationId": "999999"}, 404),
    ({"stationId": "x"}, 404),
    ({"connectorId": "9"}, 404),
    ({"vehicleId": "999999"}, 404),
    ({"vehicleId": "1; DROP TABLE bookings"}, 404),
    ({"estimatedDuration": 0}, 422),
    ({"estimatedDuration": 1_441}, 422),
    ({"estimatedDuration": "soon"}, 422),
    ({"scheduledTime": "tomorrow"}, 422),
    ({"scheduledTime": "0001-01-01T00:00:00+14:00"}, 400),
    ({"scheduledTime": "9999-12-31T23:59:59-14:00"}, 400),
    ({"connectorId": {"$ne": 1}}, 422),
    ({"stationId": "\0"}, 422),
    ({"scheduledTime": None}, 422),
)


async def test_what_cannot_be_booked(scene: Scene, driver: Person) -> None:
    for changes, status in UNBOOKABLE:
        answer = await scene.api.post(URL, json=await scene.order(driver, **changes), headers=driver.headers)
        assert answer.status_code == status, (changes, answer.text)
        if status == 422:
            assert answer.json()["errors"][0]["field"].split(".")[0] in changes
    assert (await scene.api.get(URL, headers=driver.headers)).json()["data"] == []


async def test_when_and_by_whom_it_can_be_booked(
    scene: Scene, driver: Person, stranger: Person, pool: Pool
) -> None:
    for minutes, status in ((-2, 400), (7 * 1_440 + 1, 400), (-0.9, 201)):
        body = await scene.order(driver, ahead_minutes=minutes)
        answer = await scene.api.post(URL, json=body, headers=driver.headers)
        assert answer.status_code == status, (minutes, answer.text)
    foreign = await scene.order(driver, vehicleId=await give_vehicle(pool, stranger.id), ahead_minutes=300)
    assert (await scene.api.post(URL, json=foreign, headers=driver.headers)).status_code == 403
    for change, status in (("status = 'maintenance'", 400), ("deleted_at = now()", 404)):
        async with pool.connection() as db:
            await db.execute(f"UPDATE stations SET {change}")
        body = await scene.order(driver, ahead_minutes=600)
        answer = await scene.api.post(URL, json=body, headers=driver.headers)
        assert answer.status_code == status, answer.text


async def test_without_money_nothing_is_left_behind(
    scene: Scene, pool: Pool, driver: Person, brand: Person
) -> None:
    body = await scene.order(brand)
    answer = await scene.api.post(URL, json=body, headers=brand.headers)
    assert answer.status_code == 400
    assert answer.json()["message"] == "Insufficient wallet balance"
    async with pool.connection() as db:
        assert await (await db.execute("SELECT count(*) FROM bookings")).fetchone() == (0,)
        assert await (await db.execute("SELECT count(*) FROM counters")).fetchone() == (0,)
    assert (await scene.book(driver))["status"] == "confirmed", "the time is still free"


async def test_a_time_is_booked_once(scene: Scene, driver: Person, stranger: Person) -> None:
    await scene.book(driver, ahead_minutes=120)
    for minutes, status in ((120, 409), (61, 409), (179, 409), (180, 201), (60, 201)):
        for person in (driver, stranger) if status == 409 else (stranger,):
            body = await scene.order(person, ahead_minutes=minutes)
            answer = await scene.api.post(URL, json=body, headers=person.headers)
            assert answer.status_code == status, (minutes, answer.text)


async def test_the_same_key_makes_one_booking(
    scene: Scene, driver: Person, stranger: Person, pool: Pool
) -> None:
    body = await scene.order(driver)
    headers = {**driver.headers, "Idempotency-Key": "once"}
    first = await scene.api.post(URL, json=body, headers=headers)
    again = await scene.api.post(URL, json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    other = await scene.api.post(URL, json={**body, "estimatedDuration": 30}, headers=headers)
    assert other.status_code == 409
    assert (await wallet_of(pool, driver.id)).held_minor == FEE_MINOR
    theirs = await scene.order(stranger, ahead_minutes=400)
    own = {**stranger.headers, "Idempotency-Key": "once"}
    assert (await scene.api.post(URL, json=theirs, headers=own)).status_code == 201


async def test_each_role_sees_its_own(
    scene: Scene, driver: Person, stranger: Person, brand: Person, rival: Person, admin: Person
) -> None:
    booking = await scene.book(driver)
    path = f"{URL}/{booking['id']}"
    for person in (driver, brand, admin):
        body = (await scene.api.get(URL, headers=person.headers)).json()
        assert [each["id"] for each in body["data"]] == [booking["id"]]
        assert body["bookings"] == body["data"]
        assert body["pagination"]["total"] == 1
        assert (await scene.api.get(path, headers=person.headers)).status_code == 200
    for person in (stranger, rival):
        assert (await scene.api.get(URL, headers=person.headers)).json()["data"] == []
        assert (await scene.api.get(path, headers=person.headers)).status_code == 403
        for step, sent in (("start", None), ("complete", DONE), ("cancel", {"reason": "x"})):
            assert (await scene.put(person, booking["id"], step, sent)).status_code == 403
    for person, status in ((admin, 200), (brand, 403), (driver, 403)):
        answer = await scene.api.get("/api/v1/admin/bookings", headers=person.headers)
        assert answer.status_code == status
    assert (await scene.get(driver, booking["id"]))["status"] == "confirmed"


async def test_no_such_booking(scene: Scene, admin: Person) -> None:
    for id_ in ("0", "77", "x", "9" * 40, "1%00"):
        assert (await scene.api.get(f"{URL}/{id_}", headers=admin.headers)).status_code == 404
        for step, body in (("start", None), ("complete", DONE), ("cancel", {"reason": "x"})):
            assert (await scene.put(admin, id_, step, body)).status_code == 404


async def test_pages_and_filters(scene: Scene, driver: Person, admin: Person) -> None:
    made = [(await scene.book(driver, ahead_minutes=100 * n))["id"] for n in range(1, 6)]
    await scene.put(driver, made[4], "cancel", {"reason": "no"})
    for path, person in ((URL, driver), ("/api/v1/admin/bookings", admin)):
        pages = []
        for page in (1, 2, 3, 4):
            query: dict[str, str | int] = {"page": page, "limit": 2}
            answer = await scene.api.get(path, params=query, headers=person.headers)
            pages.append([each["id"] for each in answer.json()["data"]])
        assert pages == [[made[4], made[3]], [made[2], made[1]], [made[0]], []]
        found = await scene.api.get(path, params={"status": "cancelled"}, headers=person.headers)
        assert [each["id"] for each in found.json()["data"]] == [made[4]]
        assert (await scene.api.get(path, params={"status": "x"}, headers=person.headers)).status_code == 422


async def test_a_list_asks_the_database_as_often_for_many_as_for_one(
    scene: Scene, driver: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    execute = AsyncCursor.execute

    async def counted(cursor: Any, *arguments: Any, **options: Any) -> Any:
        asked[-1] += 1
        return await execute(cursor, *arguments, **options)

    for minutes in (100, 200, 300, 400):
        await scene.book(driver, ahead_minutes=minutes)
        asked.append(0)
        with monkeypatch.context() as patch:
            patch.setattr(AsyncCursor, "execute", counted)
            answer = await scene.api.get(URL, headers=driver.headers)
        assert len(answer.json()["data"]) == len(asked)
    assert len(set(asked)) == 1


async def test_cancelling_in_time_frees_the_fee_and_the_connector(
    scene: Scene, driver: Person, stranger: Person, pool: Pool
) -> None:
    booking = await scene.book(driver)
    assert (await scene.put(driver, booking["id"], "cancel", {})).status_code == 422
    answer = await scene.put(driver, booking["id"], "cancel", {"reason": "rain"})
    assert answer.status_code == 200, answer.text
    cancelled = answer.json()["data"]
    assert (cancelled["status"], cancelled["cancellationReason"]) == ("cancelled", "rain")
    assert cancelled["cost"]["total"] == 0
    assert cancelled["logs"][-1]["event"] == "cancelled"
    wallet = await wallet_of(pool, driver.id)
    assert (wallet.balance_minor, wallet.held_minor) == (WEALTH_MINOR, 0)
    for step, body in (("cancel", {"reason": "x"}), ("start", None), ("complete", DONE)):
        assert (await scene.put(driver, booking["id"], step, body)).status_code == 400
    assert (await scene.book(stranger))["status"] == "confirmed"


async def test_inside_the_window_only_the_station_cancels(
    scene: Scene, driver: Person, brand: Person, pool: Pool
) -> None:
    booking = await scene.book(driver, ahead_minutes=61)
    scene.clock.advance(120)
    assert (await scene.put(driver, booking["id"], "cancel", {"reason": "x"})).status_code == 400
    answer = await scene.put(brand, booking["id"], "cancel", {"reason": "works"})
    assert answer.status_code == 200, answer.text
    assert (await wallet_of(pool, driver.id)).held_minor == 0
    async with pool.connection() as db:
        rows = await db.execute("SELECT actor_id, action, subject, detail FROM admin_actions")
        expected = (brand.id, "booking.cancel", f"booking:{booking['id']}", {"reason": "works"})
        assert await rows.fetchall() == [expected]


async def test_a_booking_from_start_to_rating(scene: Scene, driver: Person, pool: Pool, bus: Client) -> None:
    booking = await scene.book(driver, ahead_minutes=20)
    early = await scene.put(driver, booking["id"], "start")
    assert early.status_code == 400
    scene.clock.advance(6 * 60)
    begun, react = charging(scene, driver)
    async with gateway(bus, scene.device_id, react) as calls:
        started = await scene.put(driver, booking["id"], "start")
        assert started.status_code == 200, started.text
        again = await scene.put(driver, booking["id"], "start")
        refused = await scene.put(driver, booking["id"], "cancel", {"reason": "x"})
        rating = {"score": 4, "review": "Fine", "images": ["/uploads/station/a.jpg"]}
        answer = await scene.put(driver, booking["id"], "complete", {**DONE, "rating": rating})
    assert (again.status_code, refused.status_code) == (400, 400)
    assert [action for action, _ in calls] == ["RemoteStartTransaction", "RemoteStopTransaction"]
    active = started.json()["data"]["booking"]
    assert (active["status"], active["sessionId"]) == ("active", str(begun[0]))
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert data["status"] == "completed"
    assert data["energyConsumed"] == 10, "the meter's, not the client's"
    assert (data["duration"], data["finalSoC"]) == (30, 80)
    assert data["rating"] == {**rating, "ratedAt": data["rating"]["ratedAt"]}
    cost = data["cost"]
    assert (cost["energyCost"], cost["gst"], cost["reservationFee"]) == (150, 27, 50)
    assert cost["total"] == 227
    wallet = await wallet_of(pool, driver.id)
    assert (wallet.balance_minor, wallet.held_minor) == (WEALTH_MINOR - 22_700, 0)
    async with pool.connection() as db:
        assert await ledger.trial_balance(db) == {"INR": 0}
        session = await (await db.execute("SELECT vehicle_id FROM sessions")).fetchone()
    assert session == (data["vehicleId"],)
    cdr = await scene.api.get(f"/api/v1/sessions/{begun[0]}/cdr", headers=driver.headers)
    assert cdr.json()["data"]["vehicleInfo"] == "Tata Nexon (MH12AB1234)"
    more = await scene.put(driver, booking["id"], "complete", {**DONE, "rating": rating})
    assert more.status_code == 400
    assert [log["event"] for log in data["logs"]][-2:] == ["started", "completed"]


INCOMPLETE: tuple[dict[str, Any], ...] = (
    {"finalSoC": 101},
    {"finalSoC": -1},
    {"energyConsumed": -1},
    {"energyConsumed": "NaN"},
    {"energyConsumed": None},
    {"rating": {"score": 6}},
    {"rating": {"score": 0}},
    {"rating": {}},
    {"rating": {"score": 3, "images": ["x"] * 11}},
)


async def test_what_completes_no_booking(scene: Scene, driver: Person) -> None:
    booking = await scene.book(driver)
    for changes in INCOMPLETE:
        answer = await scene.put(driver, booking["id"], "complete", {**DONE, **changes})
        assert answer.status_code == 422, (changes, answer.text)
    assert (await scene.put(driver, booking["id"], "complete", DONE)).status_code == 400


async def test_a_session_that_ends_by_itself_completes_its_booking(
    scene: Scene, driver: Person, brand: Person, pool: Pool, bus: Client
) -> None:
    booking = await scene.book(driver, ahead_minutes=5)
    begun, react = charging(scene, driver)
    async with gateway(bus, scene.device_id, react):
        assert (await scene.put(driver, booking["id"], "start")).status_code == 200
    scene.clock.advance(600)
    await charge_level(pool, scene.clock, begun[0], 21)
    scene.clock.advance(1_200)
    await charge_level(pool, scene.clock, begun[0], 34)
    await end_session(pool, scene.clock, begun[0], energy_wh=2_000)
    async with pool.connection() as db:
        tasks = await db.execute("SELECT payload FROM outbox WHERE kind = 'complete_booking'")
        assert await tasks.fetchall() == [({"session_id": begun[0]},)]
    await run_due(pool, bus, scene.clock.moment())
    ended = await scene.get(driver, booking["id"])
    assert (ended["status"], ended["energyConsumed"], ended["duration"]) == ("completed", 2, 30)
    assert (ended["initialSoC"], ended["finalSoC"]) == (21, 34)
    assert (await scene.put(driver, booking["id"], "complete", DONE)).status_code == 400
    rated = {**DONE, "rating": {"score": 5}}
    assert (await scene.put(brand, booking["id"], "complete", rated)).status_code == 403
    answer = await scene.put(driver, booking["id"], "complete", rated)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["rating"]["score"] == 5
    assert answer.json()["data"]["energyConsumed"] == 2


async def test_a_charger_that_refuses_leaves_the_booking_and_its_fee(
    scene: Scene, driver: Person, pool: Pool, bus: Client
) -> None:
    booking = await scene.book(driver, ahead_minutes=5, estimatedDuration=30)
    offline = await scene.put(driver, booking["id"], "start")
    assert offline.status_code == 400
    assert "offline" in offline.json()["message"]

    async def refuse(action: str, payload: Any) -> Any:
        return result(status="Rejected")

    async with gateway(bus, scene.device_id, refuse):
        assert (await scene.put(driver, booking["id"], "start")).status_code == 409
    left = await scene.get(driver, booking["id"])
    assert left["status"] == "confirmed"
    assert left["logs"][-1]["event"].startswith("start failed")
    assert (await wallet_of(pool, driver.id)).held_minor == FEE_MINOR
    scene.clock.advance(36 * 60)
    await run_due(pool, bus, scene.clock.moment())
    ended = await scene.get(driver, booking["id"])
    assert (ended["status"], ended["cancellationReason"]) == ("cancelled", "The charger could not begin it")
    wallet = await wallet_of(pool, driver.id)
    assert (wallet.balance_minor, wallet.held_minor) == (WEALTH_MINOR, 0)


async def test_nobody_else_starts_at_a_booked_connector(
    scene: Scene, driver: Person, stranger: Person, brand: Person, bus: Client
) -> None:
    booking = await scene.book(driver, ahead_minutes=5)
    await scene.book(stranger, ahead_minutes=65)
    scene.clock.advance(6 * 60)
    order = {"chargerId": CHARGER, "connectorId": 1, "userId": str(stranger.id), "vehicleId": ""}
    begun, react = charging(scene, driver)
    async with gateway(bus, scene.device_id, react) as calls:
        refused = await scene.api.post("/api/v1/sessions", json=order, headers=brand.headers)
        assert refused.status_code == 409
        assert calls == []
        own = {**order, "userId": str(driver.id)}
        started = await scene.api.post("/api/v1/sessions", json=own, headers=brand.headers)
        assert started.status_code == 201, started.text
    assert started.json()["data"]["id"] == str(begun[0])
    await run_due(scene.pool, bus, scene.clock.moment())
    linked = await scene.get(driver, booking["id"])
    assert (linked["status"], linked["sessionId"]) == ("active", str(begun[0]))


async def test_an_early_start_waits_for_the_booking_before_it(
    scene: Scene, driver: Person, stranger: Person, bus: Client
) -> None:
    await scene.book(stranger, ahead_minutes=5, estimatedDuration=30)
    booking = await scene.book(driver, ahead_minutes=35)
    scene.clock.advance(25 * 60)
    _, react = charging(scene, driver)
    async with gateway(bus, scene.device_id, react) as calls:
        assert (await scene.put(driver, booking["id"], "start")).status_code == 409
        assert calls == []
        scene.clock.advance(10 * 60)
        assert (await scene.put(driver, booking["id"], "start")).status_code == 200


async def test_without_a_charger_the_clients_energy_counts_and_nobody_pays(
    scene: Scene, driver: Person, brand: Person, pool: Pool
) -> None:
    async with pool.connection() as db:
        station_id = await make_station(db, brand.id, "Hill")
        await db.execute("INSERT INTO station_connectors (station_id, label) VALUES (%s, 'A')", (station_id,))
    changes = {"stationId": str(station_id), "connectorId": "A", "ahead_minutes": 0}
    booking = await scene.book(driver, **changes)
    started = await scene.put(driver, booking["id"], "start")
    assert started.json()["data"]["status"] == "active"
    scene.clock.advance(1_800)
    answer = await scene.put(driver, booking["id"], "complete", {"energyConsumed": 7.5, "finalSoC": 100})
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert (data["status"], data["energyConsumed"], data["duration"]) == ("completed", 7.5, 30)
    assert data["cost"]["energyCost"] == 112.5
    assert (await wallet_of(pool, driver.id)).balance_minor == WEALTH_MINOR - FEE_MINOR


async def test_the_booking_windows_are_the_settings(scene: Scene, driver: Person, pool: Pool) -> None:
    stored = {"booking": {"cancellationWindow": 0, "maxAdvanceBooking": 1, "reservationFee": 1.25}}
    async with pool.connection() as db:
        await db.execute("UPDATE platform_settings SET settings = %s", (Jsonb(stored),))
    far = await scene.order(driver, ahead_minutes=1_441)
    assert (await scene.api.post(URL, json=far, headers=driver.headers)).status_code == 400
    booking = await scene.book(driver, ahead_minutes=1)
    assert booking["cost"]["reservationFee"] == 1.25
    assert (await scene.put(driver, booking["id"], "cancel", {"reason": "x"})).status_code == 200


async def test_unknown_fields_change_nothing(scene: Scene, driver: Person) -> None:
    extra = {"status": "completed", "userId": "1", "cost": {"total": 0}, "id": "7"}
    booking = await scene.book(driver, **extra)
    assert (booking["status"], booking["userId"]) == ("confirmed", str(driver.id))
    assert booking["cost"]["total"] > 0
