"""What money leaves behind: answers kept for idempotency keys, and top-ups that nobody paid.

Carried out by `stream.jobs` as often as it cleans up; harmless in several processes at a time.
"""

from datetime import datetime, timedelta

import structlog

from storage.database import Connection, Pool
from storage.queries import idempotent_requests, top_ups

log = structlog.get_logger()

ANSWERS_KEPT = timedelta(days=7)
PAID_WITHIN = timedelta(hours=24)
ROWS_MAX = 10_000  # in one transaction


async def run(pool: Pool, now: datetime) -> None:
    """Do both, one transaction after the other."""
    async with pool.connection() as connection:
        forgotten = await idempotent_requests.forget_answers(connection, now - ANSWERS_KEPT, ROWS_MAX)
    async with pool.connection() as connection:
        expired = await expire_top_ups(connection, now)
    log.info("money_tidied", answers_forgotten=forgotten, top_ups_expired=expired)


async def expire_top_ups(connection: Connection, now: datetime) -> int:
    """Fail users' top-ups that wait for too long; returns how many. One that is paid late is credited."""
    return await top_ups.expire_top_ups(connection, now - PAID_WITHIN, "Not paid in time", now, ROWS_MAX)
