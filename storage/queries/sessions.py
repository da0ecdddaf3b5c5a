"""Charging sessions, as transactions of chargers begin and end them.

Written by the OCPP gateway in the transaction that answers the charger, read by the API and by rating.
Chargers repeat themselves: both ends are idempotent by natural keys, never by message id.
"""

from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class Session:
    """One transaction. `..._at` without "received" is the charger's clock; meters in Wh.

    `transaction_id` is ours in all versions; `transaction_uid` the charger's own of 2.x. `connector_id` is
    the EVSE in 2.x. `meter_last_wh`: its newest register reading, at `meter_last_at` (2.x only).
    """

    id: int
    device_id: int
    connector_id: int
    user_id: int | None
    vehicle_id: str | None
    id_tag: str
    transaction_id: int
    status: str
    payment_status: str
    started_at: datetime
    start_received_at: datetime
    meter_start_wh: int
    ended_at: datetime | None
    stop_received_at: datetime | None
    meter_stop_wh: int | None
    stop_reason: str | None
    transaction_uid: str | None
    remote_start_id: int | None
    charging_state: str | None
    meter_last_wh: int | None
    meter_last_at: datetime | None


@dataclass(frozen=True, slots=True)
class SessionDetail(Session):
    """A session with its charger and, once rated, what it cost (minor units)."""

    charger_identity: str
    charger_owner_id: int | None
    currency: str | None
    energy_wh: int | None
    duration_s: int | None
    total_minor: int | None


@dataclass(frozen=True, slots=True)
class SessionTotals:
    """Sums over rated sessions; `sessions` counts the unrated too. Money of one currency, minor units."""

    sessions: int
    energy_wh: int
    duration_s: int
    total_minor: int


_SELECT = """
SELECT id, device_id, connector_id, user_id, vehicle_id, id_tag, transaction_id, status,
       payment_status, started_at, start_received_at, meter_start_wh, ended_at,
       stop_received_at, meter_stop_wh, stop_reason, transaction_uid, remote_start_id,
       charging_state, meter_last_wh, meter_last_at
FROM sessions
"""

_RETURNING = """
RETURNING id, device_id, connector_id, user_id, vehicle_id, id_tag, transaction_id, status,
          payment_status, started_at, start_received_at, meter_start_wh, ended_at,
          stop_received_at, meter_stop_wh, stop_reason, transaction_uid, remote_start_id,
          charging_state, meter_last_wh, meter_last_at
"""

# Looked for first: a repeat would use up a transaction id, and those are int32 for all time.
_START = (
    """
INSERT INTO sessions (device_id, connector_id, id_tag, user_id, vehicle_id, started_at, start_received_at,
                      meter_start_wh)
SELECT %(device_id)s, %(connector_id)s, %(id_tag)s, %(user_id)s, %(vehicle_id)s, %(started_at)s,
       %(received_at)s, %(meter_start_wh)s
WHERE NOT EXISTS (
    SELECT FROM sessions
    WHERE device_id = %(device_id)s AND connector_id = %(connector_id)s AND started_at = %(started_at)s
      AND id_tag = %(id_tag)s AND meter_start_wh = %(meter_start_wh)s AND transaction_uid IS NULL)
ON CONFLICT (device_id, connector_id, started_at, id_tag, meter_start_wh) WHERE transaction_uid IS NULL
DO NOTHING
"""
    + _RETURNING
)

_STARTED = (
    _SELECT
    + """
WHERE device_id = %(device_id)s AND connector_id = %(connector_id)s AND started_at = %(started_at)s
  AND id_tag = %(id_tag)s AND meter_start_wh = %(meter_start_wh)s AND transaction_uid IS NULL
"""
)

_STOP = (
    """
UPDATE sessions
SET status = 'completed', ended_at = %(ended_at)s, stop_received_at = %(received_at)s,
    meter_stop_wh = %(meter_stop_wh)s, stop_reason = %(reason)s
WHERE transaction_id = %(transaction_id)s AND device_id = %(device_id)s AND status = 'active'
"""
    + _RETURNING
)

_BY_TRANSACTION = _SELECT + "WHERE transaction_id = %(transaction_id)s AND device_id = %(device_id)s"

_ACTIVE = (
    _SELECT
    + """
WHERE device_id = %(device_id)s AND status = 'active'
  AND (%(connector_id)s::smallint IS NULL OR connector_id = %(connector_id)s)
ORDER BY id DESC
"""
)

SESSION_DETAIL = """
SELECT sessions.id, device_id, connector_id, sessions.user_id, vehicle_id, id_tag, transaction_id,
       sessions.status, payment_status, started_at, start_received_at, meter_start_wh, ended_at,
       stop_received_at, meter_stop_wh, stop_reason, transaction_uid, remote_start_id,
       charging_state, meter_last_wh, meter_last_at, devices.identity AS charger_identity,
       devices.owner_id AS charger_owner_id, cdrs.currency, energy_wh, duration_s, total_minor
FROM sessions
JOIN devices ON devices.id = sessions.device_id
LEFT JOIN latest_cdrs AS cdrs ON cdrs.session_id = sessions.id
"""

_GET = SESSION_DETAIL + "WHERE sessions.id = %(id)s"

_FILTER = """
WHERE (%(user_id)s::bigint IS NULL OR sessions.user_id = %(user_id)s)
  AND (%(owner_id)s::bigint IS NULL
       OR sessions.device_id IN (SELECT id FROM devices WHERE owner_id = %(owner_id)s))
  AND (%(status)s::text IS NULL OR sessions.status = %(status)s)
  AND (%(from)s::timestamptz IS NULL OR sessions.started_at >= %(from)s)
  AND (%(to)s::timestamptz IS NULL OR sessions.started_at < %(to)s)
"""

# The page is found by an index of sessions alone, and only its rows are joined with anything.
_LIST = (
    SESSION_DETAIL
    + "WHERE sessions.id IN (SELECT id FROM sessions"
    + _FILTER
    + "ORDER BY id DESC LIMIT %(limit)s OFFSET %(offset)s) ORDER BY sessions.id DESC"
)

_COUNT = "SELECT count(*) FROM sessions" + _FILTER

_OF_VEHICLE = (
    SESSION_DETAIL
    + """
WHERE sessions.vehicle_id = %(vehicle)s AND sessions.user_id = %(user_id)s AND sessions.status = 'completed'
ORDER BY sessions.id DESC LIMIT %(limit)s OFFSET %(offset)s
"""
)

_SET_PAYMENT = """
UPDATE sessions SET payment_status = %(payment_status)s WHERE id = %(id)s RETURNING id
"""

_COUNT_ACTIVE = "SELECT count(*) FROM sessions WHERE status = 'active'"


async def start_session(
    connection: Connection,
    *,
    device_id: int,
    connector_id: int,
    id_tag: str,
    user_id: int | None,
    vehicle_id: str | None,
    started_at: datetime,
    received_at: datetime,
    meter_start_wh: int,
) -> tuple[Session, bool]:
    """Begin a transaction (OCPP 1.6, 4.8); the flag tells a new one from a repeat.

    A repeat has the same charger, connector, start time, idTag and meter, and gets the transaction id
    of the first.
    """
    key = {"device_id": device_id, "connector_id": connector_id, "id_tag": id_tag}
    measured = {"started_at": started_at, "meter_start_wh": meter_start_wh}
    facts = {"user_id": user_id, "vehicle_id": vehicle_id, "received_at": received_at}
    made = await fetch_one(connection, Session, _START, {**key, **measured, **facts})
    if made is not None:
        return made, True
    found = await fetch_one(connection, Session, _STARTED, {**key, **measured})
    assert found is not None
    return found, False


async def stop_session(
    connection: Connection,
    *,
    device_id: int,
    transaction_id: int,
    ended_at: datetime,
    received_at: datetime,
    meter_stop_wh: int,
    reason: str | None,
) -> tuple[Session | None, bool]:
    """End a transaction (OCPP 1.6, 4.10); the flag says whether this call did.

    A repeat returns the session as the first stop left it. None: this charger has no such transaction.
    """
    key = {"device_id": device_id, "transaction_id": transaction_id}
    facts = {"ended_at": ended_at, "received_at": received_at, "meter_stop_wh": meter_stop_wh}
    stopped = await fetch_one(connection, Session, _STOP, {**key, **facts, "reason": reason})
    if stopped is not None:
        return stopped, True
    return await fetch_one(connection, Session, _BY_TRANSACTION, key), False


async def get_session(connection: Connection, session_id: int) -> SessionDetail | None:
    """Return the session with its charger and cost, or None."""
    return await fetch_one(connection, SessionDetail, _GET, {"id": session_id})


async def session_by_transaction(
    connection: Connection, device_id: int, transaction_id: int
) -> Session | None:
    """Return the session of this charger's transaction, or None."""
    key = {"device_id": device_id, "transaction_id": transaction_id}
    return await fetch_one(connection, Session, _BY_TRANSACTION, key)


async def active_session(connection: Connection, device_id: int, connector_id: int) -> Session | None:
    """Return the newest open session of this connector, or None."""
    return await fetch_one(
        connection, Session, _ACTIVE, {"device_id": device_id, "connector_id": connector_id}
    )


async def active_sessions(connection: Connection, device_id: int) -> list[Session]:
    """Return all open sessions of this charger, newest first."""
    return await fetch_all(connection, Session, _ACTIVE, {"device_id": device_id, "connector_id": None})


async def set_payment_status(connection: Connection, session_id: int, payment_status: str) -> bool:
    """Set pending, paid or failed; False for an unknown session."""
    parameters = {"id": session_id, "payment_status": payment_status}
    return await fetch_value(connection, _SET_PAYMENT, parameters) is not None


async def list_sessions(
    connection: Connection,
    *,
    user_id: int | None = None,
    owner_id: int | None = None,
    status: str | None = None,
    from_: datetime | None = None,
    to: datetime | None = None,
    limit: int,
    offset: int = 0,
) -> tuple[list[SessionDetail], int]:
    """Return one page, newest first, and how many there are in all.

    `owner_id` is the owner of the charger; `from_` and `to` (excluded) bound the start time.
    """
    where = {"user_id": user_id, "owner_id": owner_id, "status": status, "from": from_, "to": to}
    page = await fetch_all(connection, SessionDetail, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))


async def sessions_of_vehicle(
    connection: Connection, user_id: int, vehicle_id: int, *, limit: int, offset: int = 0
) -> list[SessionDetail]:
    """Return one page of the ended sessions in which its owner charged this vehicle, newest first."""
    where = {"vehicle": str(vehicle_id), "user_id": user_id, "limit": limit, "offset": offset}
    return await fetch_all(connection, SessionDetail, _OF_VEHICLE, where)


async def count_active(connection: Connection) -> int:
    """Return how many sessions are open."""
    return int(await fetch_value(connection, _COUNT_ACTIVE, {}))
