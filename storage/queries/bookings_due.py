"""What is due of bookings by the clock; used by the jobs role.

Ids only: each is looked at again once it is locked.
"""

from datetime import datetime, timedelta

from storage.database import Connection, fetch_value

_TO_REMIND = """
SELECT id FROM bookings
WHERE status = 'confirmed' AND reminded_at IS NULL
  AND scheduled_at <= %(before)s AND scheduled_at > %(now)s
ORDER BY scheduled_at LIMIT %(limit)s
"""

_TO_EXPIRE = """
SELECT id FROM bookings
WHERE status IN ('pending', 'confirmed') AND scheduled_at <= %(now)s AND upper(during) <= %(now)s
  AND (starting_until IS NULL OR starting_until <= %(now)s)
ORDER BY scheduled_at LIMIT %(limit)s
"""

# Not while somebody else charges there or holds the connector: the charger would only refuse.
_TO_RESERVE = """
SELECT bookings.id FROM bookings
JOIN station_connectors AS place ON place.id = station_connector_id
JOIN chargers ON chargers.device_id = place.device_id AND ocpp_version IS NOT NULL
WHERE bookings.status = 'confirmed' AND reservation_state = 'none'
  AND scheduled_at <= %(before)s AND upper(during) > %(now)s
  AND NOT EXISTS (SELECT FROM sessions
                  WHERE sessions.device_id = place.device_id AND sessions.connector_id = place.connector_id
                    AND sessions.status = 'active')
  AND NOT EXISTS (SELECT FROM bookings AS other
                  WHERE other.station_connector_id = bookings.station_connector_id
                    AND other.id <> bookings.id AND other.status IN ('pending', 'confirmed', 'active')
                    AND other.during @> %(now)s::timestamptz)
ORDER BY scheduled_at LIMIT %(limit)s
"""

_ANSWERED = """
SELECT bookings.id FROM bookings JOIN charger_commands AS command ON command.id = reserve_command_id
WHERE reservation_state = 'asked' AND command.finished_at IS NOT NULL
ORDER BY bookings.id LIMIT %(limit)s
"""

# The newest of the charger are enough: what is older began before the booking's time.
_STARTED = """
SELECT bookings.id, begun.id FROM bookings
JOIN station_connectors AS place ON place.id = station_connector_id
CROSS JOIN LATERAL (
    SELECT recent.id FROM (
        SELECT id, connector_id, user_id, id_tag, start_received_at FROM sessions
        WHERE sessions.device_id = place.device_id ORDER BY id DESC LIMIT %(recent)s
    ) AS recent
    WHERE recent.connector_id = place.connector_id
      AND (lower(recent.id_tag) = bookings.id_tag OR recent.user_id = bookings.user_id)
      AND recent.start_received_at >= bookings.scheduled_at - %(early)s
      AND recent.start_received_at < upper(bookings.during)
      AND NOT EXISTS (SELECT FROM bookings AS other WHERE other.session_id = recent.id)
    ORDER BY recent.id LIMIT 1
) AS begun
WHERE bookings.status = 'confirmed' AND scheduled_at <= %(before)s
ORDER BY scheduled_at LIMIT %(limit)s
"""

_ENDED = """
SELECT bookings.id FROM bookings JOIN sessions ON sessions.id = session_id
WHERE bookings.status = 'active' AND sessions.status <> 'active'
  AND (sessions.status = 'failed' OR EXISTS (SELECT FROM cdrs WHERE cdrs.session_id = sessions.id))
ORDER BY bookings.id LIMIT %(limit)s
"""

_SUPPORTS = """
SELECT NOT EXISTS (
    SELECT FROM charger_variables
    WHERE device_id = %(device_id)s
      AND (component = '' AND lower(variable) = 'supportedfeatureprofiles'
               AND value !~* 'reservation'
           OR lower(component) = 'reservationctrlr' AND lower(variable) IN ('available', 'enabled')
               AND lower(value) = 'false'))
"""


async def to_remind(connection: Connection, now: datetime, ahead: timedelta, limit: int) -> list[int]:
    """Return bookings that begin within `ahead` and whose drivers were not reminded."""
    return await _ids(connection, _TO_REMIND, {"now": now, "before": now + ahead, "limit": limit})


async def to_expire(connection: Connection, now: datetime, limit: int) -> list[int]:
    """Return bookings whose time is over and that nobody started."""
    return await _ids(connection, _TO_EXPIRE, {"now": now, "limit": limit})


async def to_reserve(connection: Connection, now: datetime, ahead: timedelta, limit: int) -> list[int]:
    """Return bookings that begin within `ahead` and whose charger is to hold the connector."""
    return await _ids(connection, _TO_RESERVE, {"now": now, "before": now + ahead, "limit": limit})


async def answered(connection: Connection, limit: int) -> list[int]:
    """Return bookings whose charger has answered its ReserveNow."""
    return await _ids(connection, _ANSWERED, {"limit": limit})


async def started(
    connection: Connection, now: datetime, early: timedelta, *, recent: int, limit: int
) -> list[tuple[int, int]]:
    """Return bookings whose driver has begun to charge there without a word to us, and the sessions.

    Looked for among the `recent` newest sessions of each charger.
    """
    parameters = {"early": early, "before": now + early, "recent": recent, "limit": limit}
    rows = await (await connection.execute(_STARTED, parameters)).fetchall()
    return [(booking_id, session_id) for booking_id, session_id in rows]


async def ended(connection: Connection, limit: int) -> list[int]:
    """Return bookings under way whose session has ended and is rated, or will never be."""
    return await _ids(connection, _ENDED, {"limit": limit})


async def supports_reservations(connection: Connection, device_id: int) -> bool:
    """Whether a charger may know reservations: it has not said otherwise.

    By 1.6's SupportedFeatureProfiles, or the ReservationCtrlr of 2.x.
    """
    return bool(await fetch_value(connection, _SUPPORTS, {"device_id": device_id}))


async def _ids(connection: Connection, query: str, parameters: dict[str, object]) -> list[int]:
    rows = await (await connection.execute(query, parameters)).fetchall()
    return [booking_id for (booking_id,) in rows]
