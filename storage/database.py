"""Connections, what the server behind them is able to do, and typed rows; used by every role at start.

Layers above pass `Pool` and `Connection` on and never name psycopg themselves. `fetch_one`, `fetch_all`
and `fetch_value` are how the query modules run a statement.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any, TypeVar

from psycopg import AsyncConnection, OperationalError
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from storage.errors import DatabaseAwayError

Connection = AsyncConnection[Any]
Pool = AsyncConnectionPool[AsyncConnection[Any]]
Row = TypeVar("Row")
Parameters = Mapping[str, Any]

CONNECT_TIMEOUT_S = 10
POOL_TIMEOUT_S = 10.0
POOL_WAITING_MAX = 10_000

# Asked in one statement: the first one of a session loads the extension, which defines the setting.
ABILITIES_SQL = """
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'),
       current_setting('timescaledb.license', true)
"""


class Abilities(Enum):
    """What the server can do; the tables have the same names and columns on all three."""

    COMMUNITY = "TimescaleDB Community"
    APACHE = "TimescaleDB Apache"
    PLAIN = "PostgreSQL"

    @property
    def has_hypertables(self) -> bool:
        """Whether chunks are the server's business; else this room makes native partitions."""
        return self is not Abilities.PLAIN


def abilities_of(extension_version: str | None, license_name: str | None) -> Abilities:
    """Read the answer to `ABILITIES_SQL`; an unknown licence counts as the lesser edition."""
    if extension_version is None:
        return Abilities.PLAIN
    return Abilities.COMMUNITY if license_name == "timescale" else Abilities.APACHE


async def find_abilities(connection: Connection) -> Abilities:
    """Ask the server itself: names and version numbers of packages say nothing about the edition."""
    row = await (await connection.execute(ABILITIES_SQL)).fetchone()
    assert row is not None
    return abilities_of(row[0], row[1])


def connection_options(url: str, name: str) -> dict[str, Any]:
    """Return what every connection of ours has beside its URL: UTC, a name in pg_stat_activity, a time limit.

    Options that the URL itself carries are kept.
    """
    own = conninfo_to_dict(url)
    return {
        "options": f"{own.get('options') or ''} -c timezone=UTC".strip(),
        "application_name": f"gridwire-{name}",
        "connect_timeout": own.get("connect_timeout") or CONNECT_TIMEOUT_S,
    }


class _Pool(AsyncConnectionPool[AsyncConnection[Any]]):
    """Loses no cancellation of whoever waits for a connection.

    Below, `asyncio.wait_for` of Python 3.11 forgets one that comes together with the connection: a loop that
    was told to end would go on for ever.
    """

    async def getconn(self, timeout: float | None = None) -> AsyncConnection[Any]:  # noqa: ASYNC109 (theirs)
        """Take a connection; raises `CancelledError` if that was asked for meanwhile, and `PoolTimeout`."""
        task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()  # not 0 while a cancelled task cleans up
        connection = await super().getconn(timeout)
        if task.cancelling() > before:
            await self.putconn(connection)
            raise asyncio.CancelledError
        return connection


def open_pool(url: str, *, size_max: int, name: str = "pool") -> Pool:
    """Describe a pool of connections to `url`; it opens with `async with` (or `await pool.open()`).

    Connections are checked when taken, so that a server that was restarted costs a reconnect and not
    an error; a caller waits at most `POOL_TIMEOUT_S` (then `psycopg_pool.PoolTimeout`).
    """
    return _Pool(
        url,
        kwargs=connection_options(url, name),
        min_size=1,
        max_size=size_max,
        name=name,
        timeout=POOL_TIMEOUT_S,
        max_waiting=POOL_WAITING_MAX,
        check=AsyncConnectionPool.check_connection,
        open=False,
    )


async def in_transaction(url: str, name: str, work: Callable[[Connection], Awaitable[None]]) -> None:
    """Do `work` in one transaction on a connection of its own. Raises `DatabaseAwayError`."""

    async def transaction(pool: Pool) -> None:
        async with pool.connection() as connection:
            await work(connection)

    await in_pool(url, name, transaction)


async def in_pool(url: str, name: str, work: Callable[[Pool], Awaitable[None]]) -> None:
    """Do `work`, which takes one connection at a time, as often as it likes. Raises `DatabaseAwayError`."""
    try:
        async with open_pool(url, size_max=1, name=name) as pool:
            await work(pool)
    except (OperationalError, PoolTimeout) as error:
        raise DatabaseAwayError(f"The database does not answer: {error}") from error


@asynccontextmanager
async def one_statement(pool: Pool) -> AsyncIterator[Connection]:
    """A connection for a single statement, which is committed when it returns: no BEGIN, no COMMIT."""
    async with pool.connection() as connection:
        await connection.set_autocommit(True)
        try:
            yield connection
        finally:
            if not connection.closed:
                await connection.set_autocommit(False)


async def fetch_one(
    connection: Connection, row_class: type[Row], query: str, parameters: Parameters
) -> Row | None:
    """Run `query`; its first row as `row_class`, by column names, or None."""
    async with connection.cursor(row_factory=class_row(row_class)) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchone()


async def fetch_all(
    connection: Connection, row_class: type[Row], query: str, parameters: Parameters
) -> list[Row]:
    """Run `query`; all its rows as `row_class`: the query has the bound."""
    async with connection.cursor(row_factory=class_row(row_class)) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchall()


async def fetch_value(connection: Connection, query: str, parameters: Parameters) -> Any:
    """Run `query`; the first column of its first row, or None where it has no row."""
    row = await (await connection.execute(query, parameters)).fetchone()
    return None if row is None else row[0]
