"""LoRaWAN over MQTT: the broker of a network server, its events in and its downlinks out.

Started by `gridwire.py`. The broker may be the embedded one, ChirpStack's own, or The Things Stack's server.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from nats.aio.client import Client

from ingest.holding import Holding
from ingest.lorawan.backfill import Backfill, BackfillConfig
from ingest.lorawan.downlinks import Downlinks, MqttChannel
from ingest.lorawan.handler import NetworkEvents
from ingest.lorawan.things_stack import ThingsStackApi, ThingsStackConfig
from ingest.lorawan.topics import LorawanTopics, filters
from ingest.mqtt.connection import BrokerConnection
from ingest.mqtt.ingestor import Ingestor, IngestorConfig, make_publisher
from ingest.registry import Registry
from ingest.seen import Seen
from ingest.uplinks import Uplinks
from protocols.lorawan.events import Server
from storage.database import Pool
from stream.codecs.pool import CodecPool
from stream.log import Publisher

SOURCE = "lorawan"


@dataclass(frozen=True, slots=True)
class LorawanConfig:
    """`ingestor`: the broker and its bounds. `things_stack`: its HTTP API for stored uplinks, if any."""

    ingestor: IngestorConfig
    servers: tuple[Server, ...] = tuple(Server)
    things_stack: ThingsStackConfig | None = None
    backfill: BackfillConfig = field(default_factory=BackfillConfig)


async def run(
    config: LorawanConfig,
    *,
    pool: Pool,
    bus: Client,
    codecs: CodecPool,
    stop: asyncio.Event,
    ready: Callable[[], None],
) -> None:
    """Ingest network servers' events until `stop`; see `ingest.mqtt.ingestor.Ingestor.run`."""
    publisher = make_publisher(config.ingestor, bus, SOURCE)
    topic_filters = filters(config.servers, config.ingestor.share_group)
    ingestor = Ingestor(config.ingestor, topic_filters, publisher)
    async with AsyncExitStack() as stack:
        api = None
        if config.things_stack is not None:
            api = await stack.enter_async_context(ThingsStackApi.opened(config.things_stack))
        family = make_family(
            config, publisher, ingestor.connection, pool=pool, bus=bus, codecs=codecs, api=api
        )
        await ingestor.run([family], stop, ready)


def make_family(
    config: LorawanConfig,
    publisher: Publisher,
    connection: BrokerConnection,
    *,
    pool: Pool,
    bus: Client,
    codecs: CodecPool,
    api: ThingsStackApi | None,
) -> LorawanTopics:
    """Return the family of topics, with what runs beside it."""
    clock, holding = config.ingestor.clock, Holding(SOURCE)
    seen = Seen(pool, clock, holding)
    uplinks = Uplinks(
        publisher=publisher,
        registry=Registry(pool, config.ingestor.unknown_devices, clock),
        codecs=codecs,
        pool=pool,
        clock=clock,
        holding=holding,
        seen=seen,
    )
    events = NetworkEvents(uplinks=uplinks, pool=pool, clock=clock, holding=holding)
    downlinks = Downlinks(MqttChannel(connection), pool=pool, bus=bus, clock=clock, holding=holding)
    events.tell(downlinks)
    beside: list[Callable[[], Coroutine[Any, Any, None]]] = [seen.run, downlinks.run]
    if api is not None:
        backfill = Backfill(
            config.backfill,
            api,
            events=events,
            publisher=publisher,
            pool=pool,
            bus=bus,
            clock=clock,
            holding=holding,
        )
        events.tell(backfill)
        beside.append(backfill.run)
    return LorawanTopics(events, publisher, beside)
