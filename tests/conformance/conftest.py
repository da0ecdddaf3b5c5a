from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client

from protocols.ocpp.surface import Version
from storage.database import Pool
from tests.conformance.cases_16 import TAG
from tests.conformance.station import Station, add_driver, station
from tests.ingest.ocpp_gateway import Running, running_gateway


@pytest.fixture
async def running(pool: Pool, bus: Client) -> AsyncIterator[Running]:
    async with running_gateway(pool, bus) as gateway:
        await add_driver(pool, TAG)
        yield gateway


@pytest.fixture
async def cp(running: Running) -> AsyncIterator[Station]:
    async with station(running) as client:
        yield client


@pytest.fixture
async def cs(running: Running) -> AsyncIterator[Station]:
    async with station(running, version=Version.V201) as client:
        yield client
