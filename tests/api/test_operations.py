"""Operations endpoints, and the server that runs the application."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest
from nats.aio.client import Client

from api.app import run
from api.config import ApiConfig
from storage.database import Pool
from stream.log import LogConfig, ensure_log
from tests.api.helpers import Clock, Service


async def test_alive_and_ready(api: httpx.AsyncClient, bus: Client) -> None:
    await ensure_log(bus.jetstream(), LogConfig(bytes_max=8 << 20))
    assert (await api.get("/healthz")).status_code == 200
    ready = await api.get("/readyz")
    assert ready.status_code == 200, ready.text


async def test_not_ready_says_which_part_is_away(api: httpx.AsyncClient, bus: Client, pool: Pool) -> None:
    await ensure_log(bus.jetstream(), LogConfig(bytes_max=8 << 20))
    await pool.close()
    ready = await api.get("/readyz")
    assert ready.status_code == 503
    assert "database" in ready.text
    assert (await api.get("/healthz")).status_code == 200
    await bus.close()
    assert (await api.get("/readyz")).status_code == 503


async def test_metrics(api: httpx.AsyncClient, bus: Client) -> None:
    await ensure_log(bus.jetstream(), LogConfig(bytes_max=8 << 20))
    answer = await api.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "gridwire_sessions_active 0.0" in answer.text
    assert "gridwire_samples_in_flight 0.0" in answer.text


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_the_role_serves_until_it_is_stopped(
    config: ApiConfig, pool: Pool, bus: Client, clock: Clock
) -> None:
    port, stop, ready = free_port(), asyncio.Event(), asyncio.Event()
    role = asyncio.create_task(
        run(replace(config, port=port), pool=pool, bus=bus, clock=clock, stop=stop, ready=ready.set)
    )
    async with asyncio.timeout(20):
        await ready.wait()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            answer = await client.get("/api/v1/auth/me")
            assert answer.status_code == 401
            assert "X-RateLimit-Limit" in answer.headers
        stop.set()
        await role
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=1):
        pass


async def test_pages_of_other_hosts_may_call_where_they_are_named(
    make_service: Callable[..., Service],
) -> None:
    page = {"Origin": "https://dash.example"}
    asked = {
        **page,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization",
    }
    named, unnamed = make_service(web_origins="https://dash.example").client, make_service().client
    allowed = await named.options("/api/v1/profile", headers=asked)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, page["Origin"])
    answer = await named.get("/api/v1/profile", headers=page)
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == page["Origin"]
    assert "X-RateLimit-Remaining" in answer.headers["access-control-expose-headers"]
    other = await named.get("/api/v1/profile", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    assert "access-control-allow-origin" not in (await unnamed.get("/api/v1/profile", headers=page)).headers
