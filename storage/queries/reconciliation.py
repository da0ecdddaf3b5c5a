"""Sessions that the central system has to end itself, and what their chargers say later.

Used by `stream.reconciliation` (the jobs role's periodic work and the gateway's hook on a late stop) and by
settlement. What decides is pure and lives in `stream.reconcile`.
"""

import dataclasses
from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class OpenSession:
    """An open session with all that tells whether it still runs; times with "received" are by our clock.

    `next_...`: the session that began after it on the same connector, by the charger's clock and by ours.
    `status_at`: when the connector's status came. `heard_at`: the last event of a 2.x transaction,
    `meter_last_...` the newest register reading in them. `seen_at`: the charger's last sign of life.
    """

    id: int
    device_id: int
    connector_id: int
    transaction_id: int
    started_at: datetime
    start_received_at: datetime
    meter_start_wh: int
    next_started_at: datetime | None
    next_received_at: datetime | None
    next_meter_start_wh: int | None
    status: str | None
    status_at: datetime | None
    is_connected: bool
    seen_at: datetime | None
    heard_at: datetime | None
    meter_last_wh: int | None
    meter_last_at: datetime | None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a rule ends a session. `status`: completed, or failed where no energy of it is known.

    `received_at`: when the last that is known of it came. `register_wh`: the reading that the end rests on.
    """

    session_id: int
    rule: str
    status: str
    ended_at: datetime
    received_at: datetime
    meter_stop_wh: int
    register_wh: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Closure:
    """How a session was ended by a rule. `corrected_at`: when the charger's own end came after all."""

    session_id: int
    rule: str
    ended_at: datetime
    received_at: datetime
    register_wh: int | None
    closed_at: datetime
    corrected_at: datetime | None

    def is_in_force(self, ended_at: datetime | None, stop_received_at: datetime | None) -> bool:
        """Whether a session with this end still has the rule's."""
        is_same = (ended_at, stop_received_at) == (self.ended_at, self.received_at)
        return self.corrected_at is None and is_same


# Only what one of the rules could end: most open sessions are left out by the last three lines.
_SUSPECTS = """
SELECT sessions.id, sessions.device_id, sessions.connector_id, transaction_id, started_at, start_received_at,
       meter_start_wh, next.next_started_at, next.next_received_at, next.next_meter_start_wh,
       connectors.status, status_at, coalesce(is_connected, false) AS is_connected,
       greatest(last_heartbeat_at, last_seen_at) AS seen_at, transaction_progress.updated_at AS heard_at,
       meter_last_wh, meter_last_at
FROM sessions
JOIN devices ON devices.id = sessions.device_id
LEFT JOIN chargers ON chargers.device_id = sessions.device_id
LEFT JOIN connectors ON connectors.device_id = sessions.device_id
                    AND connectors.connector_id = sessions.connector_id
LEFT JOIN transaction_progress ON transaction_progress.session_id = sessions.id
LEFT JOIN LATERAL (
    SELECT later.started_at AS next_started_at, later.start_received_at AS next_received_at,
           later.meter_start_wh AS next_meter_start_wh
    FROM sessions AS later
    WHERE later.device_id = sessions.device_id AND later.connector_id = sessions.connector_id
      AND later.id > sessions.id AND later.started_at > sessions.started_at
    ORDER BY later.started_at, later.id LIMIT 1) AS next ON sessions.connector_id > 0
WHERE sessions.status = 'active' AND sessions.id > %(after_id)s
  AND (next.next_received_at < %(superseded_before)s
       OR connectors.status = 'Available' AND status_at < %(available_before)s
       OR start_received_at < %(silent_before)s)
ORDER BY sessions.id LIMIT %(limit)s
"""

_CLOSE = """
WITH closed AS (
    UPDATE sessions
    SET status = %(status)s, ended_at = %(ended_at)s, stop_received_at = %(received_at)s,
        meter_stop_wh = %(meter_stop_wh)s, stop_reason = %(reason)s
    WHERE id = %(session_id)s AND status = 'active'
    RETURNING id)
INSERT INTO session_closures (session_id, rule, ended_at, received_at, register_wh, closed_at)
SELECT id, %(rule)s, %(ended_at)s, %(received_at)s, %(register_wh)s, %(now)s FROM closed
RETURNING session_id
"""

_CLOSURE = """
SELECT session_id, rule, ended_at, received_at, register_wh, closed_at, corrected_at
FROM session_closures WHERE session_id = %(session_id)s
"""

_REPLACE_END = """
WITH corrected AS (
    UPDATE session_closures SET corrected_at = %(received_at)s
    WHERE session_id = %(session_id)s AND corrected_at IS NULL
    RETURNING session_id)
UPDATE sessions
SET status = 'completed', ended_at = %(ended_at)s, stop_received_at = %(received_at)s,
    meter_stop_wh = %(meter_stop_wh)s, stop_reason = %(reason)s
FROM corrected WHERE sessions.id = corrected.session_id
RETURNING sessions.id
"""

# Two rows tell that it is not known which is meant.
_ENDED_BY_RULE = """
SELECT session_id FROM session_closures JOIN sessions ON sessions.id = session_id
WHERE device_id = %(device_id)s AND lower(id_tag) = lower(%(id_tag)s) AND corrected_at IS NULL
  AND sessions.started_at <= %(ended_at)s AND meter_start_wh <= %(meter_stop_wh)s
ORDER BY session_id DESC LIMIT 2
"""

_OVERLAPS = """
SELECT EXISTS (
    SELECT FROM sessions
    WHERE device_id = %(device_id)s AND lower(id_tag) = lower(%(id_tag)s)
      AND started_at < %(to)s AND coalesce(ended_at, 'infinity') > %(from)s
      AND NOT (connector_id = %(connector_id)s AND started_at = %(from)s
               AND meter_start_wh = %(meter_start_wh)s))
"""

_LOCK = "SELECT id FROM sessions WHERE id = %(session_id)s FOR NO KEY UPDATE"

_TRANSFERRED = "SELECT amount_minor FROM transfers WHERE key = %(key)s"

_UNPAID = """
SELECT id FROM sessions
WHERE user_id = %(user_id)s AND payment_status = 'failed' AND id > %(after_id)s
ORDER BY id LIMIT %(limit)s
FOR NO KEY UPDATE
"""


async def list_suspects(
    connection: Connection,
    *,
    superseded_before: datetime,
    available_before: datetime,
    silent_before: datetime,
    after_id: int,
    limit: int,
) -> list[OpenSession]:
    """Return the next open sessions behind `after_id` that may have ended unheard.

    Their connector began another session that was received before `superseded_before`, or says since before
    `available_before` that it is free, or they were received before `silent_before`.
    """
    bounds = {"superseded_before": superseded_before, "available_before": available_before}
    parameters = {**bounds, "silent_before": silent_before, "after_id": after_id, "limit": limit}
    return await fetch_all(connection, OpenSession, _SUSPECTS, parameters)


async def close_session(connection: Connection, ending: Ending, now: datetime) -> bool:
    """End an open session by a rule; False, and nothing changed, when it is open no more."""
    return await fetch_value(connection, _CLOSE, {**dataclasses.asdict(ending), "now": now}) is not None


async def get_closure(connection: Connection, session_id: int) -> Closure | None:
    """Return how a rule ended this session, or None where its charger did."""
    return await fetch_one(connection, Closure, _CLOSURE, {"session_id": session_id})


async def replace_end(
    connection: Connection,
    session_id: int,
    *,
    ended_at: datetime,
    received_at: datetime,
    meter_stop_wh: int,
    reason: str | None,
) -> bool:
    """Put the charger's own end in the place of a rule's, once; False, and nothing changed, otherwise."""
    facts = {"session_id": session_id, "ended_at": ended_at, "received_at": received_at}
    end = {"meter_stop_wh": meter_stop_wh, "reason": reason}
    return await fetch_value(connection, _REPLACE_END, {**facts, **end}) is not None


async def session_ended_by_rule(
    connection: Connection, device_id: int, *, id_tag: str, ended_at: datetime, meter_stop_wh: int
) -> int | None:
    """Return the one session with this token that a rule ended and this end could be of, or None."""
    parameters = {"device_id": device_id, "id_tag": id_tag, "ended_at": ended_at}
    found = await connection.execute(_ENDED_BY_RULE, {**parameters, "meter_stop_wh": meter_stop_wh})
    rows = await found.fetchall()
    return int(rows[0][0]) if len(rows) == 1 else None


async def overlaps(
    connection: Connection,
    device_id: int,
    *,
    connector_id: int,
    id_tag: str,
    from_: datetime,
    to: datetime,
    meter_start_wh: int,
) -> bool:
    """Whether the charger has a session with this token in that time, other than the one with this start."""
    start = {"connector_id": connector_id, "from": from_, "meter_start_wh": meter_start_wh}
    parameters = {"device_id": device_id, "id_tag": id_tag, "to": to, **start}
    return bool(await fetch_value(connection, _OVERLAPS, parameters))


async def transferred(connection: Connection, key: str) -> int | None:
    """Return the amount (minor units) of the transfer with this key, or None while there is none."""
    amount_minor = await fetch_value(connection, _TRANSFERRED, {"key": key})
    return None if amount_minor is None else int(amount_minor)


async def lock_session(connection: Connection, session_id: int) -> bool:
    """Keep others from rating or changing the session until the transaction ends; False: there is none."""
    return await fetch_value(connection, _LOCK, {"session_id": session_id}) is not None


async def lock_unpaid(connection: Connection, user_id: int, *, after_id: int, limit: int) -> list[int]:
    """Lock the user's next sessions whose payment failed, oldest first; returns their ids."""
    parameters = {"user_id": user_id, "after_id": after_id, "limit": limit}
    rows = await (await connection.execute(_UNPAID, parameters)).fetchall()
    return [session_id for (session_id,) in rows]
