"""Clients generated from the EV-CMS document, by the tools that people use, against a real server.

`make clients` makes them; the TypeScript program is compiled here with `tsc --strict` and runs in Node.
"""

import asyncio
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from api.config import ApiConfig
from api.operations.client_files import LOGIN, family_documents
from api.postman import collection_of
from storage.database import Pool
from tests.api.conftest import admin, api, brand, clock, codes, config, make_service, password_hash, service
from tests.api.evcms.places_scene import make_station
from tests.api.helpers import Clock, Person
from tests.foreign.evcms.test_contract_clients import serving

__all__ = [
    "admin", "api", "brand", "clock", "codes", "config", "make_service", "password_hash", "service",
]  # fmt: skip

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "clients"
TYPES = ROOT / "build/clients/typescript/evcms.d.ts"
PACKAGE = ROOT / "build/clients/python"
PYTHON = ROOT / ".venv-clients/bin/python"
COLLECTION = ROOT / "docs/postman/gridwire-evcms.postman_collection.json"
SEEN = {
    "stations": ["Airport Road"],
    "balance": 0,
    "sessions": 0,
    "missing": 404,
    "invalid": [422, "amount"],
}


async def run(*command: str | Path, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *map(str, command), cwd=FOLDER, env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode == 0, (out.decode(), err.decode())
    return out.decode()


@pytest.fixture
async def station(api: httpx.AsyncClient, brand: Person) -> dict[str, Any]:
    return await make_station(api, brand)


def check(seen: dict[str, Any], name: str) -> None:
    assert seen.pop("user") == f"{name}@example.com"
    assert 0 < seen.pop("remaining") < 100_000
    assert seen == SEEN


async def test_typescript(
    station: dict[str, Any], config: ApiConfig, pool: Pool, bus: Client, clock: Clock, tmp_path: Path
) -> None:
    if shutil.which("node") is None or not (FOLDER / "node_modules/openapi-fetch").exists():
        pytest.skip("node or npm's openapi-fetch is not installed: run `make clients`")
    if not TYPES.exists():
        pytest.skip(f"{TYPES.relative_to(ROOT)} is not there: run `make clients`")
    compiler = FOLDER / "node_modules/.bin/tsc"
    await run(compiler, "--strict", "--noEmitOnError", "--outDir", tmp_path / "build")
    program = FOLDER / "build/visit.js"  # beside node_modules
    program.parent.mkdir(exist_ok=True)
    shutil.copy(next((tmp_path / "build").rglob("visit.js")), program)
    async with serving(config, pool, bus, clock, tmp_path) as url:
        check(json.loads(await run("node", program, url, "tess")), "tess")


async def test_a_call_that_does_not_fit_does_not_compile(tmp_path: Path) -> None:
    if not TYPES.exists() or not (FOLDER / "node_modules/typescript").exists():
        pytest.skip("the types or tsc are not there: run `make clients`")
    wrong = (FOLDER / "visit.ts").read_text().replace('role: "user"', 'role: "owner"')
    program = FOLDER / "build/wrong.ts"
    program.parent.mkdir(exist_ok=True)
    program.write_text(wrong)
    settings = json.loads((FOLDER / "tsconfig.json").read_text())
    settings["files"] = [str(program), str(TYPES)]
    settings["compilerOptions"]["paths"] = {"@gridwire/evcms": [str(TYPES)]}
    (program.parent / "tsconfig.json").write_text(json.dumps(settings))
    with pytest.raises(AssertionError, match='"owner"'):
        await run(FOLDER / "node_modules/.bin/tsc", "--strict", "--noEmit", "-p", program.parent)


async def test_python(
    station: dict[str, Any], config: ApiConfig, pool: Pool, bus: Client, clock: Clock, tmp_path: Path
) -> None:
    if not PYTHON.exists() or not PACKAGE.exists():
        pytest.skip("the Python client is not there: run `make clients`")
    async with serving(config, pool, bus, clock, tmp_path) as url:
        printed = await run(PYTHON, "visit.py", url, "pia", PYTHONPATH=str(PACKAGE))
    check(json.loads(printed), "pia")


def test_the_postman_collection_has_every_request() -> None:
    """`make postman` writes it anew."""
    document = family_documents()["evcms"]
    wanted = {
        (method.upper(), re.sub(r"{(\w+)}", r":\1", path))
        for path, item in document["paths"].items()
        for method in item
    }  # fmt: skip
    requests = [item for folder in json.loads(COLLECTION.read_text())["item"] for item in folder["item"]]
    listed = [
        (item["request"]["method"], item["request"]["url"]["raw"].removeprefix("{{baseUrl}}"))
        for item in requests
    ]
    assert sorted(listed) == sorted(wanted)
    (login,) = [each for each in requests if "event" in each]
    assert login["request"]["url"]["raw"].endswith("/auth/login")
    made = collection_of(document, LOGIN)
    assert made["item"][0]["item"][1]["event"] == login["event"]
