"""Technicians, and what goes out to people, for the tests of service and messaging."""

from typing import Any

from storage.database import Pool, fetch_all
from storage.queries import technician_profiles, users
from storage.queries.notices import Notice
from storage.queries.technician_profiles import DEFAULTS
from tests.api.helpers import Person
from tests.api.ienerzy.people import World

_OWN = object()


async def add_technician(world: World, name: str, dealer: Any = _OWN, **profile: Any) -> int:
    """Enter a technician of a dealer (the first one; None: of all) with its own phone; returns its id."""
    owner: Person | None = world.dealer if dealer is _OWN else dealer
    async with world.pool.connection() as db:
        row = await (await db.execute("SELECT count(*) FROM technicians")).fetchone()
        assert row is not None
        user = await users.insert_user(
            db, system="ienerzy", role="technician", name=name, phone=f"+9198765440{row[0]:02}"
        )
        dealer_id = None if owner is None else owner.id
        await technician_profiles.put_profile(db, user.id, **{**DEFAULTS, "dealer_id": dealer_id, **profile})
    return user.id


async def outgoing(pool: Pool) -> list[Notice]:
    """All messages, the newest first."""
    statement = """
        SELECT id, user_id, channel, address, kind, body, state, provider, provider_id, detail, created_at,
               done_at, subject, attachment, delivered_at
        FROM notices ORDER BY id DESC
    """
    async with pool.connection() as db:
        return await fetch_all(db, Notice, statement, {})
