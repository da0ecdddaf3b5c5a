"""The sandbox NBFC as a process of its own, the API on a real socket, and the jobs role between them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from api.app import run as run_api
from api.config import ApiConfig
from deploy.temporary import free_port
from simulators.nbfc import Application, NbfcSettings, decide, monthly_instalment
from storage.database import Pool
from stream import jobs
from stream.jobs import JobsConfig
from stream.nbfc.provider import HttpNbfc, Submission
from stream.providers import ProviderAwayError, ProviderRefusedError
from tests.api.conftest import api, clock, codes, config, consumer, dealer, make_service, service
from tests.api.helpers import Clock, Person

__all__ = ["api", "clock", "codes", "config", "consumer", "dealer", "make_service", "service"]

SECRET = "what both sides know"
SETTINGS = NbfcSettings("http://127.0.0.1:1/", SECRET)
AT = datetime(2026, 3, 10, tzinfo=UTC)
WAIT_S = 30.0


def test_it_decides_by_amount_and_always_the_same() -> None:
    def said(amount: int) -> list[Any]:
        asked = Application(7, Decimal(amount), 24, Decimal("12.5"))
        calls = decide(asked, SETTINGS, AT)
        assert calls == decide(asked, SETTINGS, AT)
        return [call.body["status"] for call in calls]

    assert said(200_000) == ["under_review", "approved", "disbursed"]
    assert said(200_001) == ["under_review", "rejected"]
    assert monthly_instalment(Decimal(45_000), Decimal("12.5"), 24) == Decimal("2128.83")
    assert monthly_instalment(Decimal(45_000), Decimal(0), 24) == Decimal("1875.00")


@asynccontextmanager
async def sandbox(api_url: str) -> AsyncIterator[str]:
    """An NBFC that tells everything three times, in any order."""
    port = free_port()
    options = {
        "webhook-url": f"{api_url}/api/nbfc/webhook-status",
        "port": port,
        "delay-s": 0.1,
        "spread-s": 0.5,
        "repeats": 3,
    }
    given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulators.nbfc", *given, "--shuffle",
        env={**os.environ, "GRIDWIRE_NBFC_SECRET": SECRET},
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient() as client:
            await until(lambda: _answers(client, url))
        yield url
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 15)


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.post(f"{url}/reports")).status_code == 401
    except httpx.TransportError:
        return False


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await is_so():
            await asyncio.sleep(0.05)


@asynccontextmanager
async def platform(
    config: ApiConfig, pool: Pool, bus: Client, clock: Clock
) -> AsyncIterator[tuple[str, str]]:
    """API, jobs role and sandbox; gives the URLs of the API and the sandbox."""
    port, stop = free_port(), asyncio.Event()
    url = f"http://127.0.0.1:{port}"
    async with sandbox(url) as nbfc_url:
        nbfc = HttpNbfc(nbfc_url, SECRET, clock)
        there = replace(config, port=port, nbfc=nbfc, nbfc_secret=SECRET)
        ready = asyncio.Event()
        serving = asyncio.create_task(
            run_api(there, pool=pool, bus=bus, clock=clock, stop=stop, ready=ready.set)
        )
        await asyncio.wait_for(ready.wait(), WAIT_S)
        # ahead of the database's clock, by which tasks are due
        work = JobsConfig(lambda: clock() + 60_000_000, nbfc=nbfc, workers=2, idle_s=0.05)
        working = asyncio.create_task(jobs.run(work, pool=pool, bus=bus, stop=stop, ready=lambda: None))
        try:
            yield url, nbfc_url
        finally:
            stop.set()
            await asyncio.gather(serving, working)


@pytest.mark.timeout(120)
async def test_submitted_approved_disbursed_and_scheduled_once(
    api: httpx.AsyncClient,
    dealer: Person,
    consumer: Person,
    config: ApiConfig,
    pool: Pool,
    bus: Client,
    clock: Clock,
) -> None:
    async def value(query: str) -> Any:
        async with pool.connection() as db:
            row = await (await db.execute(query.encode())).fetchone()
        return None if row is None else row[0]

    async with (
        platform(config, pool, bus, clock) as (url, nbfc_url),
        httpx.AsyncClient(base_url=f"{url}/api", headers=dealer.headers) as client,
    ):
        numbers = []
        for serial, amount in (("BAT-1", 45_000), ("BAT-2", 300_000)):
            battery = (await client.post("/batteries", json={"serial_number": serial})).json()
            body = {"consumer_id": consumer.id, "battery_id": battery["id"], "amount": amount}
            made = await client.post(
                "/nbfc/submit-application", json={**body, "tenure_months": 24, "interest_rate": 12.5}
            )
            assert made.status_code == 201, made.text
            numbers.append(made.json()["application"]["id"])
        statuses = "SELECT string_agg(status, ' ' ORDER BY id) FROM finance_applications"

        async def is_decided() -> bool:
            return bool(await value(statuses) == "disbursed rejected")

        await until(is_decided)
        await asyncio.sleep(1.0)  # the rest of the repetitions
        assert await value(statuses) == "disbursed rejected"
        assert await value("SELECT count(*) FROM nbfc_events") == 3 + 2
        schedule = f"FROM emi_schedules WHERE application_id = {numbers[0]}"
        assert await value(f"SELECT count(*) {schedule}") == 24
        assert await value(f"SELECT sum(principal_minor)::bigint {schedule}") == 4_500_000
        assert await value(f"SELECT amount_minor {schedule} AND emi_number = 1") == 212_883
        assert await value("SELECT count(*) FROM emi_schedules") == 24
        principal = "SELECT amount_minor FROM transfers WHERE key LIKE 'loan:%'"
        assert await value(principal) == 4_500_000
        assert await value("SELECT max(nbfc_reference) FROM finance_applications") == (
            f"NBFC-{numbers[1]:010}"
        )
        assert 600 <= await value(f"SELECT credit_score FROM consumers WHERE user_id = {consumer.id}") <= 850
        data = {"total_collections": 1, "amount_collected": 2128.83, "overdue_count": 0}
        report = await client.post(
            "/nbfc/collection-report", json={"report_date": "2026-03-10", "collection_data": data}
        )
        number = report.json()["report"]["id"]
        assert report.json()["nbfc_response"]["report_id"] == f"RPT{number:010}"
        assert await value("SELECT count(*) FROM nbfc_reports WHERE sent_at IS NOT NULL") == 1

        asked = Submission(1, Decimal(1), 1, None, "BAT-1", 1, "Asha", None, 1, "Dealer")
        with pytest.raises(ProviderAwayError, match="401"):
            await HttpNbfc(nbfc_url, "another secret", clock).submit(asked)
        with pytest.raises(ProviderRefusedError):
            await HttpNbfc(nbfc_url, SECRET, clock).submit(replace(asked, application_id=0))
    with pytest.raises(ProviderAwayError):
        await HttpNbfc(nbfc_url, SECRET, clock).submit(asked)
