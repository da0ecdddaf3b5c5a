"""EV-CMS notifications (EV-071 to EV-080): one's own, preferences, and an admin's words to many."""

from datetime import timedelta
from typing import Any

import httpx
from nats.aio.client import Client

from protocols.timestamps import from_datetime
from storage.database import Pool
from storage.queries import notices
from storage.queries.admin_actions import list_actions
from stream.broadcast import BATCH_MAX
from stream.jobs import JobsConfig, work_one
from stream.notify import DEFAULTS, Kind, News, notify
from tests.api.helpers import Clock, Person

URL = "/api/v1/notifications"
KEYS = {"id", "userId", "type", "title", "message", "data", "isRead", "createdAt"}
ALERT = {"title": "Tonight", "message": "We are down from 1 to 2", "type": "system"}


async def tell(pool: Pool, clock: Clock, person: Person, *keys: str, kind: Kind = Kind.SYSTEM) -> list[str]:
    ids = []
    async with pool.connection() as db:
        for key in keys:
            values = {"title": key, "message": "text", "amount": "INR 1.00"}
            made = await notify(db, person.id, News(key, kind, values, {"n": 1}), clock.moment())
            assert made is not None
            ids.append(str(made.id))
    return ids


async def get(api: httpx.AsyncClient, person: Person, path: str = "", **query: Any) -> Any:
    answer = await api.get(URL + path, params=query, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def run_jobs(pool: Pool, bus: Client, clock: Clock) -> None:
    config = JobsConfig(lambda: from_datetime(clock.moment() + timedelta(minutes=5)))
    while await work_one(config, pool, bus):
        pass


async def test_the_list_has_its_filters_and_the_unread(
    api: httpx.AsyncClient, driver: Person, stranger: Person, pool: Pool, clock: Clock
) -> None:
    first, second, third = await tell(pool, clock, driver, "a", "b", "c")
    (low,) = await tell(pool, clock, driver, "low", kind=Kind.LOW_BALANCE)
    await tell(pool, clock, stranger, "other")
    await api.patch(f"{URL}/{second}/read", headers=driver.headers)
    body = await get(api, driver)
    assert [row["id"] for row in body["data"]] == [low, third, second, first]
    assert body["notifications"] == body["data"]
    assert body["unreadCount"] == 3
    assert set(body["data"][0]) == KEYS
    assert body["data"][0] | {"createdAt": ""} == {
        "id": low,
        "userId": str(driver.id),
        "type": "payment",
        "title": "Wallet balance low",
        "message": "Your balance is INR 1.00. Please top up.",
        "data": {"n": 1},
        "isRead": False,
        "createdAt": "",
    }
    filtered: list[tuple[dict[str, Any], list[str]]] = [
        ({"status": "read"}, [second]),
        ({"status": "unread"}, [low, third, first]),
        ({"type": "payment"}, [low]),
        ({"type": "system", "status": "unread"}, [third, first]),
        ({"page": 2, "limit": 3}, [first]),
        ({"type": "promotion"}, []),
    ]
    for query, expected in filtered:
        assert [row["id"] for row in (await get(api, driver, **query))["data"]] == expected
    page = (await get(api, driver, limit=3))["pagination"]
    assert page == {
        "total": 4, "page": 1, "limit": 3, "totalPages": 2, "hasNext": True, "hasPrev": False,
    }  # fmt: skip
    for wrong in ({"status": "new"}, {"type": "news"}, {"page": "0"}):
        assert (await api.get(URL, params=wrong, headers=driver.headers)).status_code == 422


async def test_one_is_shown_read_and_deleted_by_its_owner_alone(
    api: httpx.AsyncClient, driver: Person, stranger: Person, admin: Person, pool: Pool, clock: Clock
) -> None:
    (own,) = await tell(pool, clock, driver, "a")
    data = (await get(api, driver, f"/{own}"))["data"]
    assert data.pop("notification") == data
    assert data["isRead"] is False
    for _ in range(2):
        read = await api.patch(f"{URL}/{own}/read", headers=driver.headers)
        assert read.json()["data"]["notification"]["isRead"] is True
    for person in (stranger, admin):
        for method, path in [("GET", own), ("PATCH", f"{own}/read"), ("DELETE", own)]:
            refused = await api.request(method, f"{URL}/{path}", headers=person.headers)
            assert refused.status_code == 403, (method, path)
    for reference in ("0", "abc", "9" * 30, "-1", "1.5"):
        assert (await api.get(f"{URL}/{reference}", headers=driver.headers)).status_code == 404
    assert (await api.delete(f"{URL}/{own}", headers=driver.headers)).json()["success"] is True
    assert (await api.delete(f"{URL}/{own}", headers=driver.headers)).status_code == 404


async def test_all_are_read_and_deleted_but_only_one_s_own(
    api: httpx.AsyncClient, driver: Person, stranger: Person, pool: Pool, clock: Clock
) -> None:
    await tell(pool, clock, driver, "a", "b")
    await tell(pool, clock, stranger, "a")
    assert (await api.put(f"{URL}/read-all", headers=driver.headers)).json() == {
        "success": True,
        "message": "2 notifications marked as read",
    }
    assert (await get(api, driver))["unreadCount"] == 0
    assert (await get(api, stranger))["unreadCount"] == 1
    assert (await api.delete(URL, headers=driver.headers)).json()["success"] is True
    assert (await get(api, driver))["data"] == []
    assert len((await get(api, stranger))["data"]) == 1


async def test_preferences_are_changed_in_parts(api: httpx.AsyncClient, driver: Person) -> None:
    data = (await get(api, driver, "/preferences"))["data"]
    assert data["preferences"] == DEFAULTS
    assert {name: data[name] for name in DEFAULTS} == DEFAULTS

    async def put(body: Any) -> httpx.Response:
        return await api.put(f"{URL}/preferences", json=body, headers=driver.headers)

    changed = await put({"email": {"promotions": True}, "inApp": {"all": False}})
    expected = {**DEFAULTS, "email": {**DEFAULTS["email"], "promotions": True}, "inApp": {"all": False}}
    assert changed.json()["data"]["preferences"] == expected
    again = await put({"email": {"sessionComplete": False}, "push": None, "sms": {}})
    expected["email"] = {**expected["email"], "sessionComplete": False}
    assert again.json()["data"]["preferences"] == expected
    assert (await put({})).json()["data"]["preferences"] == expected
    assert (await get(api, driver, "/preferences"))["data"]["preferences"] == expected


async def test_preferences_that_are_none_are_refused(api: httpx.AsyncClient, driver: Person) -> None:
    refused: list[tuple[Any, str]] = [
        ({"email": {"spam": True}}, "email.spam"),
        ({"fax": {"all": True}}, "fax"),
        ({"sms": {"bookingConfirmation": "yes"}}, "sms.bookingConfirmation"),
        ({"push": {"lowBalance": 1}}, "push.lowBalance"),
        ({"inApp": True}, "inApp"),
        ([], ""),
    ]
    for body, field in refused:
        answer = await api.put(f"{URL}/preferences", json=body, headers=driver.headers)
        assert answer.status_code == 422
        assert [each["field"] for each in answer.json()["errors"]] == [field]


async def test_an_alert_to_everybody_is_written_in_the_background(
    api: httpx.AsyncClient,
    admin: Person,
    driver: Person,
    brand: Person,
    pool: Pool,
    bus: Client,
    clock: Clock,
) -> None:
    answer = await api.post(URL, json={**ALERT, "type": "booking"}, headers=admin.headers)
    assert answer.status_code == 201
    shown = answer.json()["data"]["notification"]
    assert (shown["userId"], shown["type"], shown["title"]) == (str(admin.id), "booking", "Tonight")
    assert (await get(api, driver))["data"] == []
    await run_jobs(pool, bus, clock)
    for person in (admin, driver, brand):
        (row,) = (await get(api, person))["data"]
        assert (row["type"], row["message"]) == ("booking", ALERT["message"])
    async with pool.connection() as db:
        (action,) = await list_actions(db, limit=10)
    assert (action.actor_id, action.action) == (admin.id, "notification.alert")
    assert action.detail == {"title": "Tonight", "type": "booking", "users": "everybody"}


async def test_an_alert_to_some_reaches_them_and_nobody_else(
    api: httpx.AsyncClient,
    admin: Person,
    driver: Person,
    stranger: Person,
    pool: Pool,
    bus: Client,
    clock: Clock,
) -> None:
    targets = [str(driver.id), "no-id", str(10**15), str(driver.id)]
    answer = await api.post(URL, json={**ALERT, "targetUsers": targets}, headers=admin.headers)
    assert answer.json()["data"]["userId"] == str(driver.id)
    await run_jobs(pool, bus, clock)
    counts = [len((await get(api, person))["data"]) for person in (admin, driver, stranger)]
    assert counts == [0, 1, 0]
    nobody = await api.post(URL, json={**ALERT, "targetUsers": ["x", "0"]}, headers=admin.headers)
    assert nobody.status_code == 400


async def test_bulk_counts_the_users_it_tells(
    api: httpx.AsyncClient,
    admin: Person,
    driver: Person,
    brand: Person,
    pool: Pool,
    bus: Client,
    clock: Clock,
) -> None:
    ids = [str(driver.id), str(brand.id), str(driver.id), "abc", "0"]
    body = {"title": "T", "message": "M", "userIds": ids}
    answer = await api.post(f"{URL}/bulk", json=body, headers=admin.headers)
    assert answer.status_code == 201
    assert answer.json() == {
        "success": True, "message": "2 users are told", "count": 2, "data": {"count": 2},
    }  # fmt: skip
    await run_jobs(pool, bus, clock)
    for person in (driver, brand):
        (row,) = (await get(api, person))["data"]
        assert (row["type"], row["title"], row["message"]) == ("system", "T", "M")
    many = [str(number) for number in range(10_001)]
    assert (
        await api.post(f"{URL}/bulk", json={**body, "userIds": many}, headers=admin.headers)
    ).status_code == 422
    none = await api.post(f"{URL}/bulk", json={**body, "userIds": many[5_000:]}, headers=admin.headers)
    assert none.json()["count"] == 0


async def test_ten_thousand_ids_are_tasks_of_bounded_batches(
    api: httpx.AsyncClient, admin: Person, pool: Pool
) -> None:
    async with pool.connection() as db:
        await db.execute(
            "INSERT INTO users (system, role, name, email)"
            " SELECT 'evcms', 'user', 'U', 'many' || n || '@example.com' FROM generate_series(1, 10000) AS n"
        )
        rows = await db.execute("SELECT id FROM users WHERE name = 'U'")
        ids = [str(user_id) async for (user_id,) in rows]
    body = {"title": "T", "message": "M", "userIds": ids}
    answer = await api.post(f"{URL}/bulk", json=body, headers=admin.headers)
    assert answer.json()["count"] == 10_000
    async with pool.connection() as db:
        sizes = await (
            await db.execute(
                "SELECT jsonb_array_length(payload -> 'user_ids') FROM outbox WHERE kind = 'broadcast'"
            )
        ).fetchall()
    assert sum(size for (size,) in sizes) == 10_000
    assert max(size for (size,) in sizes) == BATCH_MAX


async def test_only_admins_speak_to_many(api: httpx.AsyncClient, driver: Person, brand: Person) -> None:
    for person in (driver, brand):
        for path, body in [("", ALERT), ("/bulk", {"title": "T", "message": "M", "userIds": ["1"]})]:
            refused = await api.post(URL + path, json=body, headers=person.headers)
            assert refused.status_code == 403


async def test_an_alert_says_field_by_field_what_is_wrong(api: httpx.AsyncClient, admin: Person) -> None:
    answer = await api.post(URL, json={"type": "news", "targetUsers": []}, headers=admin.headers)
    assert answer.status_code == 422
    fields = {each["field"] for each in answer.json()["errors"]}
    assert fields == {"title", "message", "type", "targetUsers"}
    nul = await api.post(URL, json={**ALERT, "message": "a\0b"}, headers=admin.headers)
    assert [each["field"] for each in nul.json()["errors"]] == ["message"]


async def test_a_phone_is_registered_for_push_and_forgotten(
    api: httpx.AsyncClient, driver: Person, stranger: Person, pool: Pool
) -> None:
    phone = {"token": "fcm:abc", "platform": "android"}
    assert (await api.post(f"{URL}/push-tokens", json=phone, headers=driver.headers)).status_code == 201
    for person, left in [(stranger, ["fcm:abc"]), (driver, [])]:
        answer = await api.request(
            "DELETE", f"{URL}/push-tokens", json={"token": "fcm:abc"}, headers=person.headers
        )
        assert answer.status_code == 200
        async with pool.connection() as db:
            assert await notices.push_tokens(db, driver.id) == left
