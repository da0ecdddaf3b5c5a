"""Accounts of Lithovolt (LI-X02, LI-X03): one's own profile, and what admins do with all of them."""

import asyncio

import httpx

from storage.database import Pool
from storage.queries import lithovolt_users
from tests.api.helpers import PASSWORD, Clock, Person
from tests.api.lithovolt.people import lithovolt_person
from tests.api.lithovolt.stock_scene import rows

URL = "/api/users/"
ME = "/api/users/me/"


async def test_ones_own_profile(api: httpx.AsyncClient, wholesaler: Person, consumer: Person) -> None:
    body = {
        "company": "Rao & Sons",
        "gstin": "27aapfu0939f1zv",
        "address": "1 High St",
        "role": "admin",
        "status": "blocked",
        "is_approved": False,
        "email": "x@example.com",
    }
    answer = await api.patch(ME, json=body, headers=wholesaler.headers)
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["company"], shown["gstin"], shown["address"]) == (
        "Rao & Sons",
        "27AAPFU0939F1ZV",
        "1 High St",
    )
    assert (shown["role"], shown["status"], shown["is_approved"]) == ("wholesaler", "active", True)
    assert shown["email"] == "wholesaler@example.com"
    assert shown["phone"] == "+919876500001"
    named = await api.patch(ME, json={"first_name": "Asha", "last_name": ""}, headers=wholesaler.headers)
    assert (named.json()["first_name"], named.json()["last_name"]) == ("Asha", "")
    taken = await api.patch(ME, json={"phone": "+919876500002"}, headers=wholesaler.headers)
    assert (taken.status_code, taken.json()) == (400, {"phone": ["A user with this phone already exists."]})
    gone = await api.patch(ME, json={"phone": None}, headers=wholesaler.headers)
    assert gone.json()["phone"] is None
    assert gone.json()["company"] == "Rao & Sons"
    for bad in ({"gstin": "27AAPFU0939F1ZA"}, {"first_name": ""}, {"address": "x" * 501}, {"company": "\0"}):
        answer = await api.patch(ME, json=bad, headers=wholesaler.headers)
        assert answer.status_code == 400
        assert list(answer.json()) == list(bad)
    slashless = await api.get("/api/users/me", headers=wholesaler.headers)
    assert slashless.json() == gone.json()


async def test_an_account_of_the_command_line_has_a_profile_too(
    api: httpx.AsyncClient, pool: Pool, clock: Clock
) -> None:
    root = await lithovolt_person(pool, clock, "admin", "root")
    async with pool.connection() as db:
        await db.execute("DELETE FROM lithovolt_profiles WHERE user_id = %s", (root.id,))
    shown = (await api.get(ME, headers=root.headers)).json()
    assert (shown["first_name"], shown["last_name"], shown["is_approved"]) == ("Root Test", "", True)
    changed = await api.patch(ME, json={"company": "Lithovolt"}, headers=root.headers)
    assert (changed.json()["first_name"], changed.json()["company"]) == ("Root Test", "Lithovolt")


async def test_only_admins_administer(
    api: httpx.AsyncClient, admin: Person, wholesaler: Person, consumer: Person
) -> None:
    for person in (wholesaler, consumer):
        for method, path in [
            ("GET", URL),
            ("POST", URL),
            ("GET", f"{URL}{admin.id}/"),
            ("PATCH", f"{URL}{admin.id}/"),
        ]:
            body = {"email": "x@example.com", "first_name": "X", "role": "admin"}
            answer = await api.request(method, path, json=body, headers=person.headers)
            assert answer.status_code == 403, (method, path)
            assert answer.json() == {"detail": "You do not have permission to perform this action."}


async def test_the_list_is_filtered_and_paged(
    api: httpx.AsyncClient,
    admin: Person,
    wholesaler: Person,
    other_wholesaler: Person,
    consumer: Person,
    driver: Person,
) -> None:
    async def ids(**query: str | int) -> list[int]:
        answer = await api.get(URL, params=query, headers=admin.headers)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert set(page) == {"count", "next", "previous", "results"}
        return [each["id"] for each in page["results"]]

    assert await ids() == sorted([admin.id, wholesaler.id, other_wholesaler.id, consumer.id], reverse=True)
    assert await ids(role="wholesaler") == sorted([wholesaler.id, other_wholesaler.id], reverse=True)
    assert await ids(search="RIVAL TR") == [other_wholesaler.id]
    assert await ids(search="+919876500002") == [consumer.id]
    assert await ids(search="%") == []
    await api.patch(f"{URL}{wholesaler.id}/", json={"is_approved": False}, headers=admin.headers)
    assert await ids(is_approved="false") == [wholesaler.id]
    assert await ids(status="blocked") == []
    first = (await api.get(URL, params={"page_size": 3}, headers=admin.headers)).json()
    assert (first["count"], len(first["results"]), first["previous"]) == (4, 3, None)
    second = (await api.get(first["next"], headers=admin.headers)).json()
    assert (second["next"], len(second["results"])) == (None, 1)
    assert second["previous"].startswith("http://gridwire.test/api/users/?")
    beyond = await api.get(URL, params={"page": 9}, headers=admin.headers)
    assert (beyond.status_code, beyond.json()) == (404, {"detail": "Not found."})
    for bad in ({"page": "0"}, {"page_size": "101"}, {"role": "king"}, {"search": "\0"}, {"status": "x"}):
        answer = await api.get(URL, params=bad, headers=admin.headers)
        assert answer.status_code == 400
        assert list(answer.json()) == list(bad)


async def test_an_admin_makes_approves_and_blocks(
    api: httpx.AsyncClient, admin: Person, pool: Pool, driver: Person
) -> None:
    body = {"email": "ravi@example.com", "first_name": "Ravi", "role": "wholesaler", "company": "Ravi Ltd"}
    made = await api.post(URL, json=body, headers=admin.headers)
    assert made.status_code == 201
    assert (made.json()["role"], made.json()["is_approved"]) == ("wholesaler", True)
    address = f"{URL}{made.json()['id']}/"
    assert (await api.get(address, headers=admin.headers)).json() == made.json()
    again = await api.post(URL, json=body, headers=admin.headers)
    assert (again.status_code, list(again.json())) == (400, ["email"])
    async with pool.connection() as db:
        sent = await (await db.execute("SELECT kind, channel, address FROM notices")).fetchall()
    assert sent == [("password_reset", "email", "ravi@example.com")]
    for approved in (False, True, True):
        answer = await api.patch(address, json={"is_approved": approved}, headers=admin.headers)
        assert answer.json()["is_approved"] is approved
    blocked = await api.patch(
        address, json={"status": "blocked", "status_reason": "unpaid"}, headers=admin.headers
    )
    assert (blocked.json()["status"], blocked.json()["status_reason"]) == ("blocked", "unpaid")
    kept = await api.patch(address, json={"company": "Ravi Pvt"}, headers=admin.headers)
    assert (kept.json()["status_reason"], kept.json()["company"]) == ("unpaid", "Ravi Pvt")
    async with pool.connection() as db:
        told = await db.execute("SELECT body FROM notices WHERE kind = 'wholesaler_approved'")
        assert len(await told.fetchall()) == 1
        done = await db.execute(
            "SELECT action, detail FROM admin_actions WHERE actor_id = %s ORDER BY id", (admin.id,)
        )
        actions = await done.fetchall()
    assert [action for action, _ in actions] == ["user.create", *["user.update"] * 4]
    assert actions[-1][1] == {"company": {"from": "Ravi Ltd", "to": "Ravi Pvt"}}
    for reference in ("0", "999999", "x", "9" * 30, "-1", str(driver.id)):
        assert (await api.get(f"{URL}{reference}/", headers=admin.headers)).status_code == 404, reference
        answer = await api.patch(f"{URL}{reference}/", json={}, headers=admin.headers)
        assert answer.status_code == 404, reference


async def test_the_last_admin_stays(api: httpx.AsyncClient, admin: Person, pool: Pool, clock: Clock) -> None:
    own = f"{URL}{admin.id}/"
    for body in ({"role": "consumer"}, {"status": "blocked"}, {"is_approved": False}):
        assert (await api.patch(own, json=body, headers=admin.headers)).status_code == 403
    assert (await api.patch(own, json={"first_name": "Root"}, headers=admin.headers)).status_code == 200
    second = await lithovolt_person(pool, clock, "admin", "second")
    answers = await asyncio.gather(
        api.patch(own, json={"role": "consumer"}, headers=second.headers),
        api.patch(f"{URL}{second.id}/", json={"role": "consumer"}, headers=admin.headers),
    )
    assert sorted(answer.status_code for answer in answers) in ([200, 401], [200, 403])


async def test_another_role_ends_the_logins(api: httpx.AsyncClient, admin: Person, consumer: Person) -> None:
    body = {"email": "consumer@example.com", "password": PASSWORD}
    access = (await api.post("/api/auth/login/", json=body)).json()["access"]
    headers = {"Authorization": f"Bearer {access}"}
    await api.patch(f"{URL}{consumer.id}/", json={"role": "wholesaler"}, headers=admin.headers)
    assert (await api.get(ME, headers=headers)).status_code == 401
    assert (await api.post("/api/auth/login/", json=body)).json()["user"]["role"] == "wholesaler"


async def test_an_account_that_had_to_be_waited_for_is_as_it_is_now(pool: Pool, wholesaler: Person) -> None:
    """Neither a change of its profile is lost then, nor does a login begin that was just forbidden."""

    async def look() -> lithovolt_users.Account:
        async with pool.connection() as db:
            return (await lithovolt_users.lock_accounts(db, [wholesaler.id]))[wholesaler.id]

    async with pool.connection() as db:
        await lithovolt_users.lock_accounts(db, [wholesaler.id])
        looking = asyncio.create_task(look())
        async with asyncio.timeout(5):
            while not await rows(pool, "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
                await asyncio.sleep(0.01)
        await db.execute(
            "UPDATE lithovolt_profiles SET company = 'New', is_approved = false WHERE user_id = %s",
            (wholesaler.id,),
        )
        await db.execute("UPDATE users SET updated_at = now() WHERE id = %s", (wholesaler.id,))
    seen = await looking
    assert (seen.company, seen.is_approved) == ("New", False)
