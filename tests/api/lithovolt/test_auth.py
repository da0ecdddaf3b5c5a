"""Lithovolt's sign-in (LI-001 to LI-005, LI-X01): accounts, tokens, one-time passwords, and the slash."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from api.otp import hash_code
from api.passwords import is_password
from storage.database import Pool
from storage.queries import lithovolt_users, users
from tests.api.helpers import PASSWORD, SECRET, Clock, Codes, Person, Service, bearer, evcms_person
from tests.api.lithovolt.people import lithovolt_person

URL = "/api/auth"
ASHA = {
    "email": "Asha@Example.com",
    "password": "eight chars",
    "first_name": "Asha",
    "last_name": "Rao",
    "phone": "98765 43210",
}
PHONE = "+919876500002"  # of the consumer
SENT = "SELECT channel, address, subject, body FROM notices ORDER BY id DESC LIMIT 1"


async def post(api: httpx.AsyncClient, path: str, **body: Any) -> httpx.Response:
    return await api.post(f"{URL}{path}", json=body)


async def sign_in(api: httpx.AsyncClient, email: str, password: str = PASSWORD) -> httpx.Response:
    return await post(api, "/login/", email=email, password=password)


async def last_notice(pool: Pool) -> tuple[str, str, str | None, str] | None:
    async with pool.connection() as db:
        found: tuple[str, str, str | None, str] | None = await (await db.execute(SENT)).fetchone()
        return found


async def test_registering_and_signing_in(api: httpx.AsyncClient, pool: Pool) -> None:
    made = await post(api, "/register/", **ASHA, is_approved=False, status="blocked", id=99)
    assert made.status_code == 201, made.text
    user = made.json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", user.pop("created_at"))
    assert user.pop("id") != 99
    assert user == {
        "email": "asha@example.com",
        "phone": "+919876543210",
        "role": "consumer",
        "first_name": "Asha",
        "last_name": "Rao",
        "company": "",
        "gstin": "",
        "address": "",
        "is_approved": True,
        "is_email_verified": False,
        "status": "active",
        "status_reason": None,
    }
    answer = await sign_in(api, "ASHA@example.com", ASHA["password"])
    assert answer.status_code == 200
    tokens = answer.json()
    assert set(tokens) == {"access", "refresh", "user"}
    assert tokens["user"]["email"] == "asha@example.com"
    me = await api.get("/api/users/me/", headers=bearer(tokens["access"]))
    assert me.json() == tokens["user"]
    async with pool.connection() as db:
        kept = await db.execute("SELECT password_hash FROM users WHERE email = 'asha@example.com'")
        assert (await kept.fetchone() or [""])[0].startswith("$argon2id$")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"role": "admin"}, "role"),
        ({"password": "seven77"}, "password"),
        ({"password": "nul\0nul\0nul"}, "password"),
        ({"email": "nobody"}, "email"),
        ({"first_name": ""}, "first_name"),
        ({"phone": "12"}, "phone"),
        ({"gstin": "27AAPFU0939F1ZA"}, "gstin"),
    ],
)
async def test_what_cannot_be_registered(api: httpx.AsyncClient, change: dict[str, str], field: str) -> None:
    answer = await post(api, "/register/", **{**ASHA, **change})
    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert all(isinstance(each, str) for each in answer.json()[field])


async def test_what_is_taken_is_named_by_field(api: httpx.AsyncClient) -> None:
    assert (await post(api, "/register/", **ASHA)).status_code == 201
    again = await post(api, "/register/", **{**ASHA, "email": "asha@EXAMPLE.com", "phone": None})
    assert again.status_code == 400
    assert again.json() == {"email": ["A user with this email already exists."]}
    phone = await post(api, "/register/", **{**ASHA, "email": "other@example.com"})
    assert phone.status_code == 400
    assert phone.json() == {"phone": ["A user with this phone already exists."]}
    missing = await post(api, "/register/", email="x@example.com")
    assert set(missing.json()) == {"password", "first_name"}


async def test_wrong_credentials_are_all_the_same(api: httpx.AsyncClient, consumer: Person) -> None:
    for email, password in [("consumer@example.com", "wrong horse"), ("nobody@example.com", PASSWORD)]:
        answer = await sign_in(api, email, password)
        assert answer.status_code == 401
        assert answer.json() == {"detail": "No active account found with the given credentials"}
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


async def test_a_wholesaler_waits_for_an_admin(api: httpx.AsyncClient, admin: Person) -> None:
    made = await post(api, "/register/", **ASHA, role="wholesaler", company="Rao Traders")
    assert made.status_code == 201
    assert made.json()["is_approved"] is False
    waiting = await sign_in(api, "asha@example.com", ASHA["password"])
    assert waiting.status_code == 403
    assert waiting.json() == {"detail": "This account waits for the approval of an admin."}
    address = f"/api/users/{made.json()['id']}/"
    assert (await api.patch(address, json={"is_approved": True}, headers=admin.headers)).status_code == 200
    answer = await sign_in(api, "asha@example.com", ASHA["password"])
    assert answer.status_code == 200
    headers = bearer(answer.json()["access"])
    await api.patch(address, json={"is_approved": False}, headers=admin.headers)
    assert (await api.get("/api/users/me/", headers=headers)).status_code == 401
    refused = await post(api, "/token/refresh/", refresh=answer.json()["refresh"])
    assert refused.status_code == 401


async def test_a_refresh_token_is_good_for_one_exchange(
    api: httpx.AsyncClient, consumer: Person, pool: Pool, clock: Clock, password_hash: str
) -> None:
    first = (await sign_in(api, "consumer@example.com")).json()
    second = await post(api, "/token/refresh/", refresh=first["refresh"])
    assert second.status_code == 200
    assert set(second.json()) == {"access", "refresh"}
    assert (await api.get("/api/users/me/", headers=bearer(second.json()["access"]))).status_code == 200
    reused = await post(api, "/token/refresh/", refresh=first["refresh"])
    assert reused.status_code == 401
    assert set(reused.json()) == {"detail"}
    assert (await post(api, "/token/refresh/", refresh=second.json()["refresh"])).status_code == 401
    assert (await api.get("/api/users/me/", headers=bearer(second.json()["access"]))).status_code == 401
    driver = await evcms_person(api, pool, password_hash, "user")
    foreign = driver.login["refreshToken"]
    assert (await post(api, "/token/refresh/", refresh=foreign)).status_code == 401
    evcms = await api.post("/api/v1/auth/refresh-token", json={"refreshToken": foreign})
    assert evcms.status_code == 200, "it was not used up by the wrong family"
    assert (await api.get("/api/users/me/", headers=driver.headers)).status_code == 401
    third = (await sign_in(api, "consumer@example.com")).json()
    clock.advance(7 * 86_400 + 1)
    assert (await api.get("/api/users/me/", headers=bearer(third["access"]))).status_code == 401
    assert (await post(api, "/token/refresh/", refresh=third["refresh"])).status_code == 401


async def test_a_consumer_signs_in_by_one_time_password(
    api: httpx.AsyncClient, pool: Pool, consumer: Person, wholesaler: Person, clock: Clock
) -> None:
    unknown = await post(api, "/otp/send/", phone="+919876599999")
    assert unknown.status_code == 200
    assert await last_notice(pool) is None
    no_consumer = await post(api, "/otp/send/", phone="+919876500001")
    sent = await post(api, "/otp/send/", phone="98765 00002")
    assert sent.json() == unknown.json() == no_consumer.json()
    notice = await last_notice(pool)
    assert notice is not None
    assert notice[:2] == ("sms", PHONE)
    code = notice[3][:6]
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    refused = await post(api, "/otp/verify/", phone=PHONE, otp=wrong)
    assert refused.status_code == 401
    verified = await post(api, "/otp/verify/", phone=PHONE, otp=code)
    assert verified.status_code == 200
    assert set(verified.json()) == {"access", "refresh", "user"}
    assert verified.json()["user"]["id"] == consumer.id
    assert (await post(api, "/otp/verify/", phone=PHONE, otp=code)).status_code == 401
    await post(api, "/otp/send/", email="Consumer@example.com")
    notice = await last_notice(pool)
    assert notice is not None
    assert notice[:3] == ("email", "consumer@example.com", "Your sign-in code")
    clock.advance(301)
    late = await post(api, "/otp/verify/", email="consumer@example.com", otp=notice[3][:6])
    assert late.status_code == 401
    for body in ({}, {"phone": PHONE, "email": "consumer@example.com"}):
        both = await post(api, "/otp/send/", **body)
        assert both.status_code == 400
        assert both.json() == {"non_field_errors": ["Give a phone or an email, one of both."]}
    assert (await post(api, "/otp/send/", phone="12")).json().keys() == {"phone"}
    await post(api, "/otp/send/", phone=PHONE)
    notice = await last_notice(pool)
    assert notice is not None
    moved = await api.patch("/api/users/me/", headers=consumer.headers, json={"phone": "+919876500099"})
    assert moved.status_code == 200
    taken = await post(api, "/otp/verify/", phone=PHONE, otp=notice[3][:6])
    assert taken.status_code == 401, "the account has another phone by now"


async def test_a_one_time_password_has_five_tries_and_is_kept_hashed(
    api: httpx.AsyncClient, pool: Pool, consumer: Person
) -> None:
    await post(api, "/otp/send/", email="consumer@example.com")
    notice = await last_notice(pool)
    assert notice is not None
    code = notice[3][:6]
    async with pool.connection() as db:
        kept = await (await db.execute("SELECT code_hash FROM one_time_passwords")).fetchone()
    assert kept == (hash_code(SECRET, "consumer@example.com", code),)
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    for _ in range(5):
        assert (await post(api, "/otp/verify/", email="consumer@example.com", otp=wrong)).status_code == 401
    assert (await post(api, "/otp/verify/", email="consumer@example.com", otp=code)).status_code == 401
    await post(api, "/otp/send/", email="consumer@example.com")
    notice = await last_notice(pool)
    assert notice is not None
    proven = await post(api, "/otp/verify/", email="consumer@example.com", otp=notice[3][:6])
    assert proven.status_code == 200
    async with pool.connection() as db:
        account = await lithovolt_users.get_account(db, consumer.id)
        assert account is not None
        assert account.is_email_verified


async def test_a_password_is_set_anew_by_a_token_of_one_use(
    api: httpx.AsyncClient, pool: Pool, wholesaler: Person, clock: Clock
) -> None:
    login = (await sign_in(api, "wholesaler@example.com")).json()
    unknown = await post(api, "/password/reset/", email="nobody@example.com")
    assert unknown.status_code == 200
    assert await last_notice(pool) is None
    asked = await post(api, "/password/reset/", email="Wholesaler@example.com")
    assert asked.json() == unknown.json()
    notice = await last_notice(pool)
    assert notice is not None
    assert notice[0] == "email"
    token = next(line for line in notice[3].splitlines() if re.fullmatch(r"[\w-]{43}", line))
    weak = await post(api, "/password/reset/confirm/", token=token, password="short")
    assert weak.status_code == 400
    assert list(weak.json()) == ["password"]
    done = await post(api, "/password/reset/confirm/", token=token, password="battery staple")
    assert done.status_code == 200
    assert set(done.json()) == {"detail"}
    again = await post(api, "/password/reset/confirm/", token=token, password="battery staple")
    assert again.status_code == 400
    assert list(again.json()) == ["token"]
    assert (await api.get("/api/users/me/", headers=bearer(login["access"]))).status_code == 401
    assert (await sign_in(api, "wholesaler@example.com")).status_code == 401
    assert (await sign_in(api, "wholesaler@example.com", "battery staple")).status_code == 200
    await post(api, "/password/reset/", email="wholesaler@example.com")
    notice = await last_notice(pool)
    assert notice is not None
    token = next(line for line in notice[3].splitlines() if re.fullmatch(r"[\w-]{43}", line))
    clock.advance(3_601)
    assert (await post(api, "/password/reset/confirm/", token=token, password=PASSWORD)).status_code == 400


async def test_changing_a_password_ends_the_other_logins(api: httpx.AsyncClient, consumer: Person) -> None:
    other = (await sign_in(api, "consumer@example.com")).json()
    own = bearer((await sign_in(api, "consumer@example.com")).json()["access"])
    body = {"current_password": "wrong horse", "new_password": "battery staple"}
    wrong = await api.post(f"{URL}/password/change/", json=body, headers=own)
    assert wrong.status_code == 400
    assert list(wrong.json()) == ["current_password"]
    body["current_password"] = PASSWORD
    assert (await api.post(f"{URL}/password/change/", json=body, headers=own)).status_code == 200
    assert (await api.get("/api/users/me/", headers=own)).status_code == 200
    assert (await api.get("/api/users/me/", headers=bearer(other["access"]))).status_code == 401
    assert (await sign_in(api, "consumer@example.com", "battery staple")).status_code == 200


async def test_the_slash_tells_the_families_apart(
    api: httpx.AsyncClient, consumer: Person, dealer: Person, codes: Codes
) -> None:
    """Conflicts C01 and C02: no redirect, no normalisation, not even by what the body looks like."""
    ienerzy = {"phone": "+919876543210", "userType": "dealer"}
    lithovolt = {"email": "consumer@example.com", "password": PASSWORD}
    assert (await api.post("/api/auth/login", json=ienerzy)).json()["message"] == "OTP sent successfully"
    assert "access" in (await api.post("/api/auth/login/", json=lithovolt)).json()
    wrong = await api.post("/api/auth/login", json=lithovolt)
    assert wrong.status_code == 400
    assert set(wrong.json()) == {"error", "details"}
    wrong = await api.post("/api/auth/login/", json=ienerzy)
    assert wrong.status_code == 400
    assert set(wrong.json()) == {"email", "password"}
    for path in ("/register", "/otp/send", "/otp/verify", "/token/refresh", "/password/reset", "/login//"):
        assert (await api.post(f"{URL}{path}", json=lithovolt)).status_code == 404, path
    unknown = await api.post("/api/auth/nothing/", json={})
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Not found."})
    unknown = await api.post("/api/auth/nothing", json={})
    assert set(unknown.json()) == {"error", "details"}
    get = await api.get("/api/auth/login/")
    assert (get.status_code, get.json()) == (405, {"detail": 'Method "GET" not allowed.'})


async def test_blocked_accounts_and_what_is_no_token(
    api: httpx.AsyncClient, admin: Person, consumer: Person
) -> None:
    login = (await sign_in(api, "consumer@example.com")).json()
    await api.patch(f"/api/users/{consumer.id}/", json={"status": "blocked"}, headers=admin.headers)
    refused = await sign_in(api, "consumer@example.com")
    assert (refused.status_code, refused.json()) == (403, {"detail": "This account is blocked"})
    assert (await api.get("/api/users/me/", headers=bearer(login["access"]))).status_code == 403
    assert (await post(api, "/token/refresh/", refresh=login["refresh"])).status_code in {401, 403}
    for token in ("nonsense", "a.b.c", login["refresh"]):
        answer = await api.get("/api/users/me/", headers=bearer(token))
        assert answer.status_code == 401
        assert answer.json() == {"detail": "Given token not valid for any token type"}


async def test_limits_by_address_and_by_account(
    make_service: Callable[..., Service], pool: Pool, clock: Clock, password_hash: str
) -> None:
    await lithovolt_person(pool, clock, "consumer", password_hash=password_hash)
    api = make_service(lithovolt_login_tries=2).client
    for email in ("consumer@example.com", "nobody@example.com"):
        for _ in range(2):
            assert (await sign_in(api, email, "wrong horse")).status_code == 401
        refused = await sign_in(api, email)
        assert refused.status_code == 429
        assert set(refused.json()) == {"detail"}
        assert int(refused.headers["Retry-After"]) > 0
        for _ in range(2):
            assert (await post(api, "/otp/send/", email=email)).status_code == 200
        assert (await post(api, "/otp/send/", email=email)).status_code == 429
    api = make_service(lithovolt_auth_per_minute=1).client
    assert (await sign_in(api, "consumer@example.com")).status_code == 200
    assert (await post(api, "/otp/verify/", phone="1", otp="1")).status_code == 429
    assert (await api.post("/api/auth/login", json={})).status_code == 400


async def test_a_password_that_is_changed_while_it_is_checked_begins_no_login(
    api: httpx.AsyncClient, consumer: Person, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check(password: str, hashed: str | None) -> bool:
        async with pool.connection() as db:
            await users.set_password(db, consumer.id, "another")
        return await is_password(password, hashed)

    monkeypatch.setattr("api.lithovolt.auth.is_password", check)
    assert (await sign_in(api, "consumer@example.com")).status_code == 401
