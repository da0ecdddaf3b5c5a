import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from storage.database import Abilities, Pool, abilities_of, find_abilities, open_pool
from storage.errors import DatabaseNewerError, EditedMigrationError, MigrationError
from storage.hypertables import HYPERTABLES
from storage.migrate import Migration, migrate, read_migrations


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    name = f"empty_{secrets.token_hex(6)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_makes_everything_once(empty_url: str) -> None:
    first = migrate(empty_url)
    assert first.applied[0] == "0001_backbone"
    assert first.version == len(first.applied)
    assert set(first.tables_made) == set(HYPERTABLES)
    second = migrate(empty_url)
    assert (second.applied, second.tables_made) == ((), ())
    assert second.abilities is first.abilities


def test_many_processes_at_once_make_it_once(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        reports = list(threads.map(migrate, [empty_url] * 4))
    assert sorted(len(report.applied) for report in reports) == [0, 0, 0, reports[0].version]
    assert sum(len(report.tables_made) for report in reports) == len(HYPERTABLES)


def test_refuses_an_edited_migration(database_url: str) -> None:
    first, *others = read_migrations()
    edited = replace(first, text=first.text + "-- later thought\n")
    with pytest.raises(EditedMigrationError, match="0001_backbone"):
        migrate(database_url, [edited, *others])


def test_refuses_a_database_newer_than_the_code(database_url: str) -> None:
    known = read_migrations()
    migrate(database_url, [*known, Migration(len(known) + 1, "later", "CREATE TABLE later (id int)")])
    with pytest.raises(DatabaseNewerError, match="install the newer"):
        migrate(database_url)


def test_a_failing_migration_leaves_nothing(database_url: str) -> None:
    known = read_migrations()
    bad = Migration(len(known) + 1, "bad", "CREATE TABLE half (id int); SELECT 1 / 0")
    with pytest.raises(MigrationError, match="bad failed"):
        migrate(database_url, [*known, bad])
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regclass('half')").fetchone() == (None,)
    assert migrate(database_url).applied == ()


def test_refuses_gaps_in_the_numbers(tmp_path: Path) -> None:
    (tmp_path / "0001_one.sql").write_text("SELECT 1")
    (tmp_path / "0003_three.sql").write_text("SELECT 3")
    with pytest.raises(MigrationError, match="without gaps"):
        read_migrations(tmp_path)


def test_tables_have_the_declared_columns_and_one_index(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        for table in HYPERTABLES.values():
            columns = connection.execute(
                "SELECT attname, format_type(atttypid, NULL), NOT attnotnull FROM pg_attribute"
                " WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
                (table.name,),
            ).fetchall()
            declared = [
                (column.name, column.type.sql.replace("timestamptz", "timestamp with time zone"))
                for column in table.columns
            ]
            assert [column[:2] for column in columns] == declared
            nullable = [column[2] for column in columns]
            assert nullable == [column.nullable for column in table.columns]
            indexes = connection.execute(
                "SELECT indexname, indexdef LIKE 'CREATE UNIQUE%%' FROM pg_indexes WHERE tablename = %s",
                (table.name,),
            ).fetchall()
            suffix = "key" if table.key else "device"
            assert indexes == [(f"{table.name}_{suffix}", bool(table.key))]


@pytest.mark.parametrize(
    ("version", "licence", "abilities"),
    [
        (None, None, Abilities.PLAIN),
        ("2.19.3", "apache", Abilities.APACHE),
        ("2.29.2", "timescale", Abilities.COMMUNITY),
        ("9.0", None, Abilities.APACHE),
    ],
)
def test_abilities_follow_from_extension_and_licence(
    version: str | None, licence: str | None, abilities: Abilities
) -> None:
    assert abilities_of(version, licence) is abilities


async def test_abilities_are_those_the_tables_were_made_with(pool: Pool) -> None:
    async with pool.connection() as connection:
        abilities = await find_abilities(connection)
        rows = await connection.execute(
            "SELECT relkind FROM pg_class WHERE oid = 'battery_samples'::regclass"
        )
        assert await rows.fetchone() == ("r" if abilities.has_hypertables else "p",)


async def test_connections_speak_utc_and_say_who_they_are(database_url: str) -> None:
    async with open_pool(database_url, size_max=1, name="someone") as pool, pool.connection() as connection:
        rows = await connection.execute(
            "SELECT current_setting('timezone'), current_setting('application_name')"
        )
        assert await rows.fetchone() == ("UTC", "gridwire-someone")


async def test_a_pool_survives_the_loss_of_its_connections(database_url: str) -> None:
    async with open_pool(database_url, size_max=1) as pool:
        async with pool.connection() as connection:
            pid = connection.info.backend_pid
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        async with pool.connection() as connection:
            assert connection.info.backend_pid != pid
            assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
