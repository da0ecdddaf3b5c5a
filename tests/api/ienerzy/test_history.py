"""A battery's consumers, its history over both families, and the test routes (IE-007, IE-040 to IE-042)."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from storage.queries import assets, batteries, battery_assignments
from storage.queries.assets import Reader
from tests.api.helpers import Clock
from tests.api.ienerzy.people import World, hear_of

URL = "/batteries/BAT001"
DAY = timedelta(days=1)


async def test_assigning_keeps_who_had_it_and_ends_the_former(world: World, clock: Clock) -> None:
    second = await world.person("consumer", "+919855555555", world.dealer.id)
    other = await world.person("consumer", "+919855555556", world.other_dealer.id)
    to_second, to_first = {"consumer_id": second.id}, {"consumer_id": world.consumer.id}
    clock.advance(60)
    for _ in range(2):  # the second time changes nothing
        assigned = await world.call(world.dealer, "PUT", f"{URL}/assign", json=to_second)
        assert assigned["owner_id"] == second.id
    clock.advance(-3_600)  # a clock that was set back ends nothing before it began
    await world.call(world.admin, "PUT", f"{URL}/assign", json=to_first)
    for wrong in (other.id, world.dealer.id, 99_999):
        await world.call(world.admin, "PUT", f"{URL}/assign", 404, json={"consumer_id": wrong})
    for who, status in ((world.consumer, 403), (world.technician, 403), (world.other_dealer, 404)):
        await world.call(who, "PUT", f"{URL}/assign", status, json=to_first)
    async with world.pool.connection() as db:
        held = await battery_assignments.list_assignments(db, world.battery.id, limit=10)
    assert [(each.consumer_id, each.assigned_by, each.ended_at is None) for each in held] == [
        (world.consumer.id, world.admin.id, True),
        (second.id, world.dealer.id, False),
        (world.consumer.id, world.dealer.id, False),
    ]
    assert all(each.ended_at is None or each.ended_at >= each.assigned_at for each in held)

    people = [world.consumer, second] * 10
    await asyncio.gather(
        *(world.call(world.dealer, "PUT", f"{URL}/assign", json={"consumer_id": each.id}) for each in people)
    )
    async with world.pool.connection() as db:
        held = await battery_assignments.list_assignments(db, world.battery.id, limit=100)
        found = await batteries.find_battery(db, "BAT001")
    assert found is not None
    assert [each.consumer_id for each in held if each.ended_at is None] == [found.owner_id]


async def write(world: World, statement: str, *values: Any) -> Any:
    async with world.pool.connection() as db:
        cursor = await db.execute(statement, values)
        row = await cursor.fetchone() if cursor.description else None
    return None if row is None else row[0]


async def live_a_life(world: World, start: datetime) -> datetime:
    """Have the battery sold in Lithovolt, lent on, broken, repaired and claimed for, a day apart; the end."""
    at = [start.replace(microsecond=5_000) + number * DAY for number in range(20)]
    dealer, consumer, battery = world.dealer.id, world.consumer.id, world.battery.id
    admin = await write(
        world,
        "INSERT INTO users (system, role, name, email) VALUES ('lithovolt', 'admin', 'Ann', 'a@x.com')"
        " RETURNING id",
    )
    model = await write(
        world,
        "INSERT INTO battery_models (name, code, nominal_voltage_v, capacity_ah, price_minor,"
        " warranty_months, created_at, updated_at)"
        " VALUES ('LV', 'LV48', 48, 100, 1, 24, %s, %s) RETURNING id",
        at[0],
        at[0],
    )
    serial = await write(
        world,
        "INSERT INTO serial_numbers (serial, model_id, created_at, updated_at)"
        " VALUES ('bat001', %s, %s, %s) RETURNING id",
        model,
        at[0],
        at[0],
    )
    await write(
        world,
        "INSERT INTO serial_events (serial_id, kind, actor_id, detail, at)"
        " VALUES (%s, 'generated', %s, '{\"batch\": \"B1\"}', %s)",
        serial,
        admin,
        at[0],
    )
    warranty = await write(
        world,
        "INSERT INTO warranties (certificate_number, serial_id, customer_name, starts_on, expires_on, terms,"
        " activated_by, activated_at, signature)"
        " VALUES ('C-1', %s, 'Ram', '2024-01-01', '2026-01-01', '{}', %s, %s, '\\x00') RETURNING id",
        serial,
        admin,
        at[1],
    )
    loan = await write(
        world,
        "INSERT INTO finance_applications (dealer_id, consumer_id, battery_id, amount_minor, tenure_months,"
        " status, approved_minor, decided_at, created_at, updated_at)"
        " VALUES (%s, %s, %s, 4500050, 24, 'approved', 4500050, %s, %s, %s) RETURNING id",
        dealer,
        consumer,
        battery,
        at[3],
        at[2],
        at[3],
    )
    await write(
        world,
        "INSERT INTO battery_locks (application_id, battery_id, state, noticed_at, created_at)"
        " VALUES (%s, %s, 'noticed', %s, %s)",
        loan,
        battery,
        at[4],
        at[4],
    )
    await write(
        world,
        "INSERT INTO battery_commands (id, battery_id, action, requested_by, state, created_at, answered_at)"
        " VALUES (%s, %s, 'deactivate', %s, 'confirmed', %s, %s)",
        uuid.uuid4(),
        battery,
        dealer,
        at[5],
        at[5] + timedelta(milliseconds=1),
    )
    await write(
        world,
        "INSERT INTO battery_alarms (battery_id, kind, severity, opened_at, worst)"
        " VALUES (%s, 'over_temperature', 'critical', %s, 71.5)",
        battery,
        at[7],
    )
    await write(
        world,
        "INSERT INTO service_tickets (dealer_id, battery_id, consumer_id, issue_category, description,"
        " status, sla_due_at, resolved_at, created_at, updated_at)"
        " VALUES (%s, %s, %s, 'electrical', 'hot', 'resolved', %s, %s, %s, %s)",
        dealer,
        battery,
        consumer,
        at[9],
        at[9],
        at[8],
        at[9],
    )
    await write(
        world,
        "INSERT INTO warranty_claims (claim_number, warranty_id, claimant_id, issue, description, evidence,"
        " created_at, updated_at) VALUES ('CL-1', %s, %s, 'heat', 'it is hot', '{}', %s, %s)",
        warranty,
        admin,
        at[10],
        at[10],
    )
    await write(
        world,
        "UPDATE battery_assignments SET assigned_at = %s WHERE battery_id = %s",
        at[2] - DAY / 2,
        battery,
    )
    return at[11]


async def test_one_history_of_both_families(world: World) -> None:
    end = await live_a_life(world, datetime.now(UTC) - 30 * DAY)
    everything = [
        ("claim", "submitted"),
        ("ticket", "resolved"),
        ("ticket", "opened"),
        ("alarm", "opened"),
        ("command", "confirmed"),
        ("command", "asked"),
        ("lock", "noticed"),
        ("loan", "approved"),
        ("loan", "applied"),
        ("assignment", "assigned"),
        ("warranty", "activated"),
        ("stock", "generated"),
    ]

    async def told(who: Any, **query: Any) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = await world.call(who, "GET", f"{URL}/history", params=query)
        return listed

    def steps(listed: list[dict[str, Any]]) -> list[tuple[str, str]]:
        return [(each["source"], each["kind"]) for each in listed]

    for who in (world.dealer, world.admin):
        assert steps(await told(who)) == everything
    # the consumer: nothing from before the battery was his
    assert steps(await told(world.consumer)) == everything[:10]
    whole = await told(world.dealer)
    by_source = {each["source"]: each for each in whole}  # the oldest of each
    assert by_source["loan"]["detail"]["amount"] == 45000.5
    assert by_source["command"]["actor_id"] == world.dealer.id
    assert (by_source["stock"]["detail"], by_source["stock"]["actor_id"]) == ({}, None)
    assert by_source["warranty"]["actor_id"] is None
    assert "Ram" not in json.dumps(whole)
    async with world.pool.connection() as db:  # two of the same second are not torn apart
        pages = [await assets.history(db, "BAT001", reader=Reader("ienerzy"), limit=1)]
        while pages[-1]:
            before = pages[-1][-1].at.replace(microsecond=0)
            pages.append(await assets.history(db, "BAT001", reader=Reader("ienerzy"), before=before, limit=1))
    assert [(each.source, each.kind) for page in pages for each in page] == everything
    page = await told(world.dealer, limit=4)
    assert steps(page) == everything[:4]
    assert steps(await told(world.dealer, limit=3, before=page[3]["at"])) == everything[4:7]
    for wrong in ({"limit": 0}, {"limit": 501}, {"before": "yesterday"}, {"before": "2024-01-01T00:00:00"}):
        await world.call(world.dealer, "GET", f"{URL}/history", 400, params=wrong)
    await world.call(world.other_dealer, "GET", f"{URL}/history", 404)
    await world.call(world.technician, "GET", f"{URL}/history", 403)

    async with world.pool.connection() as db:
        told_there = await assets.history(db, "BaT001", reader=Reader("lithovolt"))
        assert await assets.history(db, "unknown", reader=Reader("lithovolt")) == []
    kinds = [(each.source, each.kind) for each in told_there]
    assert kinds == [step for step in everything if step[0] not in {"command", "lock", "loan"}]
    details = {each.source: each.detail for each in told_there}
    assert (details["stock"], details["assignment"], details["ticket"]) == ({"batch": "B1"}, {}, {})
    # a battery that went to another dealer's books keeps this dealer's loans and tickets to itself
    await write(
        world, "UPDATE batteries SET dealer_id = %s WHERE id = %s", world.other_dealer.id, world.battery.id
    )
    foreign = {each["source"] for each in await told(world.other_dealer)}
    assert foreign & {"loan", "lock", "ticket"} == set()
    assert end < datetime.now(UTC)


async def test_the_next_consumer_does_not_see_the_former_ones_life(world: World) -> None:
    await live_a_life(world, datetime.now(UTC) - 30 * DAY)
    second = await world.person("consumer", "+919855555555", world.dealer.id)
    await world.call(world.dealer, "PUT", f"{URL}/assign", json={"consumer_id": second.id})
    (only,) = await world.call(second, "GET", f"{URL}/history")
    assert (only["source"], only["detail"]) == ("assignment", {"consumer_id": second.id})
    await world.call(world.consumer, "GET", f"{URL}/history", 404)


@asynccontextmanager
async def shell(bus: Client, world: World, clock: Clock, *, answers: bool) -> AsyncIterator[list[str]]:
    """Relay orders as the MQTT shell does; the battery confirms them, or is away."""
    orders: list[str] = []

    async def take(message: Msg) -> None:
        request = json.loads(message.data)
        orders.append(request["action"])
        await message.respond(b'{"outcome": "sent"}')
        if not answers:
            return
        command_id = uuid.UUID(request["command_id"])
        async with world.pool.connection() as db:
            await batteries.answer_command(db, command_id, "confirmed", {}, clock.moment())
        await bus.publish(f"gridwire.battery.answer.{command_id}", b'{"outcome": "confirmed"}')

    subscription = await bus.subscribe("gridwire.battery.command", cb=take)
    try:
        yield orders
    finally:
        await subscription.unsubscribe()


async def test_the_check_of_a_battery_changes_nothing(world: World, bus: Client, clock: Clock) -> None:
    async def check(person: Any = None, status: int = 200) -> Any:
        return await world.call(person or world.dealer, "POST", f"{URL}/test", status)

    first = await check()
    assert first == {
        "serial_number": "BAT001",
        "status": "active",
        "check": "not_sent",
        "heard_lately": False,
        "last_heard_at": None,
        "pending": None,
        "message": first["message"],
    }
    await hear_of(world.pool, world.battery, clock.moment())
    async with shell(bus, world, clock, answers=True) as orders:
        assert (await check())["check"] == "not_sent"  # it never confirmed anything
        await world.call(world.dealer, "POST", f"{URL}/control", json={"action": "deactivate"})
        again = await check(world.admin)
        assert (again["check"], again["status"], again["heard_lately"]) == ("confirmed", "inactive", True)
        assert orders == ["deactivate"] * 2
        await world.call(world.dealer, "POST", f"{URL}/control", json={"action": "maintenance"})
        assert (await check())["check"] == "not_sent"  # to ask would set its status
        await world.call(world.dealer, "POST", f"{URL}/control", json={"action": "inactive"})
        assert len(orders) == 2
    clock.advance(16 * 60)
    async with shell(bus, world, clock, answers=False) as orders:
        silent = await check()
        assert (silent["check"], silent["heard_lately"]) == ("no_answer", False)
        assert silent["pending"]["action"] == "deactivate"
        assert (await check())["check"] == "not_sent"  # one waits already
        assert orders == ["deactivate"]
    for person, status in ((world.consumer, 403), (world.technician, 403), (world.other_dealer, 404)):
        await check(person, status)


async def test_a_status_is_set_directly_where_no_device_was_heard_of(world: World, clock: Clock) -> None:
    url = f"{URL}/test-status"
    for status in ("inactive", "maintenance", "active"):
        after = await world.call(world.dealer, "POST", url, json={"status": status})
        assert after["status"] == status
        assert list(after) == ["id", "serial_number", "status", "health_score", "owner_id", "created_at"]
    await world.call(world.dealer, "POST", url, 400, json={"status": "deactivate"})
    for person, code in (
        (world.consumer, 403),
        (world.technician, 403),
        (world.admin, 403),
        (world.other_dealer, 404),
    ):
        await world.call(person, "POST", url, code, json={"status": "inactive"})
    await hear_of(world.pool, world.battery, clock.moment())
    refusal = await world.call(world.dealer, "POST", url, 400, json={"status": "inactive"})
    assert refusal["code"] == "HAS_DEVICE"


async def test_admins_see_all_and_enter_for_a_dealer(world: World) -> None:
    await world.add_battery("BAT900", world.other_dealer)
    listed = await world.call(world.admin, "GET", "/batteries")
    assert [row["serial_number"] for row in listed] == ["BAT001", "BAT900"]
    mine = await world.call(world.admin, "GET", "/batteries", params={"dealer_id": world.dealer.id})
    assert [row["serial_number"] for row in mine] == ["BAT001"]
    assert (await world.call(world.admin, "GET", "/batteries/health-report"))["total_batteries"] == 2
    await world.call(world.admin, "POST", "/batteries", 400, json={"serial_number": "BAT901"})
    body = {"serial_number": "BAT901", "dealer_id": world.other_dealer.id}
    await world.call(world.admin, "POST", "/batteries", 201, json=body)
    await world.call(world.dealer, "GET", "/batteries/BAT901", 404)
    # of a dealer the body's dealer_id is not heard
    await world.call(world.dealer, "POST", "/batteries", 201, json={**body, "serial_number": "BAT902"})
    await world.call(world.dealer, "GET", "/batteries/BAT902")
    await world.call(world.admin, "POST", "/batteries/BAT902/control", json={"action": "maintenance"})
