"""Commands that ride in answers: taken, sent, put back; against a real database."""

import asyncio

from ingest.nbiot.commands import Commands
from storage.database import Pool, open_pool
from tests.ingest.lorawan_roles import clock, command, get_command, rows, until
from tests.ingest.nbiot_role import IMEI, device, imei


async def test_a_command_whose_answer_did_not_go_out_waits_again(pool: Pool) -> None:
    commands = Commands(pool, clock, settle_s=0.0)
    device_id = await device(pool, IMEI)
    command_id = await command(pool, device_id)
    taken = await commands.next(device_id, clock())
    assert taken is not None
    assert taken.id == command_id
    assert await commands.next(device_id, clock()) is None  # the answer may be on its way
    await rows(pool, "UPDATE device_commands SET sent_at = sent_at - interval '31 seconds' RETURNING 1")
    again = await commands.next(device_id, clock())
    assert again is not None
    assert again.id == command_id
    await commands.sent(again, "udp")
    assert await commands.next(device_id, clock()) is None
    assert (await get_command(pool, command_id)).state == "acknowledged"


async def test_what_crossed_the_answer_acknowledges_nothing(pool: Pool) -> None:
    commands = Commands(pool, clock, settle_s=60.0)
    device_id = await device(pool, IMEI)
    command_id = await command(pool, device_id)
    taken = await commands.next(device_id, clock())
    assert taken is not None
    await commands.sent(taken, "coap")
    assert await commands.next(device_id, clock()) is None
    assert (await get_command(pool, command_id)).state == "sent"
    await commands.lost(taken, "no acknowledgement")
    assert (await get_command(pool, command_id)).state == "pending"


async def test_an_answer_does_not_wait_for_a_slow_database(database_url: str, pool: Pool) -> None:
    device_id = await device(pool, IMEI)
    command_id = await command(pool, device_id)
    async with open_pool(database_url, size_max=1) as narrow:
        commands = Commands(narrow, clock, patience_s=0.2)
        taken = await narrow.getconn()
        assert await commands.next(device_id, clock()) is None
        await narrow.putconn(taken)
        await asyncio.sleep(0.5)  # it was taken after all, too late for its answer

        async def is_put_back() -> bool:
            return (await get_command(pool, command_id)).state == "pending"

        await until(is_put_back)
        patient = Commands(narrow, clock, patience_s=10.0)
        assert await patient.next(device_id, clock()) is not None
    closed = Commands(narrow, clock, patience_s=0.2)
    assert await closed.next(device_id, clock()) is None


async def test_many_ask_at_once_and_each_gets_its_own(pool: Pool) -> None:
    commands = Commands(pool, clock, patience_s=10.0)
    ids = [await device(pool, each) for each in map(imei, range(20))]
    made = {device_id: await command(pool, device_id) for device_id in ids[::2]}
    found = await asyncio.gather(*(commands.next(each, clock()) for each in ids))
    assert {each: None if got is None else got.id for each, got in zip(ids, found, strict=True)} == {
        each: made.get(each) for each in ids
    }
