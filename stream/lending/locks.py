"""Batteries that are taken out of use until their loan is paid: notice, command, confirmation, the way back.

Used by the jobs role (`run_due`, `follow`) and by the API (`disable_now`). Each step is one transaction that
holds the loan, as a payment does; a command is committed with its step and sent after it. A process that dies
in between has done the step and sent nothing: the command is sent again by the next run, under the same id.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from uuid import uuid4

import structlog
from nats.aio.client import Client

from storage.database import Connection, Pool
from storage.queries import battery_locks
from storage.queries.battery_locks import Standing
from stream import battery_orders, notices
from stream.battery_orders import Action, Order
from stream.lending.lock_rules import AFTER, LockLimits, Step, decide, disable_day, notice_day, overdue_days
from stream.lending.terms import LendingTerms, today

log = structlog.get_logger()

FOLLOW_KIND = "follow_lock"  # of the outbox task that a payment leaves
PAGE = 500  # locks or loans read at a time
SENDS_MAX = 16  # at a time
DISABLE_NOW_MAX = 1_000  # loans of one call; the next call goes on
CURRENCY = "INR"


async def run_due(
    pool: Pool, bus: Client, now: datetime, terms: LendingTerms, limits: LockLimits | None = None
) -> int:
    """Take every step that is due, at most `steps_max`; returns how many. Harmless in several processes."""
    bounds = limits or LockLimits()
    due = [loan async for loan in _due(pool, now, terms, bounds)]
    taken = 0
    sending = asyncio.Semaphore(SENDS_MAX)
    async with asyncio.TaskGroup() as group:
        for application_id in due:
            try:
                is_taken, ordered = await _try_step(pool, application_id, terms, bounds, now)
            except Exception as error:  # it is this loan's failure and not its neighbours'
                log.error("lock_step_failed", application=application_id, error=repr(error))
                continue
            taken += is_taken
            if ordered is not None:
                group.create_task(_send(bus, ordered, sending))
    return taken


async def _due(pool: Pool, now: datetime, terms: LendingTerms, limits: LockLimits) -> AsyncIterator[int]:
    """Loans with a step to take, those with a lock first.

    What is only to be sent again comes last: many batteries that are away keep no step from the others.
    """
    day, after_id, left = today(now), 0, limits.steps_max
    again: list[int] = []
    while left > 0:
        async with pool.connection() as connection:
            page = await battery_locks.list_open(connection, day, after_id=after_id, limit=PAGE)
        for standing in page:
            step = decide(standing, terms, limits, now)
            if step is Step.SEND_AGAIN and len(again) < limits.steps_max:
                again.append(standing.application_id)
            elif step not in {None, Step.SEND_AGAIN} and left > 0:
                left -= 1
                yield standing.application_id
        if len(page) < PAGE:
            break
        after_id = page[-1].lock_id or 0
    if left > 0:
        due_by = day - timedelta(days=notice_day(terms))
        async with pool.connection() as connection:
            found = await battery_locks.list_to_notice(connection, day, due_by, limit=min(left, PAGE))
        for standing in found:
            left -= 1
            yield standing.application_id
    for application_id in again[:left]:
        yield application_id


async def _try_step(
    pool: Pool, application_id: int, terms: LendingTerms, limits: LockLimits, now: datetime
) -> tuple[bool, Order | None]:
    """Take the loan's step, unless another process is at it or it is not due any more."""
    async with pool.connection() as connection:
        if not await battery_locks.try_hold_loan(connection, application_id):
            return False, None
        return await _step(connection, application_id, terms, limits, now)


async def follow(
    connection: Connection, application_id: int, terms: LendingTerms, limits: LockLimits, now: datetime
) -> Order | None:
    """Take the step that a payment leads to; returns the order to send after the commit."""
    await battery_locks.hold_loan(connection, application_id)
    _, ordered = await _step(connection, application_id, terms, limits, now)
    return ordered


async def _step(
    connection: Connection, application_id: int, terms: LendingTerms, limits: LockLimits, now: datetime
) -> tuple[bool, Order | None]:
    standing = await battery_locks.get_standing(connection, application_id, today(now))
    step = None if standing is None else decide(standing, terms, limits, now)
    if standing is None or step is None or (step is Step.NOTICE and standing.phone is None):
        return False, None
    return True, await _take(connection, standing, step, terms, now)


async def disable_now(
    pool: Pool,
    bus: Client,
    *,
    threshold_days: int,
    dealer_id: int | None,
    requested_by: int,
    now: datetime,
) -> list[str]:
    """Disable the batteries of loans that are overdue for so many days, with a notice that it is done.

    Those of one dealer, or with None of all. Returns the serial numbers in their order, at most
    `DISABLE_NOW_MAX`; batteries that are locked already are not among them.
    """
    due_by = today(now) - timedelta(days=threshold_days)
    async with pool.connection() as connection:
        found = await battery_locks.list_to_disable(
            connection, today(now), due_by, dealer_id=dealer_id, limit=DISABLE_NOW_MAX
        )
    disabled: list[str] = []
    sending = asyncio.Semaphore(SENDS_MAX)
    async with asyncio.TaskGroup() as group:
        for each in found:
            done, ordered = await _disable_one(pool, each.application_id, threshold_days, requested_by, now)
            if done:
                disabled.append(each.serial_number)
            if ordered is not None:
                group.create_task(_send(bus, ordered, sending))
    return sorted(disabled)


async def _disable_one(
    pool: Pool, application_id: int, threshold_days: int, requested_by: int, now: datetime
) -> tuple[bool, Order | None]:
    day = today(now)
    async with pool.connection() as connection:
        await battery_locks.hold_loan(connection, application_id)
        standing = await battery_locks.get_standing(connection, application_id, day)
        if (
            standing is None
            or not _may_disable_now(standing)
            or not standing.is_with_consumer
            or overdue_days(standing, day) < max(1, threshold_days)
        ):
            return False, None
        lock_id = standing.lock_id
        if lock_id is None:
            lock_id = await _notice(connection, standing, day, now, disable_on=day)
        else:
            await _tell(connection, standing, f"lock-now:{lock_id}", _notice_words(standing, day, day), now)
        return True, await _disable(connection, standing, lock_id, now, requested_by)


def _may_disable_now(standing: Standing) -> bool:
    """Whether it is not disabled, or a dealer has switched it on again since."""
    if standing.state == "disabled":
        return standing.battery_status != "inactive"
    return standing.state in {None, "noticed"}


async def _take(
    connection: Connection, standing: Standing, step: Step, terms: LendingTerms, now: datetime
) -> Order | None:
    state = AFTER[standing.state, step]
    log.info("lock_step", battery=standing.serial_number, step=step.value, before=standing.state, after=state)
    if step is Step.NOTICE:
        assert standing.oldest_due is not None, "a notice is of something overdue"
        disable_on = disable_day(standing.oldest_due, today(now), terms)
        await _notice(connection, standing, today(now), now, disable_on=disable_on)
        return None
    assert standing.lock_id is not None, "every other step is of a lock"
    match step:
        case Step.DISABLE:
            return await _disable(connection, standing, standing.lock_id, now, None)
        case Step.ENABLE:
            return await _enable(connection, standing, standing.lock_id, now)
        case Step.SEND_AGAIN:
            await battery_locks.set_asked_again(connection, standing.lock_id, now)
            return _same_order(standing)
        case Step.NOTE_DISABLED:
            await battery_locks.set_disabled(connection, standing.lock_id, now)
        case Step.END:
            await battery_locks.set_ended(connection, standing.lock_id, now)
    return None


async def _notice(
    connection: Connection,
    standing: Standing,
    day: date,
    now: datetime,
    *,
    disable_on: date,
) -> int:
    lock_id = await battery_locks.insert_lock(
        connection, standing.application_id, standing.battery_id, disable_on=disable_on, now=now
    )
    words = _notice_words(standing, day, disable_on)
    await _tell(connection, standing, f"lock-notice:{lock_id}", words, now)
    return lock_id


def _notice_words(standing: Standing, day: date, disable_on: date) -> str:
    owed = notices.amount(CURRENCY, standing.overdue_minor)
    dealer = " ".join(each for each in (standing.dealer_name, standing.dealer_phone) if each)
    then = (
        "The battery is being switched off."
        if disable_on <= day
        else f"The battery is switched off on {disable_on:%d %b %Y} unless it is paid before."
    )
    return (
        f"{owed} for battery {standing.serial_number} is overdue since {standing.oldest_due:%d %b %Y}. {then}"
        f" Please pay {dealer}: once it is paid the battery is switched on again."
    )


async def _disable(
    connection: Connection, standing: Standing, lock_id: int, now: datetime, requested_by: int | None
) -> Order | None:
    ordered = _order(standing, "deactivate")
    is_asked = await battery_orders.order(
        connection,
        standing.battery_id,
        "deactivate",
        command_id=ordered.command_id,
        requested_by=requested_by,
    )
    if not is_asked:
        await battery_locks.set_disabled(connection, lock_id, now)
        return None
    await battery_locks.set_disabling(connection, lock_id, ordered.command_id, now)
    return ordered


async def _enable(connection: Connection, standing: Standing, lock_id: int, now: datetime) -> Order | None:
    if standing.oldest_due is None:
        words = f"Your payment has arrived. Battery {standing.serial_number} is switched on again."
        await _tell(connection, standing, f"lock-paid:{lock_id}", words, now)
    ordered = _order(standing, "activate")
    is_asked = await battery_orders.order(
        connection, standing.battery_id, "activate", command_id=ordered.command_id, requested_by=None
    )
    if not is_asked:
        await battery_locks.set_ended(connection, lock_id, now)
        return None
    await battery_locks.set_enabling(connection, lock_id, ordered.command_id, now)
    return ordered


def _order(standing: Standing, action: Action) -> Order:
    return Order(uuid4(), standing.serial_number, action)


def _same_order(standing: Standing) -> Order:
    assert standing.command_id is not None, "a lock that waits for a battery has asked it"
    return Order(
        standing.command_id,
        standing.serial_number,
        "deactivate" if standing.state == "disabling" else "activate",
    )


async def _tell(connection: Connection, standing: Standing, key: str, words: str, now: datetime) -> None:
    """Text the consumer, once for each key; one without a phone cannot be told."""
    if standing.phone is not None:
        message = notices.Message(key, key.partition(":")[0].replace("-", "_"), "sms", standing.phone, words)
        await notices.enqueue(connection, standing.consumer_id, message, now)


async def _send(bus: Client, ordered: Order, sending: asyncio.Semaphore) -> None:
    async with sending:
        await battery_orders.try_send(bus, ordered)
