"""The jobs role in a process of its own, for tests that kill it, with a clock that may be ahead by days.

It can be made to stop for ever in the middle of a lock's step, so that it is killed there.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from typing import Any

import nats

from storage.database import open_pool
from stream import battery_orders, jobs
from stream.jobs import JobsConfig
from stream.lending import locks
from stream.lending.lock_rules import LockLimits

NEVER_S = 3_600.0
LIMITS = LockLimits(resend_s=0.5, retry_s=0.5)


@dataclass(frozen=True)
class Life:
    """How one process lives; `hangs_at`: a step of `locks.Step` before its commit, or "send" after one."""

    database_url: str
    nats_url: str
    ahead_s: float
    hangs_at: str | None = None


def main(life: Life, reached: Event) -> None:
    """Be the jobs role until killed; `reached` is set where it hangs."""
    if life.hangs_at == "send":
        _hang_instead_of_sending(reached)
    elif life.hangs_at is not None:
        _hang_before_commit(life.hangs_at, reached)
    asyncio.run(_run(life))


def _hang_instead_of_sending(reached: Event) -> None:
    async def hang(*_: Any) -> None:
        reached.set()
        await asyncio.sleep(NEVER_S)

    battery_orders.try_send = hang  # type: ignore[assignment]


def _hang_before_commit(step: str, reached: Event) -> None:
    take: Callable[..., Awaitable[Any]] = locks._take

    async def take_and_hang(*given: Any) -> Any:
        ordered = await take(*given)
        if given[2].value == step:
            reached.set()
            await asyncio.sleep(NEVER_S)
        return ordered

    locks._take = take_and_hang  # type: ignore[assignment]


async def _run(life: Life) -> None:
    def clock() -> int:
        return time.time_ns() // 1_000 + int(life.ahead_s * 1e6)

    config = JobsConfig(clock, workers=2, billing_workers=1, idle_s=0.05, locks_interval_s=0.1, locks=LIMITS)
    bus = await nats.connect(life.nats_url)
    async with open_pool(life.database_url, size_max=12) as pool:
        await jobs.run(config, pool=pool, bus=bus, stop=asyncio.Event(), ready=lambda: None)
