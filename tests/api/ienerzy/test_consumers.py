"""Consumers: entering, KYC, what is sealed and who sees it, finance and profile (IE-009 to IE-014)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest

from storage.database import Connection
from tests.api.helpers import Person
from tests.api.ienerzy.people import AADHAAR, PAN, World

URL = "/consumers"
KEYS = ["id", "name", "phone", "pan", "aadhar", "kyc_status", "dealer_id", "created_at"]
RAM = {"name": "Ram Kumar", "phone": "+919811111111"}
NOW = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)


async def enter(world: World, who: Person | None = None, **body: Any) -> dict[str, Any]:
    made: dict[str, Any] = await world.call(who or world.dealer, "POST", URL, 201, json={**RAM, **body})
    return made


async def test_entering_a_consumer(world: World) -> None:
    made = await enter(world, pan=" abcde1234f ", aadhar="2341 2341 2346", dealer_id=world.other_dealer.id)
    assert list(made) == KEYS
    created_at = made.pop("created_at")
    assert created_at.endswith("Z")
    assert "." not in created_at
    assert made == {
        "id": made["id"],
        **RAM,
        "pan": PAN,
        "aadhar": AADHAAR,
        "kyc_status": "pending",
        "dealer_id": world.dealer.id,
    }
    login = {"phone": RAM["phone"], "userType": "consumer"}
    assert (await world.call(None, "POST", "/auth/login", json=login))["user"]["id"] == made["id"]
    taken = await world.call(world.other_dealer, "POST", URL, 400, json=RAM)
    assert taken["code"] == "DUPLICATE"
    named = {"name": "By Admin", "phone": "98222 22222"}
    await world.call(world.admin, "POST", URL, 400, json=named)
    await world.call(world.admin, "POST", URL, 400, json={**named, "dealer_id": world.consumer.id})
    by_admin = await world.call(world.admin, "POST", URL, 201, json={**named, "dealer_id": world.dealer.id})
    assert (by_admin["dealer_id"], by_admin["phone"], by_admin["pan"]) == (
        world.dealer.id,
        "+919822222222",
        None,
    )
    listed = await world.call(world.dealer, "GET", URL)
    assert [row["id"] for row in listed] == [by_admin["id"], made["id"], world.consumer.id]


async def test_what_is_no_consumer(world: World) -> None:
    for body in ({}, {"name": "Ram"}, {"phone": RAM["phone"]}, {"name": "", "phone": RAM["phone"]}):
        assert await world.call(world.dealer, "POST", URL, 400, json=body) == {
            "error": "Missing required fields",
            "details": "Phone number and name are required",
        }
    for wrong in (
        {"aadhar": "123456789012"},  # begins with 1, and its check digit is wrong
        {"aadhar": AADHAAR[:-1] + "7"},
        {"aadhar": ""},
        {"pan": "ABCD1234F"},
        {"phone": "nine"},
        {"name": "a\0b"},
        {"name": "x" * 201},
        {"credit_score": 299},
    ):
        refusal = await world.call(world.dealer, "POST", URL, 400, json={**RAM, **wrong})
        assert "123456789012" not in str(refusal)
    for junk in ("[]", "1", "null", "{", '"x"'):
        await world.call(world.dealer, "POST", URL, 400, content=junk)
    assert len(await world.call(world.dealer, "GET", URL)) == 1
    refusal = await world.call(world.dealer, "POST", URL, 400, json={**RAM, "aadhar": "123456789012"})
    assert refusal["details"] == "aadhar: is no number of this document: 12 digits with a right check digit"


async def test_numbers_are_sealed_and_shown_in_full_to_the_own_dealer_alone(world: World) -> None:
    made = await enter(world, pan=PAN, aadhar=AADHAAR)
    ram = await sign_in(world, RAM["phone"])
    masked = ("XXXXXX234F", "XXXXXXXX2346")
    for person, shown in ((world.dealer, (PAN, AADHAAR)), (world.admin, masked), (ram, masked)):
        listed = await world.call(person, "GET", URL)
        (row,) = [row for row in listed if row["id"] == made["id"]]
        profile = (await world.call(person, "GET", f"{URL}/{made['id']}/profile"))["consumer"]
        assert (row["pan"], row["aadhar"]) == (profile["pan"], profile["aadhar"]) == shown
    assert [row["id"] for row in await world.call(ram, "GET", URL)] == [made["id"]]
    assert await world.call(world.other_dealer, "GET", URL) == []
    async with world.pool.connection() as db:
        rows = await (await db.execute("SELECT consumers::text FROM consumers")).fetchall()
        actions = await (await db.execute("SELECT detail::text FROM admin_actions")).fetchall()
        for number in (PAN, AADHAAR):
            assert not any(number in text or number.encode().hex() in text for (text,) in [*rows, *actions])
        # a row that is moved to somebody else does not open there
        await db.execute(
            "UPDATE consumers SET (pan_sealed, pan_end, pan_mark) ="
            " (SELECT pan_sealed, pan_end, pan_mark FROM consumers WHERE user_id = %s) WHERE user_id = %s",
            (made["id"], world.consumer.id),
        )
    listed = await world.call(world.dealer, "GET", URL)
    assert {row["pan"] for row in listed} == {PAN, "XXXXXX234F"}


async def sign_in(world: World, phone: str) -> Person:
    await world.call(None, "POST", "/auth/login", json={"phone": phone, "userType": "consumer"})
    body = {"phone": phone, "otp": world.codes.sent[phone]}
    answer = await world.call(None, "POST", "/auth/verify-otp", json=body)
    return Person(answer["user"]["id"], {"Authorization": f"Bearer {answer['token']}"})


async def test_a_number_has_one_consumer_of_a_dealer_also_at_the_same_time(world: World) -> None:
    phones = [f"+9198333333{number:02}" for number in range(6)]
    answers = await asyncio.gather(
        *(
            world.api.post(
                f"/api{URL}",
                json={"name": "Ram", "phone": phone, "aadhar": AADHAAR},
                headers=world.dealer.headers,
            )
            for phone in phones
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 5
    assert {each.json()["code"] for each in answers if each.status_code == 400} == {"DUPLICATE"}
    # who was refused is not there at all, and another dealer may have the same person
    assert len(await world.call(world.dealer, "GET", URL)) == 2
    body = {"name": "Ram", "phone": "+919844444444", "aadhar": AADHAAR}
    await world.call(world.other_dealer, "POST", URL, 201, json=body)
    kyc = {"kyc_status": "verified", "aadhar": AADHAAR}
    refusal = await world.call(world.dealer, "PUT", f"{URL}/{world.consumer.id}/kyc", 400, json=kyc)
    assert refusal["code"] == "DUPLICATE"


async def test_kyc(world: World) -> None:
    one = f"{URL}/{world.consumer.id}/kyc"
    missing = await world.call(world.dealer, "PUT", one, 400, json={"kyc_status": "verified"})
    assert missing["error"] == "Identity number missing"
    wrong = {"kyc_status": "verified", "pan": PAN, "aadhar": "123456789012"}
    await world.call(world.dealer, "PUT", one, 400, json=wrong)
    decided = await world.call(world.dealer, "PUT", one, json={"kyc_status": "verified", "pan": PAN})
    assert (decided["kyc_status"], decided["pan"], decided["aadhar"]) == ("verified", PAN, None)
    again = await world.call(world.dealer, "PUT", one, json={"kyc_status": "verified", "aadhar": AADHAAR})
    assert (again["pan"], again["aadhar"]) == (PAN, AADHAAR)
    by_admin = await world.call(world.admin, "PUT", one, json={"kyc_status": "rejected"})
    assert (by_admin["kyc_status"], by_admin["pan"]) == ("rejected", "XXXXXX234F")
    rejected = await world.call(world.dealer, "GET", URL, params={"kyc_status": "rejected"})
    assert [row["id"] for row in rejected] == [world.consumer.id]
    await world.call(world.dealer, "GET", URL, 400, params={"kyc_status": "x"})
    await world.call(world.dealer, "PUT", one, 400, json={"kyc_status": "maybe"})
    async with world.pool.connection() as db:
        rows = await db.execute("SELECT actor_id, detail FROM admin_actions WHERE action = 'consumer.kyc'")
        noted = await rows.fetchall()
    assert [actor for actor, _ in noted] == [world.dealer.id, world.dealer.id, world.admin.id]
    assert noted[0][1] == {"from": "pending", "to": "verified", "numbers": ["pan"]}


async def test_who_may(world: World) -> None:
    stranger = await world.person("consumer", "+919855555555", world.other_dealer.id)
    one = f"{URL}/{world.consumer.id}"
    reads = [
        ("GET", f"{one}/finance", None),
        ("GET", f"{one}/profile", None),
        ("GET", f"{one}/documents", None),
    ]
    document = {"document_type": "pan_card", "document_url": "https://example.com/a.jpg"}
    writes = [
        ("PUT", f"{one}/kyc", {"kyc_status": "pending"}),
        ("POST", f"{one}/documents", document),
        ("PUT", f"{one}/documents/1", {"status": "verified"}),
        ("POST", URL, RAM),
    ]
    for method, path, body in [*reads, *writes]:
        await world.call(None, method, path, 401, json=body)
        await world.call(world.technician, method, path, 403, json=body)
        if path != URL:
            await world.call(world.other_dealer, method, path, 404, json=body)
        is_read = method == "GET"
        await world.call(world.consumer, method, path, 200 if is_read else 403, json=body)
        await world.call(stranger, method, path, 404 if is_read else 403, json=body)
    for reference in ("0", "-1", "1.5", "abc", "9" * 19, str(world.dealer.id), "%00"):
        for who in (world.dealer, world.admin):
            found = await world.call(who, "GET", f"{URL}/{reference}/profile", 404)
            assert found["error"] == "Consumer not found"


async def lend(db: Connection, world: World, serial: str, paid: int) -> None:
    battery = await world.add_battery(serial, consumer=world.consumer)
    row = await db.execute(
        "INSERT INTO finance_applications (dealer_id, consumer_id, battery_id, amount_minor, tenure_months,"
        " status, approved_minor, disbursed_on, created_at, updated_at)"
        " VALUES (%s, %s, %s, 4500000, 24, 'disbursed', 4500000, '2024-01-15', %s, %s) RETURNING id",
        (world.dealer.id, world.consumer.id, battery.id, NOW, NOW),
    )
    ((application_id,),) = await row.fetchall()
    for number in range(1, 25):
        due = date(2024 + number // 12, number % 12 + 1, 15)
        is_paid = number <= paid
        await db.execute(
            "INSERT INTO emi_schedules (application_id, emi_number, due_date, principal_minor,"
            " interest_minor, amount_minor, paid_minor, status, paid_on)"
            " VALUES (%s, %s, %s, 187500, 0, 187500, %s, %s, %s)",
            (application_id, number, due, 187_500 * is_paid, "paid" if is_paid else "pending", due),
        )


async def open_ticket(db: Connection, world: World, battery_id: int, status: str) -> None:
    await db.execute(
        "INSERT INTO service_tickets (dealer_id, battery_id, consumer_id, issue_category, description,"
        " status, sla_due_at, resolved_at, created_at, updated_at)"
        " VALUES (%s, %s, %s, 'performance', 'slow', %s, %s, %s, %s, %s)",
        (
            world.dealer.id,
            battery_id,
            world.consumer.id,
            status,
            NOW,
            NOW if status == "resolved" else None,
            NOW,
            NOW,
        ),
    )


@asynccontextmanager
async def counted(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """Collect the statements that are sent meanwhile."""
    statements: list[str] = []
    execute = psycopg.AsyncConnection.execute

    async def execute_counted(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        statements.append(str(query))
        return await execute(self, query, *args, **kwargs)

    cursor_execute = psycopg.AsyncCursor.execute

    async def cursor_counted(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        statements.append(str(query))
        return await cursor_execute(self, query, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.AsyncConnection, "execute", execute_counted)
        patch.setattr(psycopg.AsyncCursor, "execute", cursor_counted)
        yield statements


async def test_finance_and_profile_in_few_statements(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    one = f"{URL}/{world.consumer.id}"
    empty = await world.call(world.consumer, "GET", f"{one}/finance")
    assert empty == {"applications": [], "emi_schedules": [], "total_applications": 0, "total_emi_due": 0}

    async def statements_of(path: str) -> int:
        async with counted(monkeypatch) as statements:
            await world.call(world.dealer, "GET", path)
        return len(statements)

    paths = (URL, f"{one}/finance", f"{one}/profile")
    before = [await statements_of(path) for path in paths]
    async with world.pool.connection() as db:
        await lend(db, world, "BAT002", paid=1)
        for number in range(5):
            await lend(db, world, f"BAT1{number}", paid=24)
        for status in ("resolved", "open", "resolved"):
            await open_ticket(db, world, world.battery.id, status)
        gone = await world.add_battery("GONE")
        await open_ticket(db, world, gone.id, "open")
        await db.execute("UPDATE batteries SET status = 'inactive' WHERE serial_number = 'BAT002'")
    for number in range(5):
        body = {"name": "X", "phone": f"+9198666666{number:02}"}
        await world.call(world.dealer, "POST", URL, 201, json=body)
    assert [await statements_of(path) for path in paths] == before
    assert max(before) <= 8

    finance = await world.call(world.dealer, "GET", f"{one}/finance")
    assert (finance["total_applications"], finance["total_emi_due"]) == (6, 23)
    first = finance["applications"][-1]
    assert list(first) == ["id", "amount", "tenure_months", "status", "battery_serial"]
    assert (first["amount"], first["battery_serial"], first["status"]) == (45000, "BAT002", "disbursed")
    emi = next(each for each in finance["emi_schedules"] if each["status"] == "pending")
    assert list(emi) == ["id", "emi_number", "due_date", "amount", "status"]
    assert (emi["emi_number"], emi["due_date"], emi["amount"]) == (2, "2024-03-15", "1875.00")

    profile = await world.call(world.dealer, "GET", f"{one}/profile")
    assert list(profile) == ["consumer", "batteries", "recent_tickets", "summary"]
    assert profile["consumer"]["dealer_name"] == "Dealer"
    assert set(profile["consumer"]) == {*KEYS, "dealer_name"}
    assert profile["batteries"][0] == {
        "id": world.battery.id,
        "serial_number": "BAT001",
        "status": "active",
        "health_score": 100,
        "service_tickets_count": 3,
        "active_tickets_count": 1,
    }
    assert [ticket["battery_serial"] for ticket in profile["recent_tickets"]] == ["GONE"] + ["BAT001"] * 3
    assert list(profile["recent_tickets"][0]) == [
        "id", "issue_category", "status", "battery_serial", "created_at",
    ]  # fmt: skip
    assert profile["summary"] == {
        "total_batteries": 7,
        "active_batteries": 6,
        "total_service_tickets": 4,
        "active_service_tickets": 2,
    }
