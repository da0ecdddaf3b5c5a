"""Stations as brands enter them, chargers at them, and bookings of their connectors."""

from datetime import datetime, timedelta
from itertools import count
from typing import Any

import httpx

from storage.database import Pool
from storage.queries import chargers
from tests.api.helpers import Person, make_charger

STATIONS = "/api/v1/stations"
ADMIN_STATIONS = "/api/v1/admin/stations"
CHARGERS = "/api/v1/chargers"
FRANCHISES = "/api/v1/franchises"

_numbers = count(1)


def body(**changes: Any) -> dict[str, Any]:
    """A station as a client sends it; each with an address of its own."""
    return {
        "name": "Airport Road",
        "address": f"{next(_numbers)} Airport Road",
        "location": {"type": "Point", "coordinates": [77.5946, 12.9716]},
        "connectors": [{"connectorId": "1", "type": "CCS", "power": 50, "pricing": {"basePrice": 18.5}}],
        **changes,
    }


async def make_station(api: httpx.AsyncClient, person: Person, **changes: Any) -> dict[str, Any]:
    answer = await api.post(STATIONS, json=body(**changes), headers=person.headers)
    assert answer.status_code == 201, answer.text
    station: dict[str, Any] = answer.json()["data"]["station"]
    return station


async def get_station(api: httpx.AsyncClient, person: Person, station_id: str) -> dict[str, Any]:
    answer = await api.get(f"{STATIONS}/{station_id}", headers=person.headers)
    assert answer.status_code == 200, answer.text
    station: dict[str, Any] = answer.json()["data"]["station"]
    return station


async def charger_at(
    pool: Pool, identity: str, station_id: str | None, owner_id: int | None = None, *, online: bool = True
) -> int:
    """A charger with one available connector, placed at a station after it has reported."""
    device_id = await make_charger(pool, identity, owner_id, online=online)
    if station_id is not None:
        async with pool.connection() as db:
            await chargers.set_charger_station(db, device_id, int(station_id))
    return device_id


async def book(
    pool: Pool,
    station_id: str,
    user_id: int,
    at: datetime,
    *,
    minutes: int = 60,
    status: str = "confirmed",
    label: str = "1",
) -> int:
    """A booking straight in its table; returns its id."""
    async with pool.connection() as db:
        row = await (
            await db.execute(
                """
                INSERT INTO bookings (booking_number, user_id, station_id, station_connector_id, status,
                                      scheduled_at, estimated_minutes, during, created_at, updated_at)
                SELECT %(number)s, %(user)s, station_id, id, %(status)s, %(at)s, %(minutes)s,
                       tstzrange(%(at)s, %(end)s), %(at)s, %(at)s
                FROM station_connectors WHERE station_id = %(station)s AND label = %(label)s
                RETURNING id
                """,
                {
                    "number": f"BK-{next(_numbers)}",
                    "user": user_id,
                    "station": int(station_id),
                    "label": label,
                    "status": status,
                    "at": at,
                    "end": at + timedelta(minutes=minutes),
                    "minutes": minutes,
                },
            )
        ).fetchone()
    assert row is not None
    return int(row[0])


async def actions(pool: Pool, subject: str) -> list[str]:
    """What was done to a subject, oldest first."""
    async with pool.connection() as db:
        rows = await db.execute("SELECT action FROM admin_actions WHERE subject = %s ORDER BY id", (subject,))
        return [action for (action,) in await rows.fetchall()]
