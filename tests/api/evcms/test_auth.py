"""EV-CMS accounts around the sign-in (EV-001 to EV-006): verification, deletion, logins that end."""

import asyncio
import hashlib
import re

import httpx

from storage.database import Pool
from storage.queries import refresh_tokens, users
from tests.api.helpers import PASSWORD, Clock, Person, bearer

NEW = {"email": "new@example.com", "password": "secret1", "name": "New One"}
VERIFY = "/api/v1/auth/verify-email"
ME = "/api/v1/auth/me"


async def register(api: httpx.AsyncClient, **changes: str) -> dict[str, str]:
    answer = await api.post("/api/v1/auth/register", json={**NEW, **changes})
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["data"])


async def mailed_token(pool: Pool) -> str:
    """The token of the newest link that was mailed."""
    async with pool.connection() as db:
        rows = await db.execute(
            "SELECT body FROM notices WHERE kind = 'verify_email' AND channel = 'email' ORDER BY id DESC"
        )
        row = await rows.fetchone()
    assert row is not None
    link = re.search(r"http\S+/api/v1/auth/verify-email\?token=(\S+)", row[0])
    assert link is not None
    return link[1]


async def is_verified(api: httpx.AsyncClient, token: str) -> bool:
    return bool((await api.get(ME, headers=bearer(token))).json()["data"]["isEmailVerified"])


async def test_the_link_of_the_mail_verifies_the_address_and_nothing_else(
    api: httpx.AsyncClient, pool: Pool, driver: Person
) -> None:
    access = (await register(api))["accessToken"]
    assert not await is_verified(api, access)
    token = await mailed_token(pool)
    assert (await api.get(ME, headers=bearer(token))).status_code == 401
    for foreign in (access, token[:-2] + ("AA" if token[-2:] != "AA" else "BB"), "x", ""):
        assert (await api.get(VERIFY, params={"token": foreign})).status_code == 400, foreign
    assert not await is_verified(api, access)
    assert (await api.get(VERIFY, params={"token": token})).json()["success"] is True
    assert await is_verified(api, access)
    assert (await api.post(VERIFY, json={"token": token})).status_code == 200  # no harm in a second click
    assert not await is_verified(api, driver.login["accessToken"])
    again = await api.post(f"{VERIFY}/resend", headers=bearer(access))
    assert again.status_code == 409


async def test_a_link_is_good_for_a_day_and_a_new_one_can_be_had(
    api: httpx.AsyncClient, pool: Pool, clock: Clock
) -> None:
    await register(api)
    old = await mailed_token(pool)
    clock.advance(86_401)
    late = await api.post(VERIFY, json={"token": old})
    assert late.status_code == 400
    login = {"email": NEW["email"], "password": NEW["password"]}
    access = (await api.post("/api/v1/auth/login", json=login)).json()["data"]["accessToken"]
    for _ in range(3):
        assert (await api.post(f"{VERIFY}/resend", headers=bearer(access))).status_code == 200
    async with pool.connection() as db:
        sent = await (await db.execute("SELECT count(*) FROM notices WHERE kind = 'verify_email'")).fetchone()
    assert sent == (2,)
    assert (await api.post(VERIFY, json={"token": await mailed_token(pool)})).status_code == 200
    assert await is_verified(api, access)


async def test_a_deleted_account_is_not_there_until_it_is_restored(
    api: httpx.AsyncClient, pool: Pool, driver: Person, clock: Clock
) -> None:
    async with pool.connection() as db:
        await users.delete_user(db, driver.id, clock.moment())
    login = {"email": "user@example.com", "password": PASSWORD}
    refresh = {"refreshToken": driver.login["refreshToken"]}
    assert (await api.post("/api/v1/auth/login", json=login)).status_code == 401
    assert (await api.get(ME, headers=driver.headers)).status_code == 401
    assert (await api.post("/api/v1/auth/refresh-token", json=refresh)).status_code == 401
    taken = await api.post("/api/v1/auth/register", json={**NEW, "email": "user@example.com"})
    assert taken.status_code == 409
    async with pool.connection() as db:
        assert await users.restore_user(db, "evcms", driver.id, clock.moment()) is not None
        assert await users.restore_user(db, "evcms", driver.id, clock.moment()) is None
    assert (await api.post("/api/v1/auth/login", json=login)).status_code == 200
    assert (await api.get(ME, headers=driver.headers)).status_code == 401  # its tokens went with it


async def test_a_refresh_token_in_two_hands_at_once_ends_the_login(
    api: httpx.AsyncClient, driver: Person
) -> None:
    body = {"refreshToken": driver.login["refreshToken"]}
    answers = await asyncio.gather(*(api.post("/api/v1/auth/refresh-token", json=body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    (winner,) = [answer for answer in answers if answer.status_code == 200]
    assert (await api.get(ME, headers=bearer(winner.json()["accessToken"]))).status_code == 401


async def test_a_token_that_was_rotated_while_its_login_ended_is_not_good(
    api: httpx.AsyncClient, pool: Pool, driver: Person, clock: Clock
) -> None:
    """A logout does not see the token that a refresh under way is about to write."""
    async with pool.connection() as db:
        _, old = await refresh_tokens.use_token(
            db, hashlib.sha256(driver.login["refreshToken"].encode()).digest(), clock.moment()
        )
        assert old is not None
        ending = asyncio.create_task(api.post("/api/v1/auth/logout", headers=driver.headers))
        await asyncio.sleep(0.3)
        assert not ending.done()
        await refresh_tokens.insert_token(
            db,
            hashlib.sha256(b"rotated").digest(),
            family=old.family,
            user_id=driver.id,
            expires_at=old.expires_at,
            now=clock.moment(),
        )
    assert (await ending).status_code == 200
    answer = await api.post("/api/v1/auth/refresh-token", json={"refreshToken": "rotated"})
    assert answer.status_code == 401


async def test_a_blocked_account_is_told_so_even_when_its_logins_were_ended(
    api: httpx.AsyncClient, pool: Pool, driver: Person, clock: Clock
) -> None:
    async with pool.connection() as db:
        await refresh_tokens.revoke_all(db, driver.id, clock.moment())
        await db.execute("UPDATE users SET status = 'suspended' WHERE id = %s", (driver.id,))
    refused = await api.get(ME, headers=driver.headers)
    assert refused.status_code == 403
    assert "suspended" in refused.json()["error"]
    refresh = {"refreshToken": driver.login["refreshToken"]}
    assert (await api.post("/api/v1/auth/refresh-token", json=refresh)).status_code == 403
    wrong = {"email": "user@example.com", "password": "wrong!"}
    assert (await api.post("/api/v1/auth/login", json=wrong)).status_code == 401
