"""Ienerzy service (IE-025 to IE-031, IE-X07): shapes, who may, the flow of a ticket, the rating, alarms."""

import re
from datetime import datetime, timedelta
from typing import Any

from storage.database import Pool
from storage.queries import battery_health, outbox
from stream import jobs
from stream.health.alarms import REPORTED, rules_of
from stream.jobs import JobsConfig
from stream.notices import Senders
from stream.service.alarm_tickets import JOBS, follow_alarm
from stream.service.sla import RESOLVE_WITHIN
from tests.api.helpers import Clock, Person
from tests.api.ienerzy.people import World, hear_of
from tests.api.ienerzy.service_people import add_technician, outgoing

TICKET = [
    "id",
    "battery_id",
    "issue_category",
    "description",
    "assigned_to",
    "status",
    "location",
    "created_at",
]
NEW = {"issue_category": "performance", "description": "Battery not holding charge properly"}


async def open_ticket(world: World, who: Person | None = None, **body: Any) -> dict[str, Any]:
    asked = {"battery_id": world.battery.id, **NEW, **body}
    answer: dict[str, Any] = await world.call(
        who or world.dealer, "POST", "/service/tickets", 201, json=asked
    )
    return answer


async def update(world: World, who: Person, ticket_id: int, expected: int = 200, /, **body: Any) -> Any:
    return await world.call(who, "POST", f"/service/tickets/{ticket_id}/update", expected, json=body)


async def test_a_new_ticket_has_a_technician_at_once(world: World) -> None:
    one = await add_technician(
        world, "Tech One", location="Bangalore Central", skills=["battery_maintenance"]
    )
    await add_technician(world, "Tech Two", location="Mysore", skills=["electrical"])
    answer = await open_ticket(world, location="Bangalore Central")
    ticket = answer["ticket"]
    assert list(answer) == ["ticket", "assigned_technician"]
    assert list(ticket) == TICKET
    assert (ticket["assigned_to"], ticket["status"]) == (one, "assigned")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", ticket["created_at"])
    who = {"id": one, "name": "Tech One", "location": "Bangalore Central", "status": "available"}
    assert answer["assigned_technician"] == who
    assert await world.call(world.dealer, "GET", "/service/tickets") == [ticket]
    (told,) = await outgoing(world.pool)
    assert (told.user_id, told.kind, told.channel) == (one, "ticket_assigned", "sms")
    assert told.body is not None
    assert all(
        part in told.body for part in ("BAT001", "priority medium", "Bangalore Central", "+919876543212")
    )


async def test_without_a_technician_a_ticket_stays_open(world: World) -> None:
    async with world.pool.connection() as db:
        await db.execute("UPDATE technicians SET status = 'off_duty'")
    answer = await open_ticket(world)
    assert answer["assigned_technician"] is None
    assert (answer["ticket"]["status"], answer["ticket"]["assigned_to"]) == ("open", None)
    body = {"ticket_id": answer["ticket"]["id"]}
    refused = await world.call(world.dealer, "POST", "/service/auto-assign", 404, json=body)
    assert refused == {"error": "No available technicians"}
    assert await outgoing(world.pool) == []


async def test_auto_assign_picks_the_best_and_names_the_others(world: World) -> None:
    async with world.pool.connection() as db:
        await db.execute("UPDATE technicians SET load_max = 1, location = 'Delhi'")
    ticket = (await open_ticket(world))["ticket"]
    assert ticket["assigned_to"] == world.technician.id
    one = await add_technician(world, "Tech One", location="Bangalore", skills=["electrical"], rating=4.5)
    foreign = await add_technician(world, "Theirs", world.other_dealer, location="Bangalore", rating=5)
    body = {
        "ticket_id": ticket["id"],
        "location": "Bangalore",
        "priority": "high",
        "skill_required": "Electrical",
    }
    answer = await world.call(world.dealer, "POST", "/service/auto-assign", json=body)
    # 30 + 30 + 18 + 0 + 10, and only the free load of the other, whose own ticket does not count
    assert answer == {
        "message": "Ticket auto-assigned successfully",
        "ticket": {
            "id": ticket["id"],
            "battery_id": world.battery.id,
            "assigned_to": one,
            "status": "assigned",
            "priority": "high",
        },
        "assigned_technician": {"id": one, "name": "Tech One", "availability_score": 88.0},
        "assignment_reason": "Selected based on highest score: 88.0",
        "other_candidates": [{"id": world.technician.id, "name": "Technician", "score": 10.0}],
    }
    assert foreign not in [each["id"] for each in answer["other_candidates"]]
    again = await world.call(world.dealer, "POST", "/service/auto-assign", json=body)
    assert again["ticket"] == answer["ticket"]
    detail = await world.call(world.dealer, "GET", f"/service/tickets/{ticket['id']}")
    assert [event["kind"] for event in detail["events"]] == ["assigned", "assigned", "opened"]
    assert detail["skill_required"] == "Electrical"
    taken, given, first = await outgoing(world.pool)
    assert (given.user_id, first.user_id) == (one, world.technician.id)
    assert (taken.user_id, taken.kind) == (world.technician.id, "ticket_taken")


async def test_assigning_by_hand(world: World) -> None:
    ticket = (await open_ticket(world))["ticket"]
    two = await add_technician(world, "Tech Two", None, load_max=1)
    path = f"/service/tickets/{ticket['id']}/assign"
    answer = await world.call(world.dealer, "PUT", path, json={"technician_id": two, "priority": "critical"})
    assert answer["message"] == "Ticket assigned successfully"
    assert list(answer["ticket"]) == [*TICKET[:6], "priority", "created_at"]
    assert (answer["ticket"]["assigned_to"], answer["ticket"]["priority"]) == (two, "critical")
    contact = answer["assigned_technician"]
    assert contact == {"id": two, "name": "Tech Two", "phone": contact["phone"], "role": "technician"}
    detail = await world.call(world.dealer, "GET", f"/service/tickets/{ticket['id']}")
    assert detail["sla_due_at"] == _later(detail["created_at"], RESOLVE_WITHIN["critical"])
    await world.call(
        world.dealer, "PUT", path, json={"technician_id": two}
    )  # it is that technician's already
    other = (await open_ticket(world))["ticket"]
    full = await world.call(
        world.dealer, "PUT", f"/service/tickets/{other['id']}/assign", 400, json={"technician_id": two}
    )
    assert "Tech Two has 1 tickets in hand" in full["details"]
    foreign = await add_technician(world, "Theirs", world.other_dealer)
    for unknown in (foreign, world.dealer.id, 10**15):
        await world.call(world.dealer, "PUT", path, 404, json={"technician_id": unknown})
    await world.call(world.dealer, "PUT", path, 400, json={"technician_id": two, "priority": "urgent"})


def _later(text: str, by: timedelta) -> str:
    return (datetime.fromisoformat(text) + by).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_the_flow_of_a_ticket(world: World, clock: Clock) -> None:
    ticket_id = (await open_ticket(world))["ticket"]["id"]
    technician = world.technician
    refused = await update(world, technician, ticket_id, 400, status="resolved")
    assert "is assigned: it can become in_progress, not resolved" in refused["details"]
    assert (await update(world, technician, ticket_id, 400))["error"] == "Missing required fields"
    clock.advance(3_600)
    answer = await update(
        world,
        technician,
        ticket_id,
        status="in_progress",
        description="Diagnosing battery issue",
        resolution_notes="Found loose connection",
        parts_used="Connector kit",
        labor_hours=2,
    )
    assert answer["message"] == "Ticket updated successfully"
    changed = answer["ticket"]
    assert list(changed) == [*TICKET[:6], "resolution_notes", "parts_used", "labor_hours", "created_at"]
    assert (changed["description"], changed["labor_hours"]) == ("Diagnosing battery issue", 2)
    await world.call(world.dealer, "POST", "/service/auto-assign", 400, json={"ticket_id": ticket_id})
    await update(world, technician, ticket_id, status="assigned")
    await update(world, technician, ticket_id, status="in_progress", labor_hours=2.5, parts_cost=1250.5)
    await update(world, technician, ticket_id, 400, status="open")
    async with world.pool.connection() as db:
        await db.execute("UPDATE service_tickets SET sla_due_at = created_at + interval '30 minutes'")
    (late,) = (await world.call(technician, "GET", "/service/tickets/active"))["active_tickets"]
    assert late["sla_breached"] is True
    await update(world, technician, ticket_id, status="resolved")
    await update(world, technician, ticket_id, status="resolved")  # said twice
    await update(world, technician, ticket_id, 400, status="in_progress")
    await update(world, technician, ticket_id, 400, status="open")
    detail = await world.call(world.consumer, "GET", f"/service/tickets/{ticket_id}")
    assert (detail["parts_cost"], detail["labor_hours"], detail["sla_breached"]) == (1250.5, 2.5, True)
    assert detail["started_at"] == _later(detail["created_at"], timedelta(hours=1))
    steps = [event["detail"]["to"] for event in reversed(detail["events"]) if event["kind"] == "status"]
    assert steps == ["in_progress", "assigned", "in_progress", "resolved"]
    body = {"technician_id": technician.id}
    await world.call(world.dealer, "PUT", f"/service/tickets/{ticket_id}/assign", 400, json=body)
    assert (await world.call(world.dealer, "GET", "/service/tickets/active"))["count"] == 0
    opened = await update(world, world.dealer, ticket_id, status="open")
    assert (opened["ticket"]["status"], opened["ticket"]["assigned_to"]) == ("open", None)


async def test_active_tickets_and_their_summary(world: World) -> None:
    first = (await open_ticket(world))["ticket"]["id"]
    second = (await open_ticket(world, world.consumer, location="Whitefield"))["ticket"]["id"]
    await update(world, world.technician, first, status="in_progress")
    answer = await world.call(world.dealer, "GET", "/service/tickets/active")
    assert answer["summary"] == {"open": 0, "assigned": 1, "in_progress": 1}
    assert (answer["count"], [each["id"] for each in answer["active_tickets"]]) == (2, [second, first])
    newest = answer["active_tickets"][0]
    keys = [
        *TICKET[:-1],
        "battery_serial",
        "consumer_name",
        "consumer_phone",
        "technician_name",
        "created_at",
    ]
    assert list(newest) == [*keys, "priority", "sla_due_at", "sla_breached"]
    people = (newest["battery_serial"], newest["consumer_name"], newest["consumer_phone"])
    assert people == ("BAT001", "Consumer", "+919876543212")
    assert (newest["technician_name"], newest["location"]) == ("Technician", "Whitefield")


async def test_who_may_what(world: World) -> None:
    ticket_id = (await open_ticket(world))["ticket"]["id"]
    stranger = await world.person("consumer", "+919876543230", world.dealer.id)
    idle = await world.person("technician", "+919876543231")
    paths = ("/service/tickets", "/service/tickets/active")
    for who in (world.dealer, world.consumer, world.technician, world.admin):
        listed, active = [await world.call(who, "GET", path) for path in paths]
        assert len(listed) == active["count"] == 1
        await world.call(who, "GET", f"/service/tickets/{ticket_id}")
    for who in (world.other_dealer, stranger, idle):
        listed, active = [await world.call(who, "GET", path) for path in paths]
        assert (listed, active["count"]) == ([], 0)
        await world.call(who, "GET", f"/service/tickets/{ticket_id}", 404)
    new = {"battery_id": world.battery.id, **NEW}
    await world.call(None, "POST", "/service/tickets", 401, json=new)
    for who, status in ((world.technician, 403), (world.other_dealer, 404), (stranger, 404)):
        await world.call(who, "POST", "/service/tickets", status, json=new)
    by_hand, best = {"technician_id": world.technician.id}, {"ticket_id": ticket_id}
    for who, status in ((world.technician, 403), (world.consumer, 403), (world.other_dealer, 404)):
        await world.call(who, "PUT", f"/service/tickets/{ticket_id}/assign", status, json=by_hand)
        await world.call(who, "POST", "/service/auto-assign", status, json=best)
    for who, status in ((world.consumer, 403), (idle, 404), (world.other_dealer, 404)):
        await update(world, who, ticket_id, status, description="mine")
    for who in (world.consumer, world.technician):
        await world.call(who, "GET", "/service/technicians/available", 403)
    for who, status in ((world.dealer, 403), (stranger, 404)):
        await world.call(who, "POST", f"/service/tickets/{ticket_id}/rate", status, json={"rating": 5})
    for reference in ("999", "x", "1" * 30):
        await world.call(world.admin, "GET", f"/service/tickets/{reference}", 404)


async def test_what_is_no_ticket(world: World) -> None:
    wrong: list[dict[str, Any]] = [
        {"battery_id": None},
        {"battery_id": "x"},
        {"issue_category": "magic"},
        {"description": ""},
        {"description": "a\0"},
        {"description": "a" * 2_001},
        {"location": "a" * 201},
        {"priority": "urgent"},
    ]
    for change in wrong:
        body = {"battery_id": world.battery.id, **NEW, **change}
        assert "error" in await world.call(world.dealer, "POST", "/service/tickets", 400, json=body)
    for change in ({"labor_hours": -1}, {"labor_hours": 1.234}, {"parts_cost": -1}, {"status": "closed"}):
        await update(world, world.dealer, 1, 400, **change)
    assert await world.call(world.dealer, "GET", "/service/tickets") == []


async def test_a_ticket_without_a_place_is_where_its_battery_is(world: World, clock: Clock) -> None:
    async with world.pool.connection() as db:
        await db.execute("UPDATE technicians SET latitude = 28.61, longitude = 77.21, experience_years = 10")
    near = await add_technician(world, "Near", latitude=12.97, longitude=77.59)
    await hear_of(world.pool, world.battery, clock.moment())

    async def report(age: timedelta) -> None:
        statement = """
            INSERT INTO battery_samples (ts, device_id, received_at, latitude_deg, longitude_deg)
            VALUES (%s, %s, now(), 12.98, 77.60)
        """
        async with world.pool.connection() as db:
            await db.execute(statement, (clock.moment() - age, world.battery.device_id))

    await report(timedelta(hours=25))
    assert (await open_ticket(world))["ticket"]["assigned_to"] == world.technician.id
    await report(timedelta(hours=1))
    assert (await open_ticket(world))["ticket"]["assigned_to"] == near


async def test_available_technicians_are_filtered_and_ranked(world: World) -> None:
    async with world.pool.connection() as db:
        await db.execute("UPDATE technicians SET status = 'busy'")
    skills = ["battery_maintenance", "electrical"]
    one = await add_technician(
        world, "Tech One", location="Bangalore Central", skills=skills, rating=4.5, experience_years=3
    )
    two = await add_technician(world, "Tech Two", None, location="Mysore", skills=["electrical"], rating=4)
    near = await add_technician(world, "Near", location="HQ", latitude=12.97, longitude=77.59)
    await add_technician(world, "Theirs", world.other_dealer, location="Bangalore Central", skills=skills)
    path = "/service/technicians/available"
    asked = {"location": "Bangalore", "skill_required": "battery_maintenance"}
    answer = await world.call(world.dealer, "GET", path, params=asked)
    assert answer == {
        "available_technicians": [
            {
                "id": one,
                "name": "Tech One",
                "location": "Bangalore Central",
                "status": "available",
                "skills": skills,
                "rating": 4.5,
                "experience_years": 3,
                "current_load": 0,
                "availability_score": 91.0,
            }
        ],
        "count": 1,
        "scoring_algorithm": (
            "Based on location proximity, skills match, rating, experience, and current workload"
        ),
    }
    everybody = await world.call(world.dealer, "GET", path)
    assert [each["id"] for each in everybody["available_technicians"]] == [one, two, near]
    close = await world.call(world.dealer, "GET", path, params={"location": "12.98, 77.60"})
    assert [each["id"] for each in close["available_technicians"]] == [near]
    assert (await world.call(world.admin, "GET", path))["count"] == 4


async def test_a_rating_moves_the_technicians_mean(world: World) -> None:
    one = await add_technician(
        world, "Tech One", rating=4.5, location="Bangalore", skills=["battery_maintenance"]
    )
    seen = []
    for rating in (3, 5, 4):
        ticket = (await open_ticket(world, location="Bangalore"))["ticket"]
        assert ticket["assigned_to"] == one
        path = f"/service/tickets/{ticket['id']}/rate"
        early = await world.call(world.consumer, "POST", path, 400, json={"rating": rating})
        assert "only what is resolved" in early["details"]
        await update(world, world.dealer, ticket["id"], status="in_progress")
        await update(world, world.dealer, ticket["id"], status="resolved")
        await world.call(world.consumer, "POST", path, 400, json={"rating": 6})
        rated = await world.call(world.consumer, "POST", path, json={"rating": rating})
        assert rated == {"message": "Ticket rated successfully", "ticket_id": ticket["id"], "rating": rating}
        await world.call(world.consumer, "POST", path, 400, json={"rating": 1})
        async with world.pool.connection() as db:
            row = await db.execute(
                "SELECT rating::float8, ratings FROM technicians WHERE user_id = %s", (one,)
            )
            seen.append(await row.fetchone())
    # means of 4.5 with 3, with 5, with 4
    assert seen == [(3.8, 2), (4.2, 3), (4.1, 4)]


async def test_the_first_rating_of_who_has_none_is_its_rating(world: World) -> None:
    ticket = (await open_ticket(world))["ticket"]["id"]
    for status in ("in_progress", "resolved"):
        await update(world, world.technician, ticket, status=status)
    await world.call(world.consumer, "POST", f"/service/tickets/{ticket}/rate", json={"rating": 5})
    async with world.pool.connection() as db:
        row = await db.execute("SELECT rating::float8, ratings FROM technicians")
        assert await row.fetchone() == (5, 1)


async def test_a_rating_is_of_who_did_the_work(world: World) -> None:
    other = await add_technician(world, "Tech Two")
    ticket = (await open_ticket(world))["ticket"]["id"]
    path = f"/service/tickets/{ticket}"
    for technician, rating in ((world.technician.id, 1), (other, 5)):
        await world.call(world.dealer, "PUT", f"{path}/assign", json={"technician_id": technician})
        for status in ("in_progress", "resolved"):
            await update(world, world.dealer, ticket, status=status)
        await world.call(world.consumer, "POST", f"{path}/rate", json={"rating": rating})
        if technician != other:
            await update(world, world.dealer, ticket, status="open")
            assert (await world.call(world.consumer, "GET", path))["satisfaction"] is None
    metrics = await world.call(world.dealer, "GET", "/analytics/service-metrics")
    (shown,) = metrics["technician_performance"]
    assert (shown["technician_id"], shown["customer_satisfaction"]) == (other, 5)
    async with world.pool.connection() as db:
        row = await db.execute("SELECT rating::float8 FROM technicians ORDER BY user_id")
        assert await row.fetchall() == [(1,), (5,)]


async def alarm(world: World, clock: Clock, kind: str, severity: str = "critical") -> int:
    """Open an alarm as the health job does."""
    async with world.pool.connection() as db:
        alarm_id = await battery_health.open_alarm(
            db, world.battery.id, kind=kind, severity=severity, at=clock.moment(), worst=61.5, cell=None
        )
        assert alarm_id is not None
        await follow_alarm(db, alarm_id, severity=severity, dealer_id=world.dealer.id)
    return alarm_id


async def work_off(world: World, bus: Any, clock: Clock) -> None:
    clock.advance(5)
    config = JobsConfig(clock=clock, senders=Senders())
    while await jobs.work_one(config, world.pool, bus):
        pass


async def test_a_critical_alarm_opens_one_ticket(world: World, clock: Clock, bus: Any) -> None:
    hot = await alarm(world, clock, "over_temperature")
    await alarm(world, clock, "cell_imbalance", "warning")
    async with world.pool.connection() as db:  # a task that is there twice, too
        await outbox.enqueue(db, "alarm_ticket", {"alarm_id": hot})
    await work_off(world, bus, clock)
    (ticket,) = await world.call(world.dealer, "GET", "/service/tickets")
    assert (ticket["issue_category"], ticket["assigned_to"]) == ("performance", world.technician.id)
    assert ticket["description"].startswith("The battery reports over temperature: 61.5 at 20")
    told = {notice.user_id: notice.body for notice in await outgoing(world.pool)}
    assert set(told) == {world.dealer.id, world.technician.id}
    assert told[world.dealer.id] == (
        f"Battery BAT001 reports over temperature: service ticket {ticket['id']} is open, Technician has it."
    )
    flat = await alarm(world, clock, "pack_under_voltage")  # the same category: noted on that ticket
    await alarm(world, clock, "short_circuit")
    await work_off(world, bus, clock)
    listed = await world.call(world.dealer, "GET", "/service/tickets")
    assert [each["issue_category"] for each in listed] == ["electrical", "performance"]
    detail = await world.call(world.dealer, "GET", f"/service/tickets/{ticket['id']}")
    assert detail["alarm_id"] == hot
    assert [(event["kind"], event["detail"].get("alarm_id")) for event in detail["events"]] == [
        ("noted", flat),
        ("assigned", None),
        ("opened", hot),
    ]


async def test_an_alarm_makes_a_ticket_that_there_is_urgent(world: World, clock: Clock, bus: Any) -> None:
    ticket = (await open_ticket(world, priority="low"))["ticket"]
    before = await world.call(world.dealer, "GET", f"/service/tickets/{ticket['id']}")
    for kind in ("cell_under_voltage", "over_temperature", "pack_under_voltage"):
        await alarm(world, clock, kind)
    await work_off(world, bus, clock)
    (listed,) = (await world.call(world.dealer, "GET", "/service/tickets/active"))["active_tickets"]
    assert (listed["id"], listed["priority"]) == (ticket["id"], "critical")
    assert listed["sla_due_at"] == _later(before["created_at"], timedelta(days=1))
    told = [each.body for each in await outgoing(world.pool) if each.user_id == world.dealer.id]
    news = "reports cell under voltage: service ticket {} is open, Technician has it."
    assert told == [f"Battery BAT001 {news.format(ticket['id'])}"]


def test_every_kind_of_critical_alarm_has_a_category() -> None:
    critical = {rule.kind for rule in rules_of() if rule.limit.severity == "critical"}
    assert set(REPORTED) <= critical
    assert set(JOBS) == critical


async def test_tickets_of_a_battery_without_a_dealer(world: World, pool: Pool) -> None:
    battery = await world.add_battery("NOBODYS")
    async with pool.connection() as db:
        await db.execute("UPDATE batteries SET dealer_id = NULL WHERE id = %s", (battery.id,))
    body = {**NEW, "battery_id": battery.id}
    refused = await world.call(world.admin, "POST", "/service/tickets", 400, json=body)
    assert "has no dealer" in refused["details"]
