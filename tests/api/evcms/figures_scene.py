"""Sessions of the past for figures: begun, ended, rated and corrected as the parts themselves do it."""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from storage.database import Connection, Pool
from storage.queries import cdrs, chargers, reconciliation, sessions
from storage.queries.reconciliation import Ending
from storage.queries.stations import insert_station
from stream.records import make_record, terms_of
from stream.settlement import rate_session
from tests.api.helpers import Person, begin_session, make_charger

KOLKATA = ZoneInfo("Asia/Kolkata")
NEW_YORK = ZoneInfo("America/New_York")
KINDS = ("rated", "corrected", "failed", "active", "unrated")


async def make_station(
    pool: Pool, name: str, identity: str, owner_id: int | None, zone: str = "Asia/Kolkata"
) -> tuple[int, int]:
    """A station with one charger; returns their ids."""
    device_id = await make_charger(pool, identity, owner_id)
    async with pool.connection() as db:
        station = await insert_station(db, name, owner_id=owner_id, time_zone=zone)
        await chargers.set_charger_station(db, device_id, station.id)
    return station.id, device_id


async def charge(
    pool: Pool,
    device_id: int,
    user_id: int | None,
    at: datetime,
    *,
    energy_wh: int = 10_000,
    hours: float = 1.0,
    kind: str = "rated",
    id_tag: str = "TAG",
) -> int:
    """One session of this kind; returns its id."""
    session_id = await begin_session(pool, device_id, user_id, at, id_tag=id_tag)
    if kind == "active":
        return session_id
    end = at + timedelta(hours=hours)
    async with pool.connection() as db:
        if kind == "failed":
            await reconciliation.close_session(
                db, Ending(session_id, "silent", "failed", end, end, 1_000, None, "NoWord"), end
            )
            return session_id
        session = await sessions.get_session(db, session_id)
        assert session is not None
        await sessions.stop_session(
            db,
            device_id=device_id,
            transaction_id=session.transaction_id,
            ended_at=end,
            received_at=end,
            meter_stop_wh=1_000 + energy_wh,
            reason="Local",
        )
        if kind != "unrated":
            await rate_session(db, session_id)
        if kind == "corrected":
            await correct(db, session_id)
    return session_id


async def correct(db: Connection, session_id: int) -> None:
    """A correction of half as much again."""
    session = await sessions.get_session(db, session_id)
    assert session is not None
    assert session.meter_stop_wh is not None
    more = (session.meter_stop_wh - session.meter_start_wh) * 3 // 2
    changed = dataclasses.replace(session, meter_stop_wh=session.meter_start_wh + more)
    record = make_record(changed, await terms_of(db, session.device_id), [], is_estimated=False)
    assert await cdrs.insert_correction(db, record)


async def data(api: httpx.AsyncClient, person: Person, path: str, **query: Any) -> Any:
    answer = await api.get(f"/api/v1{path}", params=query, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def statuses(api: httpx.AsyncClient, people: Sequence[Person], path: str) -> list[int]:
    return [(await api.get(f"/api/v1{path}", headers=each.headers)).status_code for each in people]


def kolkata(day: date, hour: int = 12, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=KOLKATA).astimezone(UTC)
