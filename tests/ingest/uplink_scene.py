"""Uplinks taken for real, by codec pool, log and writer; shared by the tests of the way of an uplink."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from nats.aio.client import Client

from ingest.holding import Holding
from ingest.registry import Policy, Registry
from ingest.seen import Seen
from ingest.uplinks import Uplink, Uplinks
from storage.database import Pool
from storage.queries import codecs, devices, profiles
from storage.queries.raw_payloads import RawPayload, newest_payloads
from stream.codecs.pool import CodecPool
from stream.log import STREAM, Publisher
from stream.writer import WriterConfig
from tests.stream.helpers import drained, now_us, open_log, publisher, running_writer

IDENTITY = "70b3d5499c1d0001"
# channel 1, temperature, 27.2 degrees (the example of the Cayenne LPP documentation)
CAYENNE = bytes.fromhex("03670110")
CODEC = """
function decodeUplink(input) {
  if (input.bytes[0] === 0xff) { return { errors: ["bad frame"] }; }
  return { data: { total: (input.bytes[0] << 8) | input.bytes[1], port: input.fPort } };
}
"""


WRITER = WriterConfig(now_us, purge_every_s=0.05)


def clock() -> int:
    return time.time_ns() // 1000


@pytest.fixture
async def codec_pool() -> AsyncIterator[CodecPool]:
    pool = CodecPool(clock)
    yield pool
    await pool.close()


@pytest.fixture
async def source(bus: Client) -> AsyncIterator[Publisher]:
    await open_log(bus)
    source = publisher(bus)
    yield source
    await source.close()


def make_uplinks(
    pool: Pool, source: Publisher, codec_pool: CodecPool, policy: Policy = "quarantine"
) -> Uplinks:
    holding = Holding("test")
    return Uplinks(
        publisher=source, registry=Registry(pool, policy, clock), codecs=codec_pool, pool=pool, clock=clock,
        holding=holding, seen=Seen(pool, clock, holding),
    )  # fmt: skip


@pytest.fixture
def uplinks(pool: Pool, source: Publisher, codec_pool: CodecPool) -> Uplinks:
    return make_uplinks(pool, source, codec_pool)


def uplink(payload: bytes, **facts: Any) -> Uplink:
    now = now_us()
    return replace(Uplink(IDENTITY, "chirpstack", now, now, payload, port=2, counter=7), **facts)


async def with_profile(pool: Pool, **definition: Any) -> int:
    async with pool.connection() as connection:
        device = await devices.register_device(connection, "meter", IDENTITY.upper())
        profile = await profiles.put_profile(connection, name="acme", **definition)
        await profiles.set_device_profile(connection, device.id, profile.id)
        return device.id


async def put_codec(pool: Pool, source: str) -> int:
    async with pool.connection() as connection:
        codec = await codecs.insert_codec(
            connection, name="acme", source=source, examples=[], is_stateful=False
        )
    return codec.id


async def with_codec(pool: Pool, source: str = CODEC) -> int:
    codec_id = await put_codec(pool, source)
    mapping = [{"path": "total", "quantity": "water_m3", "scale": 0.001}]
    return await with_profile(pool, decoder="js", codec_id=codec_id, mapping=mapping)


async def all_written(bus: Client) -> None:
    """Wait until the writer has every frame: those of raw payloads hold no samples that could be counted."""
    async with asyncio.timeout(30):
        while (await bus.jetstream().stream_info(STREAM)).state.messages:
            await asyncio.sleep(0.02)


async def stored(pool: Pool, bus: Client, device_id: int, samples: int) -> tuple[list[RawPayload], list[Any]]:
    """Raw payloads, newest first, and samples as (quantity, value), once all are in their tables."""
    async with running_writer(pool, bus, WRITER):
        laws = await drained(pool, bus, samples)
        await all_written(bus)
    assert laws.hold()
    async with pool.connection() as connection:
        raw = await newest_payloads(connection, device_id, since_us=0, before_us=now_us() * 2, limit=10)
        rows = await connection.execute(
            "SELECT quantity, value FROM meter_samples WHERE device_id = %s ORDER BY ts, quantity",
            (device_id,),
        )
        return raw, await rows.fetchall()
