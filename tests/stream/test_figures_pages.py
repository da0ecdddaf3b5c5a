"""Pages of sessions and utilisation against the plainest computation of the same."""

import itertools
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.database import Connection, Pool
from storage.queries import session_pages, users
from storage.queries.session_pages import list_sessions_page, session_sums
from storage.queries.sessions import SessionDetail, get_session
from storage.queries.utilisation import utilisation
from tests.api.evcms.figures_scene import KINDS, charge, make_station
from tests.api.helpers import make_charger

BEGIN = datetime(2026, 1, 28, tzinfo=UTC)
SESSIONS = 60


@dataclass(frozen=True)
class Scene:
    pool: Pool
    driver_id: int
    owner_id: int
    devices: list[int]


@pytest.fixture
async def scene(pool: Pool) -> Scene:
    async with pool.connection() as db:
        driver, owner = [
            await users.insert_user(db, system="evcms", role=role, name=role, email=f"{role}@example.com")
            for role in ("user", "brand")
        ]
    devices = [
        (await make_station(pool, f"S{number}", f"CP-{number}", owner.id if number else None))[1]
        for number in range(3)
    ]
    pick = random.Random(7)
    for number in range(SESSIONS):
        at = BEGIN + timedelta(hours=pick.randrange(24 * 70), minutes=pick.choice([0, 30]))
        user_id = driver.id if number % 3 else None
        kind = KINDS[number % 5]
        await charge(pool, pick.choice(devices), user_id, at, kind=kind, id_tag=f"TAG-{number}")
    return Scene(pool, driver.id, owner.id, devices)


SPANS = [
    (None, None),
    (BEGIN + timedelta(days=3, hours=7), None),
    (None, BEGIN + timedelta(days=40, hours=18.5)),
    (BEGIN + timedelta(hours=18.5), BEGIN + timedelta(days=66, hours=18.5)),
    (BEGIN + timedelta(days=2, hours=1), BEGIN + timedelta(days=65, minutes=1)),
    (BEGIN + timedelta(days=9, hours=5), BEGIN + timedelta(days=9, hours=17)),
    (BEGIN + timedelta(days=9, hours=17), BEGIN + timedelta(days=10, hours=19)),
    (BEGIN + timedelta(days=9), BEGIN + timedelta(days=8)),
]


async def test_pages_put_together_are_the_list(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_pages, "WALKED_MAX", 7)
    scopes: list[dict[str, Any]] = [{}, {"owner_id": scene.owner_id}, {"user_id": scene.driver_id}]
    statuses = [None, "active", "completed", "failed"]
    async with scene.pool.connection() as db:
        for whose, status, (from_, to) in itertools.product(scopes, statuses, SPANS):
            where = {**whose, "status": status, "from_": from_, "to": to}
            expected = await plain_list(db, where)
            found = []
            for offset in range(0, len(expected) + 5, 5):
                page, total = await list_sessions_page(db, **where, limit=5, offset=offset)
                assert total == len(expected), where
                found += page
            assert found == expected, where
            sums = await session_sums(db, **where)
            assert sums.sessions == len(expected)
            assert sums.total_minor == sum(each.total_minor or 0 for each in expected), where
            assert sums.energy_wh == sum(each.energy_wh or 0 for each in expected), where
            assert sums.duration_s == sum(each.duration_s or 0 for each in expected), where


async def plain_list(db: Connection, where: dict[str, Any]) -> list[SessionDetail]:
    """Every session in Python."""
    ids = await (await db.execute("SELECT id FROM sessions")).fetchall()
    everything = [found for (each,) in ids if (found := await get_session(db, each)) is not None]
    kept = [
        each
        for each in everything
        if where.get("owner_id") in (None, each.charger_owner_id)
        and where.get("user_id") in (None, each.user_id)
        and where["status"] in (None, each.status)
        and (where["from_"] is None or each.started_at >= where["from_"])
        and (where["to"] is None or each.started_at < where["to"])
    ]
    return sorted(kept, key=lambda each: (each.started_at, each.id), reverse=True)


async def test_a_page_of_any_size_and_place(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_pages, "WALKED_MAX", 0)
    async with scene.pool.connection() as db:
        everything, _ = await list_sessions_page(db, limit=1_000)
        assert len(everything) == SESSIONS
        for offset in range(0, SESSIONS + 2, 3):
            for limit in (1, 7, 30, 100):
                page, total = await list_sessions_page(db, limit=limit, offset=offset)
                assert total == SESSIONS
                assert page == everything[offset : offset + limit]


async def test_sessions_that_end_between_the_counts_and_the_page_leave_it_empty(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_pages, "WALKED_MAX", 0)
    spans = session_pages._spans

    async def while_it_ends(db: Connection, *arguments: Any) -> Any:
        found = await spans(db, *arguments)
        ended = "UPDATE sessions SET status = 'completed', ended_at = started_at WHERE status = 'active'"
        await db.execute(ended)
        return found

    monkeypatch.setattr(session_pages, "_spans", while_it_ends)
    async with scene.pool.connection() as db:
        page, total = await list_sessions_page(db, status="active", limit=10)
    assert page == []
    assert total == SESSIONS // len(KINDS)


async def test_utilisation_is_the_share_of_connector_time(pool: Pool) -> None:
    device_id = await make_charger(pool)
    other_id = await make_charger(pool, "CP-2")
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    await charge(pool, device_id, None, noon, hours=2, id_tag="A")
    await charge(
        pool, device_id, None, noon + timedelta(hours=1), hours=2, id_tag="B"
    )  # overlaps for an hour
    await charge(pool, device_id, None, noon + timedelta(hours=5), kind="active", id_tag="C")
    async with pool.connection() as db:
        window: dict[str, Any] = {"from_": noon - timedelta(hours=2), "to": noon + timedelta(hours=6)}
        assert await utilisation(db, **window) == {device_id: 4 / 8, other_id: 0.0}
        assert await utilisation(db, device_ids=[other_id], **window) == {other_id: 0.0}
        clipped = await utilisation(db, from_=noon + timedelta(hours=2), to=noon + timedelta(hours=4))
        assert clipped[device_id] == 1 / 2
        await db.execute("INSERT INTO connectors (device_id, connector_id) VALUES (%s, 2)", [device_id])
        assert (await utilisation(db, **window))[device_id] == 4 / 16
        assert await utilisation(db, owner_id=1, **window) == {}
        assert await utilisation(db, from_=noon, to=noon) == {}
