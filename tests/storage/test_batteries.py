import asyncio
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from storage.database import Connection, Pool
from storage.errors import AlreadyExistsError
from storage.queries.batteries import (
    Battery,
    answer_command,
    find_battery,
    health_report,
    insert_battery,
    insert_command,
    list_batteries,
    pending_commands_for,
    set_battery_status,
)
from storage.queries.battery_assignments import assign_battery, list_assignments
from storage.queries.devices import register_device
from tests.storage.people import NOON, make_user


async def enter(connection: Connection, serial: str, score: int = 100, dealer: int | None = None) -> Battery:
    return await insert_battery(connection, serial, health_score=Decimal(score), dealer_id=dealer)


async def test_a_serial_number_is_taken_once(connection: Connection) -> None:
    dealer = await make_user(connection, "Dealer", "ienerzy", "dealer")
    battery = await enter(connection, "BAT001", dealer=dealer)
    assert (battery.status, battery.owner_id, battery.consumer_name) == ("active", None, None)
    for serial in ("BAT001", "bat001"):
        with pytest.raises(AlreadyExistsError, match=serial):
            await enter(connection, serial, dealer=dealer)
    assert await find_battery(connection, "bAt001") == battery  # the transaction goes on
    assert await find_battery(connection, "BAT002") is None


async def test_nobody_takes_over_without_being_a_dealer(connection: Connection) -> None:
    await register_device(connection, "battery", "BAT001")
    with pytest.raises(AlreadyExistsError):
        await enter(connection, "BAT001")


async def test_lists_by_status_dealer_and_consumer(connection: Connection) -> None:
    dealer = await make_user(connection, "Dealer", "ienerzy", "dealer")
    consumer = await make_user(connection, "Consumer", "ienerzy", "consumer")
    first = await enter(connection, "BAT001", dealer=dealer)
    second = await enter(connection, "BAT002", dealer=dealer)
    third = await enter(connection, "BAT003")
    assert await assign_battery(connection, second.id, consumer, assigned_by=dealer, now=NOON)
    assert not await assign_battery(connection, second.id, consumer, assigned_by=dealer, now=NOON)
    owned = await find_battery(connection, "BAT002")
    assert owned is not None
    assert (owned.owner_id, owned.consumer_name) == (consumer, "Consumer")
    stopped = await set_battery_status(connection, third.id, "inactive")
    assert await list_batteries(connection, limit=10) == [first, owned, stopped]
    assert await list_batteries(connection, dealer_id=dealer, limit=10) == [first, owned]
    assert await list_batteries(connection, owner_id=consumer, limit=10) == [owned]
    assert await list_batteries(connection, status="inactive", limit=10) == [stopped]
    assert await list_batteries(connection, after_id=first.id, limit=1) == [owned]
    assert await set_battery_status(connection, 999, "active") is None


async def test_a_battery_given_back_is_nobodys(connection: Connection) -> None:
    consumer = await make_user(connection, "Consumer", "ienerzy", "consumer")
    battery = await enter(connection, "BAT001")
    assert await assign_battery(connection, battery.id, consumer, assigned_by=None, now=NOON)
    assert await assign_battery(connection, battery.id, None, assigned_by=None, now=NOON)
    found = await find_battery(connection, "BAT001")
    assert found is not None
    assert found.owner_id is None
    (held,) = await list_assignments(connection, battery.id, limit=10)
    assert (held.consumer_id, held.assigned_at, held.ended_at) == (consumer, NOON, NOON)


async def test_health_by_status(connection: Connection) -> None:
    dealer = await make_user(connection, "Dealer", "ienerzy", "dealer")
    for serial, score in (("B1", 90), ("B2", 95), ("B3", 40)):
        battery = await enter(connection, serial, score, dealer)
    await set_battery_status(connection, battery.id, "inactive")
    await enter(connection, "OTHER", 1)
    active, inactive = await health_report(connection, dealer_id=dealer)
    assert (active.status, active.count, float(active.avg_health)) == ("active", 2, 92.5)
    assert (active.min_health, active.max_health) == (Decimal(90), Decimal(95))
    assert (inactive.status, inactive.count, inactive.avg_health) == ("inactive", 1, Decimal(40))
    assert sum(group.count for group in await health_report(connection)) == 4


async def status_of(connection: Connection, serial: str) -> str:
    battery = await find_battery(connection, serial)
    assert battery is not None
    return battery.status


async def test_a_confirmed_command_sets_the_status_once(connection: Connection) -> None:
    battery = await enter(connection, "BAT001")
    command = await insert_command(connection, uuid4(), battery.id, "deactivate", None)
    assert (command.state, command.serial_number) == ("pending", "BAT001")
    assert await pending_commands_for(connection, "bat001") == [command]
    confirmed = await answer_command(connection, command.id, "confirmed", {"relay": "open"}, NOON)
    assert confirmed is not None
    assert (confirmed.state, confirmed.answer, confirmed.answered_at) == (
        "confirmed",
        {"relay": "open"},
        NOON,
    )
    assert await status_of(connection, "BAT001") == "inactive"
    await set_battery_status(connection, battery.id, "maintenance")
    assert await answer_command(connection, command.id, "refused", {}, NOON) == confirmed
    assert await status_of(connection, "BAT001") == "maintenance"
    assert await pending_commands_for(connection, "BAT001") == []
    assert await answer_command(connection, uuid4(), "confirmed", {}, NOON) is None


async def test_a_refused_command_leaves_the_status(connection: Connection) -> None:
    battery = await enter(connection, "BAT001")
    command = await insert_command(connection, uuid4(), battery.id, "deactivate", None)
    refused = await answer_command(connection, command.id, "refused", {"detail": "moving"}, NOON)
    assert refused is not None
    assert refused.state == "refused"
    assert await status_of(connection, "BAT001") == "active"


async def test_a_new_command_supersedes_the_one_that_waits(connection: Connection) -> None:
    battery = await enter(connection, "BAT001")
    old = await insert_command(connection, uuid4(), battery.id, "deactivate", None)
    new = await insert_command(connection, uuid4(), battery.id, "activate", None)
    assert await pending_commands_for(connection, "BAT001") == [new]
    late = await answer_command(connection, old.id, "confirmed", {}, NOON)
    assert late is not None
    assert late.state == "superseded"
    assert await status_of(connection, "BAT001") == "active"


async def test_commands_and_answers_at_once(pool: Pool) -> None:
    async with pool.connection() as connection:
        battery = await enter(connection, "BAT001")
    ids: list[UUID] = [uuid4() for _ in range(12)]

    async def command(command_id: UUID) -> None:
        async with pool.connection() as connection:
            await insert_command(connection, command_id, battery.id, "deactivate", None)
        async with pool.connection() as connection:
            await answer_command(connection, command_id, "confirmed", {}, NOON)

    await asyncio.gather(*map(command, ids))
    async with pool.connection() as connection:
        assert await pending_commands_for(connection, "BAT001") == []
        assert await status_of(connection, "BAT001") == "inactive"
