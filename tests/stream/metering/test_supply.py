"""What a balance means for the supply: low and empty told once, valves closed and opened, nobody twice."""

import asyncio
import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from nats.aio.client import Client

from protocols.timestamps import from_datetime
from storage.database import Pool
from storage.queries import device_commands, meters, outbox
from stream import jobs
from stream.jobs import JobsConfig
from stream.metering import supply, wallets
from stream.replacement import replace as replace_device
from tests.stream.metering.estate import (
    NOW,
    VALVE,
    Point,
    a_device,
    a_meter,
    a_unit,
    an_estate,
    bill_all,
    command_ids,
    commands_of,
    local,
    remove,
    send,
    supply_of,
    top_up,
    wallet_of,
)


async def make(pool: Pool, balance_minor: int, *, low_minor: int = 100, **meter: Any) -> Point:
    async with pool.connection() as connection:
        unit_id = await a_unit(
            connection, await an_estate(connection), balance_minor=balance_minor, low_minor=low_minor
        )
        return await a_meter(connection, unit_id, downlinks=meter.pop("downlinks", VALVE), **meter)


async def notices(pool: Pool) -> list[tuple[str, int]]:
    """What people are to be told, and of which unit."""
    async with pool.connection() as connection:
        found = await connection.execute(
            "SELECT payload ->> 'kind', (payload ->> 'unit_id')::integer FROM outbox"
            " WHERE kind = 'notify_wallet' ORDER BY id"
        )
        return [(kind, unit_id) for kind, unit_id in await found.fetchall()]


async def listen(bus: Client) -> list[tuple[str, dict[str, Any]]]:
    heard: list[tuple[str, dict[str, Any]]] = []

    async def hear(message: Any) -> None:
        heard.append((message.subject.removeprefix("gridwire.live."), json.loads(message.data)))

    await bus.subscribe("gridwire.live.>", cb=hear)
    return heard


async def names(bus: Client, heard: list[tuple[str, dict[str, Any]]]) -> list[str]:
    await bus.flush()
    await asyncio.sleep(0.05)
    return [name for name, _ in heard]


async def test_a_balance_that_falls_is_told_and_closes_the_supply(pool: Pool, bus: Client) -> None:
    heard = await listen(bus)
    point = await make(pool, 300)
    await send(pool, point, (local(20, 8), 0), (local(20, 9), 500))
    await bill_all(pool, bus)
    assert await names(bus, heard) == []
    await send(pool, point, (local(20, 10), 1_250))
    await bill_all(pool, bus)
    assert await names(bus, heard) == ["wallet-low"]
    await send(pool, point, (local(20, 11), 1_300))  # low before, low after: nothing new
    await bill_all(pool, bus)
    assert (await wallet_of(pool, point.unit_id)).balance_minor == 40
    assert await commands_of(pool, point.device_id) == []
    await send(pool, point, (local(20, 12), 1_500))
    await bill_all(pool, bus)
    assert await names(bus, heard) == ["wallet-low", "wallet-empty", "supply-closed"]
    assert heard[2][1] == {
        "unit_id": point.unit_id,
        "meter_id": point.meter_id,
        "device_id": point.device_id,
        "serial_number": heard[2][1]["serial_number"],
        "reason": "wallet_empty",
    }
    assert await notices(pool) == [("low", point.unit_id), ("empty", point.unit_id)]
    (command,) = await commands_of(pool, point.device_id)
    assert (command.action, command.port, command.payload, command.is_confirmed, command.reason) == (
        "close", 10, b"\x00\xff", True, "wallet_empty",
    )  # fmt: skip
    assert await supply_of(pool, point.meter_id) == "closed"
    await send(pool, point, (local(20, 13), 1_600))  # what ran until the valve closed
    await bill_all(pool, bus)
    assert command_ids(await commands_of(pool, point.device_id)) == {command.id}
    assert (await wallet_of(pool, point.unit_id)).balance_minor == -20


async def test_a_fall_in_one_step_tells_both_lines_and_closes_every_meter_of_the_unit(
    pool: Pool, bus: Client
) -> None:
    heard = await listen(bus)
    point = await make(pool, 300)
    async with pool.connection() as connection:
        water = await a_meter(connection, point.unit_id, "water", downlinks=VALVE)
    await send(pool, point, (local(20, 8), 0), (local(20, 9), 2_000))
    await bill_all(pool, bus)
    assert await names(bus, heard) == ["wallet-low", "wallet-empty", "supply-closed", "supply-closed"]
    assert [await supply_of(pool, each.meter_id) for each in (point, water)] == ["closed", "closed"]
    assert len(await commands_of(pool, water.device_id)) == 1


async def test_a_top_up_opens_once_the_balance_is_above_zero(pool: Pool, bus: Client) -> None:
    point = await make(pool, 100)
    await send(pool, point, (local(20, 8), 0), (local(20, 9), 1_000))
    await bill_all(pool, bus)
    for amount, key, standing in ((100, "a", "closed"), (100, "a", "closed"), (1, "b", "open")):
        async with pool.connection() as connection:
            await top_up(connection, point.unit_id, amount, key)
        assert await supply_of(pool, point.meter_id) == standing
    async with pool.connection() as connection:
        await top_up(connection, point.unit_id, 1, "b")
    assert (await wallet_of(pool, point.unit_id)).balance_minor == 1
    found = sorted((command.action, command.state) for command in await commands_of(pool, point.device_id))
    assert found == [("close", "superseded"), ("open", "pending")]
    heard, nudged = await listen(bus), await bus.subscribe(f"gridwire.device.{point.device_id}.commands")
    config = JobsConfig(lambda: from_datetime(NOW) + 10**15)
    while await jobs.work_one(config, pool, bus):
        pass
    assert (await names(bus, heard)).count("supply-opened") == 1
    assert (await nudged.next_msg(5)).data == b""


async def test_an_order_that_came_to_nothing_is_given_again_until_another_takes_its_place(
    pool: Pool, bus: Client
) -> None:
    point = await make(pool, 100)
    await send(pool, point, (local(20, 8), 0), (local(20, 9), 1_000))
    await bill_all(pool, bus)
    (closing,) = await commands_of(pool, point.device_id)

    async def again(at: datetime) -> list[int]:
        async with pool.connection() as connection:
            return await supply.send_again(connection, at)

    assert await again(NOW + 2 * supply.AGAIN_AFTER) == []
    async with pool.connection() as connection:
        await device_commands.mark(connection, closing.id, "failed", NOW, "no gateway")
    assert await again(NOW) == []  # too early
    later = NOW + 2 * supply.AGAIN_AFTER
    assert await again(later) == [point.device_id]
    assert await again(later) == []
    found = await commands_of(pool, point.device_id)
    assert [(each.action, each.state, each.payload) for each in found] == [
        ("close", "pending", closing.payload),
        ("close", "failed", closing.payload),
    ]
    async with pool.connection() as connection:
        await device_commands.mark(connection, found[0].id, "failed", later)
        await wallets.top_up(
            connection,
            unit_id=point.unit_id,
            amount_minor=10_000,
            key="a",
            description="",
            now=later + supply.AGAIN_AFTER,
        )
    assert await again(later + 2 * supply.AGAIN_AFTER) == []  # the order to open is what is meant


async def test_a_refund_opens_as_a_top_up_does(pool: Pool, bus: Client) -> None:
    point = await make(pool, 100)
    await send(pool, point, (local(20, 8), 0), (local(20, 9), 1_000))
    await bill_all(pool, bus)
    assert await supply_of(pool, point.meter_id) == "closed"
    await remove(pool, point, local(20, 9))
    await bill_all(pool, bus)
    assert await supply_of(pool, point.meter_id) == "open"
    assert (await wallet_of(pool, point.unit_id)).balance_minor == 100


@pytest.mark.parametrize(
    "meter",
    [
        {"meter_type": "postpaid"},
        {"downlinks": {}},
        {"downlinks": None},
        {"downlinks": {"close": {"port": 1, "payload_hex": "no hex"}}},
    ],
)
async def test_who_is_not_closed(pool: Pool, bus: Client, meter: dict[str, Any]) -> None:
    point = await make(pool, 100, **meter)
    await send(pool, point, (local(20, 8), 0), (local(20, 9), 1_000))
    await bill_all(pool, bus)
    assert (await wallet_of(pool, point.unit_id)).balance_minor == -100
    assert await supply_of(pool, point.meter_id) == "open"
    assert await commands_of(pool, point.device_id) == []
    assert await notices(pool) == [("low", point.unit_id), ("empty", point.unit_id)]


async def test_a_rolled_back_run_tells_nobody(pool: Pool, bus: Client) -> None:
    point = await make(pool, 100)
    await send(pool, point, (local(20, 8), 0), (local(20, 9), 1_000))
    async with pool.connection() as connection:
        await connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$"
        )
        await connection.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON meter_bill_entries FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    heard = await listen(bus)
    await bill_all(pool, bus)
    assert await names(bus, heard) == []
    assert (await wallet_of(pool, point.unit_id)).balance_minor == 100
    assert await notices(pool) == []
    async with pool.connection() as connection:
        await connection.execute("DROP TRIGGER broken ON meter_bill_entries")
        tasks = await outbox.claim_due(connection, NOW.replace(year=2027), limit=5)
        assert [task.kind for task in tasks] == ["bill_meter"]
    config = JobsConfig(lambda: from_datetime(NOW.replace(year=2027)))
    assert await jobs.work_one(config, pool, bus)
    assert await names(bus, heard) == ["wallet-low", "wallet-empty", "supply-closed"]
    assert await supply_of(pool, point.meter_id) == "closed"


async def test_a_new_device_at_a_closed_meter_is_closed_by_the_next_debit(pool: Pool, bus: Client) -> None:
    point = await make(pool, 100)
    await send(pool, point, (local(20, 8), 0), (local(20, 9), 1_000))
    await bill_all(pool, bus)
    assert await supply_of(pool, point.meter_id) == "closed"
    async with pool.connection() as connection:
        device_id = await a_device(connection, downlinks=VALVE)
        assert await replace_device(connection, point.device_id, device_id, local(20, 10)) == 1
    new = replace(point, device_id=device_id)
    await send(pool, new, (local(20, 11), 0), (local(20, 12), 1_000))
    await bill_all(pool, bus)
    assert [command.action for command in await commands_of(pool, new.device_id)] == ["close"]
    assert await supply_of(pool, point.meter_id) == "closed"
    async with pool.connection() as connection:
        await top_up(connection, point.unit_id, 10_000)
    assert sorted(command.action for command in await commands_of(pool, new.device_id)) == ["close", "open"]


async def test_a_device_that_is_installed_again_is_opened_by_a_top_up(pool: Pool, bus: Client) -> None:
    point = await make(pool, 100)
    await send(pool, point, (local(20, 8), 0), (local(20, 9), 1_000))
    await bill_all(pool, bus)
    async with pool.connection() as connection:
        await meters.install(
            connection,
            meter_id=point.meter_id,
            device_id=point.device_id,
            quantity="energy_import_wh",
            since=local(20, 10),
        )
        await top_up(connection, point.unit_id, 10_000)
    assert sorted(command.action for command in await commands_of(pool, point.device_id)) == ["close", "open"]
