"""Waiting for what another process writes; used by commands and by sessions that are started from afar."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from api.context import Context
from storage.database import Connection

POLL_S = 0.2

T = TypeVar("T")


async def until(
    context: Context, look: Callable[[Connection], Awaitable[T | None]], wait_s: float
) -> T | None:
    """Look every `POLL_S` until there is something, at least once and for `wait_s` at most.

    No database connection is held between looks.
    """
    deadline_s = time.monotonic() + wait_s
    while True:
        async with context.pool.connection() as db:
            found = await look(db)
        if found is not None or time.monotonic() >= deadline_s:
            return found
        await asyncio.sleep(POLL_S)
