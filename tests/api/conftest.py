"""An application over the real database and bus, people of each role, and a charger that answers."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from nats.aio.client import Client

from api.app import create_app
from api.config import ApiConfig
from storage.database import Pool
from tests.api.helpers import PASSWORD, SECRET, Clock, Codes, Person, Service, evcms_person, ienerzy_person


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def codes() -> Codes:
    return Codes()


@pytest.fixture
def config(codes: Codes) -> ApiConfig:
    """Limits so high that no test meets one that does not mean to; waits so short that none is slow."""
    return ApiConfig(
        secret_key=SECRET,
        otp_sender=codes,
        evcms_requests_per_15_minutes=100_000,
        ienerzy_auth_per_minute=100_000,
        ienerzy_requests_per_minute=100_000,
        lithovolt_verifications_per_minute=100_000,
        charger_answer_s=1.0,
        session_start_s=1.0,
        session_stop_s=1.0,
        battery_answer_s=1.0,
    )


@pytest.fixture
async def make_service(
    config: ApiConfig, pool: Pool, bus: Client, clock: Clock
) -> AsyncIterator[Callable[..., Service]]:
    clients: list[httpx.AsyncClient] = []

    def make(**changes: Any) -> Service:
        app = create_app(replace(config, **changes), pool, bus, clock)
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gridwire.test")
        clients.append(client)
        return Service(app, client)

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    return make_service()


@pytest.fixture
def api(service: Service) -> httpx.AsyncClient:
    return service.client


@pytest.fixture(scope="session")
def password_hash() -> str:
    """A cheap one: what it costs to check is in the hash, and hundreds of tests sign in."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


@pytest.fixture
async def admin(api: httpx.AsyncClient, pool: Pool, password_hash: str) -> Person:
    return await evcms_person(api, pool, password_hash, "admin")


@pytest.fixture
async def brand(api: httpx.AsyncClient, pool: Pool, password_hash: str) -> Person:
    return await evcms_person(api, pool, password_hash, "brand")


@pytest.fixture
async def driver(api: httpx.AsyncClient, pool: Pool, password_hash: str) -> Person:
    return await evcms_person(api, pool, password_hash, "user")


@pytest.fixture
async def stranger(api: httpx.AsyncClient, pool: Pool, password_hash: str) -> Person:
    return await evcms_person(api, pool, password_hash, "user", "stranger")


@pytest.fixture
async def rival(api: httpx.AsyncClient, pool: Pool, password_hash: str) -> Person:
    return await evcms_person(api, pool, password_hash, "brand", "rival")


@pytest.fixture
async def dealer(api: httpx.AsyncClient, pool: Pool, codes: Codes) -> Person:
    return await ienerzy_person(api, pool, codes, "dealer", "+919876543210")


@pytest.fixture
async def other_dealer(api: httpx.AsyncClient, pool: Pool, codes: Codes) -> Person:
    return await ienerzy_person(api, pool, codes, "dealer", "+919876543211")


@pytest.fixture
async def consumer(api: httpx.AsyncClient, pool: Pool, codes: Codes, dealer: Person) -> Person:
    return await ienerzy_person(api, pool, codes, "consumer", "+919876543212", dealer_id=dealer.id)
