"""The nbiot role in a process of its own, for tests that kill it: database URL, bus URL, CoAP port."""

import asyncio
import sys

import nats

from ingest.nbiot import app
from ingest.nbiot.app import NbiotConfig
from storage.database import open_pool
from stream.codecs.pool import CodecPool
from tests.ingest.lorawan_roles import PARTITIONS, clock


async def main(database_url: str, nats_url: str, port: str) -> None:
    config = NbiotConfig(
        clock=clock, partitions=PARTITIONS, unknown_devices="reject", coap_port=int(port), udp_port=0
    )
    bus = await nats.connect(nats_url)
    async with open_pool(database_url, size_max=4) as pool:
        await app.run(
            config,
            pool=pool,
            bus=bus,
            codecs=CodecPool(clock),
            stop=asyncio.Event(),
            ready=lambda: print("ready", flush=True),
        )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
