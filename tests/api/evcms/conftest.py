"""The world of `contract_world`, with chargers that do what they are asked."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from nats.aio.client import Client

from storage.database import Pool
from stream.files import DiskStore
from stream.payments import SandboxProvider
from tests.api.evcms.contract_world import World, charging, make_world
from tests.api.helpers import Clock, Service

SANDBOX = SandboxProvider("sandbox-secret")


@pytest.fixture
async def world(
    make_service: Callable[..., Service],
    pool: Pool,
    clock: Clock,
    bus: Client,
    tmp_path: Path,
    password_hash: str,
) -> AsyncIterator[World]:
    """Nobody is signed out while sessions pass."""
    service = make_service(
        evcms_access_s=10**6, files=DiskStore(tmp_path / "files"), payments={"sandbox": SANDBOX}
    )
    world = await make_world(service.client, pool, clock, password_hash)
    async with charging(bus, world):
        yield world
