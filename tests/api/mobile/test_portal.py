"""The portal: who may call it, what conflicts, pages and searches; limits on signing in."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx

from storage.database import Pool
from storage.queries import devices
from tests.api.helpers import PASSWORD as ADMIN_PASSWORD
from tests.api.helpers import Clock, Service
from tests.api.mobile.world import APP, FLAT, OWNER_PHONE, PORTAL, ZONE, Portal, World, sign_in, utc


async def refused(
    portal: Portal, method: str, path: str, status: int, body: Any = None, **headers: str
) -> str:
    answer = await portal.api.request(
        method, f"{PORTAL}{path}", json=body, headers={**portal.headers, **headers}
    )
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "message"}
    return str(answer.json()["message"])


async def test_every_path_of_the_portal_is_the_administrators_alone(world: World, service: Service) -> None:
    for path, item in service.app.openapi()["paths"].items():
        if not path.startswith(PORTAL) or path == f"{PORTAL}/login":
            continue
        for method in item:
            asked = path.replace("{", "").replace("}", "")
            anonymous = await world.portal.api.request(method, asked)
            assert anonymous.status_code == 401, (method, path, anonymous.text)
            resident = await world.portal.api.request(method, asked, headers=world.owner.headers)
            assert resident.status_code == 403, (method, path, resident.text)


async def test_signing_in_to_the_portal(portal: Portal) -> None:
    good = {"email": "office@example.com", "password": ADMIN_PASSWORD}
    for wrong in ({"password": "wrong"}, {"email": "nobody@example.com"}):
        answer = await portal.api.post(f"{PORTAL}/login", json={**good, **wrong})
        assert answer.status_code == 401
    for broken in ({"email": "x"}, {"password": ""}, {"extra": 1}):
        assert (await portal.api.post(f"{PORTAL}/login", json={**good, **broken})).status_code == 400
    assert (await portal.api.post(f"{PORTAL}/login", json={})).json() == {
        "error": "Missing required fields",
        "message": "email and password are required",
    }


async def test_guessing_is_limited_by_account_and_by_address(
    world: World, make_service: Callable[..., Service]
) -> None:
    api = make_service(mobile_login_tries=3).client
    body = {"phone_number": OWNER_PHONE, "password": "Wrong1234"}
    right = {**body, "password": world.owner.password}
    for _ in range(2):  # a right password begins the count anew
        for _ in range(2):
            assert (await api.post(f"{APP}/auth/login", json=body)).status_code == 401
        assert (await api.post(f"{APP}/auth/login", json=right)).status_code == 200
    for _ in range(3):
        assert (await api.post(f"{APP}/auth/login", json=body)).status_code == 401
    limited = await api.post(f"{APP}/auth/login", json=right)
    assert limited.status_code == 429
    assert set(limited.json()) == {"error", "message"}
    assert int(limited.headers["Retry-After"]) > 0
    # the same phone in its other form is the same account, another phone is not
    local = {**right, "phone_number": "0821234567"}
    assert (await api.post(f"{APP}/auth/login", json=local)).status_code == 429
    other = {"phone_number": world.tenant.phone, "password": world.tenant.password}
    assert (await api.post(f"{APP}/auth/login", json=other)).status_code == 200
    by_address = make_service(mobile_logins_per_minute=2).client
    codes = [(await by_address.post(f"{APP}/auth/login", json={})).status_code for _ in range(3)]
    assert codes == [400, 400, 429]
    assert (await by_address.get(f"{APP}/auth/user", headers=world.owner.headers)).status_code == 200


async def test_r611_r614_one_user_a_person(world: World) -> None:
    person_id = world.owner.login["person"]["id"]
    added = await world.portal.post(f"/units/{world.empty_unit_id}/owners", person_id=person_id)
    assert added["message"] == "Owner added successfully"
    assert added["mobile_user"] == {
        "mobile_user_created": False,
        "phone_number": OWNER_PHONE,
        "temporary_password": None,
        "message": "This person has a mobile app account already.",
    }
    assert len((await world.portal.get("/mobile-users"))["mobile_users"]) == 3


async def test_r614_one_user_a_person_also_at_the_same_time(portal: Portal) -> None:
    estate_id = (await portal.post("/estates", name="Riverside"))["id"]
    person_id = await portal.person(OWNER_PHONE)
    units = [await portal.unit(estate_id, str(number)) for number in range(4)]
    added = await asyncio.gather(
        *(portal.post(f"/units/{unit}/owners", person_id=person_id) for unit in units)
    )
    assert sorted(each["mobile_user"]["mobile_user_created"] for each in added) == [False] * 3 + [True]
    (block,) = [each["mobile_user"] for each in added if each["mobile_user"]["mobile_user_created"]]
    app = await sign_in(portal.api, OWNER_PHONE, block["temporary_password"])
    assert len(app.login["units"]) == 4


async def test_shares_stay_within_the_whole_also_at_the_same_time(portal: Portal) -> None:
    estate_id = (await portal.post("/estates", name="Riverside"))["id"]
    unit = await portal.unit(estate_id, "1")
    people = [await portal.person(f"082111000{number}") for number in range(4)]
    answers = await asyncio.gather(
        *(
            portal.api.post(
                f"{PORTAL}/units/{unit}/owners",
                json={"person_id": person, "ownership_percentage": 40},
                headers=portal.headers,
            )
            for person in people
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409]


async def test_r612_the_blocks_of_unit_owner_and_tenant(portal: Portal, clock: Clock) -> None:
    estate_id = (await portal.post("/estates", name="Riverside", currency="ZAR"))["id"]
    today = clock.moment().astimezone(ZONE).date()
    lease = {"lease_start_date": str(today), "lease_end_date": str(today), "monthly_rent": 0.05}
    unit = await portal.post(
        "/units",
        estate_id=estate_id,
        unit_number="1",
        owner={"person_id": await portal.person("0821110001"), "ownership_percentage": 50},
    )
    path = f"/units/{unit['unit']['id']}"
    owner = await portal.post(
        f"{path}/owners", person_id=await portal.person("0821110002"), ownership_percentage=50
    )
    tenant = await portal.post(f"{path}/tenants", person_id=await portal.person("0821110003"), **lease)
    assert tenant["tenant"]["monthly_rent"] == 0.05
    for number, added in enumerate((unit, owner, tenant), 1):
        block = added["mobile_user"]
        assert block["mobile_user_created"] is True
        assert block["phone_number"] == f"+2782111000{number}"
        assert len(block["temporary_password"]) >= 8
        who = "tenant" if added is tenant else "owner"
        assert block["message"] == (
            f"Mobile app account created. Please provide the temporary password to the {who}."
        )
        app = await sign_in(portal.api, block["phone_number"], block["temporary_password"])
        assert app.login["password_must_change"] is True
    bare = await portal.post("/units", estate_id=estate_id, unit_number="2")
    assert set(bare) == {"message", "unit"}
    detail = await portal.get(path)
    assert [each["is_primary"] for each in detail["owners"]] == [False, True]
    assert len(detail["tenants"]) == 1


async def test_r615_a_person_needs_a_south_african_phone_of_its_own(portal: Portal) -> None:
    person = {"first_name": "A", "last_name": "B", "email": "a@example.com"}
    made = await portal.post("/persons", **person, phone="0821234567")
    assert made["phone"] == OWNER_PHONE
    assert "already" in await refused(portal, "POST", "/persons", 409, {**person, "phone": OWNER_PHONE})
    for phone in ("", "12", "+919876543210", "+2782123456", "+278212345678", "x", "\0", None, 27821234567):
        await refused(portal, "POST", "/persons", 400, {**person, "phone": phone})
    await refused(portal, "POST", "/persons", 400, {**person, "phone": "0821234568", "email": "x"})
    await refused(portal, "POST", "/persons", 400, {**person, "phone": "0821234568", "unknown": 1})


async def test_a_persons_login_follows_the_phone(world: World) -> None:
    person_id = world.owner.login["person"]["id"]
    new = {"first_name": "John", "last_name": "Dear", "phone": "0829999999", "email": None}
    answer = await world.portal.api.put(
        f"{PORTAL}/persons/{person_id}", json=new, headers=world.portal.headers
    )
    assert answer.json()["phone"] == "+27829999999"
    app = await sign_in(world.owner.api, "0829999999", world.owner.password)
    assert app.login["person"]["full_name"] == "John Dear"
    taken = {**new, "phone": world.tenant.phone}
    await refused(world.portal, "PUT", f"/persons/{person_id}", 409, taken)


async def test_what_conflicts_is_a_409_with_words(world: World, clock: Clock) -> None:
    portal, path = world.portal, f"/units/{world.unit_id}"
    today = clock.moment().astimezone(ZONE).date()
    owner_id, tenant_id = (app.login["person"]["id"] for app in (world.owner, world.tenant))
    again = {"person_id": owner_id, "ownership_percentage": 1}
    assert "owns a share" in await refused(portal, "POST", f"{path}/owners", 409, again)
    more = {"person_id": tenant_id, "ownership_percentage": 0.01}
    assert "100.01 %" in await refused(portal, "POST", f"{path}/owners", 409, more)
    before = {**more, "since": str(today - timedelta(days=9))}  # it would go on until today and beyond
    assert "100.01 %" in await refused(portal, "POST", f"{path}/owners", 409, before)
    lease = {"person_id": tenant_id, "monthly_rent": 1, "lease_start_date": str(today)}
    overlapping = {**lease, "lease_end_date": str(today + timedelta(days=99))}
    assert "overlaps" in await refused(portal, "POST", f"{path}/tenants", 409, overlapping)
    backwards = {**lease, "lease_end_date": str(today - timedelta(days=1))}
    await refused(portal, "POST", f"{path}/tenants", 400, backwards)
    taken = {"estate_id": world.estate_id, "unit_number": "101"}
    assert "101" in await refused(portal, "POST", "/units", 409, taken)
    await refused(portal, "POST", "/units", 404, {**taken, "estate_id": 999})
    await refused(portal, "POST", "/estates", 409, {"name": "Sunset Estate"})
    for zone in ("Mars/Olympus", "", "../etc"):
        await refused(portal, "POST", "/estates", 400, {"name": "New", "time_zone": zone})
    meter = {
        "unit_id": world.unit_id, "serial_number": "mtr001", "utility_type": "water",
        "device_type": "Ultrasonic", "communication_type": "NB-IoT",
    }  # fmt: skip
    await refused(portal, "POST", "/meters", 409, meter)
    await refused(portal, "POST", "/meters", 404, {**meter, "unit_id": 999})
    await refused(portal, "POST", f"{path}/owners", 404, {"person_id": 999})


async def test_leaving_a_unit(world: World, clock: Clock) -> None:
    portal = world.portal
    detail = await portal.get(f"/units/{world.unit_id}")
    lease = detail["tenants"][0]
    today = clock.moment().astimezone(ZONE).date()
    await refused(
        portal,
        "POST",
        f"/tenants/{lease['id']}/end",
        409,
        {"last_day": lease["lease_end_date"][:3] + "9-01-01"},
    )
    ended = await portal.post(f"/tenants/{lease['id']}/end")
    assert ended["tenant"]["lease_end_date"] == str(today - timedelta(days=1))
    assert (await world.tenant.get(f"/units/{world.unit_id}/meters")).status_code == 403
    # what began today and ended before that never was
    owner = detail["owners"][0]
    gone = await portal.post(f"/owners/{owner['id']}/end")
    assert gone["owner"] is None
    await refused(portal, "POST", f"/owners/{owner['id']}/end", 404, {})
    await refused(portal, "POST", "/tenants/x/end", 404, {})


async def test_pages_concatenate_and_searches_find(portal: Portal) -> None:
    estate_id = (await portal.post("/estates", name="Sunset Estate"))["id"]
    ids = [await portal.unit(estate_id, f"A{number}") for number in range(5)]
    found: list[int] = []
    after: int | None = 0
    while after is not None:
        page = await portal.get("/units", limit=2, after=after, estate_id=estate_id)
        found += [unit["id"] for unit in page["units"]]
        after = page["next_after"]
    assert found == ids
    assert [unit["id"] for unit in (await portal.get("/units", q="a3"))["units"]] == [ids[3]]
    assert len((await portal.get("/units", q="SUNSET"))["units"]) == 5
    assert (await portal.get("/units", q="%"))["units"] == []
    assert len((await portal.get("/estates", q="sun"))["estates"]) == 1
    await portal.person("0821110001", "Zoe")
    assert [each["first_name"] for each in (await portal.get("/persons", q="zo"))["persons"]] == ["Zoe"]
    assert len((await portal.get("/persons", q="+27821110001"))["persons"]) == 1
    for bad in ({"after": "-1"}, {"limit": "0"}, {"limit": "x"}, {"q": "x" * 101}, {"q": "\0"}):
        answer = await portal.api.get(f"{PORTAL}/units", params=bad, headers=portal.headers)
        assert answer.status_code == 400, bad


async def test_a_reset_password_ends_every_login(world: World) -> None:
    user_id = world.owner.login["user"]["id"]
    block = await world.portal.post(f"/mobile-users/{user_id}/reset-password")
    assert (await world.owner.get("/auth/user")).status_code == 401
    app = await sign_in(world.owner.api, OWNER_PHONE, block["temporary_password"])
    assert app.login["password_must_change"] is True


async def test_money_is_exact_and_moved_once(world: World) -> None:
    portal, path = world.portal, f"/units/{world.unit_id}/wallet"
    key = {"Idempotency-Key": "k"}
    moved = []
    for _ in range(2):
        answer = await portal.api.post(
            f"{PORTAL}{path}/top-ups", json={"amount": 0.1}, headers={**portal.headers, **key}
        )
        assert answer.status_code == 201
        moved.append(answer.json())
    assert moved[0]["transaction_id"] == moved[1]["transaction_id"]
    await refused(portal, "POST", f"{path}/top-ups", 409, {"amount": 0.2}, **key)
    await portal.post(f"{path}/top-ups", amount=0.2)
    assert (await portal.get(path))["balance"] == 0.3
    for _ in range(2):
        taken = await portal.api.post(
            f"{PORTAL}{path}/adjustments",
            json={"amount": -1, "description": "Cash"},
            headers={**portal.headers, **key},
        )
        assert taken.json()["amount"] == -1.0
    assert (await portal.get(path))["balance"] == -0.7
    listed = (await portal.get(f"{path}/transactions"))["transactions"]
    assert [each["balance_after"] for each in listed] == [-0.7, 0.3, 0.1]
    for bad in ({"amount": 0}, {"amount": 0.001}, {"amount": "NaN"}, {"amount": 1e30}, {"amount": -5}):
        await refused(portal, "POST", f"{path}/top-ups", 400, bad)
    await refused(portal, "POST", f"{path}/adjustments", 400, {"amount": 0, "description": "x"})
    await refused(portal, "POST", f"/units/{world.empty_unit_id}/wallet/top-ups", 404, {"amount": 1})


async def test_meters_are_installed_replaced_and_priced(world: World, pool: Pool, clock: Clock) -> None:
    portal, path = world.portal, f"/meters/{world.meter_id}"
    async with pool.connection() as db:
        old = await devices.register_device(db, "meter", "OLD")
        new = await devices.register_device(db, "meter", "NEW")
        charger = await devices.register_device(db, "charger", "CP")
    today = clock.moment().date()
    first, second = utc(today - timedelta(days=9), 0), utc(today - timedelta(days=3), 12)
    order = {"quantity": "energy_import_wh", "since": first.isoformat()}
    await portal.post(f"{path}/installations", **order, device_identity="old", multiplier=0.5)
    replaced = await portal.post(
        f"{path}/installations", quantity="energy_import_wh", since=second.isoformat(), device_id=new.id
    )
    shown = [(each["device_id"], each["until"], each["multiplier"]) for each in replaced["installations"]]
    assert shown == [(old.id, f"{second:%Y-%m-%dT%H:%M:%S}", 0.5), (new.id, None, 1.0)]
    await refused(portal, "POST", f"{path}/installations", 404, {**order, "device_id": charger.id})
    await refused(portal, "POST", f"{path}/installations", 404, {**order, "device_identity": "NOBODY"})
    await refused(portal, "POST", f"{path}/installations", 409, {**order, "device_id": new.id})
    for bad in (
        {},
        {"device_id": new.id, "quantity": "power_w"},
        {"device_id": new.id, "quantity": "nonsense"},
        {"device_id": 1, "device_identity": "x"},
        {"device_id": 1, "since": "2026-01-01T00:00:00"},
    ):
        await refused(portal, "POST", f"{path}/installations", 400, {**order, **bad})
    ended = await portal.post(f"{path}/installations/end", until=utc(today, 0).isoformat())
    assert ended["installations"][-1]["until"] == f"{today}T00:00:00"
    await refused(portal, "POST", f"{path}/installations/end", 409, {"until": utc(today, 1).isoformat()})

    tariff = await portal.post("/meter-tariffs", name="Flat", utility_type="electricity", definition=FLAT)
    water = await portal.post("/meter-tariffs", name="Water", utility_type="water", definition=FLAT)
    given = await portal.post(f"{path}/tariffs", tariff_id=tariff["id"], since=first.isoformat())
    assert [each["name"] for each in given["tariffs"]] == ["Flat"]
    assert (await portal.get(f"{path}/tariffs")) == given
    since = {"since": first.isoformat()}
    assert "water" in await refused(
        portal, "POST", f"{path}/tariffs", 409, {**since, "tariff_id": water["id"]}
    )
    await refused(portal, "POST", f"{path}/tariffs", 404, {**since, "tariff_id": 999})
    named = {"name": "Bad", "utility_type": "water"}
    for definition in ({}, {"energy": {"kind": "free"}}, {"energy": {"kind": "flat", "price_minor": "-1"}}):
        await refused(portal, "POST", "/meter-tariffs", 400, {**named, "definition": definition})
    assert [each["name"] for each in (await portal.get("/meter-tariffs"))["tariffs"]] == ["Flat", "Water"]
    answer = await portal.api.put(f"{PORTAL}{path}/status", json={"status": "faulty"}, headers=portal.headers)
    assert answer.json()["status"] == "faulty"
    assert [each["id"] for each in (await portal.get("/meters", q="mtr0"))["meters"]] == [world.meter_id]


async def test_ids_of_nothing_are_404(portal: Portal, api: httpx.AsyncClient) -> None:
    for path in ("/estates", "/units", "/persons", "/meters", "/mobile-users"):
        for given in ("999", "x", "9" * 30, "-1"):
            await refused(portal, "GET", f"{path}/{given}", 404)


async def test_a_correction_by_hand_is_no_money_that_came_in(world: World, pool: Pool) -> None:
    path = f"/units/{world.unit_id}/wallet"
    await world.portal.post(f"{path}/top-ups", amount=10)
    for amount in (3, -1):
        await world.portal.post(f"{path}/adjustments", amount=amount, description="Correction")
    same = {"Idempotency-Key": "k"}
    body = {"amount": 1, "description": "Correction"}
    answer = await world.portal.api.post(
        f"{PORTAL}{path}/adjustments", json=body, headers={**world.portal.headers, **same}
    )
    assert answer.status_code == 201
    await refused(world.portal, "POST", f"{path}/adjustments", 409, {**body, "amount": -1}, **same)
    async with pool.connection() as db:
        found = await db.execute("SELECT kind, balance_minor FROM accounts WHERE balance_minor <> 0")
        balances = dict(await found.fetchall())
    assert balances == {"unit_wallet": 1_300, "funding": -1_000, "adjustments": -300}
