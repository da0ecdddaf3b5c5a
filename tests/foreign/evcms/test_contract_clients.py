"""The contract's own client code, and a page with axios, against a real server on a real port."""

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from api.app import run
from api.config import ApiConfig
from deploy.temporary import free_port
from protocols.vocabulary import MEASURAND_CODES
from storage.database import Pool
from storage.queries import sessions
from stream.bus import publish_live
from stream.files import DiskStore
from tests.api.evcms.booking_scene import Scene, enrich, make_scene
from tests.api.helpers import PASSWORD, Clock, Person, begin_session
from tests.stream.test_files import picture

FOLDER = Path(__file__).parent


@dataclass
class Page:
    """The script in Node, step by step."""

    process: asyncio.subprocess.Process

    async def step(self, name: str) -> Any:
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            line = json.loads(await self.process.stdout.readline() or "{}")
        assert line.get("step") == name, line
        return line["value"]

    async def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"next\n")
        await self.process.stdin.drain()


@asynccontextmanager
async def page(url: str, **values: Any) -> AsyncIterator[Page]:
    process = await asyncio.create_subprocess_exec(
        "node", "run.mjs", json.dumps(values), cwd=FOLDER, env={"REACT_APP_API_URL": url, "PATH": _path()},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 20,
    )  # fmt: skip
    try:
        yield Page(process)
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _path() -> str:
    node = shutil.which("node")
    assert node is not None
    return str(Path(node).parent)


@asynccontextmanager
async def serving(
    config: ApiConfig, pool: Pool, bus: Client, clock: Clock, folder: Path
) -> AsyncIterator[str]:
    port, stop, ready = free_port(), asyncio.Event(), asyncio.Event()
    url = f"http://127.0.0.1:{port}"
    there = replace(config, port=port, public_url=url, files=DiskStore(folder))
    role = asyncio.create_task(run(there, pool=pool, bus=bus, clock=clock, stop=stop, ready=ready.set))
    await asyncio.wait_for(ready.wait(), 20)
    try:
        yield url
    finally:
        stop.set()
        await role


@pytest.fixture
async def scene(pool: Pool, api: httpx.AsyncClient, clock: Clock, brand: Person, driver: Person) -> Scene:
    if shutil.which("node") is None:
        pytest.skip("node is not installed: the clients of npm cannot run")
    if not (FOLDER / "node_modules" / "socket.io-client").exists():
        pytest.skip("npm's socket.io-client is not installed: run `make foreign`")
    made = await make_scene(pool, api, clock, brand.id)
    await enrich(pool, driver.id)
    async with pool.connection() as db:
        await db.execute(
            "UPDATE stations SET latitude = 12.97, longitude = 77.59 WHERE id = %s", (made.station_id,)
        )
    return made


async def test_the_contracts_client_code_runs_as_it_is(
    scene: Scene, config: ApiConfig, pool: Pool, bus: Client, clock: Clock, driver: Person, tmp_path: Path
) -> None:
    order = await scene.order(driver, ahead_minutes=3 * 24 * 60)
    session_id = await begin_session(pool, scene.device_id, driver.id, clock.moment() - timedelta(minutes=10))
    values = {
        "email": "user@example.com", "password": PASSWORD, "booking": order, "sessionId": str(session_id),
        "picture": base64.b64encode(picture()).decode(),
    }  # fmt: skip
    async with serving(config, pool, bus, clock, tmp_path) as url, page(url, **values) as there:
        assert (await there.step("login"))["id"] == str(driver.id)
        await _requests(there, config, clock, driver)
        nearby = await there.step("nearby")
        assert [each["id"] for each in nearby["data"]] == [str(scene.station_id)]
        assert await there.step("authenticated") == str(driver.id)
        await _booking(there, scene, bus, driver)
        await _session(there, pool, bus, clock, driver, session_id)
        uploaded = await there.step("uploaded")
        assert uploaded["status"] == 200
        assert uploaded["answer"]["data"]["url"].startswith(f"{url}/uploads/profile/")
        assert uploaded["bytes"] == uploaded["answer"]["data"]["size"]


async def _requests(there: Page, config: ApiConfig, clock: Clock, driver: Person) -> None:
    """Twice the token expires, and the client refreshes it and asks again by itself."""
    await there.step("expire")
    clock.advance(config.evcms_access_s + 1)
    await there.go_on()
    retried = await there.step("retried")
    assert retried["profile"]["data"]["user"]["id"] == str(driver.id)
    assert retried["isRenewed"]
    assert [path.rpartition("/")[2] for _, path in retried["requests"]] == ["me", "refresh-token", "me"]
    await there.step("expire")
    clock.advance(config.evcms_access_s + 1)
    await there.go_on()
    answers = await there.step("axios")
    assert answers["me"]["data"]["id"] == str(driver.id)
    assert answers["wallet"]["success"]
    assert (answers["refused"]["success"], answers["refused"]["statusCode"]) == (False, 404)


async def _booking(there: Page, scene: Scene, bus: Client, driver: Person) -> None:
    booked = await there.step("booked")
    booking = booked["booking"]["data"]
    assert booking["id"] == booked["update"]["id"]
    payload = {"user_id": driver.id, "booking_id": int(booking["id"])}
    await publish_live(bus, "booking-reminder", payload)
    assert await there.step("reminded") == "Your booking starts in 15 minutes at Harbour"


async def _session(
    there: Page, pool: Pool, bus: Client, clock: Clock, driver: Person, session_id: int
) -> None:
    watched = await there.step("watched")
    assert (watched["power"], watched["energy"]) == (0, 0)
    assert watched["duration"] > 10
    for measurand, value in (("Power.Active.Import", 7_400), ("Energy.Active.Import.Register", 3_500)):
        await _sample(pool, clock, session_id, MEASURAND_CODES[measurand], value)
    measured = await there.step("measured")
    assert measured["power"] == 7.4
    await there.step("notify")
    await publish_live(bus, "notification", {"user_id": driver.id, "notification": {"title": "Hello"}})
    assert await there.step("notified") == {"title": "Hello", "notification": {"title": "Hello"}}
    caught_up = await there.step("caught up")
    assert (caught_up["power"], caught_up["energy"]) == (7.4, 2.5)


async def _sample(pool: Pool, clock: Clock, session_id: int, measurand: int, value: float) -> None:
    async with pool.connection() as db:
        session = await sessions.get_session(db, session_id)
        assert session is not None
        await db.execute(
            "INSERT INTO charger_samples (ts, device_id, received_at, connector_id, measurand, phase,"
            " location, context, transaction_id, value) VALUES (%s, %s, %s, 1, %s, 0, 0, 0, %s, %s)",
            (clock.moment(), session.device_id, clock.moment(), measurand, session.transaction_id, value),
        )
