"""The jobs role: carries out the outbox, and does what is due by the clock.

Started by `gridwire.py`, as many processes as wanted. A task is claimed, carried out and finished in one
transaction, so that no two workers do one task, and a worker that dies gives its task back. A task that
fails is tried again, later each time; what it wrote is undone, what waits behind it goes on.

To add a kind of task: write its handler (idempotent, in its own module), name it in `HANDLERS`, enqueue
it with `storage.queries.outbox.enqueue` in the transaction that it follows from.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
import structlog
from nats.aio.client import Client
from psycopg_pool import PoolTimeout

from protocols.timestamps import to_datetime
from storage import partitions
from storage.database import Connection, Pool
from storage.queries import device_commands, outbox
from storage.queries.outbox import Task
from stream import (
    battery_orders,
    broadcast,
    budgets,
    charger_certificates,
    charger_commands,
    invoicing,
    money_upkeep,
    notices,
    reconciliation,
    session_news,
    settlement,
)
from stream.bookings import jobs as booking_jobs
from stream.bus import nudge_device
from stream.health import job as health_job
from stream.lending import locks
from stream.lending.lock_rules import LockLimits
from stream.lending.terms import LendingTerms
from stream.metering import billing, supply, watch
from stream.nbfc import submission
from stream.nbfc.provider import HouseNbfc, NbfcProvider
from stream.notices import Senders
from stream.reconcile import ReconcileLimits
from stream.release import REST_KIND, release_rest
from stream.service import alarm_tickets
from stream.settlement import LiveEvent
from stream.warranty import reminders

log = structlog.get_logger()

ERROR_CHARACTERS_MAX = 1_000
DONE_KEPT = timedelta(days=7)  # tasks stay that long for whoever asks what happened
PURGE_MAX = 100_000  # in one transaction
EXPIRED_MAX = 10_000  # of commands to devices, in one transaction


@dataclass(frozen=True, slots=True)
class JobsConfig:
    """`clock` returns microseconds since 1970 UTC. A failed task waits `backoff_s_min`, then twice as long
    each time, at most `backoff_s_max`.
    """

    clock: Callable[[], int]
    workers: int = 4
    idle_s: float = 0.5
    backoff_s_min: float = 1.0
    backoff_s_max: float = 900.0
    maintain_interval_s: float = 3600.0
    commands_interval_s: float = 10.0
    certificates_interval_s: float = 1.0
    reconcile_interval_s: float = 60.0
    reconcile: ReconcileLimits = field(default_factory=ReconcileLimits)
    billing_workers: int = 2
    meters_interval_s: float = 600.0
    budgets_interval_s: float = 60.0
    health_interval_s: float = 15.0
    bookings_interval_s: float = 5.0
    senders: Senders = field(default_factory=Senders)
    lending: LendingTerms = field(default_factory=LendingTerms)
    locks_interval_s: float = 60.0
    locks: LockLimits = field(default_factory=LockLimits)
    nbfc: NbfcProvider = field(default_factory=HouseNbfc)


_Handler = Callable[[Connection, Mapping[str, Any], JobsConfig], Awaitable[list[LiveEvent]]]


async def _rate_session(
    connection: Connection, payload: Mapping[str, Any], config: JobsConfig
) -> list[LiveEvent]:
    now = to_datetime(config.clock())
    return await settlement.rate_session(connection, int(payload["session_id"]), now)


async def _settle_debts(
    connection: Connection, payload: Mapping[str, Any], config: JobsConfig
) -> list[LiveEvent]:
    now = to_datetime(config.clock())
    await settlement.settle_debts(connection, int(payload["user_id"]), now)
    return []


async def _bill_meter(
    connection: Connection, payload: Mapping[str, Any], config: JobsConfig
) -> list[LiveEvent]:
    return await billing.bill_again(connection, payload, to_datetime(config.clock()))


async def _deliver(connection: Connection, payload: Mapping[str, Any], config: JobsConfig) -> list[LiveEvent]:
    now = to_datetime(config.clock())
    await notices.deliver(connection, int(payload["notice_id"]), config.senders, now)
    return []


async def _notify_wallet(
    connection: Connection, payload: Mapping[str, Any], config: JobsConfig
) -> list[LiveEvent]:
    await notices.notify_wallet(connection, payload, to_datetime(config.clock()))
    return []


async def _notify_meter_alert(
    connection: Connection, payload: Mapping[str, Any], config: JobsConfig
) -> list[LiveEvent]:
    now = to_datetime(config.clock())
    await notices.notify_meter_alert(connection, int(payload["alert_id"]), now)
    return []


async def _release_rest(
    connection: Connection, payload: Mapping[str, Any], config: JobsConfig
) -> list[LiveEvent]:
    await release_rest(connection, int(payload["device_id"]), config.clock())
    return []


async def _broadcast(
    connection: Connection, payload: Mapping[str, Any], config: JobsConfig
) -> list[LiveEvent]:
    return await broadcast.write_batch(connection, payload, to_datetime(config.clock()))


async def _tell_session_started(
    connection: Connection, payload: Mapping[str, Any], config: JobsConfig
) -> list[LiveEvent]:
    now = to_datetime(config.clock())
    await session_news.tell_started(connection, int(payload["session_id"]), now)
    return []


async def _complete_booking(
    connection: Connection, payload: Mapping[str, Any], config: JobsConfig
) -> list[LiveEvent]:
    now = to_datetime(config.clock())
    await booking_jobs.complete_booking(connection, int(payload["session_id"]), now)
    return []


async def _invoice_session(
    connection: Connection, payload: Mapping[str, Any], config: JobsConfig
) -> list[LiveEvent]:
    await invoicing.invoice_session(connection, int(payload["session_id"]), to_datetime(config.clock()))
    return []


async def _open_alarm_ticket(
    connection: Connection, payload: Mapping[str, Any], config: JobsConfig
) -> list[LiveEvent]:
    await alarm_tickets.open_for_alarm(connection, int(payload["alarm_id"]), to_datetime(config.clock()))
    return []


async def _follow_lock(
    connection: Connection, payload: Mapping[str, Any], config: JobsConfig
) -> list[LiveEvent]:
    ordered = await locks.follow(
        connection, int(payload["application_id"]), config.lending, config.locks, to_datetime(config.clock())
    )
    return [] if ordered is None else [battery_orders.as_event(ordered)]


async def _submit_to_nbfc(
    connection: Connection, payload: Mapping[str, Any], config: JobsConfig
) -> list[LiveEvent]:
    now = to_datetime(config.clock())
    application_id, method = int(payload["application_id"]), config.lending.method
    await submission.submit(connection, application_id, config.nbfc, method, now)
    return []


async def _report_to_nbfc(
    connection: Connection, payload: Mapping[str, Any], config: JobsConfig
) -> list[LiveEvent]:
    now = to_datetime(config.clock())
    await submission.submit_report(connection, int(payload["report_id"]), config.nbfc, now)
    return []


async def _live_event(
    connection: Connection, payload: Mapping[str, Any], config: JobsConfig
) -> list[LiveEvent]:
    return [LiveEvent(payload["name"], payload["payload"])]


HANDLERS: Mapping[str, _Handler] = {
    "rate_session": _rate_session,  # {"session_id"}: a session was stopped
    "settle_debts": _settle_debts,  # {"user_id"}: a wallet was topped up
    "bill_meter": _bill_meter,  # {"meter_id", "since", "reason"}: a meter could not be billed
    "send_sms": _deliver,  # {"notice_id"}: somebody is to be told something
    "send_push": _deliver,
    "send_email": _deliver,
    broadcast.KIND: _broadcast,  # {"key", "type", "title", "message", "user_ids" or "after_id"}
    session_news.KIND: _tell_session_started,  # {"session_id"}: a driver has begun to charge
    "notify_wallet": _notify_wallet,  # {"unit_id", "kind", "balance_minor", "transfer_id"}: low or empty
    "notify_meter_alert": _notify_meter_alert,  # {"alert_id"}: an alert was opened
    invoicing.KIND: _invoice_session,  # {"session_id"}: a wallet has paid for a session
    REST_KIND: _release_rest,  # {"device_id"}: a device was let in a while ago
    alarm_tickets.KIND: _open_alarm_ticket,  # {"alarm_id"}: a battery's alarm is critical
    "complete_booking": _complete_booking,  # {"session_id"}: a booking's session was rated
    locks.FOLLOW_KIND: _follow_lock,  # {"application_id"}: something was paid of a loan
    submission.SUBMIT_KIND: _submit_to_nbfc,  # {"application_id"}: an application goes to the NBFC
    submission.REPORT_KIND: _report_to_nbfc,  # {"report_id"}: a collection report goes to it
    "live_event": _live_event,  # {"name", "payload"}: to be told after a commit of the API
}


async def _maintain(pool: Pool, config: JobsConfig) -> None:
    """Partitions ahead, and nothing kept beyond its retention."""
    async with pool.connection() as connection:
        done = await partitions.maintain(connection, to_datetime(config.clock()))
    log.info("partitions_maintained", made=sum(done.made.values()), dropped=sum(done.dropped.values()))


async def _purge(pool: Pool, config: JobsConfig) -> None:
    """Forget tasks that were done long ago."""
    before = to_datetime(config.clock()) - DONE_KEPT
    async with pool.connection() as connection:
        purged = await outbox.purge(connection, before, PURGE_MAX)
    log.info("outbox_purged", tasks=purged)


async def _tidy_money(pool: Pool, config: JobsConfig) -> None:
    """Forget old answers, and fail top-ups that nobody paid."""
    await money_upkeep.run(pool, to_datetime(config.clock()))


async def _expire_device_commands(pool: Pool, config: JobsConfig) -> None:
    """End the commands that no device came for in time."""
    async with pool.connection() as connection:
        expired = await device_commands.expire(connection, to_datetime(config.clock()), EXPIRED_MAX)
    if expired:
        log.warning("device_commands_expired", commands=expired)


async def _reconcile(pool: Pool, config: JobsConfig) -> None:
    """End the sessions that ended unheard."""
    ended = await reconciliation.close_stale(pool, to_datetime(config.clock()), config.reconcile)
    if ended:
        log.warning("sessions_reconciled", ended=ended)


async def _remind_of_warranties(pool: Pool, config: JobsConfig) -> None:
    """Tell whose warranty ends soon."""
    await reminders.remind(pool, to_datetime(config.clock()))


async def _raise_budget_alerts(pool: Pool, config: JobsConfig) -> None:
    """Tell who has spent a budget, or most of it."""
    await budgets.raise_alerts(pool, to_datetime(config.clock()))


async def run(
    config: JobsConfig, *, pool: Pool, bus: Client, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Work until `stop`; what was begun by then is finished."""

    async def send_supply_orders_again(pool: Pool, config: JobsConfig) -> None:
        async with pool.connection() as connection:
            devices = await supply.send_again(connection, to_datetime(config.clock()))
        for device_id in devices:
            await nudge_device(bus, device_id)

    async def watch_meters(pool: Pool, config: JobsConfig) -> None:
        await watch.watch_meters(pool, bus, to_datetime(config.clock()))

    async def sweep_commands(pool: Pool, config: JobsConfig) -> None:
        await charger_commands.sweep(pool, bus, to_datetime(config.clock()))

    async def deliver_certificates(pool: Pool, config: JobsConfig) -> None:
        await charger_certificates.deliver_due(pool, bus, to_datetime(config.clock()))

    async def renew_certificates(pool: Pool, config: JobsConfig) -> None:
        await charger_certificates.renew_expiring(pool, bus, to_datetime(config.clock()))

    async def assess_batteries(pool: Pool, config: JobsConfig) -> None:
        await health_job.run_due(pool, bus, to_datetime(config.clock()))

    async def lock_batteries(pool: Pool, config: JobsConfig) -> None:
        await locks.run_due(pool, bus, to_datetime(config.clock()), config.lending, config.locks)

    async def follow_bookings(pool: Pool, config: JobsConfig) -> None:
        await booking_jobs.run_due(pool, bus, to_datetime(config.clock()))

    async with asyncio.TaskGroup() as group:
        for _ in range(config.workers):
            group.create_task(_work(config, pool, bus, stop))
        for _ in range(config.billing_workers):
            group.create_task(_bill(config, pool, bus, stop))
        group.create_task(_repeat(_maintain, config.maintain_interval_s, config, pool, stop))
        group.create_task(_repeat(_purge, config.maintain_interval_s, config, pool, stop))
        group.create_task(_repeat(_tidy_money, config.maintain_interval_s, config, pool, stop))
        group.create_task(_repeat(_remind_of_warranties, config.maintain_interval_s, config, pool, stop))
        group.create_task(_repeat(_raise_budget_alerts, config.budgets_interval_s, config, pool, stop))
        group.create_task(_repeat(_reconcile, config.reconcile_interval_s, config, pool, stop))
        group.create_task(_repeat(send_supply_orders_again, config.meters_interval_s, config, pool, stop))
        group.create_task(_repeat(watch_meters, config.meters_interval_s, config, pool, stop))
        group.create_task(_repeat(sweep_commands, config.commands_interval_s, config, pool, stop))
        group.create_task(_repeat(_expire_device_commands, config.commands_interval_s, config, pool, stop))
        group.create_task(_repeat(deliver_certificates, config.certificates_interval_s, config, pool, stop))
        group.create_task(_repeat(assess_batteries, config.health_interval_s, config, pool, stop))
        group.create_task(_repeat(lock_batteries, config.locks_interval_s, config, pool, stop))
        group.create_task(_repeat(follow_bookings, config.bookings_interval_s, config, pool, stop))
        group.create_task(_repeat(renew_certificates, config.maintain_interval_s, config, pool, stop))
        ready()


async def _work(config: JobsConfig, pool: Pool, bus: Client, stop: asyncio.Event) -> None:
    async def one() -> bool:
        return await work_one(config, pool, bus)

    await _until_stopped(one, config, stop)


async def _bill(config: JobsConfig, pool: Pool, bus: Client, stop: asyncio.Event) -> None:
    async def some() -> bool:
        return await billing.bill_due(pool, bus, config.clock)

    await _until_stopped(some, config, stop)


async def _until_stopped(
    work: Callable[[], Awaitable[bool]], config: JobsConfig, stop: asyncio.Event
) -> None:
    """Work on as long as there is anything; look again after a pause where there is not."""
    is_away = False
    while not stop.is_set():
        try:
            found = await work()
            is_away = False
        except (psycopg.Error, PoolTimeout) as error:
            if not is_away:
                log.warning("jobs_database_away", error=str(error), action="retrying; tasks wait")
            is_away, found = True, False
        if not found:
            await _pause(config.idle_s, stop)


async def work_one(config: JobsConfig, pool: Pool, bus: Client) -> bool:
    """Carry out the task that is due longest; False where none is."""
    async with pool.connection() as connection:
        tasks = await outbox.claim_due(connection, to_datetime(config.clock()), limit=1)
        events = await _carry_out(connection, tasks[0], config) if tasks else []
    # committed by now: nobody is told of what may still be undone
    await supply.tell(bus, await battery_orders.tell(bus, events))
    return bool(tasks)


async def _carry_out(connection: Connection, task: Task, config: JobsConfig) -> list[LiveEvent]:
    try:
        async with connection.transaction():
            events = await HANDLERS[task.kind](connection, task.payload, config)
            await outbox.finish(connection, task.id, to_datetime(config.clock()))
        return events
    except Exception as error:  # whatever it was, it is this task's failure and not its neighbours'
        delay_s = backoff(task.attempts, config)
        # what the database cannot hold would fail here again, and keep the task before all others
        message = f"{type(error).__name__}: {error}".replace("\0", "")[:ERROR_CHARACTERS_MAX]
        log.error("task_failed", kind=task.kind, task=task.id, attempts=task.attempts + 1, error=message)
        due_at = to_datetime(config.clock()) + timedelta(seconds=delay_s)
        await outbox.postpone(connection, task.id, due_at, message)
        return []


def backoff(attempts: int, config: JobsConfig) -> float:
    """Seconds until the next attempt after `attempts` earlier failures."""
    doublings = min(attempts, 30)  # 2**30 s is beyond any cap
    return min(config.backoff_s_min * 2.0**doublings, config.backoff_s_max)


async def _repeat(
    job: Callable[[Pool, JobsConfig], Awaitable[None]],
    interval_s: float,
    config: JobsConfig,
    pool: Pool,
    stop: asyncio.Event,
) -> None:
    """Run `job` at once and every `interval_s`; it must be harmless in several processes at a time."""
    while not stop.is_set():
        try:
            await job(pool, config)
        except Exception as error:  # whatever it was, it is this job's failure and not its neighbours'
            message = f"{type(error).__name__}: {error}"
            log.error("periodic_job_failed", job=job.__name__, error=message, action="trying again")
        await _pause(interval_s, stop)


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
