"""Locks of batteries on a real database: each step once, whoever pays, dies, refuses or interferes."""

import asyncio
import itertools
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.aio.msg import Msg

from storage.database import Pool
from storage.queries import batteries, users
from storage.queries.battery_assignments import assign_battery
from storage.queries.battery_locks import Standing, State
from stream import battery_orders, jobs
from stream.jobs import JobsConfig
from stream.lending import locks
from stream.lending.lock_rules import AFTER, LockLimits, Step, decide
from stream.lending.terms import LendingTerms
from tests.stream.lending.lock_scene import NOON, TERMS, Scene, make_loan, make_scene

LIMITS = LockLimits()
STANDING = Standing(
    application_id=1,
    battery_id=1,
    serial_number="BAT001",
    consumer_id=1,
    phone="+919876543210",
    battery_status="active",
    dealer_name="Dealer",
    dealer_phone=None,
    is_with_consumer=True,
    oldest_due=None,
    overdue_minor=0,
    command_state=None,
    lock_id=None,
    state=None,
    noticed_at=None,
    disable_on=None,
    command_id=None,
    asked_at=None,
)


def late(days: int, state: State | None = None, **more: object) -> Standing:
    due = NOON.date() - timedelta(days=days) if days > 0 else None
    lock_id = None if state is None else 1
    changes: dict[str, object] = {"oldest_due": due, "state": state, "lock_id": lock_id, **more}
    return replace(STANDING, **changes)  # type: ignore[arg-type]


def ago(**spent: float) -> object:
    return NOON - timedelta(**spent)


@pytest.mark.parametrize(
    ("standing", "step"),
    [
        (late(0), None),
        (late(3), None),
        (late(4), Step.NOTICE),
        (late(90), Step.NOTICE),
        (late(90, is_with_consumer=False), None),
        (late(0, "noticed", noticed_at=NOON), Step.END),
        (late(2, "noticed", noticed_at=NOON), Step.END),
        (late(6, "noticed", noticed_at=ago(days=3)), None),
        (late(7, "noticed", noticed_at=ago(days=3)), Step.DISABLE),
        (late(90, "noticed", noticed_at=ago(days=2)), None),
        (late(9, "noticed", noticed_at=ago(days=5), disable_on=NOON.date() + timedelta(days=1)), None),
        (late(9, "noticed", noticed_at=ago(days=5), disable_on=NOON.date()), Step.DISABLE),
        (late(90, "noticed", noticed_at=ago(days=9), is_with_consumer=False), Step.END),
        (late(9, "disabling", command_state="confirmed", asked_at=NOON), Step.NOTE_DISABLED),
        (late(9, "disabling", command_state="pending", asked_at=ago(seconds=299)), None),
        (late(9, "disabling", command_state="pending", asked_at=ago(seconds=300)), Step.SEND_AGAIN),
        (late(9, "disabling", command_state="refused", asked_at=ago(seconds=899)), None),
        (late(9, "disabling", command_state="refused", asked_at=ago(seconds=900)), Step.DISABLE),
        (late(9, "disabling", command_state="superseded", asked_at=ago(seconds=900)), Step.DISABLE),
        (late(0, "disabling", command_state="pending", asked_at=NOON), Step.ENABLE),
        (late(9, "disabled"), None),
        (late(0, "disabled"), Step.ENABLE),
        (late(9, "disabled", is_with_consumer=False), Step.ENABLE),
        (late(0, "enabling", command_state="confirmed", asked_at=NOON), Step.END),
        (late(0, "enabling", command_state="refused", asked_at=ago(hours=1)), Step.ENABLE),
        (late(0, "enabling", command_state="superseded", asked_at=NOON), Step.END),
        (late(9, "enabling", command_state="pending", asked_at=ago(hours=1)), Step.SEND_AGAIN),
    ],
)
def test_the_step_that_is_due(standing: Standing, step: Step | None) -> None:
    assert decide(standing, TERMS, LIMITS, NOON) is step


@given(
    days=st.integers(0, 40),
    state=st.sampled_from([None, "noticed", "disabling", "disabled", "enabling"]),
    command=st.sampled_from(["pending", "confirmed", "refused", "superseded"]),
    waited_s=st.integers(0, 5_000),
    noticed_days=st.integers(0, 20),
    is_with_consumer=st.booleans(),
    terms=st.builds(lambda after, notice: replace(TERMS, disable_after_days=after, notice_days=notice),
                    st.integers(0, 30), st.integers(0, 30)),
)  # fmt: skip
def test_every_step_has_a_state_after_it_and_nobody_is_disabled_unannounced(
    days: int,
    state: State | None,
    command: str,
    waited_s: int,
    noticed_days: int,
    is_with_consumer: bool,
    terms: LendingTerms,
) -> None:
    standing = late(
        days,
        state,
        command_state=command,
        asked_at=ago(seconds=waited_s),
        noticed_at=ago(days=noticed_days),
        is_with_consumer=is_with_consumer,
    )
    step = decide(standing, terms, LIMITS, NOON)
    if step is not None:
        assert (state, step) in AFTER
    if step is Step.DISABLE:
        assert days >= 1
        assert is_with_consumer
    if step is Step.DISABLE and state == "noticed":
        assert noticed_days >= max(1, terms.notice_days)
        assert days >= terms.disable_after_days


class Relay:
    """Takes orders on the bus as the MQTT shell does."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    async def take(self, message: Msg) -> None:
        self.taken.append(message.data.decode())
        await message.respond(b'{"outcome":"sent"}')


async def run(scene: Scene, bus: Client, day: int, hours: float = 0) -> int:
    return await locks.run_due(scene.pool, bus, scene.day(day) + timedelta(hours=hours), TERMS)


async def test_notice_command_confirmation_payment_and_back(pool: Pool, bus: Client) -> None:
    scene, relay = await make_scene(pool), Relay()
    await bus.subscribe(battery_orders.REQUEST_SUBJECT, cb=relay.take)
    assert await run(scene, bus, 3) == 0
    assert await asyncio.gather(*(run(scene, bus, 4) for _ in range(4))) in [
        list(each) for each in set(itertools.permutations([1, 0, 0, 0]))
    ]
    (notice,) = await scene.texts()
    for fact in (scene.battery.serial_number, "INR 1875.00", "10 Mar 2026", "17 Mar 2026", "Dealer"):
        assert fact in notice
    assert await run(scene, bus, 6) == 0
    assert sum(await asyncio.gather(*(run(scene, bus, 7) for _ in range(4)))) == 1
    assert await scene.locks() == ["disabling"]
    assert len(relay.taken) == 1
    assert '"deactivate"' in relay.taken[0]
    assert await run(scene, bus, 7) == 0
    # nobody answers: the same command again, and no other
    assert await run(scene, bus, 7, hours=1) == 1
    assert len(relay.taken) == 2
    assert relay.taken[0] == relay.taken[1]
    await scene.answer("confirmed", scene.day(8))
    assert await run(scene, bus, 8) == 1
    assert (await scene.locks(), await scene.status()) == (["disabled"], "inactive")
    # a part of it is not enough
    await scene.pay("p1", 1_000, scene.day(9))
    config = JobsConfig(lambda: int((scene.day(9) + timedelta(days=3000)).timestamp() * 1e6))
    while await jobs.work_one(config, pool, bus):
        pass
    assert await scene.locks() == ["disabled"]
    await scene.pay("p2", 100_000, scene.day(9))
    while await jobs.work_one(config, pool, bus):
        pass
    assert await scene.locks() == ["enabling"]
    assert '"activate"' in relay.taken[-1]
    await scene.answer("confirmed", scene.day(9))
    assert await run(scene, bus, 9) == 1
    assert (await scene.locks(), await scene.status()) == (["ended"], "active")
    assert await scene.commands() == [("deactivate", "confirmed"), ("activate", "confirmed")]
    assert len(relay.taken) == 3
    notice, thanks = await scene.texts()
    assert "switched on again" in thanks
    assert await run(scene, bus, 30) == 0


async def test_paid_in_time_refused_overruled_and_without_a_device(pool: Pool, bus: Client) -> None:
    paid, refusing, overruled, silent = [
        await make_scene(pool, with_device=each) for each in (True, True, True, False)
    ]
    assert await run(paid, bus, 4) == 4
    await paid.pay("in-time", 1_875, paid.day(5))
    assert await run(paid, bus, 7) == 4
    assert await paid.locks() == ["ended"]
    assert await paid.commands() == []
    # a battery that nobody could ask is set at once, and enabled at once
    assert await silent.locks() == ["disabled"]
    assert await silent.status() == "inactive"
    await silent.pay("late", 1_875, silent.day(8))
    assert await run(silent, bus, 8) >= 1
    assert (await silent.locks(), await silent.status()) == (["ended"], "active")
    assert await silent.commands() == []
    # a refusal is tried again, with a command of its own
    await refusing.answer("refused", refusing.day(8))
    assert await run(refusing, bus, 8, hours=1) >= 1
    assert await refusing.commands() == [("deactivate", "refused"), ("deactivate", "pending")]
    # the dealer's own order takes the place of ours, for a while
    async with pool.connection() as db:
        await battery_orders.order(
            db,
            overruled.battery.id,
            "activate",
            command_id=uuid.uuid4(),
            requested_by=overruled.dealer_id,
        )
    await overruled.answer("confirmed", overruled.day(8))
    assert await overruled.locks() == ["disabling"]
    await run(overruled, bus, 9)
    assert [state for _, state in await overruled.commands()] == ["superseded", "confirmed", "pending"]
    await overruled.answer("confirmed", overruled.day(9))
    await run(overruled, bus, 9, hours=1)
    assert await overruled.locks() == ["disabled"]


async def test_batteries_that_are_away_keep_no_step_from_the_others(pool: Pool, bus: Client) -> None:
    away, owing = await make_scene(pool), await make_scene(pool)
    for day in (4, 7):
        await run(away, bus, day)
    await owing.answer("confirmed", owing.day(7))
    later = away.day(7) + timedelta(hours=1)
    one = LockLimits(steps_max=1)
    assert await locks.run_due(pool, bus, later, TERMS, one) == 1
    assert await owing.locks() == ["disabled"], "and not the first one's command again"
    assert await locks.run_due(pool, bus, later, TERMS, one) == 1
    assert await locks.run_due(pool, bus, later, TERMS, one) == 0


async def test_what_a_notice_named_stands_when_the_terms_become_stricter(pool: Pool, bus: Client) -> None:
    scene = await make_scene(pool)
    lenient, strict = replace(TERMS, disable_after_days=20, notice_days=10), replace(TERMS, notice_days=1)
    assert await locks.run_due(pool, bus, scene.day(10), lenient) == 1
    assert "30 Mar 2026" in (await scene.texts())[0]
    assert await locks.run_due(pool, bus, scene.day(19), strict) == 0
    assert await locks.run_due(pool, bus, scene.day(20), strict) == 1
    assert await scene.locks() == ["disabling"]


@pytest.mark.parametrize(("action", "after"), [("activate", ["enabling"]), ("deactivate", ["ended"])])
async def test_a_dealers_order_in_the_place_of_ours_that_enables(
    pool: Pool, bus: Client, action: battery_orders.Action, after: list[str]
) -> None:
    scene = await make_scene(pool)
    await run(scene, bus, 4)
    await run(scene, bus, 7)
    await scene.answer("confirmed", scene.day(7))
    await scene.pay("all", 1_875, scene.day(8))
    await run(scene, bus, 8)
    async with pool.connection() as db:
        await battery_orders.order(
            db, scene.battery.id, action, command_id=uuid.uuid4(), requested_by=scene.dealer_id
        )
    await scene.answer("refused", scene.day(8))
    await run(scene, bus, 9)
    assert await scene.locks() == after
    if action == "activate":  # it was refused: it is tried again until the battery is on
        await scene.answer("confirmed", scene.day(9))
        await run(scene, bus, 9, hours=1)
        assert (await scene.locks(), await scene.status()) == (["ended"], "active")


async def test_another_owner_another_loan_and_a_payment_while_it_is_disabled(pool: Pool, bus: Client) -> None:
    scene, hasty = await make_scene(pool), await make_scene(pool)
    for day in (4, 7):
        await run(scene, bus, day)
    # paid before the battery has answered: it is to be enabled, whatever it does with the first command
    await hasty.pay("hasty", 1_875, hasty.day(7))
    await run(hasty, bus, 7)
    assert await hasty.commands() == [("deactivate", "superseded"), ("activate", "pending")]
    # the dealer gives the battery to somebody else: what the first one owes is not theirs to bear
    await scene.answer("confirmed", scene.day(7))
    async with pool.connection() as db:
        other = await users.insert_user(
            db, system="ienerzy", role="consumer", name="Ravi", phone="+919830000001",
            dealer_id=scene.dealer_id,
        )  # fmt: skip
        await assign_battery(db, scene.battery.id, other.id, assigned_by=None, now=scene.day(7))
    await run(scene, bus, 8)
    assert await scene.locks() == ["enabling"]
    await scene.answer("confirmed", scene.day(8))
    await run(scene, bus, 8)
    assert (await scene.locks(), await scene.status()) == (["ended"], "active")
    assert len(await scene.texts()) == 1
    await run(scene, bus, 20)
    assert await scene.locks() == ["ended"]
    # the first loan is paid, the battery has a second one, of its new owner: that one has locks of its own
    await scene.pay("all", 46_000, scene.day(9))
    async with pool.connection() as db:
        second = await make_loan(db, scene.dealer_id, other.id, scene.battery.id)
    later = replace(scene, application_id=second, consumer_id=other.id)
    await run(later, bus, 4)
    assert (await scene.locks(), await later.locks()) == (["ended"], ["noticed"])


async def test_disabling_at_once_takes_each_account_once(pool: Pool, bus: Client) -> None:
    told, fresh = await make_scene(pool), await make_scene(pool, with_device=False)
    await run(told, bus, 4)
    now = told.day(6)

    async def disable(days: int, dealer_id: int | None) -> list[str]:
        return await locks.disable_now(
            pool, bus, threshold_days=days, dealer_id=dealer_id, requested_by=told.dealer_id, now=now
        )

    assert await disable(7, None) == []
    assert await disable(6, fresh.dealer_id) == [fresh.battery.serial_number]
    assert await fresh.status() == "inactive"
    both = await asyncio.gather(*(disable(6, None) for _ in range(4)))
    assert sorted(serial for serials in both for serial in serials) == [told.battery.serial_number]
    assert await disable(1, None) == []
    assert await told.commands() == [("deactivate", "pending")]
    assert [("being switched off" in text) for text in await told.texts()] == [False, True]
    # the dealer switches it on, and later off again
    await told.answer("confirmed", now)
    await run(told, bus, 6)
    assert await told.locks() == ["disabled"]
    async with pool.connection() as db:
        await batteries.set_battery_status(db, told.battery.id, "active")
    await run(told, bus, 30)
    assert await told.locks() == ["disabled"]
    assert await disable(6, told.dealer_id) == [told.battery.serial_number]
    assert (await told.locks(), len(await told.commands())) == (["disabling"], 2)
