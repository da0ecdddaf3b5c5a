"""The portal's administrator, and an estate with people in it."""

import httpx
import pytest
from argon2 import PasswordHasher

from api import passwords
from storage.database import Pool
from storage.queries import users
from tests.api.helpers import PASSWORD, Clock, bearer
from tests.api.mobile.world import PORTAL, Portal, Texts, World, make_world


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same library with the least work it can do: a world of people signs in for every test."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", hasher)
    monkeypatch.setattr(passwords, "_NOBODY", hasher.hash("nobody has this password"))


@pytest.fixture
async def portal(api: httpx.AsyncClient, pool: Pool, password_hash: str) -> Portal:
    async with pool.connection() as db:
        await users.insert_user(
            db,
            system="mobile",
            role="admin",
            name="Office",
            email="office@example.com",
            password_hash=password_hash,
        )
    body = {"email": "Office@example.com", "password": PASSWORD}
    answer = await api.post(f"{PORTAL}/login", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["user"]["role"] == "admin"
    return Portal(api, bearer(answer.json()["token"]))


@pytest.fixture
async def world(portal: Portal, clock: Clock) -> World:
    return await make_world(portal, clock)


@pytest.fixture
def texts() -> Texts:
    return Texts()
