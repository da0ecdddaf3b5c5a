"""EV-CMS sign-in (EV-001 to EV-006)."""

import re
from collections.abc import Callable

import httpx
import pytest

from storage.database import Pool
from tests.api.helpers import PASSWORD, Clock, Person, Service, bearer

USER_KEYS = {
    "id", "email", "name", "phone", "role", "profilePicture", "isEmailVerified", "status", "vehicles",
    "wallet", "preferences", "createdAt", "updatedAt",
}  # fmt: skip
NEW = {"email": "New@Example.com", "password": "secret1", "name": "New One", "phone": "98765"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def test_register_answers_with_user_and_tokens_in_every_place(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/v1/auth/register", json=NEW)
    assert answer.status_code == 201
    body = answer.json()
    assert body["success"] is True
    data = body["data"]
    assert set(data["user"]) == USER_KEYS
    assert data["user"]["email"] == "new@example.com"
    assert data["user"]["role"] == "user"
    assert isinstance(data["user"]["id"], str)
    assert TIME.fullmatch(data["user"]["createdAt"])
    assert data["user"]["wallet"]["balance"] == 0
    assert data["user"]["wallet"]["currency"] == "INR"
    assert data["tokens"] == {key: data[key] for key in ("accessToken", "refreshToken")}
    me = await api.get("/api/v1/auth/me", headers=bearer(data["accessToken"]))
    assert me.json()["data"]["email"] == "new@example.com"


async def test_a_taken_email_is_a_conflict(api: httpx.AsyncClient) -> None:
    await api.post("/api/v1/auth/register", json=NEW)
    again = await api.post("/api/v1/auth/register", json={**NEW, "email": "new@example.COM"})
    assert again.status_code == 409
    assert again.json()["statusCode"] == 409


async def test_nobody_registers_as_admin(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/v1/auth/register", json={**NEW, "role": "admin"})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["role"]


async def test_a_failed_validation_names_its_fields(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/v1/auth/register", json={"email": "x", "password": "12345", "name": "A"})
    assert answer.status_code == 422
    body = answer.json()
    assert body["success"] is False
    assert body["message"] == "Validation failed"
    assert body["statusCode"] == 422
    assert body["errors"] == [
        {"field": "email", "message": "Invalid email format"},
        {"field": "password", "message": "Password must be at least 6 characters"},
    ]


@pytest.mark.parametrize("text", ["\x00", "a\x00b"])
async def test_what_the_database_cannot_hold_is_a_validation_error(api: httpx.AsyncClient, text: str) -> None:
    answer = await api.post("/api/v1/auth/register", json={**NEW, "name": text})
    assert answer.status_code == 422


async def test_login_gives_what_clients_read(driver: Person) -> None:
    assert set(driver.login) >= {"user", "accessToken", "refreshToken"}
    assert driver.login["user"]["id"] == str(driver.id)


@pytest.mark.parametrize("email", ["user@example.com", "nobody@example.com"])
async def test_wrong_password_and_unknown_email_look_the_same(
    api: httpx.AsyncClient, driver: Person, email: str
) -> None:
    answer = await api.post("/api/v1/auth/login", json={"email": email, "password": "wrong!"})
    assert answer.status_code == 401
    assert answer.json()["statusCode"] == 401


async def test_me_suits_every_reader(api: httpx.AsyncClient, driver: Person) -> None:
    data = (await api.get("/api/v1/auth/me", headers=driver.headers)).json()["data"]
    user = data.pop("user")
    assert data == user
    assert set(user) == USER_KEYS


async def test_refresh_rotates_and_puts_tokens_in_both_places(api: httpx.AsyncClient, driver: Person) -> None:
    old = driver.login["refreshToken"]
    answer = await api.post("/api/v1/auth/refresh-token", json={"refreshToken": old})
    assert answer.status_code == 200
    body = answer.json()
    assert body["success"] is True
    assert body["accessToken"] == body["data"]["accessToken"]
    assert body["refreshToken"] == body["data"]["refreshToken"] != old
    me = await api.get("/api/v1/auth/me", headers=bearer(body["accessToken"]))
    assert me.status_code == 200


async def test_a_refresh_token_used_twice_ends_the_login(api: httpx.AsyncClient, driver: Person) -> None:
    old = {"refreshToken": driver.login["refreshToken"]}
    new = (await api.post("/api/v1/auth/refresh-token", json=old)).json()
    assert (await api.post("/api/v1/auth/refresh-token", json=old)).status_code == 401
    heir = await api.post("/api/v1/auth/refresh-token", json={"refreshToken": new["refreshToken"]})
    assert heir.status_code == 401
    assert (await api.get("/api/v1/auth/me", headers=bearer(new["accessToken"]))).status_code == 401


async def test_other_logins_outlive_a_reuse(api: httpx.AsyncClient, driver: Person) -> None:
    other = await api.post("/api/v1/auth/login", json={"email": "user@example.com", "password": PASSWORD})
    old = {"refreshToken": driver.login["refreshToken"]}
    for _ in range(2):
        await api.post("/api/v1/auth/refresh-token", json=old)
    me = await api.get("/api/v1/auth/me", headers=bearer(other.json()["data"]["accessToken"]))
    assert me.status_code == 200


async def test_access_tokens_expire_after_an_hour_and_refresh_tokens_after_a_week(
    api: httpx.AsyncClient, driver: Person, clock: Clock
) -> None:
    clock.advance(3_599)
    assert (await api.get("/api/v1/auth/me", headers=driver.headers)).status_code == 200
    clock.advance(2)
    assert (await api.get("/api/v1/auth/me", headers=driver.headers)).status_code == 401
    clock.advance(7 * 86_400)
    refresh = {"refreshToken": driver.login["refreshToken"]}
    assert (await api.post("/api/v1/auth/refresh-token", json=refresh)).status_code == 401


async def test_changing_the_password_ends_the_other_logins(api: httpx.AsyncClient, driver: Person) -> None:
    login = {"email": "user@example.com", "password": PASSWORD}
    other = (await api.post("/api/v1/auth/login", json=login)).json()["data"]
    change = {"currentPassword": PASSWORD, "newPassword": "another one"}
    answer = await api.put("/api/v1/auth/change-password", json=change, headers=driver.headers)
    assert answer.status_code == 200
    assert answer.json()["success"] is True
    assert (await api.get("/api/v1/auth/me", headers=bearer(other["accessToken"]))).status_code == 401
    assert (await api.post("/api/v1/auth/login", json=login)).status_code == 401
    again = await api.post("/api/v1/auth/login", json={**login, "password": "another one"})
    assert again.status_code == 200


async def test_a_wrong_current_password_changes_nothing(api: httpx.AsyncClient, driver: Person) -> None:
    change = {"currentPassword": "wrong!", "newPassword": "another one"}
    answer = await api.put("/api/v1/auth/change-password", json=change, headers=driver.headers)
    assert answer.status_code in {400, 401}
    login = {"email": "user@example.com", "password": PASSWORD}
    assert (await api.post("/api/v1/auth/login", json=login)).status_code == 200


async def test_logout_ends_the_login(api: httpx.AsyncClient, driver: Person) -> None:
    answer = await api.post("/api/v1/auth/logout", headers=driver.headers)
    assert answer.json()["success"] is True
    assert (await api.get("/api/v1/auth/me", headers=driver.headers)).status_code == 401
    refresh = {"refreshToken": driver.login["refreshToken"]}
    assert (await api.post("/api/v1/auth/refresh-token", json=refresh)).status_code == 401


@pytest.mark.parametrize("status", ["blocked", "suspended"])
async def test_blocked_people_neither_log_in_nor_use_their_tokens(
    api: httpx.AsyncClient, driver: Person, pool: Pool, status: str
) -> None:
    async with pool.connection() as db:
        await db.execute("UPDATE users SET status = %s WHERE id = %s", (status, driver.id))
    login = {"email": "user@example.com", "password": PASSWORD}
    assert (await api.post("/api/v1/auth/login", json=login)).status_code == 403
    assert (await api.get("/api/v1/auth/me", headers=driver.headers)).status_code == 403
    refresh = {"refreshToken": driver.login["refreshToken"]}
    assert (await api.post("/api/v1/auth/refresh-token", json=refresh)).status_code == 403


async def test_no_family_takes_anothers_token(api: httpx.AsyncClient, driver: Person, dealer: Person) -> None:
    foreign = await api.get("/api/v1/auth/me", headers=dealer.headers)
    assert foreign.status_code == 401
    assert foreign.json()["success"] is False
    foreign = await api.get("/api/batteries", headers=driver.headers)
    assert foreign.status_code == 401
    assert foreign.json()["error"] == "Authentication required"


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."])
async def test_garbage_is_no_token(api: httpx.AsyncClient, token: str) -> None:
    answer = await api.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


async def test_a_token_signed_with_another_key_is_refused(
    make_service: Callable[..., Service], driver: Person
) -> None:
    other = make_service(secret_key="x" * 32)
    assert (await other.client.get("/api/v1/auth/me", headers=driver.headers)).status_code == 401
