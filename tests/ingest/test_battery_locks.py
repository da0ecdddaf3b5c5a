"""A consumer goes overdue, and pays: at a simulated battery over real MQTT, while the jobs role is killed.

Each life of the jobs role ends by SIGKILL in the middle of a stage, before its commit or after it.
"""

import asyncio
import multiprocessing
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from multiprocessing.synchronize import Event
from typing import Any

import httpx
import pytest
from nats.aio.client import Client

from deploy.temporary import TemporaryNats as Nats
from ingest.mqtt.connection import BrokerConfig
from ingest.mqtt.ingestor import IngestorConfig
from simulators import mqtt_link
from simulators.battery import Battery, BatterySettings
from simulators.battery_client import BatteryClient
from storage.database import Pool
from stream.lending.terms import ZONE, LendingTerms
from stream.log import LogConfig, ensure_log
from tests.api.conftest import api, clock, codes, config, consumer, dealer, make_service, service
from tests.api.helpers import Person
from tests.ingest.locks_process import Life, main
from tests.ingest.test_mqtt_ingestor import running
from tests.simulators.test_charger_client import Recorded

__all__ = ["api", "clock", "codes", "config", "consumer", "dealer", "make_service", "service"]

SERIAL = "BAT-LOCK"
TERMS = LendingTerms()
LATE_DAYS = TERMS.disable_after_days - TERMS.notice_days
NOTICE_S = TERMS.notice_days * 86_400.0
WAIT_S = 20.0
PRELOADED = ["tests.ingest.locks_process"]
IN_TIME = [("deactivate", "confirmed"), ("activate", "confirmed")]


def now_us() -> int:
    return time.time_ns() // 1_000


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await is_so():
            await asyncio.sleep(0.03)


@dataclass
class Story:
    """The database, and the lives of the jobs role."""

    pool: Pool
    database_url: str
    nats_url: str
    ahead_s: float = 0.0

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.pool.connection() as db:
            return await (await db.execute(query.encode())).fetchall()

    async def locks(self) -> list[str]:
        return [state for (state,) in await self.rows("SELECT state FROM battery_locks ORDER BY id")]

    async def commands(self) -> list[tuple[Any, ...]]:
        return await self.rows("SELECT action, state FROM battery_commands ORDER BY created_at")

    async def texts(self) -> list[str]:
        query = "SELECT kind FROM notices WHERE kind LIKE 'lock%' ORDER BY id"
        return [kind for (kind,) in await self.rows(query)]

    @asynccontextmanager
    async def life(self, hangs_at: str | None = None) -> AsyncIterator[Event]:
        """A jobs role in a process of its own, killed at the end."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        reached = context.Event()
        life = Life(self.database_url, self.nats_url, self.ahead_s, hangs_at)
        process = context.Process(target=main, args=(life, reached))
        process.start()
        try:
            yield reached
        finally:
            process.kill()
            await asyncio.to_thread(process.join)

    async def dies_in(self, step: str) -> None:
        """Live, and be killed in the middle of this step."""
        async with self.life(step) as reached:

            async def is_there() -> bool:
                return reached.is_set()

            await until(is_there)

    async def lives_until(self, *states: str, all_sent: bool = False) -> None:
        """Live until the locks have these states, and a little longer; then be killed."""
        waiting = "SELECT 1 FROM notices WHERE kind LIKE 'lock%' AND state <> 'sent'"
        async with self.life():

            async def is_so() -> bool:
                return await self.locks() == list(states) and not (all_sent and await self.rows(waiting))

            await until(is_so)
            await asyncio.sleep(0.3)


@asynccontextmanager
async def battery(nats: Nats, recorded: Recorded) -> AsyncIterator[Battery]:
    one = Battery(BatterySettings(SERIAL, interval_s=0.2), random.Random(1), now_us())
    broker = mqtt_link.BrokerConfig(nats.device_mqtt_url, retry_s=0.1, ack_timeout_s=5, finish_s=5)
    client = BatteryClient([one], broker, recorded.record, now_us, random.Random(2))
    task = asyncio.create_task(client.run())
    try:
        yield one
    finally:
        client.finish()
        await asyncio.wait_for(task, 15)


@asynccontextmanager
async def ingesting(nats: Nats, pool: Pool, bus: Client) -> AsyncIterator[None]:
    await ensure_log(bus.jetstream(), LogConfig(bytes_max=64 << 20))
    config = IngestorConfig(
        broker=BrokerConfig(nats.mqtt_url, "ingestor-locks", reconnect_s_max=0.5),
        clock=now_us,
        partitions=1,
        unknown_devices="register",
        drain_s=5.0,
    )
    async with running(config, pool, bus):
        yield


async def lend(api: httpx.AsyncClient, dealer: Person, consumer: Person) -> int:
    """A battery on a loan whose first instalment is due since `LATE_DAYS`; returns the instalment's id."""

    async def call(verb: str, path: str, /, **body: Any) -> Any:
        answer = await api.request(verb, f"/api{path}", json=body, headers=dealer.headers)
        assert answer.is_success, (path, answer.text)
        return answer.json()

    made = await call("POST", "/batteries", serial_number=SERIAL)
    await call("PUT", f"/batteries/{SERIAL}/assign", consumer_id=consumer.id)
    terms = {"amount": 45_000, "tenure_months": 24}
    loan = await call(
        "POST", "/finance/applications", consumer_id=consumer.id, battery_id=made["id"], **terms
    )
    first = datetime.now(ZONE).date() - timedelta(days=LATE_DAYS)
    starts_on = (first - timedelta(days=first.day)).replace(day=min(first.day, 28))
    approval = {"status": "approved", "method": "interest_free", "starts_on": starts_on.isoformat()}
    await call("PUT", f"/finance/applications/{loan['id']}/approve", **approval)
    overdue = (await api.get("/api/finance/overdue", headers=dealer.headers)).json()
    assert date.fromisoformat(overdue["overdue_accounts"][0]["due_date"]) <= first
    return int(overdue["overdue_accounts"][0]["id"])


@pytest.mark.timeout(120)
async def test_overdue_disabled_paid_and_enabled_once_through_every_crash(
    api: httpx.AsyncClient,
    dealer: Person,
    consumer: Person,
    pool: Pool,
    bus: Client,
    nats: Nats,
    database_url: str,
) -> None:
    story, recorded = Story(pool, database_url, nats.url), Recorded()
    emi_id = await lend(api, dealer, consumer)
    async with ingesting(nats, pool, bus), battery(nats, recorded) as simulated:
        await until(lambda: heard_of(story))
        await story.dies_in("notice")
        assert (await story.locks(), await story.texts()) == ([], [])
        await story.lives_until("noticed", all_sent=True)
        assert (await story.texts(), await story.commands()) == (["lock_notice"], [])

        story.ahead_s = NOTICE_S
        await story.dies_in("disable")
        assert (await story.locks(), await story.commands()) == (["noticed"], [])
        await story.dies_in("send")
        assert (await story.locks(), await story.commands()) == (
            ["disabling"],
            [("deactivate", "pending")],
        )
        assert str(simulated.state) == "active"
        await story.dies_in("note_disabled")  # it has sent the command again, and the battery has answered
        assert (await story.locks(), await story.commands()) == (["disabling"], IN_TIME[:1])
        assert str(simulated.state) == "inactive"
        await story.lives_until("disabled")

        paid = await api.post(f"/api/finance/emi/{emi_id}/pay", json={}, headers=dealer.headers)
        assert paid.status_code == 201, paid.text
        await story.dies_in("enable")
        assert (await story.locks(), len(await story.commands())) == (["disabled"], 1)
        await story.dies_in("send")
        assert (await story.locks(), str(simulated.state)) == (["enabling"], "inactive")
        await story.dies_in("end")
        assert (await story.locks(), await story.commands()) == (["enabling"], IN_TIME)
        await story.lives_until("ended", all_sent=True)
        assert str(simulated.state) == "active"

    assert await story.locks() == ["ended"]
    assert await story.commands() == IN_TIME
    assert await story.texts() == ["lock_notice", "lock_paid"]
    assert (recorded.total("command_deactivate"), recorded.total("command_activate")) == (1, 1)
    assert await story.rows("SELECT status FROM batteries") == [("active",)]


async def heard_of(story: Story) -> bool:
    return bool(await story.rows("SELECT 1 FROM devices WHERE last_seen_at IS NOT NULL"))
