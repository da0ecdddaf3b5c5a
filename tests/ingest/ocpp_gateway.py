"""A gateway on a port of its own, real database and log behind it, and a charger that sends raw frames."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from nats.aio.client import Client
from websockets.asyncio.client import ClientConnection, connect

from ingest.ocpp.server import Gateway, GatewayConfig, open_gateway
from storage.columns import ColumnData
from storage.database import Pool
from storage.queries.devices import Device, register_device
from storage.queries.id_tokens import put_token
from storage.queries.users import ensure_user
from stream.frames import decode_frame
from stream.log import STREAM, LogConfig, ensure_log, log_heads

PARTITIONS = 2
WAIT_S = 10.0


def now_us() -> int:
    return time.time_ns() // 1000


@dataclass
class Running:
    gateway: Gateway
    pool: Pool
    bus: Client
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.gateway.port}"


@asynccontextmanager
async def running_gateway(pool: Pool, bus: Client, **settings: Any) -> AsyncIterator[Running]:
    await ensure_log(bus.jetstream(), LogConfig(bytes_max=64 << 20))
    facts = {"host": "127.0.0.1", "port": 0, "name": "test", "clock": now_us, "partitions": PARTITIONS}
    config = GatewayConfig(**{**facts, **settings})
    ready = asyncio.Event()
    async with open_gateway(config, pool, bus) as gateway:
        running = Running(gateway, pool, bus)
        task = asyncio.create_task(gateway.run(running.stop, ready.set))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        try:
            yield running
        finally:
            running.stop.set()
            await task


async def add_charger(pool: Pool, identity: str, secret_hash: str | None = None) -> Device:
    async with pool.connection() as connection:
        return await register_device(connection, "charger", identity, secret_hash=secret_hash)


async def add_driver(pool: Pool, id_tag: str) -> int:
    async with pool.connection() as connection:
        user = await ensure_user(
            connection, system="evcms", role="user", name="Driver", email=f"{id_tag.lower()}@example.org"
        )
        await put_token(connection, id_tag, user.id)
    return int(user.id)


class RawCharger:
    """Sends whatever it is told to, and says what came back."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._count = 0

    async def send(self, frame: str | bytes | list[Any]) -> None:
        await self.socket.send(json.dumps(frame) if isinstance(frame, list) else frame)

    async def receive(self) -> Any:
        async with asyncio.timeout(WAIT_S):
            return json.loads(await self.socket.recv())

    async def call(self, action: str, payload: dict[str, Any]) -> Any:
        """The payload of the answer, or `[code, description]` of an error."""
        self._count += 1
        message_id = str(self._count)
        await self.send([2, message_id, action, payload])
        answer = await self.receive()
        assert answer[1] == message_id
        return answer[2] if answer[0] == 3 else answer[2:4]


@asynccontextmanager
async def raw_charger(url: str, **options: Any) -> AsyncIterator[RawCharger]:
    settings: dict[str, Any] = {"subprotocols": ["ocpp1.6"], "compression": None, "ping_interval": None}
    async with connect(url, **{**settings, **options}) as socket:
        yield RawCharger(socket)


async def eventually(condition: Any, wait_s: float = WAIT_S) -> None:
    async with asyncio.timeout(wait_s):
        while not await condition():
            await asyncio.sleep(0.02)


async def log_rows(bus: Client, table: str) -> dict[str, list[Any]]:
    """All rows of one table that the log has, column by column; text as `bytes`."""
    js = bus.jetstream()
    rows: dict[str, list[Any]] = {}
    for seq in range(1, (await js.stream_info(STREAM)).state.last_seq + 1):
        frame = decode_frame((await js.get_msg(STREAM, seq)).data or b"")
        if frame.table.name == table:
            for name, data in frame.batch.columns.items():
                rows.setdefault(name, []).extend(_values(data))
    return rows


def _values(data: ColumnData) -> list[Any]:
    if data.offsets is None:
        values = data.values.tolist()
    else:
        ends = zip(data.offsets[:-1], data.offsets[1:], strict=True)
        values = [data.values[start:end].tobytes() for start, end in ends]
    return [value if valid else None for value, valid in zip(values, data.validity, strict=True)]


async def events(bus: Client, kind: str) -> list[dict[str, Any]]:
    """The details of the device events of one kind, in order."""
    rows = await log_rows(bus, "device_events")
    pairs = zip(rows.get("kind", []), rows.get("detail", []), strict=True)
    return [json.loads(detail) for name, detail in pairs if name == kind.encode()]


async def counted(bus: Client) -> tuple[int, int]:
    """Samples decoded and refused, as the headers of the log have them."""
    heads = (await log_heads(bus.jetstream())).values()
    return sum(head.decoded for head in heads), sum(sum(head.refused.values()) for head in heads)
