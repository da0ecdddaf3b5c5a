"""Sums of sessions by day and month, which the database keeps in step (migration 0017); read only.

A session counts on the day on which it started. Energy, time and money are those of its latest record.
**Revenue is what drivers pay, with GST in it**, of records in INR; `gst_minor` and `platform_fee_minor` are
the tax and the fee in it. Used by dashboards, analytics, reports and the lists of sessions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from storage.database import Connection, fetch_all, fetch_one

# As `platform_day` of migration 0017 has it.
PLATFORM_TIME_ZONE = "Asia/Kolkata"
# Whose midnights: the platform's, or those of each charger's own station.
Calendar = Literal["platform", "station"]
PLATFORM: Calendar = "platform"
STATION: Calendar = "station"


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over sessions; `rated` have a record, and only they have energy, time and money."""

    sessions: int
    completed: int
    failed: int
    rated: int
    energy_wh: int
    duration_s: int
    gst_minor: int
    platform_fee_minor: int
    total_minor: int

    @property
    def active(self) -> int:
        """Sessions that are under way."""
        return self.sessions - self.completed - self.failed

    @property
    def mean_duration_s(self) -> float:
        """Of the rated sessions; 0 where there is none."""
        return self.duration_s / self.rated if self.rated else 0.0


@dataclass(frozen=True, slots=True)
class DaySums(Sums):
    """Of one day."""

    day: date


@dataclass(frozen=True, slots=True)
class ChargerSums(Sums):
    """Of one charger."""

    device_id: int


@dataclass(frozen=True, slots=True)
class StationSums(Sums):
    """Of the chargers that stand at one station today."""

    station_id: int
    name: str


SUMS = """
coalesce(sum(sessions), 0)::bigint AS sessions, coalesce(sum(completed), 0)::bigint AS completed,
coalesce(sum(failed), 0)::bigint AS failed, coalesce(sum(rated), 0)::bigint AS rated,
coalesce(sum(energy_wh), 0)::bigint AS energy_wh, coalesce(sum(duration_s), 0)::bigint AS duration_s,
coalesce(sum(gst_minor), 0)::bigint AS gst_minor,
coalesce(sum(platform_fee_minor), 0)::bigint AS platform_fee_minor,
coalesce(sum(total_minor), 0)::bigint AS total_minor
"""

OF_OWNER = " AND counted.device_id IN (SELECT id FROM devices WHERE owner_id = %(owner_id)s)"
_OF_STATION = """
 AND counted.device_id IN (SELECT device_id FROM chargers WHERE station_id = %(station_id)s)
"""

# A station's day touches at most the platform's days beside it, and those are what the index has.
_DAYS: Mapping[Calendar, str] = {
    "platform": "FROM session_days AS counted WHERE day BETWEEN %(first)s AND %(last)s",
    "station": """
FROM session_days AS counted
WHERE day BETWEEN %(first)s::date - 1 AND %(last)s::date + 1 AND local_day BETWEEN %(first)s AND %(last)s
""",
}
_MONTHS = "FROM session_months AS counted WHERE month BETWEEN %(first)s AND %(last)s"
_DAY: Mapping[Calendar, str] = {"platform": "day", "station": "local_day"}

_EVER = "SELECT" + SUMS + "FROM session_months AS counted WHERE true"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which sums: of these days (both included), of one owner's chargers, of one station's, or of all."""

    first: date
    last: date
    calendar: Calendar = "platform"
    owner_id: int | None = None
    station_id: int | None = None

    @property
    def source(self) -> str:
        """The table and the WHERE clause: whole months of the platform are read as such."""
        if self.calendar == PLATFORM and self.first.day == 1 and (self.last + timedelta(days=1)).day == 1:
            return _MONTHS + self._scope
        return self.days

    @property
    def days(self) -> str:
        """The same, by day."""
        return _DAYS[self.calendar] + self._scope

    @property
    def _scope(self) -> str:
        of_owner = "" if self.owner_id is None else OF_OWNER
        of_station = "" if self.station_id is None else _OF_STATION
        return of_owner + of_station

    @property
    def parameters(self) -> dict[str, Any]:
        """What the clause asks for."""
        return {
            "first": self.first,
            "last": self.last,
            "owner_id": self.owner_id,
            "station_id": self.station_id,
        }


async def sums(connection: Connection, selection: Selection) -> Sums:
    """Return the sums over the days of the selection."""
    query = "SELECT" + SUMS + selection.source
    found = await fetch_one(connection, Sums, query, selection.parameters)
    assert found is not None
    return found


async def sums_ever(connection: Connection, owner_id: int | None = None) -> Sums:
    """Return the sums over all sessions, of one owner's chargers or of all."""
    query = _EVER if owner_id is None else _EVER + OF_OWNER
    found = await fetch_one(connection, Sums, query, {"owner_id": owner_id})
    assert found is not None
    return found


async def sums_by_day(connection: Connection, selection: Selection) -> list[DaySums]:
    """Return the sums of each day that has any session, in order."""
    day = _DAY[selection.calendar]
    query = f"SELECT {day} AS day, {SUMS} {selection.days} GROUP BY {day} ORDER BY {day}"
    return await fetch_all(connection, DaySums, query, selection.parameters)


async def sums_by_charger(connection: Connection, selection: Selection) -> list[ChargerSums]:
    """Return the sums of each charger that has any session in these days."""
    query = f"SELECT device_id, {SUMS} {selection.source} GROUP BY device_id ORDER BY device_id"
    return await fetch_all(connection, ChargerSums, query, selection.parameters)


async def top_stations(connection: Connection, selection: Selection, limit: int) -> list[StationSums]:
    """Return the stations with the most revenue in these days, the most first."""
    query = f"""
SELECT stations.id AS station_id, stations.name, {SUMS}
FROM (SELECT device_id, {SUMS} {selection.source} GROUP BY device_id) AS each
JOIN chargers USING (device_id) JOIN stations ON stations.id = chargers.station_id
GROUP BY stations.id
ORDER BY total_minor DESC, stations.id LIMIT %(limit)s
"""
    return await fetch_all(connection, StationSums, query, {**selection.parameters, "limit": limit})
