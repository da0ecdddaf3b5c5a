"""Sessions whose end never comes, comes late, comes twice, or comes without a start: each billed once."""

import asyncio
import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from nats.aio.client import Client

from protocols.timestamps import from_datetime
from storage import ledger
from storage.database import Pool
from storage.queries import cdrs
from storage.queries.reconciliation import OpenSession
from storage.queries.samples import Register
from storage.queries.sessions import Session
from storage.queries.wallet_entries import list_entries
from stream import jobs, settlement
from stream.jobs import JobsConfig
from stream.reconcile import ReconcileLimits, ending_of, last_reading, rule_of
from stream.reconciliation import SUSPECTS_PAGE, LostStart, Stop, close_stale, session_of_stop
from tests.stream.scene import HOUR, MINUTE, T0, Scene

DAY = timedelta(days=1)
LIMITS = ReconcileLimits(superseded_s=300, available_s=900, silent_s=86_400)
OPEN = OpenSession(
    id=1, device_id=1, connector_id=1, transaction_id=1, started_at=T0, start_received_at=T0,
    meter_start_wh=1_000, next_started_at=None, next_received_at=None, next_meter_start_wh=None, status=None,
    status_at=None, is_connected=False, seen_at=None, heard_at=None, meter_last_wh=None,
    meter_last_at=None,
)  # fmt: skip
SUPERSEDED = replace(OPEN, next_started_at=T0 + HOUR, next_received_at=T0 + HOUR, next_meter_start_wh=9_000)
FREE = replace(OPEN, status="Available", status_at=T0 + HOUR)


def register(at: datetime, register_wh: int = 5_000, received_at: datetime | None = None) -> Register:
    return Register(at, received_at or at, register_wh)


@pytest.mark.parametrize(
    ("session", "last", "now", "rule"),
    [
        (OPEN, None, T0 + DAY - MINUTE, None),
        (OPEN, None, T0 + DAY, "silent"),
        (OPEN, register(T0 + HOUR), T0 + DAY, None),
        (OPEN, register(T0 + HOUR), T0 + DAY + HOUR, "silent"),
        (OPEN, register(T0 + HOUR, received_at=T0 + 5 * HOUR), T0 + DAY + HOUR, None),
        (replace(OPEN, heard_at=T0 + HOUR), None, T0 + DAY, None),
        # a charger that is online and says that a vehicle is there speaks for the session
        (replace(OPEN, is_connected=True, status="Charging", seen_at=T0 + 3 * DAY), None, T0 + 3 * DAY, None),
        (replace(OPEN, is_connected=True, status="Faulted", seen_at=T0 + 3 * DAY), None, T0 + DAY, "silent"),
        (replace(OPEN, status="Charging", seen_at=T0 + 3 * DAY), None, T0 + 3 * DAY, "silent"),
        (SUPERSEDED, None, T0 + HOUR + 4 * MINUTE, None),  # its own end may be on the way
        (SUPERSEDED, None, T0 + HOUR + 5 * MINUTE, "superseded"),
        (FREE, None, T0 + HOUR + 14 * MINUTE, None),
        (FREE, None, T0 + HOUR + 15 * MINUTE, "available"),
        (FREE, register(T0 + 2 * HOUR), T0 + 3 * HOUR, None),  # it charges on, whatever its status says
        (replace(FREE, status_at=T0 - HOUR), None, T0 + HOUR, None),  # it was free before
        (replace(FREE, status="Charging"), None, T0 + HOUR, None),
        (replace(FREE, connector_id=0), None, T0 + 2 * HOUR, None),
    ],
)
def test_which_sessions_have_ended(
    session: OpenSession, last: Register | None, now: datetime, rule: str | None
) -> None:
    assert rule_of(session, last, now, LIMITS) == rule


def test_the_end_is_the_last_reading() -> None:
    ending = ending_of(OPEN, register(T0 + HOUR, 5_000, T0 + 2 * HOUR), "silent")
    assert (ending.status, ending.ended_at, ending.received_at) == ("completed", T0 + HOUR, T0 + 2 * HOUR)
    assert (ending.meter_stop_wh, ending.register_wh) == (5_000, 5_000)


def test_the_newest_reading_is_a_stored_sample_or_of_the_transactions_events() -> None:
    told = replace(OPEN, meter_last_wh=4_000, meter_last_at=T0 + HOUR, heard_at=T0 + 2 * HOUR)
    assert last_reading(OPEN, None) is None
    assert last_reading(told, None) == register(T0 + HOUR, 4_000, T0 + 2 * HOUR)
    assert last_reading(told, register(T0 + MINUTE)) == register(T0 + HOUR, 4_000, T0 + 2 * HOUR)
    assert last_reading(told, register(T0 + 3 * HOUR)) == register(T0 + 3 * HOUR)


def test_without_a_reading_it_has_failed() -> None:
    for rule, session in (("silent", OPEN), ("available", FREE), ("superseded", OPEN)):
        ending = ending_of(session, None, rule)
        assert (ending.status, ending.ended_at, ending.meter_stop_wh) == ("failed", T0, 1_000)
        assert ending.register_wh is None


@pytest.mark.parametrize(
    ("next_wh", "status", "stop_wh"),
    [(9_000, "completed", 9_000), (1_000, "failed", 1_000), (0, "failed", 1_000), (10**9, "failed", 1_000)],
)
def test_the_next_start_shows_what_went_through_the_meter(next_wh: int, status: str, stop_wh: int) -> None:
    ending = ending_of(replace(SUPERSEDED, next_meter_start_wh=next_wh), None, "superseded")
    assert (ending.status, ending.meter_stop_wh) == (status, stop_wh)
    assert ending.ended_at == T0  # of its time nothing is known


async def test_the_next_transaction_ends_the_one_before_at_its_last_sample(pool: Pool) -> None:
    scene = await Scene.make(pool)
    old = await scene.start(T0, 1_000)
    elsewhere = await scene.start(T0, 1_000, connector_id=2)
    await scene.sample(old, T0 + 30 * MINUTE, 3_000)
    new = await scene.start(T0 + HOUR, 8_000)
    await scene.sample(new, T0 + 2 * HOUR, 9_000)
    assert await scene.reconcile(T0 + HOUR + MINUTE) == 0
    assert await scene.reconcile(T0 + 2 * HOUR) == 1
    assert await scene.reconcile(T0 + 2 * HOUR) == 0
    await scene.work()
    record = await scene.rated(old)
    assert (record.energy_wh, record.duration_s, record.is_estimated) == (2_000, 1_800, True)
    ended = await scene.seen(old)
    assert (ended.status, ended.payment_status) == ("completed", "paid")
    assert ended.stop_reason == "NextTransactionStarted"
    assert [(await scene.seen(each)).status for each in (new, elsewhere)] == ["active", "active"]
    assert await scene.balance() == 10_000_000 - record.total_minor
    await scene.house()


async def test_a_start_of_the_past_that_arrives_later_ends_nothing(pool: Pool) -> None:
    """An offline start comes after the running one: neither order alone says which is the newer."""
    scene = await Scene.make(pool)
    running = await scene.start(T0 + HOUR, 5_000)
    await scene.start(T0, 1_000, received_at=T0 + 2 * HOUR)
    assert await scene.reconcile(T0 + 5 * HOUR) == 0
    assert (await scene.seen(running)).status == "active"


async def test_a_free_connector_after_a_reboot_ends_it(pool: Pool) -> None:
    scene = await Scene.make(pool)
    session = await scene.start(T0, 1_000)
    await scene.sample(session, T0 + 30 * MINUTE, 3_000)
    await scene.status("Available", T0 + HOUR)
    assert await scene.reconcile(T0 + HOUR + 10 * MINUTE) == 0
    assert await scene.reconcile(T0 + HOUR + 20 * MINUTE) == 1
    closure = await scene.closure(session)
    assert closure is not None
    assert (closure.rule, closure.register_wh) == ("available", 3_000)


async def test_no_word_for_a_day_fails_what_no_energy_is_known_of(pool: Pool) -> None:
    scene = await Scene.make(pool)
    session = await scene.start(T0, 1_000)
    assert await scene.reconcile(T0 + 2 * DAY) == 1
    assert await scene.work() == []
    failed = await scene.seen(session)
    assert (failed.status, failed.payment_status, failed.total_minor) == ("failed", "pending", None)
    assert await scene.balance() == 10_000_000
    # the charger's own end, after days
    assert not await scene.stop(session, T0 + HOUR, 4_000, received_at=T0 + 3 * DAY)
    await scene.work()
    record = await scene.rated(session)
    assert (record.energy_wh, record.duration_s, record.is_estimated) == (3_000, 3_600, False)
    assert (await scene.seen(session)).status == "completed"
    assert await scene.balance() == 10_000_000 - record.total_minor


async def test_pages_of_stale_sessions(pool: Pool) -> None:
    scene = await Scene.make(pool)
    made = [
        await scene.start(T0 + timedelta(seconds=number), 0, connector_id=number)
        for number in range(1, SUSPECTS_PAGE + 6)
    ]
    assert await scene.reconcile(T0 + 2 * DAY) == len(made)


@pytest.mark.parametrize(
    ("estimate_wh", "real_wh", "is_rated_before"),
    [(3_000, 5_000, True), (5_000, 3_000, True), (3_000, 3_000, True), (3_000, 5_000, False)],
)
async def test_the_chargers_own_end_corrects_an_estimate(
    pool: Pool, estimate_wh: int, real_wh: int, is_rated_before: bool
) -> None:
    scene = await Scene.make(pool)
    session = await scene.start(T0, 0)
    await scene.sample(session, T0 + 30 * MINUTE, estimate_wh)
    await scene.status("Available", T0 + HOUR)
    assert await scene.reconcile(T0 + 2 * HOUR) == 1
    if is_rated_before:
        await scene.work()
        assert await scene.balance() == 10_000_000 - estimate_wh * 177 // 100
    for _ in range(3):  # it repeats itself
        await scene.stop(session, T0 + 40 * MINUTE, real_wh, received_at=T0 + 3 * HOUR)
    events = [event.name for event in await scene.work()]
    assert events == ["session-corrected" if is_rated_before else "session-stopped"]
    record = await scene.rated(session)
    assert (record.energy_wh, record.duration_s, record.is_estimated) == (real_wh, 2_400, False)
    assert await scene.balance() == 10_000_000 - real_wh * 177 // 100
    assert await scene.house() == (real_wh * 150 // 100, real_wh * 27 // 100)
    async with pool.connection() as connection:
        first = await cdrs.get_cdr(connection, session.id)
    assert first is not None
    assert first.energy_wh == (estimate_wh if is_rated_before else real_wh)


async def test_a_correction_of_what_was_owed_changes_the_debt(pool: Pool) -> None:
    scene = await Scene.make(pool, balance_minor=0)
    session = await scene.start(T0, 0)
    await scene.sample(session, T0 + 30 * MINUTE, 3_000)
    await scene.status("Available", T0 + HOUR)
    await scene.reconcile(T0 + 2 * HOUR)
    await scene.work()
    assert (await scene.seen(session)).payment_status == "failed"
    await scene.stop(session, T0 + 40 * MINUTE, 2_000)
    await scene.work()
    await scene.top_up(5_000)
    await scene.work()
    assert (await scene.seen(session)).payment_status == "paid"
    assert await scene.balance() == 5_000 - 3_540
    assert await scene.house() == (3_000, 540)


async def test_a_correction_that_cannot_be_paid_is_owed(pool: Pool) -> None:
    scene = await Scene.make(pool, balance_minor=5_310)
    session = await scene.start(T0, 0)
    await scene.sample(session, T0 + 30 * MINUTE, 3_000)
    await scene.status("Available", T0 + HOUR)
    await scene.reconcile(T0 + 2 * HOUR)
    await scene.work()
    assert await scene.balance() == 0
    await scene.stop(session, T0 + 40 * MINUTE, 4_000)
    await scene.work()
    assert (await scene.seen(session)).payment_status == "failed"
    await scene.top_up(1_770)
    await scene.work()
    assert (await scene.seen(session)).payment_status == "paid"
    assert await scene.balance() == 0
    assert await scene.house() == (6_000, 1_080)


def lost(scene: Scene, **changes: Any) -> LostStart:
    start = LostStart(scene.device_id, 1, "TAG", scene.driver, T0, 1_000)
    return replace(start, **changes)


async def test_a_stop_whose_start_is_lost_makes_a_session_once(pool: Pool) -> None:
    scene = await Scene.make(pool)
    stop = Stop(T0 + HOUR, T0 + 2 * HOUR, 4_000, "Local")
    made: list[Session | None] = []
    for _ in range(2):
        async with pool.connection() as connection:
            made.append(await session_of_stop(connection, lost(scene), stop))
    first, second = made
    assert first is not None
    assert second == first
    await scene.work()
    record = await scene.rated(first)
    assert (record.energy_wh, record.duration_s) == (3_000, 3_600)
    # the start comes after all: it is this session's
    assert (await scene.start(T0, 1_000, received_at=T0 + 3 * HOUR)).id == first.id
    await scene.work()
    assert await scene.balance() == 10_000_000 - record.total_minor


@pytest.mark.parametrize(
    "changes",
    [{"meter_start_wh": 5_000}, {"meter_start_wh": -(10**9)}, {"started_at": T0 + 2 * HOUR}],
)
async def test_a_stop_that_does_not_fit_makes_none(pool: Pool, changes: dict[str, Any]) -> None:
    scene = await Scene.make(pool)
    async with pool.connection() as connection:
        stop = Stop(T0 + HOUR, T0 + HOUR, 4_000, None)
        assert await session_of_stop(connection, lost(scene, **changes), stop) is None


async def test_a_stop_within_a_session_of_the_same_token_makes_none(pool: Pool) -> None:
    scene = await Scene.make(pool)
    await scene.start(T0 - HOUR, 500)
    async with pool.connection() as connection:
        stop = Stop(T0 + HOUR, T0 + HOUR, 4_000, None)
        assert await session_of_stop(connection, lost(scene), stop) is None


async def test_a_rule_and_the_chargers_end_at_the_same_time(pool: Pool) -> None:
    """Whoever is first: one record, one end in force, and the money of the charger's own end."""
    for number in range(8):
        scene = await Scene.make(pool)
        session = await scene.start(T0, 0)
        await scene.sample(session, T0 + 30 * MINUTE, 3_000)
        await scene.status("Available", T0 + HOUR)
        await asyncio.gather(
            scene.reconcile(T0 + 2 * HOUR),
            scene.stop(session, T0 + 40 * MINUTE, 4_000 + number),
            scene.reconcile(T0 + 2 * HOUR),
            scene.work(),
        )
        await scene.work()
        record = await scene.rated(session)
        assert record.energy_wh == 4_000 + number
        assert await scene.balance() == 10_000_000 - record.total_minor


async def test_an_end_that_comes_while_the_estimate_is_rated_is_not_lost(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = await Scene.make(pool)
    session = await scene.start(T0, 0)
    await scene.sample(session, T0 + 30 * MINUTE, 3_000)
    await scene.status("Available", T0 + HOUR)
    await scene.reconcile(T0 + 2 * HOUR)
    is_paying, may_pay, pay = asyncio.Event(), asyncio.Event(), settlement._pay

    async def pay_slowly(*args: Any) -> Any:
        is_paying.set()
        await may_pay.wait()
        return await pay(*args)

    async def end() -> None:
        await scene.stop(session, T0 + 40 * MINUTE, 4_000)
        await scene.work()

    monkeypatch.setattr(settlement, "_pay", pay_slowly)
    rating = asyncio.create_task(scene.work())
    await is_paying.wait()
    ending = asyncio.create_task(end())
    await asyncio.sleep(0.3)
    may_pay.set()
    await asyncio.gather(rating, ending)
    await scene.work()
    assert (await scene.rated(session)).energy_wh == 4_000
    assert await scene.balance() == 10_000_000 - 7_080


async def interleave(pool: Pool, seed: int) -> None:
    """Three transactions of one connector; their messages repeated, lost and reordered by `seed`."""
    draw = random.Random(seed)
    scene = await Scene.make(pool, balance_minor=draw.choice([0, 5_000, 10_000_000]))
    begins = [T0 + number * 2 * HOUR for number in range(3)]
    made = [await scene.start(at, number * 10_000) for number, at in enumerate(begins)]
    is_stopped = [draw.random() < 0.7 for _ in made]

    async def act(kind: str, number: int) -> None:
        session, at, base_wh = made[number], begins[number], number * 10_000
        if kind == "start":
            again = await scene.start(at, base_wh)
            assert again.id == session.id
        elif kind == "sample":
            minutes = draw.randrange(1, 59)
            await scene.sample(session, at + minutes * MINUTE, base_wh + 100 * minutes)
        elif kind == "stop" and is_stopped[number]:
            await scene.stop(session, at + HOUR, base_wh + 6_000)
        elif kind == "free":
            await scene.status("Available", at + 90 * MINUTE)
        elif kind == "reconcile":
            await scene.reconcile(T0 + draw.randrange(1, 40) * HOUR)
        elif kind == "work":
            await scene.work()
        elif kind == "top up":
            await scene.top_up(1_000)

    kinds = ["start", "sample", "sample", "stop", "stop", "free", "reconcile", "work", "top up"]
    steps = [(kind, number) for kind in kinds for number in range(len(made))]
    draw.shuffle(steps)
    while steps:
        together = [steps.pop() for _ in range(min(len(steps), draw.randrange(1, 4)))]
        await asyncio.gather(*(act(*step) for step in together))
    await scene.reconcile(T0 + 90 * DAY)
    await scene.top_up(10_000_000)
    await scene.work()
    await check(scene, made, is_stopped)


async def check(scene: Scene, made: list[Session], is_stopped: list[bool]) -> None:
    billed_minor = 0
    for session, was_stopped in zip(made, is_stopped, strict=True):
        seen = await scene.seen(session)
        assert seen.status != "active"
        if seen.status == "failed":
            assert not was_stopped
            continue
        record = await scene.rated(session)
        assert seen.payment_status == "paid"
        assert record.is_estimated is not was_stopped
        if was_stopped:
            assert record.energy_wh == 6_000
        billed_minor += record.total_minor
    async with scene.pool.connection() as connection:
        entries, _ = await list_entries(connection, user_id=scene.driver, limit=100)
        assert set((await ledger.trial_balance(connection)).values()) == {0}
    paid_minor = sum(
        entry.amount_minor if entry.direction == "debit" else -entry.amount_minor
        for entry in entries
        if entry.session_id is not None
    )
    assert paid_minor == billed_minor


@pytest.mark.parametrize("seed", range(20))
async def test_any_interleaving_bills_each_session_once(pool: Pool, seed: int) -> None:
    await interleave(pool, seed)


async def test_the_jobs_role_reconciles(pool: Pool, bus: Client) -> None:
    scene = await Scene.make(pool)
    session = await scene.start(T0, 0)
    await scene.sample(session, T0 + HOUR, 2_000)
    config = JobsConfig(clock=lambda: from_datetime(T0 + 3 * DAY), idle_s=0.05, reconcile_interval_s=0.05)
    stop = asyncio.Event()
    run = asyncio.create_task(jobs.run(config, pool=pool, bus=bus, stop=stop, ready=lambda: None))
    async with asyncio.timeout(30):
        while (await scene.seen(session)).payment_status != "paid":
            await asyncio.sleep(0.05)
    stop.set()
    await run
    assert (await scene.rated(session)).energy_wh == 2_000


async def test_closing_is_harmless_on_an_empty_database(pool: Pool) -> None:
    assert await close_stale(pool, T0) == 0
