"""Durable commands to chargers, between the roles: who is told of a change, and what is due by the clock.

Used by the API, the gateway and the jobs role. The rows are `storage.queries.commands`.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import structlog
from nats.aio.client import Client

from protocols.timestamps import format_utc_ms, from_datetime
from storage.database import Pool
from storage.queries import commands
from storage.queries.commands import Command
from stream.bus import publish_live
from stream.metrics import CHARGER_COMMANDS

log = structlog.get_logger()

TOPIC = "charger-command"
SWEEP_MAX = 1_000  # commands a transaction
KEPT = timedelta(days=90)  # ended commands stay that long for whoever asks what happened
PURGE_MAX = 10_000


async def tell(bus: Client, changed: Iterable[Command]) -> None:
    """Publish the state of each command as a live event; callers have committed."""
    for command in changed:
        CHARGER_COMMANDS.labels(command.state).inc()
        moment = command.finished_at or command.sent_at or command.created_at
        event = {
            "device_id": command.device_id,
            "charger": command.identity,
            "command_id": str(command.id),
            "action": command.action,
            "state": command.state,
            "attempts": command.attempts,
            "result": command.result,
            "error": command.error,
            "at": format_utc_ms(from_datetime(moment)),
        }
        await publish_live(bus, TOPIC, event)


async def sweep(pool: Pool, bus: Client, now: datetime) -> int:
    """End commands whose time is over, decide on those that a dead gateway left, forget old ones.

    For the jobs role, in any number of processes; returns how many changed. What is put back to wait is
    found by the charger's gateway by the clock.
    """
    count = 0
    while True:
        async with pool.connection() as connection:
            changed = await commands.end_overdue(connection, now, SWEEP_MAX)
        await tell(bus, changed)
        count += len(changed)
        if len(changed) < SWEEP_MAX:
            break
    async with pool.connection() as connection:
        purged = await commands.purge(connection, now - KEPT, PURGE_MAX)
    if count or purged:
        log.info("charger_commands_swept", ended=count, purged=purged)
    return count
