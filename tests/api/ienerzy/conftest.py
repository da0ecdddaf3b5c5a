"""People of every Ienerzy role, and the small world that most tests of this family begin with."""

import httpx
import pytest

from storage.database import Pool
from tests.api.helpers import Codes, Person, ienerzy_person
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
