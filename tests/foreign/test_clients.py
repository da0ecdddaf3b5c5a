"""Clients generated from three families' documents, by the tools that people use, against a real server.

`make clients` makes them; the TypeScript programs are compiled here with `tsc --strict` and run in Node.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from api.config import ApiConfig
from api.document import JsonObject, Part
from api.documents import PARTS
from api.operations.client_files import family_documents
from api.postman import collection_of
from storage.database import Pool
from storage.queries import users
from tests.api.conftest import admin, api, brand, clock, codes, config, make_service, password_hash, service
from tests.api.evcms.places_scene import make_station
from tests.api.helpers import Clock, Codes, Person
from tests.api.lithovolt.people import lithovolt_person
from tests.foreign.evcms.test_contract_clients import serving

__all__ = [
    "admin", "api", "brand", "clock", "codes", "config", "make_service", "password_hash", "service",
]  # fmt: skip

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "clients"
TYPES = ROOT / "build/clients/typescript"
PACKAGES = ROOT / "build/clients/python"
PYTHON = ROOT / ".venv-clients/bin/python"
COMPILER = FOLDER / "node_modules/.bin/tsc"
FAMILIES = ("evcms", "ienerzy", "lithovolt")
COLLECTIONS = ROOT / "docs/postman"
RUN_S = 100.0
DEALER_PHONE = "+919876500050"
LANGUAGES = ("typescript", "python")


@dataclass(frozen=True)
class Visitor:
    """Runs a visit's program against a server, in one of the languages."""

    language: str
    programs: Path  # TypeScript ones, compiled

    async def visit(
        self, program: str, *words: str, waits_for: Callable[[], str | None] | None = None
    ) -> Any:
        """What the program saw. Once there is something that it waits for, that is on its standard input."""
        commands: dict[str, tuple[str | Path, ...]] = {
            "typescript": ("node", self.programs / f"{program}.js"),
            "python": (PYTHON, f"{program}.py"),
        }
        process = await asyncio.create_subprocess_exec(
            *commands[self.language], *words, cwd=FOLDER, env={**os.environ, "PYTHONPATH": str(PACKAGES)},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(RUN_S):
            while waits_for is not None and waits_for() is None and process.returncode is None:
                await asyncio.sleep(0.05)
            line = "" if waits_for is None else waits_for() or ""
            out, err = await process.communicate(f"{line}\n".encode())
        assert process.returncode == 0, (out.decode(), err.decode())
        return json.loads(out)


@pytest.fixture(scope="session")
def programs() -> Path:
    """The TypeScript programs compiled, beside node_modules."""
    if shutil.which("node") is None or not COMPILER.exists():
        pytest.skip("node, npm's typescript or openapi-fetch is not installed: run `make clients`")
    missing = [each for each in FAMILIES if not (TYPES / f"{each}.d.ts").exists()]
    if missing:
        pytest.skip(f"there are no types of {', '.join(missing)}: run `make clients`")
    command = (COMPILER, "--strict", "--noEmitOnError")
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=RUN_S)
    assert done.returncode == 0, done.stdout
    return FOLDER / "build"


@pytest.fixture(params=LANGUAGES)
def visitor(request: pytest.FixtureRequest) -> Visitor:
    language = str(request.param)
    if language == "typescript":
        return Visitor(language, request.getfixturevalue("programs"))
    missing = [each for each in FAMILIES if not (PACKAGES / f"gridwire_{each}").exists()]
    if missing or not PYTHON.exists():
        pytest.skip("the Python clients are not there: run `make clients`")
    return Visitor(language, FOLDER)


@pytest.fixture
async def station(api: httpx.AsyncClient, brand: Person) -> dict[str, Any]:
    return await make_station(api, brand)


async def test_evcms(
    visitor: Visitor,
    station: dict[str, Any],
    config: ApiConfig,
    pool: Pool,
    bus: Client,
    clock: Clock,
    tmp_path: Path,
) -> None:
    async with serving(config, pool, bus, clock, tmp_path) as url:
        seen = await visitor.visit("visit", url, "tess")
    assert 0 < seen.pop("remaining") < 100_000
    assert seen == {
        "user": "tess@example.com",
        "stations": ["Airport Road"],
        "balance": 0,
        "sessions": 0,
        "missing": 404,
        "invalid": [422, "amount"],
    }


async def test_ienerzy(
    visitor: Visitor, config: ApiConfig, pool: Pool, bus: Client, clock: Clock, codes: Codes, tmp_path: Path
) -> None:
    async with pool.connection() as db:
        await users.insert_user(db, system="ienerzy", role="dealer", name="Dealer", phone=DEALER_PHONE)
    async with serving(config, pool, bus, clock, tmp_path) as url:
        seen = await visitor.visit(
            "visit_ienerzy", url, DEALER_PHONE, waits_for=lambda: codes.sent.get(DEALER_PHONE)
        )
    assert seen == {
        "batteries": [["BAT002", "Ram Kumar"]],
        "application": ["pending", 45_000],
        "consumers": 1,
        "twice": "DUPLICATE",
        "missing": [404, "Battery not found"],
    }


async def test_lithovolt(
    visitor: Visitor,
    config: ApiConfig,
    pool: Pool,
    bus: Client,
    clock: Clock,
    password_hash: str,
    tmp_path: Path,
) -> None:
    await lithovolt_person(pool, clock, "admin", password_hash=password_hash)
    async with serving(config, pool, bus, clock, tmp_path) as url:
        seen = await visitor.visit("visit_lithovolt", url, "admin@example.com")
    assert seen == {
        "price": "45000.50",
        "serials": [3, "in_stock", "in_stock"],
        "warranty": "not_activated",
        "missing": 404,
        "invalid": ["price"],
    }


WRONG = {
    "visit": ('role: "user"', 'role: "owner"', '"owner"'),
    "visit_ienerzy": ('userType: "dealer"', 'userType: "driver"', '"driver"'),
    "visit_lithovolt": ("warranty_months: 36,", "", "warranty_months"),
}


def test_a_call_that_does_not_fit_does_not_compile(programs: Path) -> None:
    for name, (right, wrong, _) in WRONG.items():
        program = (FOLDER / f"{name}.ts").read_text()
        assert right in program
        (programs / f"wrong_{name}.ts").write_text(program.replace(right, wrong))
    settings = json.loads((FOLDER / "tsconfig.json").read_text())
    settings["files"] = [f"wrong_{name}.ts" for name in WRONG]
    settings["compilerOptions"]["paths"] = {"@gridwire/*": [f"{TYPES}/*.d.ts"]}
    (programs / "tsconfig.json").write_text(json.dumps(settings))
    command = (COMPILER, "--strict", "--noEmit", "--skipLibCheck", "-p", programs)
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=RUN_S)
    for name, (_, _, named) in WRONG.items():
        assert re.search(f"wrong_{name}.ts.*error TS.*{named}", done.stdout), done.stdout


@pytest.fixture(scope="module")
def documents() -> Mapping[str, JsonObject]:
    return family_documents()


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.slug)
def test_the_postman_collections_have_every_request(part: Part, documents: Mapping[str, JsonObject]) -> None:
    """`make postman` writes them anew."""
    document = documents[part.slug]
    wanted = {
        (method.upper(), re.sub(r"{(\w+)}", r":\1", path))
        for path, item in document["paths"].items()
        for method in item
    }  # fmt: skip
    collection = json.loads((COLLECTIONS / f"gridwire-{part.slug}.postman_collection.json").read_text())
    requests = [item for folder in collection["item"] for item in folder["item"]]
    listed = [
        (item["request"]["method"], item["request"]["url"]["raw"].removeprefix("{{baseUrl}}"))
        for item in requests
    ]
    assert sorted(listed) == sorted(wanted)
    logins = [each for each in requests if "event" in each]
    assert len(logins) == len(part.logins)
    made = collection_of(document, part.logins)
    again = [each for folder in made["item"] for each in folder["item"] if "event" in each]
    assert again == logins
