"""Commands that wait for devices: order, supersession, expiry, and each taken once."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from storage.database import Connection, Pool
from storage.queries import device_commands, devices
from storage.queries.device_commands import DeviceCommand

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def meter(connection: Connection) -> int:
    return (await devices.register_device(connection, "meter", "70b3d5499c1d0001")).id


async def command(
    connection: Connection,
    device_id: int,
    action: str,
    *,
    at: datetime = NOW,
    command_id: UUID | None = None,
    lives: timedelta = timedelta(days=1),
) -> DeviceCommand:
    return await device_commands.insert_command(
        connection, command_id=command_id or uuid4(), device_id=device_id, action=action, port=2,
        payload=b"\x01", is_confirmed=True, reason="operator", created_at=at, expires_at=at + lives,
    )  # fmt: skip


async def states(connection: Connection, device_id: int) -> list[tuple[str, str]]:
    found = await device_commands.list_commands(connection, device_id, limit=10)
    return [(each.action, each.state) for each in reversed(found)]


async def test_a_later_order_takes_the_place_of_one_that_waits(connection: Connection) -> None:
    device_id = await meter(connection)
    for minute, action in enumerate(("close", "interval", "open", "open")):
        await command(connection, device_id, action, at=NOW + timedelta(minutes=minute))
    assert await states(connection, device_id) == [
        ("close", "superseded"),
        ("interval", "pending"),
        ("open", "superseded"),
        ("open", "pending"),
    ]


async def test_the_same_id_again_changes_nothing(connection: Connection) -> None:
    device_id, command_id = await meter(connection), uuid4()
    first = await command(connection, device_id, "close", command_id=command_id)
    again = await command(connection, device_id, "close", command_id=command_id, at=NOW + timedelta(hours=1))
    assert again == first
    assert len(await states(connection, device_id)) == 1


async def test_commands_are_taken_in_their_order_and_expire(connection: Connection) -> None:
    device_id = await meter(connection)
    await command(connection, device_id, "close", lives=timedelta(minutes=1))
    await command(connection, device_id, "interval", at=NOW + timedelta(seconds=1))
    await command(connection, device_id, "raw", at=NOW + timedelta(seconds=2))
    later = NOW + timedelta(minutes=2)
    taken = [await device_commands.take_next(connection, device_id, later) for _ in range(3)]
    assert [each and each.action for each in taken] == ["interval", "raw", None]
    assert await states(connection, device_id) == [
        ("close", "expired"),
        ("interval", "sent"),
        ("raw", "sent"),
    ]


async def test_one_command_goes_to_one_taker(pool: Pool) -> None:
    async with pool.connection() as connection:
        device_id = await meter(connection)
        await command(connection, device_id, "close")

    async def take() -> DeviceCommand | None:
        async with pool.connection() as connection:
            return await device_commands.take_next(connection, device_id, NOW)

    taken = await asyncio.gather(*(take() for _ in range(5)))
    assert sum(each is not None for each in taken) == 1


async def test_an_answer_ends_a_command_once(connection: Connection) -> None:
    device_id = await meter(connection)
    made = await command(connection, device_id, "close")
    assert (await device_commands.mark(connection, made.id, "sent", NOW)) is not None
    done = await device_commands.mark(connection, made.id, "acknowledged", NOW, "the network server says so")
    assert done is not None
    assert done.done_at == NOW
    assert await device_commands.mark(connection, made.id, "failed", NOW) is None
    assert await device_commands.devices_with_waiting(connection, NOW, limit=10) == []


async def test_commands_that_nobody_came_for_expire_all_the_same(connection: Connection) -> None:
    device_id = await meter(connection)
    await command(connection, device_id, "close", lives=timedelta(minutes=1))
    await command(connection, device_id, "interval", at=NOW + timedelta(seconds=1))
    await command(connection, device_id, "raw", at=NOW + timedelta(seconds=2), lives=timedelta(days=2))
    sent = await device_commands.take_next(connection, device_id, NOW)
    assert sent is not None
    assert sent.action == "close"
    at = NOW + timedelta(days=1, seconds=1)
    assert await device_commands.expire(connection, at, 1) == 1
    assert await device_commands.expire(connection, at, 10) == 1
    assert await device_commands.expire(connection, at, 10) == 0
    found = dict(await states(connection, device_id))
    assert found == {"close": "expired", "interval": "expired", "raw": "pending"}
