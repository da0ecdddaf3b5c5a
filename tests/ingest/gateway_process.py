"""A gateway in a process of its own, for tests that kill it: database URL, bus URL, name, port."""

import asyncio
import sys

import nats

from ingest.ocpp.server import GatewayConfig, open_gateway
from storage.database import open_pool
from tests.ingest.ocpp_gateway import PARTITIONS, now_us


async def main(database_url: str, nats_url: str, name: str, port: str) -> None:
    config = GatewayConfig(
        host="127.0.0.1", port=int(port), name=name, clock=now_us, partitions=PARTITIONS, command_settle_s=0.0
    )
    bus = await nats.connect(nats_url)
    async with open_pool(database_url, size_max=4) as pool, open_gateway(config, pool, bus) as gateway:
        await gateway.run(asyncio.Event(), lambda: print("ready", flush=True))


asyncio.run(main(*sys.argv[1:]))
