"""Brings a database to this version of the schema; used by `gridwire migrate`, `gridwire up` and tests.

Forward only: `storage/migrations/NNNN_name.sql`, each run once, in order, in a transaction of its own,
and remembered with its checksum. Then the series tables, from their declarations.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from storage.database import ABILITIES_SQL, Abilities, abilities_of, connection_options
from storage.errors import DatabaseAwayError, DatabaseNewerError, EditedMigrationError, MigrationError
from storage.hypertables import HYPERTABLES, Hypertable
from storage.partitions import LOCK_SQL, MISSING_SQL, partition_ddl, partitions_around, table_ddl

FOLDER = Path(__file__).parent / "migrations"
LOCK_WAIT_MS = 60_000

_LOCK_SQL = "SELECT pg_advisory_lock(hashtext('gridwire migrations'))"

# A server that has the extension's files but did not preload it ends the session on CREATE EXTENSION.
# The preload setting is invisible to lesser users: then the attempt decides.
_CAN_HAVE_TIMESCALEDB_SQL = """
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
   AND coalesce((SELECT setting FROM pg_settings WHERE name = 'shared_preload_libraries'), 'timescaledb')
       LIKE '%timescaledb%'
"""

_HISTORY_SQL = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version     integer PRIMARY KEY,
    name        text NOT NULL,
    checksum    text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file; `checksum` is the SHA-256 of its text, in hex."""

    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """What tells an edited file from the one that was run."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What one run did: migrations and series tables that are new, and what the server can do."""

    abilities: Abilities
    version: int
    applied: tuple[str, ...]
    tables_made: tuple[str, ...]


def read_migrations(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """Read all migrations of this version of the code, in order; numbers count from 1 without gaps."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        number, _, _ = path.stem.partition("_")
        found.append(Migration(int(number), path.stem, path.read_text(encoding="utf-8")))
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"{folder}: migrations must be numbered 0001, 0002, ... without gaps or doubles")
    return tuple(found)


def migrate(url: str, migrations: Sequence[Migration] | None = None) -> MigrationReport:
    """Bring the database at `url` to this version; safe to run many times and by many processes at once.

    Raises `DatabaseAwayError`, `EditedMigrationError`, `DatabaseNewerError`, and `MigrationError` when a
    migration fails or another process holds the migration lock for longer than `LOCK_WAIT_MS`.
    """
    wanted = read_migrations() if migrations is None else tuple(migrations)
    try:
        connected = psycopg.connect(url, autocommit=True, **connection_options(url, "migrate"))
    except psycopg.OperationalError as error:
        raise DatabaseAwayError(str(error)) from error
    with connected as connection:
        _lock(connection)
        _create_extension(connection)
        abilities = abilities_of(*_one(connection, ABILITIES_SQL))
        connection.execute(_HISTORY_SQL)
        applied = _apply(connection, wanted)
        tables_made = _make_series(connection, abilities)
        return MigrationReport(abilities, len(wanted), applied, tables_made)


def _one(connection: psycopg.Connection[Any], query: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(query).fetchone()
    assert row is not None
    return row


def _lock(connection: psycopg.Connection[Any]) -> None:
    """Wait for whoever migrates now; the lock ends with the connection."""
    connection.execute(f"SET lock_timeout = {LOCK_WAIT_MS}")
    try:
        connection.execute(_LOCK_SQL)
    except psycopg.errors.LockNotAvailable as error:
        raise MigrationError(
            f"another process has been migrating this database for {LOCK_WAIT_MS // 1000} s;"
            " wait for it, or end it, and try again"
        ) from error


def _create_extension(connection: psycopg.Connection[Any]) -> None:
    if _one(connection, _CAN_HAVE_TIMESCALEDB_SQL)[0]:
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")


def _apply(connection: psycopg.Connection[Any], wanted: Sequence[Migration]) -> tuple[str, ...]:
    """Check the history against `wanted`, then run what is new."""
    history = dict(connection.execute("SELECT version, checksum FROM schema_migrations").fetchall())
    newest = max(history, default=0)
    if newest > len(wanted):
        raise DatabaseNewerError(
            f"the database is at version {newest}, this code knows {len(wanted)}: install the newer Gridwire"
        )
    for migration in wanted:
        if history.get(migration.version, migration.checksum) != migration.checksum:
            raise EditedMigrationError(
                f"migration {migration.name} was changed after this database ran it:"
                " restore the file, and put the change in a new migration"
            )
    new = [migration for migration in wanted if migration.version not in history]
    for migration in new:
        _run(connection, migration)
    return tuple(migration.name for migration in new)


def _run(connection: psycopg.Connection[Any], migration: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(migration.text.encode())
            connection.execute(
                "INSERT INTO schema_migrations (version, name, checksum) VALUES (%s, %s, %s)",
                (migration.version, migration.name, migration.checksum),
            )
    except psycopg.Error as error:
        raise MigrationError(f"migration {migration.name} failed, nothing of it was kept: {error}") from error


def _make_series(connection: psycopg.Connection[Any], abilities: Abilities) -> tuple[str, ...]:
    """Make the series tables that are missing, and the partitions around now where they are native."""
    made = []
    for table in HYPERTABLES.values():
        with connection.transaction():
            (oid,) = connection.execute("SELECT to_regclass(%s)", (table.name,)).fetchone() or (None,)
            if oid is None:
                made.append(table.name)
                for statement in table_ddl(table, abilities):
                    connection.execute(statement)
            _make_partitions(connection, table)
    return tuple(made)


def _make_partitions(connection: psycopg.Connection[Any], table: Hypertable) -> None:
    now: datetime = _one(connection, "SELECT now()")[0]
    wanted = partitions_around(table, now)
    connection.execute(LOCK_SQL)
    missing = connection.execute(MISSING_SQL, {"names": list(wanted), "table": table.name}).fetchall()
    for (name,) in missing:
        for statement in partition_ddl(table, wanted[name]):
            connection.execute(statement)
