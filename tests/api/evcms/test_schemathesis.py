"""The EV-CMS document and what the server answers agree, for each role: no 500, nothing undocumented.

A bounded number of requests, made by `schemathesis` from the document, the same in each run. Ids in paths and
bodies are those of real rows most of the time; what takes away comes last.
"""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from nats.aio.client import Client
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks

from api import tokens
from api.config import ApiConfig
from api.document import part_of
from api.documents import PARTS
from api.evcms.examples import REQUESTS
from api.postman import example_of
from api.tokens import Claims
from storage.database import Pool
from tests.api.evcms import booking_scene, figures_scene, people, places_scene
from tests.api.helpers import SECRET, Clock, Person, Service, bearer, begin_session
from tests.foreign.evcms.test_contract_clients import serving

POSITIVE_CASES, NEGATIVE_CASES = 2, 1
Operation = APIOperation[Any, Any, Any, Any]
AnyCase = Case[Any]
ROLES = ("user", "brand", "admin")
REQUEST_S_MAX = 20
REAL_SHARE = 0.8
METHODS = ("get", "post", "put", "patch", "delete")
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]
# Of each table; rows of people are these tests' own, who are let in again before each operation.
IDS = ("1", "2")
PATH_VALUES = {"provider": ("sandbox",), "type": ("station", "document"), "filename": ("a.png",)}
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


def _operations(document: dict[str, Any]) -> Iterator[Operation]:
    schema = schemathesis.openapi.from_dict(document)
    found = list(schema.get_all_operations())
    assert all(isinstance(each, Ok) for each in found)
    made = [each.ok() for each in found if isinstance(each, Ok)]
    yield from sorted(made, key=lambda each: (METHODS.index(each.method.lower()), "{" in each.path))


def _aim(value: Any, dice: random.Random, others: Mapping[str, Sequence[str]], name: str = "") -> Any:
    """Put ids of rows where ids belong, most of the time, and `others` by their names."""
    if isinstance(value, dict):
        return {key: _aim(inner, dice, others, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_aim(each, dice, others, name) for each in value]
    is_id = isinstance(value, str) and (name == "id" or name.endswith(("Id", "Ids")))
    choices = others.get(name, IDS if is_id else ())
    return dice.choice(choices) if choices and dice.random() < REAL_SHARE else value


def _near(case: AnyCase, example: Any, number: int, dice: random.Random) -> Any:
    """A body that is right but for one field of what was generated; the first one is right."""
    if not isinstance(example, dict) or not isinstance(case.body, dict):
        return case.body
    names = [dice.choice(sorted(case.body))] if number and case.body else []
    return {**example, **{name: case.body[name] for name in names}}


def _example_of(document: dict[str, Any], operation: Operation) -> Any:
    described = document["paths"][operation.path][operation.method.lower()]
    content = described.get("requestBody", {}).get("content", {}).get("application/json")
    return content and example_of(document, content)


def _cases(operation: Operation, mode: GenerationMode, count: int) -> list[AnyCase]:
    """The same ones in each run; none where a request of this mode cannot be made."""
    made: list[AnyCase] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def collect(case: AnyCase) -> None:
        if len(made) < count:
            made.append(case)

    collect()
    return made


class Visit:
    """Requests of all roles at a running server; `faults` is what was wrong, by operation."""

    def __init__(
        self, url: str, headers: dict[str, dict[str, str]], database_url: str, now: datetime
    ) -> None:
        self.faults: dict[str, str] = {}
        self.answers: dict[int, int] = {}
        self._url, self._headers, self._database_url = url, headers, database_url
        self._dice = random.Random(5)
        soon = [(now + timedelta(hours=hours)).isoformat() for hours in range(8, 60, 2)]
        self._moments = dict.fromkeys(("scheduledTime", "scheduledDate", "dueDate"), soon)

    def run(self, document: dict[str, Any]) -> None:
        with requests.Session() as session, psycopg.connect(self._database_url, autocommit=True) as database:
            for operation in _operations(document):
                database.execute(LET_IN, (list(ROLES),))
                self._visit(operation, _example_of(document, operation), session)

    def _visit(self, operation: Operation, example: Any, session: requests.Session) -> None:
        cases = _cases(operation, GenerationMode.POSITIVE, POSITIVE_CASES)
        for number, case in enumerate(cases):
            case.body = _near(case, example, number, self._dice)
        if operation.body or operation.query:
            cases += _cases(operation, GenerationMode.NEGATIVE, NEGATIVE_CASES)
        for case in cases:
            for role in ROLES:
                case.path_parameters = _aim(case.path_parameters, self._dice, PATH_VALUES)
                case.body = _aim(case.body, self._dice, self._moments)
                self._call(case, role, session)

    def _call(self, case: AnyCase, role: str, session: requests.Session) -> None:
        answer = case.call(
            base_url=self._url, session=session, headers=self._headers[role], timeout=REQUEST_S_MAX
        )
        self.answers[answer.status_code] = self.answers.get(answer.status_code, 0) + 1
        try:
            case.validate_response(answer, checks=CHECKS, headers=self._headers[role])
        except FailureGroup as group:
            self.faults[f"{case.method} {case.path} as {role}"] = "\n".join(map(str, group.exceptions))


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
    async with serving(quick, pool, bus, clock, tmp_path) as url:
        visit = Visit(url, headers, database_url, clock.moment())
        await asyncio.to_thread(visit.run, document)
    assert not visit.faults, "\n\n".join(f"{where}\n{what}" for where, what in visit.faults.items())
    assert min(visit.answers.get(status, 0) for status in (200, 201, 403, 404, 422)) >= 20, visit.answers
