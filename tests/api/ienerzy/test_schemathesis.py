"""The Ienerzy document and what the server answers agree, for each role: no 500, nothing undocumented.

A bounded number of requests, which `tests.api.visits` makes of the document.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from nats.aio.client import Client

from api.config import ApiConfig
from api.document import JsonObject, part_of
from api.documents import PARTS
from storage.database import Pool
from tests.api.helpers import Clock, Service
from tests.api.ienerzy.contract_world import Scene, furnish
from tests.api.visits import Aim, Visit
from tests.foreign.evcms.test_contract_clients import serving

# A larger run by hand: GRIDWIRE_TEST_CASES=40.
POSITIVE_CASES = int(os.environ.get("GRIDWIRE_TEST_CASES", "2"))
NEGATIVE_CASES = max(1, POSITIVE_CASES // 3)
ROLES = ("dealer", "consumer", "technician", "admin")
MANY = 10**6
DOCUMENT = next(part for part in PARTS if part.slug == "ienerzy")
# The people of the requests, who are let in again before each operation.
LET_IN = "UPDATE users SET status = 'active', token_version = %s, role = %s, phone = %s WHERE id = %s"


def _values(scene: Scene) -> dict[str, Sequence[Any]]:
    """What to put where a field has this name: ids of rows, of each kind that a path may mean."""
    people = scene.people
    consumers = (people["consumer"].id, people["stranger"].id)
    technicians = (people["technician"].id, people["colleague"].id)
    rows = (1, 2, 3)
    return {
        "id": ("1", "2", "3", str(consumers[0]), str(people["technician"].id)),
        "serial": (scene.world.battery.serial_number, "SCN-1"),
        "document_id": ("1",),
        "message_id": ("MSG0000000001",),
        "provider": ("twilio",),
        "consumer_id": consumers,
        "technician_id": technicians,
        "dealer_id": (people["dealer"].id,),
        "battery_id": rows,
        "ticket_id": rows,
        "applicationId": rows,
    }


def _without_security(document: JsonObject) -> JsonObject:
    """The tokens are ours: made-up ones would have every wrong body end with a 401."""
    paths = {
        path: {method: {**operation, "security": []} for method, operation in item.items()}
        for path, item in document["paths"].items()
    }
    return {**document, "paths": paths}


@pytest.fixture
async def visited(scene: Scene) -> Scene:
    """A scene with something of everything in it."""
    await furnish(scene)
    for subject in ("document", "message", "submitted application"):
        await scene.make(subject)
    return scene


@pytest.mark.timeout(900)
async def test_what_is_answered_is_what_the_document_says(
    visited: Scene, service: Service, config: ApiConfig, pool: Pool, bus: Client, clock: Clock,
    database_url: str, tmp_path: Path,
) -> None:  # fmt: skip
    document = _without_security(part_of(service.app.openapi(), DOCUMENT))
    values = _values(visited)
    free = replace(
        config,
        ienerzy_uploads_per_minute=MANY,
        ienerzy_messages_per_minute=MANY,
        ienerzy_access_s=MANY,
        battery_answer_s=0.05,
    )
    async with pool.connection() as db:
        people = await (await db.execute("SELECT token_version, role, phone, id FROM users")).fetchall()

    def let_in(database: psycopg.Connection) -> None:
        with database.cursor() as cursor:
            cursor.executemany(LET_IN, people)

    async with serving(free, pool, bus, clock, tmp_path / "served") as url:
        headers = {role: visited.people[role].headers for role in ROLES}
        aim = Aim(lambda name, value: values.get(name, ()), let_in, POSITIVE_CASES, NEGATIVE_CASES)
        visit = Visit(url, headers, database_url, aim)
        await asyncio.to_thread(visit.run, document)
    assert not visit.faults, "\n\n".join(f"{where}\n{what}" for where, what in visit.faults.items())
    assert min(visit.answers.get(status, 0) for status in (200, 201, 400, 403, 404)) >= 10, visit.answers
