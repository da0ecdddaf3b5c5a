"""What dashboards, analytics and reports of the EV-CMS family count beside the sums of sessions."""

from dataclasses import dataclass
from datetime import date, datetime

from storage.database import Connection, fetch_all, fetch_one


@dataclass(frozen=True, slots=True)
class Overview:
    """What there is now; deleted accounts and stations and archived chargers are left out."""

    users: int
    stations: int
    chargers: int
    active_sessions: int


@dataclass(frozen=True, slots=True)
class ChargerFacts:
    """A charger as analytics show it; `connectors` counts those above 0."""

    device_id: int
    identity: str
    name: str | None
    station_id: int | None
    station_name: str | None
    is_archived: bool
    connectors: int


@dataclass(frozen=True, slots=True)
class UserCounts:
    """Drivers with a session in the span, and accounts that were made in it."""

    active: int
    new: int


@dataclass(frozen=True, slots=True)
class UserSums:
    """One driver's sessions of a span; money in INR, with GST."""

    user_id: int
    name: str
    sessions: int
    energy_wh: int
    total_minor: int


@dataclass(frozen=True, slots=True)
class MoneyFlow:
    """What was paid into wallets and what refunds were approved, on one of the platform's days; INR."""

    day: date
    top_ups_minor: int
    refunds_minor: int


@dataclass(frozen=True, slots=True)
class OwnFigures:
    """A driver's dashboard; money in INR, with GST."""

    upcoming_bookings: int
    sessions: int
    energy_wh: int
    total_minor: int


@dataclass(frozen=True, slots=True)
class Favourite:
    """A favourite station."""

    id: int
    name: str
    address: str
    city: str
    status: str
    rating: float


_OVERVIEW = """
SELECT (SELECT count(*) FROM users WHERE system = 'evcms' AND deleted_at IS NULL) AS users,
       (SELECT count(*) FROM stations WHERE deleted_at IS NULL) AS stations,
       (SELECT count(*) FROM chargers JOIN devices ON devices.id = device_id
        WHERE devices.status <> 'archived') AS chargers,
       (SELECT count(*) FROM sessions WHERE status = 'active') AS active_sessions
"""

_CHARGERS = """
SELECT device_id, identity, devices.name, station_id, stations.name AS station_name,
       devices.status = 'archived' AS is_archived,
       (SELECT count(*) FROM connectors
        WHERE connectors.device_id = chargers.device_id AND connector_id > 0) AS connectors
FROM chargers JOIN devices ON devices.id = device_id LEFT JOIN stations ON stations.id = station_id
WHERE (%(owner_id)s::bigint IS NULL OR devices.owner_id = %(owner_id)s)
  AND (%(station_id)s::bigint IS NULL OR station_id = %(station_id)s)
ORDER BY device_id LIMIT %(limit)s
"""

_USER_COUNTS = """
SELECT (SELECT count(DISTINCT user_id) FROM sessions
        WHERE started_at >= %(from)s AND started_at < %(to)s) AS active,
       (SELECT count(*) FROM users WHERE system = 'evcms' AND deleted_at IS NULL
          AND created_at >= %(from)s AND created_at < %(to)s) AS new
"""

_TOP_USERS = """
SELECT user_id, users.name, own.sessions, own.energy_wh, own.total_minor
FROM (SELECT sessions.user_id, count(*) AS sessions,
             coalesce(sum(energy_wh), 0)::bigint AS energy_wh,
             coalesce(sum(total_minor) FILTER (WHERE currency = 'INR'), 0)::bigint AS total_minor
      FROM sessions LEFT JOIN latest_cdrs AS cdrs ON cdrs.session_id = sessions.id
      WHERE started_at >= %(from)s AND started_at < %(to)s AND sessions.user_id IS NOT NULL
      GROUP BY sessions.user_id
      ORDER BY total_minor DESC, sessions DESC, sessions.user_id LIMIT %(limit)s) AS own
JOIN users ON users.id = user_id
ORDER BY total_minor DESC, sessions DESC, user_id
"""

_MONEY = """
SELECT day, sum(top_ups_minor)::bigint AS top_ups_minor, sum(refunds_minor)::bigint AS refunds_minor
FROM (SELECT platform_day(transfers.created_at) AS day, amount_minor AS top_ups_minor, 0 AS refunds_minor
      FROM transfers
      JOIN accounts AS debited ON debited.id = debit_account_id
      JOIN accounts AS credited ON credited.id = credit_account_id
      WHERE debited.kind = 'funding' AND credited.kind = 'wallet' AND credited.currency = 'INR'
        AND transfers.state IN ('posted', 'post_pending')
        AND transfers.created_at >= %(from)s AND transfers.created_at < %(to)s
      UNION ALL
      SELECT platform_day(processed_at), 0, amount_minor FROM refunds
      WHERE status = 'approved' AND processed_at >= %(from)s AND processed_at < %(to)s) AS moved
GROUP BY day ORDER BY day
"""

_OWN = """
SELECT (SELECT count(*) FROM bookings
        WHERE user_id = %(user_id)s AND status IN ('pending', 'confirmed')
          AND scheduled_at >= %(now)s) AS upcoming_bookings,
       count(*) AS sessions, coalesce(sum(energy_wh), 0)::bigint AS energy_wh,
       coalesce(sum(total_minor) FILTER (WHERE currency = 'INR'), 0)::bigint AS total_minor
FROM sessions LEFT JOIN latest_cdrs AS cdrs ON cdrs.session_id = sessions.id
WHERE sessions.user_id = %(user_id)s AND started_at >= %(from)s AND started_at < %(to)s
"""

_FAVOURITES = """
SELECT stations.id, name, address, city, status, rating::float8 AS rating
FROM favourite_stations JOIN stations ON stations.id = station_id
WHERE user_id = %(user_id)s AND deleted_at IS NULL
ORDER BY favourite_stations.created_at DESC, stations.id LIMIT %(limit)s
"""


async def overview(connection: Connection) -> Overview:
    """Return how many users, stations, chargers and open sessions there are."""
    found = await fetch_one(connection, Overview, _OVERVIEW, {})
    assert found is not None
    return found


async def chargers(
    connection: Connection, *, owner_id: int | None, station_id: int | None, limit: int
) -> list[ChargerFacts]:
    """Return the chargers of an owner, of a station, or all, in order of id."""
    where = {"owner_id": owner_id, "station_id": station_id, "limit": limit}
    return await fetch_all(connection, ChargerFacts, _CHARGERS, where)


async def user_counts(connection: Connection, from_: datetime, to: datetime) -> UserCounts:
    """Return how many drivers had a session that started in [from, to), and how many people are new."""
    found = await fetch_one(connection, UserCounts, _USER_COUNTS, {"from": from_, "to": to})
    assert found is not None
    return found


async def top_users(connection: Connection, from_: datetime, to: datetime, limit: int) -> list[UserSums]:
    """Return the drivers who spent most on sessions that started in [from, to), the most first."""
    return await fetch_all(connection, UserSums, _TOP_USERS, {"from": from_, "to": to, "limit": limit})


async def money_by_day(connection: Connection, from_: datetime, to: datetime) -> list[MoneyFlow]:
    """Return top-ups and approved refunds by the platform's day, days without any left out."""
    return await fetch_all(connection, MoneyFlow, _MONEY, {"from": from_, "to": to})


async def own_figures(
    connection: Connection, user_id: int, *, now: datetime, from_: datetime, to: datetime
) -> OwnFigures:
    """Return a driver's bookings ahead, and sums over the sessions that started in [from, to)."""
    where = {"user_id": user_id, "now": now, "from": from_, "to": to}
    found = await fetch_one(connection, OwnFigures, _OWN, where)
    assert found is not None
    return found


async def favourites(connection: Connection, user_id: int, limit: int) -> list[Favourite]:
    """Return the driver's favourite stations, the newest first."""
    return await fetch_all(connection, Favourite, _FAVOURITES, {"user_id": user_id, "limit": limit})
