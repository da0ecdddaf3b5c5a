"""The MQTT role: batteries and meters of one broker; started by `gridwire.py`."""

import asyncio
from collections.abc import Callable

from nats.aio.client import Client

from ingest.mqtt import batteries
from ingest.mqtt.batteries import Batteries
from ingest.mqtt.commands import RelayConfig
from ingest.mqtt.ingestor import Family, Ingestor, IngestorConfig, make_publisher
from ingest.nbiot import mqtt as meters
from storage.database import Pool
from stream.codecs.pool import CodecPool

SOURCE = "mqtt"


async def run(
    config: IngestorConfig,
    *,
    relay: RelayConfig,
    pool: Pool,
    bus: Client,
    codecs: CodecPool,
    stop: asyncio.Event,
    ready: Callable[[], None],
) -> None:
    """Ingest what batteries and meters publish until `stop`; see `Ingestor.run`."""
    publisher = make_publisher(config, bus, SOURCE)
    filters = [*batteries.filters(config.share_group), *meters.filters(config.share_group)]
    ingestor = Ingestor(config, filters, publisher)
    connection = ingestor.connection
    families: list[Family] = [
        Batteries(config, relay, publisher, connection, pool=pool, bus=bus),
        meters.make_family(config, publisher, connection, pool=pool, bus=bus, codecs=codecs),
    ]
    await ingestor.run(families, stop, ready)
