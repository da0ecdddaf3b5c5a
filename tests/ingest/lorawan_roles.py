"""The LoRaWAN roles and the writer over real servers, and what is in the tables behind them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from nats.aio.client import Client

from ingest.callbacks import app as callbacks
from ingest.callbacks.app import CallbacksRoleConfig
from ingest.lorawan import app as lorawan
from ingest.lorawan.app import LorawanConfig
from storage.database import Pool
from storage.queries import device_commands, devices, profiles
from storage.queries.device_commands import DeviceCommand
from stream import writer
from stream.checks import DAY_US, ClockLimits
from stream.codecs.pool import CodecPool
from stream.log import LogConfig, ensure_log
from stream.prepare import PrepareLimits
from stream.writer import WriterConfig

PARTITIONS = 2
EVER = ClockLimits(past_us=50 * 365 * DAY_US)  # the documented examples are years old


def clock() -> int:
    return time.time_ns() // 1_000


@asynccontextmanager
async def role(start: Callable[[asyncio.Event, Callable[[], None]], Awaitable[None]]) -> AsyncIterator[None]:
    """A role that is ready, stopped in order at the end."""
    stop, is_ready = asyncio.Event(), asyncio.Event()
    task = asyncio.ensure_future(start(stop, is_ready.set))
    waiting = asyncio.create_task(is_ready.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED, timeout=20)
    waiting.cancel()
    if task.done():
        await task
    assert is_ready.is_set()
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


@asynccontextmanager
async def writing(pool: Pool, bus: Client) -> AsyncIterator[None]:
    await ensure_log(bus.jetstream(), LogConfig(bytes_max=64 << 20))
    config = WriterConfig(partitions=tuple(range(PARTITIONS)), clock=clock, prepare=PrepareLimits(clock=EVER))
    async with role(lambda stop, ready: writer.run(config, pool=pool, bus=bus, stop=stop, ready=ready)):
        yield


@asynccontextmanager
async def callbacks_role(config: CallbacksRoleConfig, pool: Pool, bus: Client) -> AsyncIterator[None]:
    codecs = CodecPool(clock)

    async def start(stop: asyncio.Event, ready: Callable[[], None]) -> None:
        await callbacks.run(config, pool=pool, bus=bus, codecs=codecs, stop=stop, ready=ready)

    try:
        async with role(start):
            yield
    finally:
        await codecs.close()


@asynccontextmanager
async def lorawan_role(config: LorawanConfig, pool: Pool, bus: Client) -> AsyncIterator[None]:
    codecs = CodecPool(clock)

    async def start(stop: asyncio.Event, ready: Callable[[], None]) -> None:
        await lorawan.run(config, pool=pool, bus=bus, codecs=codecs, stop=stop, ready=ready)

    try:
        async with role(start):
            yield
    finally:
        await codecs.close()


async def meter(pool: Pool, identity: str) -> int:
    """A registered device whose payloads are Cayenne LPP; returns its id."""
    async with pool.connection() as connection:
        profile = await profiles.find_profile(connection, "lpp")
        if profile is None:
            profile = await profiles.put_profile(connection, name="lpp", decoder="cayenne_lpp")
        device = await devices.register_device(connection, "meter", identity)
        await profiles.set_device_profile(connection, device.id, profile.id)
    return device.id


async def rows(pool: Pool, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    async with pool.connection() as connection:
        return await (await connection.execute(query.encode(), parameters)).fetchall()


async def raw(pool: Pool, device_id: int) -> list[tuple[Any, ...]]:
    """Event, port, counter and payload of what a device's network said, in order of time."""
    query = "SELECT event, port, counter, payload FROM raw_payloads WHERE device_id = %s ORDER BY ts, event"
    return await rows(pool, query, device_id)


async def refusals(pool: Pool) -> list[dict[str, Any]]:
    found = await rows(pool, "SELECT detail FROM device_events WHERE kind = 'payload_refused'")
    return [detail for (detail,) in found]


async def until(condition: Callable[[], Awaitable[object]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


async def command(pool: Pool, device_id: int, *, is_confirmed: bool = True, port: int = 10) -> UUID:
    """A command that waits for a device."""
    now, command_id = datetime.now(UTC), uuid4()
    async with pool.connection() as connection:
        await device_commands.insert_command(
            connection,
            command_id=command_id,
            device_id=device_id,
            action="close",
            port=port,
            payload=b"\xbe\xef",
            is_confirmed=is_confirmed,
            reason="operator",
            created_at=now,
            expires_at=now + timedelta(hours=1),
        )
    return command_id


async def get_command(pool: Pool, command_id: UUID) -> DeviceCommand:
    async with pool.connection() as connection:
        found = await device_commands.get_command(connection, command_id)
    assert found is not None
    return found
