"""The nbiot role over real sockets, devices in it, and what they send; shared by the tests of NB-IoT."""

import asyncio
import random
import secrets
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from nats.aio.client import Client

from ingest.nbiot import app
from ingest.nbiot.app import NbiotConfig
from storage.database import Pool
from storage.queries import devices, profiles
from stream.codecs.pool import CodecPool
from stream.device_import import token_secret
from stream.log import LogConfig, ensure_log
from tests.ingest.lorawan_roles import PARTITIONS, clock, role, rows, writing

HOUR_S = 3600
CON, NON, ACK, RST = 0, 1, 2, 3
POST, PUT = 2, 3
# 24 hours of a water register: 8 bytes of IMEI, then items of time (seconds since 1970) and register (litres)
DAY_LAYOUT: dict[str, Any] = {
    "identity": {"at": 0, "type": "imei_bcd"},
    "groups": [
        {
            "at": 8,
            "size": 8,
            "fields": [{"name": "register", "at": 4, "type": "u32", "scale": 0.001, "quantity": "water_m3"}],
            "time": {"at": 0, "type": "u32"},
        }
    ],
}


def imei(number: int) -> str:
    """An IMEI with its check digit (3GPP TS 23.003 annex B)."""
    body = f"86127504{number:06d}"
    doubled = [int(digit) * (1 + index % 2) for index, digit in enumerate(body)]
    return body + str(-sum(each // 10 + each % 10 for each in doubled) % 10)


IMEI = imei(123456)


def packed(identity: str) -> bytes:
    return bytes.fromhex("f" + identity)


def readings(now_s: int, count: int = 24) -> list[tuple[int, int]]:
    """Hourly registers up to the hour before `now_s`, oldest first."""
    end = now_s // HOUR_S * HOUR_S
    return [(end - HOUR_S * (count - at), 1000 + 7 * at) for at in range(count)]


def datagram(identity: str, items: Sequence[tuple[int, int]]) -> bytes:
    return packed(identity) + b"".join(struct.pack(">II", *item) for item in items)


def shuffled(items: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    mixed = list(items)
    random.Random(4).shuffle(mixed)
    return mixed


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def nbiot_config(**settings: Any) -> NbiotConfig:
    config = NbiotConfig(
        clock=clock,
        partitions=PARTITIONS,
        unknown_devices="quarantine",
        coap_port=free_udp_port(),
        udp_port=free_udp_port(),
        settle_s=0.0,
        drain_s=5.0,
    )
    return replace(config, **settings)


@asynccontextmanager
async def nbiot_role(config: NbiotConfig, pool: Pool, bus: Client) -> AsyncIterator[None]:
    codecs = CodecPool(clock)

    async def start(stop: asyncio.Event, ready: Callable[[], None]) -> None:
        await app.run(config, pool=pool, bus=bus, codecs=codecs, stop=stop, ready=ready)

    try:
        async with role(start):
            yield
    finally:
        await codecs.close()


@asynccontextmanager
async def served(config: NbiotConfig, pool: Pool, bus: Client) -> AsyncIterator[None]:
    async with writing(pool, bus), nbiot_role(config, pool, bus):
        yield


async def make_log(bus: Client) -> None:
    await ensure_log(bus.jetstream(), LogConfig(bytes_max=64 << 20))


async def device(
    pool: Pool,
    identity: str,
    *,
    token: str | None = None,
    key: bytes | None = None,
    status: str = "active",
    decoder: str = "binary",
    options: Mapping[str, Any] | None = None,
) -> int:
    """A registered meter with a profile of its own; returns its id."""
    given = {"layout": DAY_LAYOUT} if decoder == "binary" else {}
    async with pool.connection() as connection:
        made = await devices.register_device(connection, "meter", identity, status=status)
        profile = await profiles.put_profile(
            connection, name=f"of {identity}", decoder=decoder, options={**given, **(options or {})}
        )
        await profiles.set_device_profile(connection, made.id, profile.id)
        if token is not None:
            await profiles.put_device_key(connection, made.id, "token", token_secret(token))
        if key is not None:
            await profiles.put_device_key(connection, made.id, "payload_aes", key)
    return made.id


async def samples(pool: Pool, device_id: int) -> list[tuple[int, int]]:
    """Time in seconds and register in litres of what is stored, oldest first."""
    query = "SELECT ts, value FROM meter_samples WHERE device_id = %s ORDER BY ts"
    found = await rows(pool, query, device_id)
    return [(int(ts.timestamp()), round(value * 1000)) for ts, value in found]


async def count(pool: Pool, table: str) -> int:
    ((found,),) = await rows(pool, f"SELECT count(*) FROM {table}")
    return int(found)


class Peer:
    """A device's UDP socket: sends datagrams as they are, hears what comes back."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def send(self, data: bytes) -> None:
        self._sock.send(data)

    async def receive(self, timeout_s: float = 10.0) -> bytes:
        loop = asyncio.get_running_loop()
        return await asyncio.wait_for(loop.sock_recv(self._sock, 65_535), timeout_s)

    async def hears_nothing(self, seconds: float = 0.5) -> bool:
        try:
            await self.receive(seconds)
        except TimeoutError:
            return True
        return False

    async def exchange(self, data: bytes, timeout_s: float = 10.0) -> bytes:
        self.send(data)
        return await self.receive(timeout_s)


@asynccontextmanager
async def peer(port: int) -> AsyncIterator[Peer]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(("127.0.0.1", port))
        yield Peer(sock)


def option(delta: int, value: bytes) -> bytes:
    """A CoAP option (RFC 7252 section 3.1) of less than 13 bytes and a delta below 13."""
    assert delta < 13
    if len(value) < 13:
        return bytes([delta << 4 | len(value)]) + value
    return bytes([delta << 4 | 13, len(value) - 13]) + value


def coap(
    message_id: int,
    payload: bytes = b"",
    *,
    path: Sequence[str] = ("up",),
    query: Sequence[str] = (),
    kind: int = CON,
    code: int = POST,
    token: bytes | None = None,
) -> bytes:
    """A CoAP request byte by byte."""
    token = secrets.token_bytes(4) if token is None else token
    head = bytes([0x40 | kind << 4 | len(token), code]) + struct.pack(">H", message_id) + token
    options, last = b"", 0
    for number, value in [*((11, each) for each in path), *((15, each) for each in query)]:
        options += option(number - last, value.encode())
        last = number
    return head + options + (b"\xff" + payload if payload else b"")


def parsed(data: bytes) -> tuple[int, int, int, bytes]:
    """Type, code, message id and token of a CoAP message."""
    size = data[0] & 15
    return data[0] >> 4 & 3, data[1], struct.unpack(">H", data[2:4])[0], data[4 : 4 + size]


def code_text(code: int) -> str:
    return f"{code >> 5}.{code & 31:02d}"
