"""Every rule of the Mobile family by its id, over all nine endpoints: tables of cases, one world a rule."""

import re
from datetime import timedelta
from itertools import product
from typing import Any

import httpx
import jwt
import pytest

from storage.database import Pool
from tests.api.helpers import SECRET, Clock, Person, bearer
from tests.api.mobile.world import APP, OWNER_PHONE, PASSWORD, TENANT_PHONE, ZONE, World, sign_in

TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}")
NINE = [
    ("POST", "/auth/login"),
    ("POST", "/auth/change-password"),
    ("GET", "/auth/user"),
    ("GET", "/auth/units"),
    ("GET", "/units/{unit}/meters"),
    ("GET", "/meters/{meter}"),
    ("GET", "/meters/{meter}/readings"),
    ("GET", "/units/{unit}/wallet"),
    ("GET", "/units/{unit}/transactions"),
]
BEHIND_A_TOKEN = NINE[1:]
OF_A_UNIT = NINE[4:]
NOT_FOUND = {"unit": "Unit not found", "meter": "Meter not found"}


def path_of(path: str, unit: object, meter: object) -> str:
    return path.format(unit=unit, meter=meter)


def assert_refusal(answer: httpx.Response, status: int) -> dict[str, str]:
    """Rule R630: {error, message} and nothing else."""
    assert answer.status_code == status, answer.text
    body: dict[str, str] = answer.json()
    assert set(body) == {"error", "message"}
    assert all(isinstance(value, str) and value for value in body.values())
    return body


NO_TOKENS: list[dict[str, str]] = [
    {},
    bearer("x.y.z"),
    {"Authorization": "Basic eDp5"},
    bearer(jwt.encode({"sub": "1"}, SECRET, "HS256")),
]


async def test_r600_and_r631_a_good_token_is_needed_for_all_but_login(api: httpx.AsyncClient) -> None:
    for (method, path), headers in product(BEHIND_A_TOKEN, NO_TOKENS):
        answer = await api.request(method, APP + path_of(path, 1, 1), headers=headers)
        body = assert_refusal(answer, 401)
        assert body == {"error": "Invalid or expired token", "message": "Please login again"}


async def test_c30_no_other_familys_token_is_taken(
    api: httpx.AsyncClient, driver: Person, dealer: Person
) -> None:
    for (method, path), other in product(BEHIND_A_TOKEN, (driver, dealer)):
        answer = await api.request(method, APP + path_of(path, 1, 1), headers=other.headers)
        assert_refusal(answer, 401)


async def test_the_portals_token_is_not_the_apps(world: World) -> None:
    for method, path in BEHIND_A_TOKEN:
        answer = await world.portal.api.request(
            method,
            APP + path_of(path, world.unit_id, world.meter_id),
            headers=world.portal.headers,
            json={"new_password": PASSWORD} if method == "POST" else None,
        )
        assert assert_refusal(answer, 403)["error"] == "Access denied"


async def test_our_tokens_are_not_taken_elsewhere(world: World) -> None:
    for path in ("/api/v1/auth/me", "/api/batteries"):
        answer = await world.portal.api.get(path, headers=world.owner.headers)
        assert answer.status_code == 401


SPELLINGS = [OWNER_PHONE, "0821234567", "082 123 4567"]


async def test_r601_r602_both_forms_of_the_phone_sign_in(world: World) -> None:
    for spelling in SPELLINGS:
        app = await sign_in(world.owner.api, spelling, world.owner.password)
        assert app.login["user"]["phone_number"] == OWNER_PHONE
        assert app.login["person"]["phone"] == OWNER_PHONE


async def test_r604_a_token_lives_thirty_days(world: World, clock: Clock) -> None:
    clock.advance(30 * 86_400 - 1)
    assert (await world.owner.get("/auth/user")).status_code == 200
    clock.advance(1)
    body = assert_refusal(await world.owner.get("/auth/user"), 401)
    assert body["error"] == "Invalid or expired token"


async def test_r605_login_answers_all_that_the_contract_lists(world: World) -> None:
    login = world.owner.login
    assert set(login) == {"token", "user", "person", "units", "password_must_change"}
    assert set(login["user"]) == {
        "id", "person_id", "phone_number", "password_must_change", "last_login", "is_active", "created_at",
    }  # fmt: skip
    assert set(login["person"]) == {"id", "first_name", "last_name", "full_name", "phone", "email"}
    assert login["person"]["full_name"] == "John Doe"
    assert login["user"]["person_id"] == login["person"]["id"]
    assert login["password_must_change"] is login["user"]["password_must_change"] is True
    for name in ("last_login", "created_at"):
        assert TIME.fullmatch(login["user"][name])


INCOMPLETE: list[dict[str, Any]] = [
    {},
    {"phone_number": OWNER_PHONE},
    {"password": "x"},
    {"phone_number": "", "password": ""},
    {"phone_number": None, "password": "x"},
]


async def test_r606_missing_fields_are_a_400(api: httpx.AsyncClient) -> None:
    for body in INCOMPLETE:
        refusal = assert_refusal(await api.post(f"{APP}/auth/login", json=body), 400)
        assert refusal == {
            "error": "Missing required fields",
            "message": "phone_number and password are required",
        }


NO_LOGINS = [b"", b"{", b"[]", b'"x"', b"null", b'{"phone_number": 1, "password": 2}']


async def test_r606_what_is_no_login_is_a_400(api: httpx.AsyncClient) -> None:
    for content in NO_LOGINS:
        headers = {"Content-Type": "application/json"}
        assert_refusal(await api.post(f"{APP}/auth/login", content=content, headers=headers), 400)


WRONG_LOGINS = [
    (OWNER_PHONE, "Wrong1234"),
    ("+27820000000", "Wrong1234"),
    ("12", "Wrong1234"),
    ("no phone", "Wrong1234"),
    ("+919876543210", "Wrong1234"),
    ("\0", "Wrong1234"),
]


async def test_r606_a_wrong_login_is_a_401_that_tells_nothing(world: World) -> None:
    for phone, password in WRONG_LOGINS:
        answer = await world.owner.api.post(
            f"{APP}/auth/login", json={"phone_number": phone, "password": password}
        )
        body = assert_refusal(answer, 401)
        assert body["message"] == "Invalid phone number or password"


async def test_r606_r609_an_inactive_account_is_a_403(world: World) -> None:
    user_id = world.owner.login["user"]["id"]
    bodies = {
        "/auth/login": {"phone_number": OWNER_PHONE, "password": world.owner.password},
        "/auth/change-password": {"new_password": world.owner.password},
    }
    for verb, status in (("deactivate", 403), ("reactivate", 200)):
        await world.portal.post(f"/mobile-users/{user_id}/{verb}")
        for method, path in NINE:
            asked = path_of(path, world.unit_id, world.meter_id)
            answer = await world.owner.send(method, asked, bodies.get(path))
            assert answer.status_code == status, (method, path, answer.text)
            if status == 403:
                assert assert_refusal(answer, 403)["error"] == "Account is inactive"


async def test_r606_an_inactive_account_with_a_wrong_password_is_a_401(world: World) -> None:
    await world.portal.post(f"/mobile-users/{world.owner.login['user']['id']}/deactivate")
    body = {"phone_number": OWNER_PHONE, "password": "Wrong1234"}
    assert_refusal(await world.owner.api.post(f"{APP}/auth/login", json=body), 401)


@pytest.mark.parametrize("names_current", [True, False])
async def test_r607_r613_a_change_clears_the_flag_with_and_without_the_current_password(
    world: World, names_current: bool
) -> None:
    body = {"new_password": PASSWORD}
    if names_current:
        body["current_password"] = world.owner.password
    answer = await world.owner.send("POST", "/auth/change-password", body)
    assert (answer.status_code, answer.json()) == (200, {"message": "Password changed successfully"})
    user = (await world.owner.get("/auth/user")).json()["user"]
    assert user["password_must_change"] is False
    again = await sign_in(world.owner.api, OWNER_PHONE, PASSWORD)
    assert again.login["password_must_change"] is False
    old = {"phone_number": OWNER_PHONE, "password": world.owner.password}
    assert_refusal(await world.owner.api.post(f"{APP}/auth/login", json=old), 401)


async def test_a_change_ends_the_other_logins_and_not_this_one(world: World) -> None:
    other = await sign_in(world.owner.api, OWNER_PHONE, world.owner.password)
    await world.owner.send("POST", "/auth/change-password", {"new_password": PASSWORD})
    assert (await world.owner.get("/auth/user")).status_code == 200
    assert_refusal(await other.get("/auth/user"), 401)


WEAK_PASSWORDS = ["", "Abc1234", "abcd1234", "ABCD1234", "Abcdefgh", "12345678", "Abc1" * 40]


async def test_r608_r609_a_password_that_falls_short_is_a_400(world: World) -> None:
    for password in WEAK_PASSWORDS:
        answer = await world.owner.send("POST", "/auth/change-password", {"new_password": password})
        assert_refusal(answer, 400)
        assert (await world.owner.get("/auth/user")).json()["user"]["password_must_change"] is True


JUST_GOOD_PASSWORDS = ["Abcdefg1", "Ünïcödé1", "Zz000000", "A" * 126 + "b1"]


async def test_r608_a_password_that_just_does_is_taken(world: World) -> None:
    for password in JUST_GOOD_PASSWORDS:
        answer = await world.owner.send("POST", "/auth/change-password", {"new_password": password})
        assert answer.status_code == 200, answer.text
        await sign_in(world.owner.api, OWNER_PHONE, password)


async def test_r609_a_missing_new_password_is_a_400(world: World) -> None:
    body = assert_refusal(await world.owner.send("POST", "/auth/change-password", {}), 400)
    assert body == {"error": "Missing required fields", "message": "new_password is required"}


async def test_r609_a_wrong_current_password_is_a_401(world: World) -> None:
    change = {"current_password": "Wrong1234", "new_password": PASSWORD}
    body = assert_refusal(await world.owner.send("POST", "/auth/change-password", change), 401)
    assert body["message"] == "Current password is incorrect"


async def test_c47_nothing_is_blocked_before_the_first_change(world: World) -> None:
    assert (await world.owner.get("/auth/units")).status_code == 200
    assert (await world.owner.get(f"/units/{world.unit_id}/wallet")).status_code == 200


async def test_mo_003_the_profile_has_no_created_at(world: World) -> None:
    body = (await world.tenant.get("/auth/user")).json()
    assert set(body) == {"user", "person"}
    assert set(body["user"]) == {
        "id", "person_id", "phone_number", "password_must_change", "last_login", "is_active",
    }  # fmt: skip
    assert body["user"]["phone_number"] == body["person"]["phone"] == TENANT_PHONE
    assert body["user"]["is_active"] is True


async def test_r623_r624_owners_and_tenants_have_their_own_fields(world: World, clock: Clock) -> None:
    today = clock.moment().astimezone(ZONE).date()
    place = {"unit_id": world.unit_id, "unit_number": "101", "estate_id": world.estate_id}
    owned = {**place, "estate_name": "Sunset Estate", "role": "owner", "is_primary": True}
    rented = {**place, "estate_name": "Sunset Estate", "role": "tenant", "is_primary": True}
    lease = {
        "monthly_rent": 8500.0,
        "lease_start_date": str(today - timedelta(days=10)),
        "lease_end_date": str(today + timedelta(days=10)),
    }
    assert (await world.owner.get("/auth/units")).json() == {
        "units": [{**owned, "ownership_percentage": 100.0}]
    }
    assert (await world.tenant.get("/auth/units")).json() == {"units": [{**rented, **lease}]}
    assert world.tenant.login["units"] == [{**rented, **lease}]


async def test_r624_a_person_with_several_units_sees_them_all(world: World) -> None:
    person_id = world.stranger.login["person"]["id"]
    await world.portal.post(
        f"/units/{world.empty_unit_id}/owners", person_id=person_id, ownership_percentage=33.33
    )
    units = (await world.stranger.get("/auth/units")).json()["units"]
    assert [unit["unit_number"] for unit in units] == ["103", "102"] or len(units) == 2
    assert {unit["ownership_percentage"] for unit in units} == {100.0, 33.33}


async def test_r620_owners_and_tenants_reach_their_unit(world: World) -> None:
    for (method, path), app in product(OF_A_UNIT, (world.owner, world.tenant)):
        answer = await app.send(method, path_of(path, world.unit_id, world.meter_id))
        assert answer.status_code == 200, answer.text


async def test_r620_r632_nobody_reaches_anothers_unit(world: World) -> None:
    for method, path in OF_A_UNIT:
        for app, unit, meter in (
            (world.stranger, world.unit_id, world.meter_id),
            (world.owner, world.empty_unit_id, world.foreign_meter_id),
        ):
            body = assert_refusal(await app.send(method, path_of(path, unit, meter)), 403)
            assert body == {"error": "Access denied", "message": "You do not have access to this unit"}


async def test_r621_c87_an_ended_lease_reaches_nothing(world: World, clock: Clock) -> None:
    asked = [(method, path_of(path, world.unit_id, world.meter_id)) for method, path in OF_A_UNIT]
    today = clock.moment().astimezone(ZONE)
    # to the last second of the lease's last day, where the estate is
    midnight = (today + timedelta(days=11)).replace(hour=0, minute=0, second=0, microsecond=0)
    clock.advance((midnight - clock.moment()).total_seconds() - 1)
    for method, path in asked:
        assert (await world.tenant.send(method, path)).status_code == 200
    clock.advance(2)
    for method, path in asked:
        assert_refusal(await world.tenant.send(method, path), 403)
        assert (await world.owner.send(method, path)).status_code == 200
    assert (await world.tenant.get("/auth/units")).json() == {"units": []}


async def test_r621_a_lease_that_has_not_begun_reaches_nothing(world: World, clock: Clock) -> None:
    today = clock.moment().astimezone(ZONE).date()
    await world.portal.post(
        f"/units/{world.empty_unit_id}/tenants",
        person_id=world.stranger.login["person"]["id"],
        monthly_rent=100,
        lease_start_date=str(today + timedelta(days=1)),
        lease_end_date=str(today + timedelta(days=30)),
    )
    assert_refusal(await world.stranger.get(f"/units/{world.empty_unit_id}/meters"), 403)
    clock.advance(86_400)
    assert (await world.stranger.get(f"/units/{world.empty_unit_id}/meters")).status_code == 200


async def test_c87_an_owner_who_sold_reaches_nothing(world: World, clock: Clock) -> None:
    today = clock.moment().astimezone(ZONE).date()
    added = await world.portal.post(
        f"/units/{world.empty_unit_id}/owners",
        person_id=world.stranger.login["person"]["id"],
        since=str(today - timedelta(days=5)),
    )
    path = f"/units/{world.empty_unit_id}/meters"
    assert (await world.stranger.get(path)).status_code == 200
    ended = await world.portal.post(f"/owners/{added['owner']['id']}/end")
    assert ended["owner"]["last_day"] == str(today - timedelta(days=1))
    assert_refusal(await world.stranger.get(path), 403)
    units = (await world.stranger.get("/auth/units")).json()["units"]
    assert world.empty_unit_id not in {unit["unit_id"] for unit in units}


NO_IDS = ["999999", "0", "abc", "1.5", "-1", "9" * 30, "%00"]


async def test_r622_r633_c50_what_is_not_there_is_a_404(world: World) -> None:
    for (method, path), given in product(OF_A_UNIT, NO_IDS):
        body = assert_refusal(await world.owner.send(method, path_of(path, given, given)), 404)
        what = "unit" if "{unit}" in path else "meter"
        assert body["error"] == NOT_FOUND[what]
        if given.isdigit():
            assert body["message"] == f"{what.title()} with ID {given} not found"


async def test_r622_a_unit_without_a_wallet_is_a_404(world: World) -> None:
    for path in ("/units/{unit}/wallet", "/units/{unit}/transactions"):
        unit_id = world.stranger.login["units"][0]["unit_id"]
        body = assert_refusal(await world.stranger.get(path_of(path, unit_id, 0)), 404)
        assert body["error"] == "Wallet not found"


WINDOWED = ["/meters/{meter}/readings", "/units/{unit}/transactions"]
BAD_WINDOWS = [
    {"days": "0"}, {"days": "-1"}, {"days": "x"}, {"days": "1.5"}, {"days": "99999999999999999999"},
    {"limit": "0"}, {"limit": "-5"}, {"limit": "x"}, {"limit": ""},
]  # fmt: skip


async def test_c69_bad_days_and_limits_are_a_400(world: World) -> None:
    for path, query in product(WINDOWED, BAD_WINDOWS):
        asked = path_of(path, world.unit_id, world.meter_id)
        body = assert_refusal(await world.owner.get(asked, **query), 400)
        assert next(iter(query)) in body["message"]


BAD_TYPES = ["both", "CREDIT", ""]


async def test_c69_r627_a_bad_type_is_a_400(world: World) -> None:
    for type_ in BAD_TYPES:
        body = assert_refusal(await world.owner.get(f"/units/{world.unit_id}/transactions", type=type_), 400)
        assert "type" in body["message"]


async def test_r629_one_wallet_a_unit(world: World) -> None:
    wallet = (await world.owner.get(f"/units/{world.unit_id}/wallet")).json()
    assert set(wallet["wallet"]) == {"id", "unit_id", "balance", "status", "last_transaction_date"}
    assert wallet["wallet"] | {"id": 0} == {
        "id": 0,
        "unit_id": world.unit_id,
        "balance": 0.0,
        "status": "active",
        "last_transaction_date": None,
    }
    again = await world.portal.api.post(
        f"/api/mobile/admin/units/{world.unit_id}/wallet", json={}, headers=world.portal.headers
    )
    assert_refusal(again, 409)


async def test_r627_r628_transactions_newest_first_with_balances(world: World, pool: Pool) -> None:
    path = f"/units/{world.unit_id}/wallet"
    for amount in (2000.75, 500.00):
        await world.portal.post(f"{path}/top-ups", amount=amount)
    await world.portal.post(f"{path}/adjustments", amount=-0.1, description="Correction")
    moved = (await world.owner.get(f"/units/{world.unit_id}/transactions")).json()["transactions"]
    shown = [(each["transaction_type"], each["amount"], each["balance_after"]) for each in moved]
    assert shown == [("debit", 0.1, 2500.65), ("credit", 500.0, 2500.75), ("credit", 2000.75, 2000.75)]
    assert moved[1]["description"] == "Wallet top-up"
    assert all(TIME.fullmatch(each["transaction_date"]) for each in moved)
    assert set(moved[0]) == {
        "id", "transaction_type", "amount", "description", "transaction_date", "balance_after",
    }  # fmt: skip
    debits = (await world.owner.get(f"/units/{world.unit_id}/transactions", type="debit")).json()
    assert [each["amount"] for each in debits["transactions"]] == [0.1]
    one = (await world.owner.get(f"/units/{world.unit_id}/transactions", limit=1, type="credit")).json()
    assert [each["amount"] for each in one["transactions"]] == [500.0]


async def test_r627_days_reach_back_so_far_and_no_further(world: World, clock: Clock) -> None:
    await world.portal.post(f"/units/{world.unit_id}/wallet/top-ups", amount=1)
    path = f"/units/{world.unit_id}/transactions"
    clock.advance(6 * 86_400)
    assert len((await world.owner.get(path, days=7)).json()["transactions"]) == 1
    assert (await world.owner.get(path, days=5)).json() == {"transactions": []}


async def test_r634_no_pages(world: World) -> None:
    answer = await world.owner.get(f"/units/{world.unit_id}/transactions", limit=5000, days=3660)
    assert answer.status_code == 200
    assert set(answer.json()) == {"transactions"}


async def test_mo_005_mo_006_a_meter_without_a_reading(world: World) -> None:
    listed = (await world.owner.get(f"/units/{world.unit_id}/meters")).json()["meters"]
    expected = {
        "id": world.meter_id,
        "serial_number": "MTR001",
        "meter_type": "prepaid",
        "utility_type": "electricity",
        "current_reading": None,
        "last_reading_date": None,
        "status": "active",
        "device_type": "Smart Meter",
        "communication_type": "LoRa",
    }
    assert listed == [expected]
    detail = (await world.owner.get(f"/meters/{world.meter_id}")).json()
    assert detail == {"meter": {**expected, "unit_id": world.unit_id, "unit_number": "101"}}
    readings = (await world.owner.get(f"/meters/{world.meter_id}/readings")).json()
    assert readings == {
        "readings": [],
        "meter": {"id": world.meter_id, "serial_number": "MTR001", "utility_type": "electricity"},
    }


ELSEWHERE = [
    ("GET", "/nothing", 404),
    ("GET", "/auth/login", 405),
    ("DELETE", "/auth/units", 405),
    ("GET", "/auth/units/", 404),
]


async def test_r630_the_frameworks_own_refusals_too(api: httpx.AsyncClient) -> None:
    for method, path, status in ELSEWHERE:
        assert_refusal(await api.request(method, APP + path), status)
