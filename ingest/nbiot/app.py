"""The nbiot role: CoAP and plain UDP into the durable log, acknowledged once it has what was said.

Started by `gridwire.py`.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import structlog
from nats.aio.client import Client

from deploy.messages import ListenError
from ingest.holding import Holding
from ingest.nbiot.coap import CoapConfig, CoapServer
from ingest.nbiot.commands import Commands
from ingest.nbiot.intake import Intake, IntakeLimits, Parts
from ingest.nbiot.udp import UdpServer
from ingest.registry import Policy, Registry
from ingest.remembered import Remembered
from ingest.seen import Seen
from ingest.uplinks import Uplinks
from storage.database import Pool
from storage.queries.profiles import device_keys
from stream.codecs.pool import CodecPool
from stream.errors import PublisherClosedError
from stream.log import Publisher, PublisherLimits

log = structlog.get_logger()

SOURCE = "nbiot"
CLOSE_S = 1.0
ANSWER_S = 0.1  # for the answers to what was stored last


@dataclass(frozen=True, slots=True)
class NbiotConfig:
    """The whole role. A port of 0 is not listened on. `clock` returns microseconds since 1970 UTC.

    `settle_s`: see `ingest.nbiot.commands`. What is under way at the end gets `drain_s`.
    """

    clock: Callable[[], int]
    partitions: int
    unknown_devices: Policy
    host: str = "127.0.0.1"
    coap_port: int = 5683
    udp_port: int = 5684
    body_bytes_max: int = 65_536
    settle_s: float = 5.0
    drain_s: float = 10.0
    intake: IntakeLimits = field(default_factory=IntakeLimits)
    limits: PublisherLimits = field(default_factory=PublisherLimits)


async def run(
    config: NbiotConfig,
    *,
    pool: Pool,
    bus: Client,
    codecs: CodecPool,
    stop: asyncio.Event,
    ready: Callable[[], None],
) -> None:
    """Serve until `stop`.

    Raises `ListenError`, and `PublisherClosedError` where the connection to the log was closed for good.
    """
    producer_id = f"{SOURCE}-{secrets.token_hex(8)}"
    publisher = Publisher(
        bus.jetstream(), SOURCE, config.partitions, config.limits, config.clock, producer_id
    )
    seen = Seen(pool, config.clock, Holding(SOURCE))
    parts = make_parts(config, publisher, seen, pool=pool, codecs=codecs)
    # a datagram's sender cannot be told to come again, so it is held as long as there is room
    coap_intake = Intake(config.intake, parts, config.clock)
    udp_intake = Intake(replace(config.intake, hold_s=None), parts, config.clock)
    is_closed = asyncio.Event()
    coap = CoapServer(
        CoapConfig(config.host, config.coap_port, config.body_bytes_max), coap_intake, config.clock, is_closed
    )
    udp = UdpServer(udp_intake, config.clock, is_closed)
    try:
        if config.coap_port:
            await _listening(coap.open(), f"{config.host}:{config.coap_port}", "GRIDWIRE_COAP_PORT")
        if config.udp_port:
            listening = udp.open(config.host, config.udp_port)
            await _listening(listening, f"{config.host}:{config.udp_port}", "GRIDWIRE_UDP_PORT")
        ready()
        await _until(stop, is_closed, seen)
        if not is_closed.is_set():
            await asyncio.gather(coap_intake.drain(config.drain_s), udp_intake.drain(config.drain_s))
            await asyncio.sleep(ANSWER_S)
    finally:
        udp.close()
        await coap.close()
        await publisher.close(CLOSE_S)
    if is_closed.is_set():
        raise PublisherClosedError("the connection to the log was closed: nothing more can be stored")


def make_parts(
    config: NbiotConfig, publisher: Publisher, seen: Seen, *, pool: Pool, codecs: CodecPool
) -> Parts:
    """Return what the intakes of one process share."""
    holding = Holding(SOURCE)
    registry = Registry(pool, config.unknown_devices, config.clock)
    uplinks = Uplinks(
        publisher=publisher,
        registry=registry,
        codecs=codecs,
        pool=pool,
        clock=config.clock,
        holding=holding,
        seen=seen,
    )
    commands = Commands(pool, config.clock, settle_s=config.settle_s)
    return Parts(publisher, registry, uplinks, holding, commands, Remembered(device_keys, pool, config.clock))


async def _listening(opening: Awaitable[None], address: str, setting: str) -> None:
    try:
        await opening
    except OSError as error:
        raise ListenError("Meters cannot be heard", f"{address}/udp", error, setting) from error


async def _until(stop: asyncio.Event, is_closed: asyncio.Event, seen: Seen) -> None:
    """Wait for either event; raises what writing down who was seen has failed with."""
    seeing = asyncio.create_task(seen.run())
    ending = [asyncio.create_task(stop.wait()), asyncio.create_task(is_closed.wait())]
    try:
        await asyncio.wait([seeing, *ending], return_when=asyncio.FIRST_COMPLETED)
        if seeing.done():
            seeing.result()
    finally:
        for task in (seeing, *ending):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(seeing, *ending, return_exceptions=True)
