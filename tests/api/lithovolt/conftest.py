"""A small world of the Lithovolt family: one admin, two wholesalers, two consumers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from storage.database import Pool
from stream.files import DiskStore
from tests.api.helpers import Clock, Person, Service
from tests.api.lithovolt.contract_world import World, make_world
from tests.api.lithovolt.people import lithovolt_person


@pytest.fixture
async def admin(pool: Pool, clock: Clock, password_hash: str) -> Person:
    return await lithovolt_person(pool, clock, "admin", password_hash=password_hash)


@pytest.fixture
async def wholesaler(pool: Pool, clock: Clock, password_hash: str) -> Person:
    return await lithovolt_person(
        pool, clock, "wholesaler", phone="+919876500001", password_hash=password_hash
    )


@pytest.fixture
async def other_wholesaler(pool: Pool, clock: Clock, password_hash: str) -> Person:
    return await lithovolt_person(pool, clock, "wholesaler", "rival", password_hash=password_hash)


@pytest.fixture
async def consumer(pool: Pool, clock: Clock, password_hash: str) -> Person:
    return await lithovolt_person(pool, clock, "consumer", phone="+919876500002", password_hash=password_hash)


@pytest.fixture
async def other_consumer(pool: Pool, clock: Clock, password_hash: str) -> Person:
    return await lithovolt_person(pool, clock, "consumer", "stranger", password_hash=password_hash)


@pytest.fixture
async def world(
    make_service: Callable[..., Service], pool: Pool, clock: Clock, tmp_path: Path, password_hash: str
) -> World:
    """The world of `contract_world`, at a service that limits nobody."""
    service = make_service(
        files=DiskStore(tmp_path / "files"),
        lithovolt_auth_per_minute=10**6,
        lithovolt_verifications_per_minute=10**6,
        lithovolt_login_tries=10**6,
    )
    return await make_world(service.client, pool, clock, password_hash)
