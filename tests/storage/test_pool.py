"""The pool of connections."""

import asyncio

import pytest

from storage.database import Pool, open_pool


@pytest.mark.parametrize("steps", range(12))
async def test_a_task_that_is_cancelled_as_it_gets_its_connection_ends(database_url: str, steps: int) -> None:
    """`asyncio.wait_for` of Python 3.11 loses a cancellation that comes with what it waits for."""
    async with open_pool(database_url, size_max=1) as pool:
        async with pool.connection():
            waiting = asyncio.create_task(_use_and_go_on(pool))
            while pool.get_stats()["requests_waiting"] == 0:
                await asyncio.sleep(0)
        for _ in range(steps):
            await asyncio.sleep(0)
        waiting.cancel()
        _, hanging = await asyncio.wait([waiting], timeout=2)
        for task in hanging:
            task.cancel()
        assert not hanging
        async with pool.connection(timeout=2) as connection:  # it was given back
            await connection.execute("SELECT 1")


async def _use_and_go_on(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("SELECT 1")
    await asyncio.sleep(60)
