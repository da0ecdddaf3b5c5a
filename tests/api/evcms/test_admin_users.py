"""EV-CMS accounts as admins manage them (EV-098 to EV-103)."""

import asyncio
from typing import Any

import httpx

from storage.database import Pool
from storage.patterns import containing
from storage.queries import users
from tests.api.helpers import PASSWORD, Person, evcms_person

URL = "/api/v1/admin/users"
ME = "/api/v1/auth/me"


async def names(api: httpx.AsyncClient, admin: Person, **query: str) -> list[str]:
    answer = await api.get(URL, params=query, headers=admin.headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == answer.json()["users"]
    return [row["name"] for row in answer.json()["users"]]


async def change(
    api: httpx.AsyncClient, admin: Person, user_id: int | str, path: str = "", **body: Any
) -> httpx.Response:
    return await api.put(f"{URL}/{user_id}{path}", json=body, headers=admin.headers)


async def actions(pool: Pool) -> list[tuple[str, str]]:
    async with pool.connection() as db:
        rows = await db.execute("SELECT action, subject FROM admin_actions ORDER BY id")
        return await rows.fetchall()


async def test_lists_by_role_status_and_part_of_a_name(
    api: httpx.AsyncClient, admin: Person, driver: Person, brand: Person, dealer: Person, pool: Pool,
    password_hash: str,
) -> None:  # fmt: skip
    await evcms_person(api, pool, password_hash, "user", "100%_sure")
    assert await names(api, admin) == ["100%_sure", "brand", "user", "admin"]
    assert await names(api, admin, role="brand") == ["brand"]
    await change(api, admin, driver.id, "/status", status="blocked", reason="Fraud")
    assert await names(api, admin, status="blocked") == ["user"]
    assert await names(api, admin, search="RAN") == ["brand"]
    assert await names(api, admin, search="%_") == ["100%_sure"]
    assert await names(api, admin, search="'; DROP TABLE users; --") == []
    assert await names(api, admin, search="brand@EXAMPLE", role="user") == []
    for query in ({"role": "king"}, {"status": "gone"}, {"search": "\x00"}, {"page": "0"}):
        assert (await api.get(URL, params=query, headers=admin.headers)).status_code == 422, query


async def test_a_search_is_served_by_its_index(pool: Pool) -> None:
    async with pool.connection() as db:
        await db.execute(
            "INSERT INTO users (system, role, name, email)"
            " SELECT 'evcms', 'user', md5(n::text), md5(n::text) || '@example.com'"
            " FROM generate_series(1, 20000) AS n"
        )
        await db.execute("ANALYZE users")
        where = {"status": None, "role": None, "pattern": containing("c4ca4238a0")}
        plan = await (await db.execute("EXPLAIN " + users._COUNT, where)).fetchall()
        assert any("users_search" in line for (line,) in plan)
        found, total = await users.list_evcms_users(db, search="C4CA4238A0", limit=10)
    assert [user.email for user in found] == ["c4ca4238a0b923820dcc509a6f75849b@example.com"]
    assert total == 1


async def test_only_admins_reach_accounts(
    api: httpx.AsyncClient, admin: Person, driver: Person, brand: Person, dealer: Person
) -> None:
    for person in (driver, brand):
        for method, path in (
            ("GET", ""), ("GET", "/1"), ("PUT", "/1"), ("PUT", "/1/status"), ("DELETE", "/1"),
            ("PATCH", "/1/restore"),
        ):  # fmt: skip
            body = {"status": "active"} if method == "PUT" else None
            answer = await api.request(method, f"{URL}{path}", json=body, headers=person.headers)
            assert answer.status_code == 403, (method, path)
    for reference in ("x", "0", "9" * 30, str(dealer.id)):  # another family's accounts are not there
        assert (await api.get(f"{URL}/{reference}", headers=admin.headers)).status_code == 404
        assert (await change(api, admin, reference, name="X")).status_code == 404
        assert (await api.delete(f"{URL}/{reference}", headers=admin.headers)).status_code == 404
        assert (await api.patch(f"{URL}/{reference}/restore", headers=admin.headers)).status_code == 404


async def test_a_block_ends_logins_and_is_lifted(
    api: httpx.AsyncClient, admin: Person, driver: Person, pool: Pool
) -> None:
    answer = await change(api, admin, driver.id, "/status", status="blocked", reason="Unpaid")
    data = answer.json()["data"]
    assert (data["user"]["status"], data["statusReason"]) == ("blocked", "Unpaid")
    login = {"email": "user@example.com", "password": PASSWORD}
    refresh = {"refreshToken": driver.login["refreshToken"]}
    assert (await api.get(ME, headers=driver.headers)).status_code == 403
    assert (await api.post("/api/v1/auth/login", json=login)).status_code == 403
    assert (await api.post("/api/v1/auth/refresh-token", json=refresh)).status_code == 403
    active = (await change(api, admin, driver.id, status="active")).json()["data"]
    assert active["status"] == "active"
    assert "statusReason" not in active
    assert (await api.get(ME, headers=driver.headers)).status_code == 401
    assert (await api.post("/api/v1/auth/login", json=login)).status_code == 200
    assert await actions(pool) == [("user.update", f"user:{driver.id}")] * 2
    assert (await change(api, admin, driver.id, "/status", status="king")).status_code == 422
    assert (await change(api, admin, driver.id, "/status")).status_code == 422


async def test_another_role_needs_another_login(
    api: httpx.AsyncClient, admin: Person, driver: Person
) -> None:
    answer = await change(api, admin, driver.id, role="brand", name="Volt", email="x@example.com")
    assert (answer.json()["data"]["role"], answer.json()["data"]["name"]) == ("brand", "Volt")
    assert answer.json()["data"]["email"] == "user@example.com"
    assert (await api.get(ME, headers=driver.headers)).status_code == 401


async def test_nobody_blocks_demotes_or_deletes_himself(api: httpx.AsyncClient, admin: Person) -> None:
    for body in ({"status": "blocked"}, {"status": "suspended"}, {"role": "user"}):
        assert (await change(api, admin, admin.id, **body)).status_code == 403, body
    assert (await change(api, admin, admin.id, "/status", status="blocked")).status_code == 403
    assert (await api.delete(f"{URL}/{admin.id}", headers=admin.headers)).status_code == 403
    assert (await change(api, admin, admin.id, name="Root", role="admin", status="active")).status_code == 200
    assert (await api.get(ME, headers=admin.headers)).json()["data"]["name"] == "Root"


async def test_two_admins_who_demote_each_other_leave_one(
    api: httpx.AsyncClient, admin: Person, pool: Pool, password_hash: str
) -> None:
    other = await evcms_person(api, pool, password_hash, "admin", "other")
    answers = await asyncio.gather(
        change(api, admin, other.id, role="user"), change(api, other, admin.id, role="user")
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 200
    assert statuses[1] in {401, 403}
    async with pool.connection() as db:
        row = await (await db.execute("SELECT count(*) FROM users WHERE role = 'admin'")).fetchone()
    assert row == (1,)


async def test_a_deleted_account_can_be_restored(
    api: httpx.AsyncClient, admin: Person, driver: Person, pool: Pool
) -> None:
    url = f"{URL}/{driver.id}"
    assert (await api.patch(f"{url}/restore", headers=admin.headers)).status_code == 409
    assert (await api.delete(url, headers=admin.headers)).json()["success"] is True
    assert (await api.get(ME, headers=driver.headers)).status_code == 401
    assert (await api.get(url, headers=admin.headers)).status_code == 404
    assert (await change(api, admin, driver.id, name="X")).status_code == 404
    assert (await api.delete(url, headers=admin.headers)).status_code == 404
    assert "user" not in await names(api, admin)
    assert (await api.patch(f"{url}/restore", headers=admin.headers)).json()["data"]["id"] == str(driver.id)
    login = {"email": "user@example.com", "password": PASSWORD}
    assert (await api.post("/api/v1/auth/login", json=login)).status_code == 200
    subject = f"user:{driver.id}"
    assert await actions(pool) == [("user.delete", subject), ("user.restore", subject)]
