"""A small world of the Lithovolt family: one admin, two wholesalers, two consumers."""

import pytest

from storage.database import Pool
from tests.api.helpers import Clock, Person
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
