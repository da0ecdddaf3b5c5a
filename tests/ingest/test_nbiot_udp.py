"""Plain UDP: identity in the payload, one datagram one message, an answer once it is durable."""

import asyncio
import random
import time

from nats.aio.client import Client

from deploy.temporary import TemporaryNats as Nats
from ingest.nbiot.intake import IntakeLimits
from ingest.nbiot.udp import acknowledgement
from storage.database import Pool, open_pool
from tests.ingest.lorawan_roles import command, get_command, raw, refusals, rows, until, writing
from tests.ingest.nbiot_role import (
    IMEI,
    count,
    datagram,
    device,
    imei,
    make_log,
    nbiot_config,
    nbiot_role,
    peer,
    readings,
    samples,
    served,
    shuffled,
)

ACK = {"udp_ack_hex": "06"}


async def until_stored(pool: Pool, device_id: int, expected: int) -> None:
    async def is_there() -> bool:
        return len(await samples(pool, device_id)) >= expected

    await until(is_there)


async def test_a_day_in_one_datagram_its_answer_and_its_command(pool: Pool, bus: Client) -> None:
    config = nbiot_config()
    device_id = await device(pool, IMEI, options=ACK)
    command_id = await command(pool, device_id)
    day = readings(int(time.time()))
    async with served(config, pool, bus), peer(config.udp_port) as meter:
        first = datagram(IMEI, shuffled(day))
        assert await meter.exchange(first) == b"\x06\xbe\xef"
        for _ in range(3):  # the answer was lost: the same bytes again, the same answer
            assert await meter.exchange(first) == b"\x06\xbe\xef"
        await until_stored(pool, device_id, 24)
        assert (await get_command(pool, command_id)).state == "sent"
        assert await meter.exchange(datagram(IMEI, day[:1])) == b"\x06"

        async def is_acknowledged() -> bool:
            return (await get_command(pool, command_id)).state == "acknowledged"

        await until(is_acknowledged)

        async def are_there() -> bool:
            return len(await raw(pool, device_id)) == 2

        await until(are_there)
    assert await samples(pool, device_id) == day


async def test_without_the_option_nothing_is_answered(pool: Pool, bus: Client) -> None:
    config = nbiot_config()
    device_id = await device(pool, IMEI)
    async with served(config, pool, bus), peer(config.udp_port) as meter:
        meter.send(datagram(IMEI, readings(int(time.time()), 1)))
        await until_stored(pool, device_id, 1)
        assert await meter.hears_nothing()
    assert acknowledgement({"udp_ack_hex": "no hex"}) == b""
    assert acknowledgement({"udp_ack_hex": 6}) == b""


async def test_a_token_closes_udp_unless_the_profile_or_a_key_opens_it(pool: Pool, bus: Client) -> None:
    config = nbiot_config()
    closed = await device(pool, imei(1), token="a-long-token", options=ACK)
    is_open = await device(pool, imei(2), token="a-long-token", options={**ACK, "is_open_udp": True})
    keyed = await device(pool, imei(3), token="a-long-token", key=bytes(16), options=ACK)
    reading = readings(int(time.time()), 1)
    async with served(config, pool, bus), peer(config.udp_port) as meter:
        meter.send(datagram(imei(1), reading))
        assert await meter.hears_nothing()
        for number in (2, 3):
            assert await meter.exchange(datagram(imei(number), reading)) == b"\x06"
        await until_stored(pool, is_open, 1)
        await until_stored(pool, keyed, 1)
        await until(lambda: refusals(pool))
    assert await samples(pool, closed) == []
    (refusal,) = await refusals(pool)
    assert (refusal["reason"], refusal["field"]) == ("token", "token")
    assert "is_open_udp" in refusal["message"]


async def test_garbage_is_refused_and_bounded(pool: Pool, bus: Client) -> None:
    config = nbiot_config(intake=IntakeLimits(refusals_per_minute=20), unknown_devices="reject")
    device_id = await device(pool, IMEI, options=ACK)
    source = random.Random(7)
    reading = readings(int(time.time()), 1)
    async with served(config, pool, bus), peer(config.udp_port) as meter:
        for number in range(3_000):
            meter.send(source.randbytes(source.randrange(0, 300)))
            if number % 100 == 0:
                await asyncio.sleep(0.01)
        assert await meter.exchange(datagram(IMEI, reading), 60) == b"\x06"
        await until_stored(pool, device_id, 1)
        await asyncio.sleep(0.5)
        assert 0 < len(await refusals(pool)) <= 40  # of two minutes at most
    assert await count(pool, "raw_payloads") == 1


async def test_a_database_that_is_away_delays_the_answer(database_url: str, pool: Pool, bus: Client) -> None:
    config = nbiot_config(intake=IntakeLimits(hold_s=0.5))
    device_id = await device(pool, IMEI, options=ACK)
    first = datagram(IMEI, readings(int(time.time())))
    late = open_pool(database_url, size_max=2)  # not open yet: as good as no database
    async with writing(pool, bus):
        async with nbiot_role(config, late, bus), peer(config.udp_port) as meter:
            meter.send(first)
            assert await meter.hears_nothing(1.0)
            meter.send(first)
            await late.open()
            assert await meter.receive() == b"\x06"
            await until_stored(pool, device_id, 24)
        await late.close()
    assert len(await raw(pool, device_id)) == 1


async def test_what_comes_beyond_the_window_is_dropped(pool: Pool, bus: Client, nats: Nats) -> None:
    config = nbiot_config(intake=IntakeLimits(window=3), drain_s=10.0)
    ids = [await device(pool, each) for each in map(imei, range(10))]
    await make_log(bus)
    reading = readings(int(time.time()), 1)
    async with writing(pool, bus):
        async with nbiot_role(config, pool, bus), peer(config.udp_port) as meter:
            nats.stop()
            for number in range(10):
                meter.send(datagram(imei(number), reading))
            await asyncio.sleep(1)
            nats.start()
            await until(lambda: rows(pool, "SELECT 1 FROM meter_samples OFFSET 2"))
        await asyncio.sleep(0.5)
    stored = [await samples(pool, each) for each in ids]
    assert sum(each == reading for each in stored) == 3
    assert sum(each == [] for each in stored) == 7
