"""Many at a time: no technician has more than it can, no ticket two technicians, no alarm two tickets."""

import asyncio
from collections import Counter
from typing import Any

from storage.database import Pool
from storage.queries import battery_health, service_tickets
from stream.service.alarm_tickets import open_for_alarm
from tests.api.helpers import Clock, Person
from tests.api.ienerzy.people import World
from tests.api.ienerzy.service_people import add_technician, outgoing

MANY = 100
LOAD_MAX = 5


async def add_open_tickets(world: World, count: int) -> list[int]:
    statement = """
        INSERT INTO service_tickets (dealer_id, battery_id, issue_category, description, sla_due_at,
                                     created_at, updated_at)
        SELECT dealer_id, id, 'other', 'It stopped', now() + interval '3 days', now(), now()
        FROM batteries, generate_series(1, %s) WHERE id = %s
        RETURNING id
    """
    async with world.pool.connection() as db:
        return [row[0] async for row in await db.execute(statement, (count, world.battery.id))]


async def post(world: World, who: Person, method: str, path: str, body: Any) -> tuple[int, Any]:
    answer = await world.api.request(method, f"/api/service{path}", headers=who.headers, json=body)
    return answer.status_code, answer.json()


async def rows(pool: Pool, statement: str) -> list[tuple[Any, ...]]:
    async with pool.connection() as db:
        return await (await db.execute(statement)).fetchall()


async def test_no_technician_gets_more_than_load_max(world: World) -> None:
    async with world.pool.connection() as db:
        await db.execute("UPDATE technicians SET load_max = %s", (LOAD_MAX,))
    for name in ("One", "Two"):
        await add_technician(world, name, load_max=LOAD_MAX)
    shared = await add_technician(world, "Shared", None, load_max=LOAD_MAX)
    tickets = await add_open_tickets(world, MANY)

    async def one(number: int, ticket_id: int) -> int:
        if number % 10 == 0:  # some by hand, among them
            path = f"/tickets/{ticket_id}/assign"
            return (await post(world, world.dealer, "PUT", path, {"technician_id": shared}))[0]
        return (await post(world, world.dealer, "POST", "/auto-assign", {"ticket_id": ticket_id}))[0]

    statuses = Counter(await asyncio.gather(*(one(*each) for each in enumerate(tickets))))
    assert statuses[200] == 4 * LOAD_MAX
    assert set(statuses) <= {200, 400, 404}
    loads = await rows(
        world.pool,
        "SELECT assigned_to, count(*) FROM service_tickets WHERE status = 'assigned' GROUP BY assigned_to",
    )
    assert sorted(count for _, count in loads) == [LOAD_MAX] * 4
    events = await rows(world.pool, "SELECT ticket_id FROM service_ticket_events WHERE kind = 'assigned'")
    assert len(events) == len(set(events)) == 4 * LOAD_MAX
    assert len(await outgoing(world.pool)) == 4 * LOAD_MAX


async def test_no_ticket_gets_two_technicians(world: World) -> None:
    people = [await add_technician(world, f"Tech {number}") for number in range(5)]
    (ticket_id,) = await add_open_tickets(world, 1)
    body = {"ticket_id": ticket_id}
    answers = await asyncio.gather(
        *(post(world, world.dealer, "POST", "/auto-assign", body) for _ in range(MANY))
    )
    assert {status for status, _ in answers} == {200}
    assert {answer["assigned_technician"]["id"] for _, answer in answers} == {world.technician.id}
    async with world.pool.connection() as db:
        events = await service_tickets.list_events(db, ticket_id, MANY)
    assert [event.kind for event in events] == ["assigned"]
    assert [notice.user_id for notice in await outgoing(world.pool)] == [world.technician.id]
    assert world.technician.id < min(people)


async def test_new_tickets_at_once_share_the_technicians(world: World) -> None:
    async with world.pool.connection() as db:
        await db.execute("UPDATE technicians SET load_max = 3")
    body = {"battery_id": world.battery.id, "issue_category": "other", "description": "It stopped"}
    answers = await asyncio.gather(
        *(post(world, world.consumer, "POST", "/tickets", body) for _ in range(20))
    )
    assert {status for status, _ in answers} == {201}
    assert Counter(answer["ticket"]["status"] for _, answer in answers) == {"assigned": 3, "open": 17}


async def test_alarms_at_once_open_one_ticket(world: World, clock: Clock) -> None:
    kinds = ("over_temperature", "cell_under_voltage", "pack_under_voltage")  # one category
    async with world.pool.connection() as db:
        alarms = [
            await battery_health.open_alarm(
                db, world.battery.id, kind=kind, severity="critical", at=clock.moment(), worst=1.0, cell=2
            )
            for kind in kinds
        ]

    async def handle(alarm_id: int | None) -> None:
        assert alarm_id is not None
        async with world.pool.connection() as db:
            await open_for_alarm(db, alarm_id, clock.moment())

    await asyncio.gather(*(handle(alarm_id) for alarm_id in alarms))
    ((ticket_id,),) = await rows(world.pool, "SELECT id FROM service_tickets")
    noted = await rows(
        world.pool, "SELECT detail->>'alarm_id' FROM service_ticket_events WHERE kind = 'noted'"
    )
    opened = await rows(world.pool, "SELECT alarm_id::text FROM service_tickets")
    assert sorted(noted + opened) == sorted((str(each),) for each in alarms)
    assert ticket_id == 1
