"""Meters over a real MQTT broker: uplinks in, commands out."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiomqtt
import pytest
from nats.aio.client import Client

from deploy.temporary import TemporaryNats as Nats
from ingest.mqtt.connection import BrokerConfig
from ingest.mqtt.ingestor import Ingestor, IngestorConfig, make_publisher
from ingest.nbiot import mqtt
from storage.database import Pool
from stream.codecs.pool import CodecPool
from tests.ingest.lorawan_roles import (
    PARTITIONS,
    clock,
    command,
    get_command,
    raw,
    refusals,
    role,
    until,
    writing,
)
from tests.ingest.nbiot_role import IMEI, datagram, device, readings, samples, shuffled

UPLINK = f"gridwire/meters/{IMEI}/uplink"
DOWNLINK = f"gridwire/meters/{IMEI}/downlink"


@pytest.fixture
def config(nats: Nats) -> IngestorConfig:
    broker = BrokerConfig(nats.mqtt_url, "meters-test", reconnect_s_max=0.5)
    return IngestorConfig(broker, clock, PARTITIONS, "quarantine", drain_s=5.0)


@asynccontextmanager
async def meters_role(config: IngestorConfig, pool: Pool, bus: Client) -> AsyncIterator[None]:
    codecs = CodecPool(clock)
    publisher = make_publisher(config, bus, "mqtt")
    ingestor = Ingestor(config, mqtt.filters(), publisher)
    family = mqtt.make_family(
        config, publisher, ingestor.connection, pool=pool, bus=bus, codecs=codecs, settle_s=0.0
    )
    try:
        async with role(lambda stop, ready: ingestor.run([family], stop, ready)):
            yield
    finally:
        await codecs.close()


@asynccontextmanager
async def broker(nats: Nats) -> AsyncIterator[aiomqtt.Client]:
    address = urlsplit(nats.mqtt_url)
    assert address.hostname is not None
    client = aiomqtt.Client(
        address.hostname,
        address.port or 1883,
        identifier=f"meter-{secrets.token_hex(4)}",
        username=address.username,
        password=address.password,
    )
    async with client:
        yield client


async def until_stored(pool: Pool, device_id: int, expected: int) -> None:
    async def is_there() -> bool:
        return len(await samples(pool, device_id)) >= expected

    await until(is_there)


async def test_readings_in_and_commands_out(
    config: IngestorConfig, pool: Pool, bus: Client, nats: Nats
) -> None:
    device_id = await device(pool, IMEI, token="not-asked-for-here")
    command_id = await command(pool, device_id)
    day = readings(int(time.time()))
    async with writing(pool, bus), meters_role(config, pool, bus), broker(nats) as meter:
        await meter.subscribe(DOWNLINK, qos=1)
        messages = aiter(meter.messages)
        await meter.publish(UPLINK, datagram(IMEI, shuffled(day)), qos=1)
        sent = await asyncio.wait_for(anext(messages), 10)
        assert sent.payload == b"\xbe\xef"
        await until_stored(pool, device_id, 24)
        # the topic names the device, whatever the payload says
        await meter.publish(UPLINK, b"\xff\xff", qos=1)

        async def is_acknowledged() -> bool:
            return (await get_command(pool, command_id)).state == "acknowledged"

        await until(is_acknowledged)
        # a meter that listens gets a new command at once
        later = await command(pool, device_id)
        await bus.publish(f"gridwire.device.{device_id}.commands")
        assert (await asyncio.wait_for(anext(messages), 10)).payload == b"\xbe\xef"

        async def is_sent() -> bool:
            found = await get_command(pool, later)
            return found.state == "sent" and found.detail is not None

        await until(is_sent)
    assert await samples(pool, device_id) == day
    assert len(await raw(pool, device_id)) == 2


async def test_other_topics_are_refused(config: IngestorConfig, pool: Pool, bus: Client, nats: Nats) -> None:
    async with writing(pool, bus), meters_role(config, pool, bus), broker(nats) as meter:
        await meter.publish("gridwire/meters/a+b/uplink".replace("+", "%"), b"x", qos=1)
        await until(lambda: refusals(pool))
    assert [each["reason"] for each in await refusals(pool)] == ["topic"]
