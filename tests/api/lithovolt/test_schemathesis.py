"""The Lithovolt document and what the server answers agree, for each role: no 500, nothing undocumented.

A bounded number of requests, which `tests.api.visits` makes of the document.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from nats.aio.client import Client

from api.config import ApiConfig
from api.document import part_of
from storage.database import Pool
from stream.files import DiskStore
from stream.lending.terms import today
from tests.api.helpers import Clock, Service
from tests.api.lithovolt.contract_world import World, make_world
from tests.api.lithovolt.test_docs import LITHOVOLT
from tests.api.visits import Aim, Visit
from tests.foreign.evcms.test_contract_clients import serving

# A larger run by hand: GRIDWIRE_TEST_CASES=40.
POSITIVE_CASES = int(os.environ.get("GRIDWIRE_TEST_CASES", "2"))
NEGATIVE_CASES = max(1, POSITIVE_CASES // 3)
ROLES = ("consumer", "wholesaler", "admin")
MANY = 10**6
# People are these tests' own, who are let in again before each operation.
LET_IN = """
UPDATE users SET status = 'active', deleted_at = NULL, token_version = 0, role = split_part(email, '@', 1)
WHERE split_part(email, '@', 1) = ANY(%s)
"""
APPROVE = "UPDATE lithovolt_profiles SET is_approved = true"


@pytest.fixture
async def world(
    make_service: Callable[..., Service], pool: Pool, clock: Clock, tmp_path: Path, password_hash: str
) -> World:
    """Two of everything: the wholesaler's and the consumer's."""
    service = make_service(files=DiskStore(tmp_path), lithovolt_login_tries=MANY)
    world = await make_world(service.client, pool, clock, password_hash)
    for subject in (
        "order",
        "approved order",
        "allocation",
        "claim",
        "claim",
        "warranty",
        "warranty",
        "model",
    ):
        await world.make(subject)
    return world


async def _values(world: World) -> dict[str, Sequence[Any]]:
    """What to put where a field has this name: ids of rows, serials, what is signed, addresses."""
    sold = await world.activated("wholesaler")
    signature = parse_qs(urlsplit(sold["verification_url"]).query)["signature"][0]
    serials = (*[await world.allocated() for _ in range(9)], sold["serial"])
    wholesaler = world.people["wholesaler"].id
    addresses = (*ROLES, "nobody", *(f"new{number}" for number in range(12)))
    return {
        "model": (1, 2),
        "warranty": (3, 4),
        "order": (1, 2),
        "id": ("1", "2"),
        "wholesaler": (wholesaler,),
        "buyer": (wholesaler,),
        "serial": serials,
        "serials": serials,
        "replacement_serial": serials,
        "certificate_number": (sold["certificate_number"],),
        "signature": (signature,),
        "purchase_date": (today(world.clock.moment()).isoformat(),),
        "email": tuple(f"{name}@example.com" for name in addresses),
        "phone": tuple(f"+9198765000{number}" for number in range(10, 99)),
        "kind": ("order_approved", "order_approved", "otp"),
        "channel": ("email", "sms"),
        "file": ("soc.png", "temperature.svg"),
        "file_id": ("1", "2"),
    }


def _let_in(database: psycopg.Connection) -> None:
    database.execute(LET_IN, (list(ROLES),))
    database.execute(APPROVE)


@pytest.mark.timeout(600)
async def test_what_is_answered_is_what_the_document_says(
    world: World, service: Service, config: ApiConfig, pool: Pool, bus: Client, clock: Clock,
    database_url: str, tmp_path: Path,
) -> None:  # fmt: skip
    document = part_of(service.app.openapi(), LITHOVOLT)
    values = await _values(world)
    free = replace(
        config,
        lithovolt_auth_per_minute=MANY,
        lithovolt_verifications_per_minute=MANY,
        lithovolt_login_tries=MANY,
    )
    async with serving(free, pool, bus, clock, tmp_path) as url:
        headers = {role: world.people[role].headers for role in ROLES}
        aim = Aim(lambda name, value: values.get(name, ()), _let_in, POSITIVE_CASES, NEGATIVE_CASES)
        visit = Visit(url, headers, database_url, aim)
        await asyncio.to_thread(visit.run, document)
    assert not visit.faults, "\n\n".join(f"{where}\n{what}" for where, what in visit.faults.items())
    assert min(visit.answers.get(status, 0) for status in (200, 201, 400, 403, 404)) >= 10, visit.answers
