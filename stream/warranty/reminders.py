"""Reminders of warranties that end soon, once for each of `DAYS`; a periodic job of `stream.jobs`."""

from datetime import datetime

import structlog

from storage.database import Pool
from storage.queries import warranties
from stream.lending.terms import today
from stream.warranty.news import tell_customer

log = structlog.get_logger()

# The nearest first: who hears of that needs not hear of the earlier one any more.
DAYS = (7, 30)
BATCH_MAX = 500  # in one transaction


async def remind(pool: Pool, now: datetime) -> int:
    """Tell the customers of up to `BATCH_MAX` warranties for each of `DAYS`; returns how many were told.

    Several processes share the work. What is left is due with the next run.
    """
    day, told = today(now), 0
    for days in DAYS:
        async with pool.connection() as connection:
            due = await warranties.lock_expiring(connection, day, days, BATCH_MAX)
            for warranty in due:
                left = (warranty.expires_on - day).days
                await tell_customer(connection, warranty, "warranty_expiring", now, {"days": left})
                await warranties.note_reminder(connection, warranty.id, days, now)
        told += len(due)
    if told:
        log.info("warranty_reminders_sent", warranties=told)
    return told
