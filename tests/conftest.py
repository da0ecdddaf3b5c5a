"""Fixtures shared by all rooms: a fresh database and a fresh bus for each test, on real servers."""

import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import nats as nats_client
import psycopg
import pytest
import structlog
from hypothesis import settings
from nats.aio.client import Client
from psycopg import sql
from psycopg_pool import AsyncConnectionPool

from deploy.temporary import TemporaryNats, temporary_nats, temporary_postgres
from storage.database import Connection, open_pool
from storage.migrate import migrate

TIMESCALE_URL = os.environ.get("GRIDWIRE_TEST_DATABASE_URL")
POOL_SIZE_MAX = 16
MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 4 << 30  # servers of several workers, each with a test's databases
# a test's rows need not survive this machine
UNSAFE = ("--fsync=off", "--full_page_writes=off")


# how long an example takes is this machine's business, not the property's
settings.register_profile("gridwire", deadline=None)
settings.load_profile("gridwire")

# the default console renders the locals of each frame, which takes seconds for each traceback
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


def _quick_folder() -> Path | None:
    """Memory, where there is plenty: a database is made for each test, ten times faster than on a disk."""
    is_plenty = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES_MIN
    return MEMORY if is_plenty else None


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gridwire-test-", dir=_quick_folder()) as folder:
        path = Path(folder)
        path.chmod(0o755)  # the database runs as another account when the tests run as root
        yield path


@pytest.fixture(scope="session")
def server_url(server_folder: Path) -> Iterator[str]:
    if TIMESCALE_URL:
        yield TIMESCALE_URL
        return
    with temporary_postgres(server_folder / "postgres", *UNSAFE) as server:
        yield server.url


@pytest.fixture(scope="session")
def template_database(server_url: str) -> Iterator[str]:
    """Migrated once; each test's database is a copy of it."""
    name = f"template_{secrets.token_hex(6)}"
    _execute(server_url, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    migrate(_with_database(server_url, name))
    # TimescaleDB's own workers stay connected, and a database that is in use cannot be copied
    close = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false")
    leave = sql.SQL("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = {}")
    _execute(server_url, close.format(sql.Identifier(name)))
    _execute(server_url, leave.format(sql.Literal(name)))
    yield name
    _execute(server_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database_url(server_url: str, template_database: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
    _execute(server_url, create.format(sql.Identifier(name), sql.Identifier(template_database)))
    yield _with_database(server_url, name)
    _execute(server_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[AsyncConnectionPool]:
    pool = open_pool(database_url, size_max=POOL_SIZE_MAX)
    await pool.open()
    yield pool
    await pool.close()


@pytest.fixture
async def connection(pool: AsyncConnectionPool) -> AsyncIterator[Connection]:
    async with pool.connection() as connection:
        yield connection


@pytest.fixture
def nats(server_folder: Path) -> Iterator[TemporaryNats]:
    folder = server_folder / f"nats_{secrets.token_hex(6)}"
    with temporary_nats(folder) as server:
        yield server
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def bus(nats: TemporaryNats) -> AsyncIterator[Client]:
    client = await nats_client.connect(nats.url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    yield client
    await client.close()


def _with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _execute(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)
