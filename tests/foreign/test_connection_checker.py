"""PyPI's `test-ocpp`, with which installers try a central system, boots in each security profile."""

import asyncio
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from storage.database import Pool
from tests.ingest.ocpp_gateway import add_charger, running_gateway
from tests.ingest.secure_gateway import HASH, PASSWORD, SUBPROTOCOLS, configure, make_tls, wss

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("test_ocpp") is None, reason="test-ocpp of PyPI is not installed"
)
VERSIONS = pytest.mark.parametrize("version", ["1.6", "2.0.1"])


async def check(url: str, *options: str) -> tuple[int, str]:
    """Its exit status, and all that it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "test_ocpp", url, "CP1", *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(30):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


def answers(said: str) -> list[dict[str, Any]]:
    frames = [json.loads(line.removeprefix("<-- ")) for line in said.splitlines() if line.startswith("<-- ")]
    return [frame[2] for frame in frames if frame[0] == 3]


@VERSIONS
@pytest.mark.parametrize("options", [(), ("--trailing-slash",)])
async def test_it_boots_with_a_password(
    pool: Pool, bus: Client, version: str, options: tuple[str, ...]
) -> None:
    await add_charger(pool, "CP1", HASH(PASSWORD))
    async with running_gateway(pool, bus) as running:
        url = f"{running.url}/ocpp"
        status, said = await check(url, "--ocpp", version, "--password", PASSWORD, *options)
        refused = await check(url, "--ocpp", version, "--password", "another password")
    assert status == 0, said
    boot, heartbeat = answers(said)
    assert (boot["status"], boot["interval"]) == ("Accepted", 300)
    assert heartbeat.keys() == {"currentTime"}
    assert f"Negotiated subprotocol: {SUBPROTOCOLS[version]}" in said
    assert refused[0] == 1
    assert "HTTP 401" in refused[1]


@VERSIONS
@pytest.mark.parametrize("profile", [2, 3])
async def test_it_boots_over_tls(pool: Pool, bus: Client, tmp_path: Path, version: str, profile: int) -> None:
    tls = make_tls(tmp_path)
    device = await add_charger(pool, "CP1", HASH(PASSWORD) if profile == 2 else None)
    await configure(pool, device.id, profile)
    proof = ("--cert", str(tls.certificate("CP1"))) if profile == 3 else ("--password", PASSWORD)
    async with running_gateway(pool, bus, tls=tls.config) as running:
        status, said = await check(wss(running), "--ocpp", version, "--ca", str(tls.root), *proof)
        plain = await check(running.url, "--ocpp", version, "--password", PASSWORD)
    assert status == 0, said
    assert [answer.get("status") for answer in answers(said)] == ["Accepted", None]
    assert "TLS: TLSv1." in said
    assert plain[0] == 1, "below its profile"
