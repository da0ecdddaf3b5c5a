"""Accounts that admins make, change and block, technicians' profiles, the command line (IE-X01, IE-X07)."""

import asyncio
from decimal import Decimal
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from api.operations.registry import users_app
from deploy.messages import SetupError
from storage.database import Pool
from storage.queries import technician_profiles, users
from tests.api.ienerzy.people import World

URL = "/admin/accounts"
PROFILE = {
    "location": "Bengaluru",
    "latitude": 12.97,
    "longitude": 77.59,
    "skills": ["electrical", "bms"],
    "rating": 4.5,
    "experience_years": 6,
    "status": "available",
    "load_max": 3,
}


async def test_an_admin_makes_every_role_and_nobody_else_does(world: World) -> None:
    made = {}
    for number, role in enumerate(("dealer", "consumer", "technician", "admin")):
        body: dict[str, Any] = {"role": role, "name": f"New {role}", "phone": f"+9198000000{number:02}"}
        for other in (world.dealer, world.consumer, world.technician):
            await world.call(other, "POST", URL, 403, json=body)
        await world.call(None, "POST", URL, 401, json=body)
        if role == "consumer":
            refusal = await world.call(world.admin, "POST", URL, 400, json=body)
            assert refusal["details"] == "dealer_id is required of a consumer"
            body["dealer_id"] = world.technician.id
            await world.call(world.admin, "POST", URL, 400, json=body)
            body["dealer_id"] = world.dealer.id
        made[role] = await world.call(world.admin, "POST", URL, 201, json=body)
        again = await world.call(world.admin, "POST", URL, 400, json=body)
        assert again["code"] == "DUPLICATE"
        login = {"phone": body["phone"], "userType": role}
        assert (await world.call(None, "POST", "/auth/login", json=login))["user"]["id"] == made[role]["id"]
    assert list(made["consumer"]) == [
        "id", "role", "name", "phone", "status", "status_reason", "dealer_id", "dealer_name", "created_at",
        "technician",
    ]  # fmt: skip
    assert (made["consumer"]["dealer_id"], made["consumer"]["dealer_name"]) == (world.dealer.id, "Dealer")
    assert made["technician"]["technician"]["load_max"] == 5
    assert made["dealer"]["technician"] is None
    listed = await world.call(world.admin, "GET", URL, params={"role": "technician"})
    assert [row["id"] for row in listed] == [made["technician"]["id"], world.technician.id]
    found = await world.call(world.admin, "GET", URL, params={"search": "NEW dea"})
    assert [row["id"] for row in found] == [made["dealer"]["id"]]
    for reference in ("0", "x", "9" * 30, "99999"):
        await world.call(world.admin, "GET", f"{URL}/{reference}", 404)
        await world.call(world.admin, "PATCH", f"{URL}/{reference}", 404, json={})


async def test_a_technicians_profile(world: World) -> None:
    body = {"role": "technician", "name": "Asha Rao", "phone": "98000 00001"}
    made = await world.call(world.admin, "POST", URL, 201, json={**body, "technician": PROFILE})
    assert made["phone"] == "+919800000001"
    assert made["technician"] == {**PROFILE, "dealer_id": None, "ratings": 0}
    own = {**body, "phone": "9800000002", "dealer_id": world.dealer.id}
    mine = await world.call(world.admin, "POST", URL, 201, json=own)
    assert (mine["dealer_id"], mine["technician"]["dealer_id"]) == (world.dealer.id, world.dealer.id)
    one = f"{URL}/{made['id']}"
    change = {"technician": {"status": "off_duty", "dealer_id": world.dealer.id, "skills": []}}
    changed = await world.call(world.admin, "PATCH", one, json=change)
    assert changed["technician"] == {**PROFILE, **change["technician"], "ratings": 0}
    assert (changed["dealer_id"], changed["name"]) == (world.dealer.id, "Asha Rao")
    for wrong in (
        {"latitude": 1},
        {"latitude": 91, "longitude": 0},
        {"rating": 5.1},
        {"rating": 4.55},
        {"skills": ["Uppercase"]},
        {"status": "asleep"},
        {"load_max": 0},
        {"dealer_id": world.consumer.id},
    ):
        await world.call(world.admin, "PATCH", one, 400, json={"technician": wrong})
    dealer = f"{URL}/{world.dealer.id}"
    await world.call(world.admin, "PATCH", dealer, 400, json={"technician": {}})
    async with world.pool.connection() as db:
        await db.execute("UPDATE technicians SET ratings = 2, rating = 3 WHERE user_id = %s", (made["id"],))
    await world.call(world.admin, "PATCH", one, 400, json={"technician": {"rating": 5}})
    kept = await world.call(world.admin, "PATCH", one, json={"technician": {"location": "Mysuru"}})
    assert (kept["technician"]["rating"], kept["technician"]["location"]) == (3, "Mysuru")


async def test_who_is_blocked_is_out_until_let_in_and_signs_in_anew(world: World) -> None:
    one = f"{URL}/{world.dealer.id}"
    blocked = await world.call(
        world.admin, "PATCH", one, json={"status": "blocked", "reason": "unpaid", "role": "admin"}
    )
    assert (blocked["status"], blocked["status_reason"], blocked["role"]) == ("blocked", "unpaid", "dealer")
    await world.call(world.dealer, "GET", "/batteries", 403)
    login = {"phone": blocked["phone"], "userType": "dealer"}
    await world.call(None, "POST", "/auth/login", 403, json=login)
    active = await world.call(world.admin, "PATCH", one, json={"status": "active"})
    assert (active["status"], active["status_reason"]) == ("active", None)
    await world.call(world.dealer, "GET", "/batteries", 401)
    await world.call(None, "POST", "/auth/login", json=login)

    moved = await world.call(world.admin, "PATCH", f"{URL}/{world.consumer.id}", json={"phone": "9800000009"})
    assert moved["phone"] == "+919800000009"
    await world.call(world.consumer, "GET", "/batteries", 401)
    taken = {"phone": login["phone"]}
    refused = await world.call(world.admin, "PATCH", f"{URL}/{world.other_dealer.id}", 400, json=taken)
    assert refused["code"] == "DUPLICATE"
    await world.call(world.admin, "PATCH", f"{URL}/{world.admin.id}", 403, json={"status": "blocked"})
    async with world.pool.connection() as db:
        rows = await db.execute("SELECT count(*) FROM admin_actions WHERE action = 'ienerzy.account.update'")
        assert await rows.fetchone() == (3,)


async def test_two_admins_cannot_block_each_other(world: World) -> None:
    second = await world.person("admin", "+919800000077")
    answers = await asyncio.gather(
        *(
            world.api.patch(f"/api{URL}/{whom.id}", json={"status": "blocked"}, headers=who.headers)
            for who, whom in ((world.admin, second), (second, world.admin))
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 403]


async def test_the_command_line_makes_accounts_of_every_family(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch, api: httpx.AsyncClient
) -> None:
    monkeypatch.setenv("GRIDWIRE_DATABASE_URL", database_url)
    monkeypatch.setenv("GRIDWIRE_NEW_PASSWORD", "correct horse battery")

    async def command(*arguments: str) -> str:
        result = await asyncio.to_thread(CliRunner().invoke, users_app, arguments)
        if isinstance(result.exception, SetupError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    async def create(*arguments: str) -> str:
        return await command("create", *arguments)

    def ienerzy(role: str, phone: str, *more: str) -> tuple[str, ...]:
        return ("--system", "ienerzy", "--role", role, "--name", "New", "--phone", phone, *more)

    await create(*ienerzy("admin", "+919800000001"))
    assert "id" in await create(*ienerzy("dealer", "98000 00002"))
    async with pool.connection() as db:
        dealer = await users.find_by_phone(db, "ienerzy", "+919800000002", "dealer")
    assert dealer is not None
    with pytest.raises(SetupError, match="dealer"):
        await create(*ienerzy("consumer", "+919800000003"))
    with pytest.raises(SetupError, match="no dealer"):
        await create(*ienerzy("consumer", "+919800000003", "--dealer", "999999"))
    with pytest.raises(SetupError, match="phone number"):
        await create(*ienerzy("dealer", "nine"))
    await create(*ienerzy("consumer", "+919800000003", "--dealer", str(dealer.id)))
    await create(*ienerzy("technician", "+919800000004", "--dealer", str(dealer.id)))
    skills = ("--location", "Pune", "--skill", "bms", "--skill", "electrical")
    await command("technician", "98000 00004", *skills, "--position", "18.5", "73.9")
    await command("technician", "98000 00004", "--rating", "4.5", "--experience-years", "3")
    for role in ("admin", "wholesaler", "consumer"):
        login = ("--email", f"{role.title()}@Example.com")
        names = ("--system", "lithovolt", "--role", role, "--name", "Ann Lee")
        await create(*names, *login)
    with pytest.raises(SetupError, match="no role"):
        await create("--system", "lithovolt", "--role", "dealer", "--name", "X", "--email", "x@example.com")
    async with pool.connection() as db:
        consumer = await users.find_by_phone(db, "ienerzy", "+919800000003", "consumer")
        technician = await users.find_by_phone(db, "ienerzy", "+919800000004", "technician")
        wholesaler = await users.find_by_email(db, "lithovolt", "wholesaler@example.com")
        assert consumer is not None
        assert technician is not None
        assert wholesaler is not None
        found = (await technician_profiles.profiles_of(db, [technician.id]))[technician.id]
    assert consumer.dealer_id == dealer.id
    assert (found.dealer_id, found.location, found.skills) == (dealer.id, "Pune", ["bms", "electrical"])
    assert (found.latitude, found.rating, found.experience_years) == (18.5, Decimal("4.5"), Decimal(3))
    assert wholesaler.password_hash is not None
    assert wholesaler.password_hash.startswith("$argon2id$")
    answer = await api.post("/api/auth/login", json={"phone": "+919800000004", "userType": "technician"})
    assert answer.status_code == 200
