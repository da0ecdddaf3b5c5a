"""Sums by day and month are what a full recomputation says, whatever happens to sessions and chargers."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.database import Connection, Pool, open_pool
from storage.queries import chargers, session_days
from storage.queries.session_days import STATION, Selection
from storage.queries.stations import insert_station
from stream.figures.days import platform_day
from tests.api.evcms.figures_scene import KINDS, charge
from tests.api.helpers import make_charger

ZONES = ("Asia/Kolkata", "America/New_York", "Asia/Kathmandu")
# Around midnights, the change of the clocks in New York (8 March 2026) and the ends of months.
STARTS = st.builds(
    lambda day, minutes: datetime(2026, 2, 26, tzinfo=UTC) + timedelta(days=day, minutes=minutes),
    st.sampled_from([0, 1, 2, 3, 9, 10, 11, 33, 34]),
    st.sampled_from([0, 5, 284, 299, 300, 301, 239, 240, 1094, 1095, 1109, 1110, 1111, 1439]),
)


@dataclass(frozen=True)
class Charge:
    device: int
    at: datetime
    kind: str
    energy_wh: int


@dataclass(frozen=True)
class Move:
    device: int
    station: int | None


@dataclass(frozen=True)
class Rezone:
    station: int
    zone: str


@dataclass(frozen=True)
class Restart:
    """The charger says later that its newest session started at another time."""

    at: datetime


Act = Charge | Move | Rezone | Restart
ACTS = st.lists(
    st.one_of(
        st.builds(
            Charge,
            device=st.integers(0, 1),
            at=STARTS,
            kind=st.sampled_from(KINDS),
            energy_wh=st.integers(0, 50_000),
        ),
        st.builds(Move, device=st.integers(0, 1), station=st.sampled_from([None, 0, 1])),
        st.builds(Rezone, station=st.integers(0, 1), zone=st.sampled_from(ZONES)),
        st.builds(Restart, at=STARTS),
    ),
    min_size=1,
    max_size=8,
)
_SESSIONS = """
SELECT sessions.device_id, started_at, sessions.status, coalesce(time_zone, 'Asia/Kolkata'), energy_wh,
       duration_s, gst_minor, platform_fee_minor, total_minor
FROM sessions
LEFT JOIN chargers ON chargers.device_id = sessions.device_id
LEFT JOIN stations ON stations.id = station_id
LEFT JOIN latest_cdrs AS cdrs ON cdrs.session_id = sessions.id
"""
_RESTART = """
UPDATE sessions SET started_at = %s, ended_at = ended_at + (%s - started_at)
WHERE id = (SELECT max(id) FROM sessions)
"""


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS)
def test_the_sums_are_those_of_a_full_recomputation(database_url: str, acts: list[Act]) -> None:
    async def run() -> None:
        async with open_pool(database_url, size_max=2) as pool:
            stations, devices = await clean(pool)
            for number, act in enumerate(acts):
                await carry_out(pool, act, stations, devices, number)
            async with pool.connection() as db:
                assert await stored(db, "session_days") == await recomputed(db, days)
                assert await stored(db, "session_months") == await recomputed(db, months)
                await of_each_calendar(db)

    asyncio.run(run())


async def clean(pool: Pool) -> tuple[list[int], list[int]]:
    async with pool.connection() as db:
        await db.execute(
            "TRUNCATE cdr_corrections, cdrs, session_closures, sessions, session_days, session_months,"
            " chargers, devices, stations, outbox CASCADE"
        )
        stations = [(await insert_station(db, f"S{number}", time_zone=ZONES[number])).id for number in (0, 1)]
    return stations, [await make_charger(pool, f"CP-{number}") for number in (0, 1)]


async def carry_out(pool: Pool, act: Act, stations: list[int], devices: list[int], number: int) -> None:
    match act:
        case Charge(device, at, kind, energy_wh):
            await charge(
                pool, devices[device], None, at, kind=kind, energy_wh=energy_wh, id_tag=f"TAG-{number}"
            )
        case Move(device, station):
            async with pool.connection() as db:
                place = None if station is None else stations[station]
                await chargers.set_charger_station(db, devices[device], place)
        case Rezone(station, zone):
            async with pool.connection() as db:
                await db.execute(
                    "UPDATE stations SET time_zone = %s WHERE id = %s", [zone, stations[station]]
                )
        case Restart(at):
            async with pool.connection() as db:
                await db.execute(_RESTART, [at, at])


def days(device_id: int, started_at: datetime, zone: str) -> tuple[Any, ...]:
    return device_id, platform_day(started_at), started_at.astimezone(ZoneInfo(zone)).date()


def months(device_id: int, started_at: datetime, _: str) -> tuple[Any, ...]:
    return device_id, platform_day(started_at).replace(day=1)


async def recomputed(db: Connection, key_of: Any) -> dict[tuple[Any, ...], tuple[int, ...]]:
    found: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * 9)
    rows = await (await db.execute(_SESSIONS)).fetchall()
    for device_id, started_at, status, zone, *record in rows:
        is_rated = record[0] is not None
        facts = [1, status == "completed", status == "failed", is_rated, *(record if is_rated else [0] * 5)]
        sums = found[key_of(device_id, started_at, zone)]
        found[key_of(device_id, started_at, zone)] = [a + b for a, b in zip(sums, facts, strict=True)]
    return {key: tuple(sums) for key, sums in found.items()}


async def stored(db: Connection, table: str) -> dict[tuple[Any, ...], tuple[int, ...]]:
    rows = await (await db.execute(f"SELECT * FROM {table}".encode())).fetchall()
    return {row[:-9]: row[-9:] for row in rows if any(row[-9:])}


async def of_each_calendar(db: Connection) -> None:
    """All days together are the same sums by either calendar, and those of all time."""
    ever = await session_days.sums_ever(db)
    wide = (date(2026, 1, 1), date(2026, 12, 31))
    assert await session_days.sums(db, Selection(*wide)) == ever
    assert await session_days.sums(db, Selection(*wide, STATION)) == ever
    by_charger = await session_days.sums_by_charger(db, Selection(*wide))
    assert sum(each.total_minor for each in by_charger) == ever.total_minor


async def test_what_was_there_before_is_counted(pool: Pool) -> None:
    device_id = await make_charger(pool)
    for number, kind in enumerate(KINDS):
        at = datetime(2026, 3, 1, number, tzinfo=UTC)
        await charge(pool, device_id, None, at, kind=kind, id_tag=f"TAG-{number}")
    async with pool.connection() as db:
        kept = await stored(db, "session_days")
        assert kept
        await db.execute("DELETE FROM session_days; DELETE FROM session_months")
        await db.execute("SELECT recount_session_days(device_id) FROM chargers")
        assert await stored(db, "session_days") == kept
        assert await stored(db, "session_months") == await recomputed(db, months)


async def test_sessions_of_one_charger_at_the_same_time_are_all_counted(pool: Pool) -> None:
    device_id = await make_charger(pool)
    at = datetime(2026, 3, 1, tzinfo=UTC)
    await asyncio.gather(
        *(charge(pool, device_id, None, at + timedelta(minutes=n), id_tag=f"T{n}") for n in range(30))
    )
    async with pool.connection() as db:
        sums = await session_days.sums(db, Selection(date(2026, 3, 1), date(2026, 3, 1)))
        assert (sums.sessions, sums.completed, sums.rated) == (30, 30, 30)
        assert sums.energy_wh == 300_000
        assert sums.total_minor == 30 * 17_700


async def test_a_zone_that_the_server_does_not_know_is_refused(pool: Pool) -> None:
    async with pool.connection() as db:
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="time zone"):
            await insert_station(db, "Nowhere", time_zone="Mars/Olympus")
        await db.rollback()
