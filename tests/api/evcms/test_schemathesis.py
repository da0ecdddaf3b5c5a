"""The EV-CMS document and what the server answers agree, for each role: no 500, nothing undocumented.

A bounded number of requests, which `tests.api.visits` makes of the document.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from api import tokens
from api.config import ApiConfig
from api.document import part_of
from api.documents import PARTS
from api.evcms.examples import REQUESTS
from api.tokens import Claims
from storage.database import Pool
from tests.api.evcms import booking_scene, figures_scene, people, places_scene
from tests.api.helpers import SECRET, Clock, Person, Service, bearer, begin_session
from tests.api.visits import Aim, Visit
from tests.foreign.evcms.test_contract_clients import serving

ROLES = ("user", "brand", "admin")
# Of each table; rows of people are these tests' own, who are let in again before each operation.
IDS = ("1", "2")
PATH_VALUES: dict[str, Sequence[str]] = {
    "provider": ("sandbox",),
    "type": ("station", "document"),
    "filename": ("a.png",),
}
KYC = {"documentType": "pan", "documentNumber": "ABCDE1234F"}
LET_IN = """
UPDATE users SET status = 'active', deleted_at = NULL, token_version = 0,
                 role = split_part(email, '@', 1)
WHERE split_part(email, '@', 1) = ANY(%s)
"""


async def _made(api: httpx.AsyncClient, person: Person, path: str, body: dict[str, Any]) -> str:
    answer = await api.post(f"/api/v1{path}", json=body, headers=person.headers)
    assert answer.status_code == 201, (path, answer.text)
    return str(answer.json().get("data", {}).get("id"))


@pytest.fixture
async def world(
    pool: Pool, api: httpx.AsyncClient, clock: Clock, driver: Person, brand: Person, admin: Person
) -> None:
    """One or two rows of everything: the driver's, at the brand's places, and of the admin."""
    for identity in ("CP-1", "CP-2"):
        station = await places_scene.make_station(api, brand)
        device_id = await places_scene.charger_at(
            pool, identity, station["id"], brand.id, online=identity == "CP-1"
        )
    vehicle_id = await booking_scene.give_vehicle(pool, driver.id)
    await booking_scene.enrich(pool, driver.id)
    now = clock.moment()
    await figures_scene.charge(pool, device_id, driver.id, now - timedelta(hours=3))
    await begin_session(pool, device_id, driver.id, now - timedelta(minutes=10))
    for hours in (2, 5):
        await _made(
            api, driver, "/bookings",
            {"stationId": "1", "connectorId": "1", "vehicleId": str(vehicle_id), "estimatedDuration": 60,
             "scheduledTime": (now + timedelta(hours=hours)).isoformat()},
        )  # fmt: skip
    await _made(api, driver, "/support/tickets", REQUESTS["TicketIn"])
    await _made(api, driver, "/profile/wallet/topup", {"amount": 500, "paymentMethod": "upi"})
    await _made(api, brand, "/maintenance", {**REQUESTS["RecordIn"], "scheduledDate": now.isoformat()})
    await _made(api, admin, "/partners", REQUESTS["PartnerIn"])
    franchise = REQUESTS["FranchiseIn"] | {"ownerId": str(brand.id)}
    await _made(api, admin, "/franchises", franchise)
    await _made(api, admin, "/franchises/1/staff", REQUESTS["StaffIn"])
    await _made(api, admin, "/notifications", REQUESTS["AlertIn"])
    scan = await people.upload(pool, driver.id, "document", "a.png")
    await _made(api, driver, "/kyc/submit", KYC | {"frontImage": scan})
    invoice = {
        "userId": str(driver.id), "dueDate": "2099-12-31",
        "items": [{"description": "Rent", "quantity": 1, "rate": 750}],
    }  # fmt: skip
    await _made(api, admin, "/billing/invoices", invoice)
    await _made(api, admin, "/pricing/rules", {"name": "Day", "stationId": "1", "rules": {"perKwhRate": 18}})


@pytest.mark.timeout(300)
async def test_what_is_answered_is_what_the_document_says(
    world: None, service: Service, config: ApiConfig, pool: Pool, bus: Client, clock: Clock,
    database_url: str, tmp_path: Path, admin: Person, brand: Person, driver: Person,
) -> None:  # fmt: skip
    document = part_of(service.app.openapi(), PARTS[0])
    quick = replace(
        config, charger_answer_s=0.05, session_start_s=0.05, session_stop_s=0.05, evcms_access_s=10_000
    )
    headers = {
        role: bearer(tokens.issue(SECRET, "evcms", Claims(person.id, 0, None), now_us=clock(), life_s=3_600))
        for role, person in zip(ROLES, (driver, brand, admin), strict=True)
    }
    soon = [(clock.moment() + timedelta(hours=hours)).isoformat() for hours in range(8, 60, 2)]
    others = PATH_VALUES | dict.fromkeys(("scheduledTime", "scheduledDate", "dueDate"), soon)

    def values(name: str, value: Any) -> Sequence[str]:
        is_id = isinstance(value, str) and (name == "id" or name.endswith(("Id", "Ids")))
        return others.get(name, IDS if is_id else ())

    async with serving(quick, pool, bus, clock, tmp_path) as url:
        aim = Aim(values, lambda database: database.execute(LET_IN, (list(ROLES),)))
        visit = Visit(url, headers, database_url, aim)
        await asyncio.to_thread(visit.run, document)
    assert not visit.faults, "\n\n".join(f"{where}\n{what}" for where, what in visit.faults.items())
    assert min(visit.answers.get(status, 0) for status in (200, 201, 403, 404, 422)) >= 20, visit.answers
