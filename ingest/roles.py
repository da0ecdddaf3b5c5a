"""The roles of this room from the settings: what each shell is told, and the codecs that it decodes with.

Used by `gridwire.py`. Each role imports what it runs when it runs: a process of one role starts in half of
the time that all parts take to import, and in half of their memory.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from nats.aio.client import Client as Bus

from deploy.messages import SetupError
from deploy.settings import Settings, needed, plain
from storage.database import Pool
from storage.queries.codecs import mark_stateful
from stream.codecs.pool import CodecPool, PoolLimits

Clock = Callable[[], int]  # microseconds since 1970 UTC

if TYPE_CHECKING:
    from ingest.lorawan.things_stack import ThingsStackConfig
    from ingest.mqtt.ingestor import IngestorConfig


async def mqtt(
    clock: Clock, s: Settings, pool: Pool, bus: Bus, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Batteries and meters of one broker."""
    from ingest.mqtt.commands import RelayConfig
    from ingest.mqtt.role import run as run_mqtt

    config = _ingestor(clock, s, s.mqtt_url, s.mqtt_client_id)
    async with _codecs(clock, s, pool) as codecs:
        await run_mqtt(config, relay=RelayConfig(), pool=pool, bus=bus, codecs=codecs, stop=stop, ready=ready)


async def lorawan(
    clock: Clock, s: Settings, pool: Pool, bus: Bus, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Network servers' events over MQTT."""
    from ingest.lorawan.app import LorawanConfig
    from ingest.lorawan.app import run as run_lorawan

    ingestor = _ingestor(clock, s, s.lorawan_mqtt_url or s.mqtt_url, s.lorawan_mqtt_client_id)
    config = LorawanConfig(ingestor, things_stack=_things_stack(s))
    async with _codecs(clock, s, pool) as codecs:
        await run_lorawan(config, pool=pool, bus=bus, codecs=codecs, stop=stop, ready=ready)


async def nbiot(
    clock: Clock, s: Settings, pool: Pool, bus: Bus, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Meters over CoAP and plain UDP."""
    from ingest.nbiot.app import NbiotConfig
    from ingest.nbiot.app import run as run_nbiot

    config = NbiotConfig(clock, s.log_partitions, s.unknown_devices, s.listen_host, s.coap_port, s.udp_port)
    async with _codecs(clock, s, pool) as codecs:
        await run_nbiot(config, pool=pool, bus=bus, codecs=codecs, stop=stop, ready=ready)


async def callbacks(
    clock: Clock, s: Settings, pool: Pool, bus: Bus, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Network servers and operators over HTTP."""
    from ingest.callbacks.app import CallbacksRoleConfig
    from ingest.callbacks.app import run as run_callbacks
    from ingest.callbacks.context import CallbacksConfig

    named = {"chirpstack": s.chirpstack_token, "things_stack": s.things_stack_token, "nbiot": s.nbiot_token}
    tokens = {name: plain(token) for name, token in named.items() if token is not None}
    config = CallbacksRoleConfig(
        CallbacksConfig(tokens, s.listen_host, s.callbacks_port),
        clock,
        s.log_partitions,
        s.unknown_devices,
        _things_stack(s),
    )
    async with _codecs(clock, s, pool) as codecs:
        await run_callbacks(config, pool=pool, bus=bus, codecs=codecs, stop=stop, ready=ready)


def _ingestor(clock: Clock, s: Settings, url: str | None, client_id: str) -> "IngestorConfig":
    from ingest.mqtt.connection import BrokerConfig
    from ingest.mqtt.ingestor import IngestorConfig

    return IngestorConfig(
        # the session's name must outlive this process; ingestors that share a group need one each
        broker=BrokerConfig(needed(url, "GRIDWIRE_MQTT_URL"), client_id),
        clock=clock,
        partitions=s.log_partitions,
        unknown_devices=s.unknown_devices,
        share_group=s.mqtt_shared_group,
    )


def _things_stack(s: Settings) -> "ThingsStackConfig | None":
    from ingest.lorawan.things_stack import ThingsStackConfig

    if s.things_stack_url is None:
        return None
    key = needed(s.things_stack_api_key, "GRIDWIRE_THINGS_STACK_API_KEY")
    try:
        return ThingsStackConfig(s.things_stack_url, key.get_secret_value(), s.things_stack_webhook)
    except ValueError as error:
        raise SetupError(f"GRIDWIRE_THINGS_STACK_URL: {error}.", "Give scheme and host alone.") from error


@contextlib.asynccontextmanager
async def _codecs(clock: Clock, s: Settings, pool: Pool) -> AsyncIterator[CodecPool]:
    """Worker processes for JavaScript codecs; a codec that turns out to leak state is remembered as such."""

    async def remember(sha256: str) -> None:
        async with pool.connection() as connection:
            await mark_stateful(connection, sha256)

    codecs = CodecPool(clock, PoolLimits(workers_max=s.codec_workers), remember)
    try:
        yield codecs
    finally:
        await codecs.close()


async def ocpp(
    clock: Clock, s: Settings, pool: Pool, bus: Bus, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Chargers over WebSocket."""
    from ingest.ocpp.security.local import tls_of
    from ingest.ocpp.server import GatewayConfig
    from ingest.ocpp.server import run as run_ocpp

    config = GatewayConfig(
        host=s.listen_host,
        port=s.ocpp_port,
        name=f"{socket.gethostname()}:{s.ocpp_port}",
        clock=clock,
        partitions=s.log_partitions,
        unknown_devices=s.unknown_devices,
        message_log=s.ocpp_message_log,
        tls=tls_of(s),
    )
    await run_ocpp(config, pool=pool, bus=bus, stop=stop, ready=ready)
