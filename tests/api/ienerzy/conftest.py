"""People of every Ienerzy role, and the small world that most tests of this family begin with."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from storage.database import Pool
from stream.files import DiskStore
from tests.api.helpers import Clock, Codes, Person, Service, ienerzy_person
from tests.api.ienerzy.contract_world import NBFC_SECRET, Scene, make_scene
from tests.api.ienerzy.people import PHONES, World, make_battery


@pytest.fixture
async def technician(api: httpx.AsyncClient, pool: Pool, codes: Codes, dealer: Person) -> Person:
    """One of `dealer`, with no profile but the defaults."""
    made = await ienerzy_person(api, pool, codes, "technician", PHONES["technician"])
    async with pool.connection() as db:
        await db.execute(
            "INSERT INTO technicians (user_id, dealer_id) VALUES (%s, %s)"
            " ON CONFLICT (user_id) DO UPDATE SET dealer_id = EXCLUDED.dealer_id",
            (made.id, dealer.id),
        )
    return made


@pytest.fixture
async def admin(api: httpx.AsyncClient, pool: Pool, codes: Codes) -> Person:
    """An admin of Ienerzy."""
    return await ienerzy_person(api, pool, codes, "admin", PHONES["admin"])


@pytest.fixture
async def world(
    api: httpx.AsyncClient,
    pool: Pool,
    codes: Codes,
    dealer: Person,
    other_dealer: Person,
    consumer: Person,
    technician: Person,
    admin: Person,
) -> World:
    """Two dealers and the first one's people and battery; see `World`."""
    battery = await make_battery(pool, "BAT001", dealer, consumer)
    return World(api, pool, codes, dealer, other_dealer, consumer, technician, admin, battery)


@pytest.fixture
async def scene(make_service: Callable[..., Service], world: World, clock: Clock, tmp_path: Path) -> Scene:
    """The world and more people, at a service that limits nobody; see `Scene`."""
    service = make_service(
        files=DiskStore(tmp_path / "files"),
        nbfc_secret=NBFC_SECRET,
        ienerzy_uploads_per_minute=100_000,
        ienerzy_messages_per_minute=100_000,
        battery_answer_s=0.05,
    )
    return await make_scene(service, world, clock)
