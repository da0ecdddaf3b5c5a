"""Transactions of OCPP 2.x: the charger's own ids, what its events told so far, and the session of it.

Written by the OCPP gateway in the transaction that answers the charger. `protocols.ocpp.transactions` says
what events tell together; here it is kept (`transaction_progress`) and shown in the `sessions` row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from protocols.ocpp.storable import clipped
from protocols.ocpp.transaction_event import TOKEN_CHARACTERS_MAX, WORD_CHARACTERS_MAX
from protocols.ocpp.transactions import Progress, decode_progress, encode_progress
from protocols.timestamps import to_datetime
from storage.database import Connection, fetch_one, fetch_value
from storage.queries.sessions import Session

# Longer than any charger keeps what it could not tell.
STARTS_KEPT = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Transaction:
    """A session of 2.x, locked. `rating`: None, `waiting` for missing events, or `due`.

    `is_rated`: it has a charge detail record, and what it was made from does not change any more.
    """

    session_id: int
    transaction_id: int
    user_id: int | None
    progress: Progress
    rating: str | None
    is_rated: bool


@dataclass(frozen=True, slots=True)
class _Row:
    session_id: int
    transaction_id: int
    user_id: int | None
    progress: str
    rating: str | None
    is_open: bool


@dataclass(frozen=True, slots=True)
class TransactionState:
    """`events_missing`: sequence numbers that never came. `is_open`: no end of it is known."""

    transaction_uid: str
    session_id: int
    is_open: bool
    events_missing: int
    updated_at: datetime


_LOCK = """
SELECT sessions.id AS session_id, transaction_id, user_id, progress::text AS progress, rating,
       status = 'active' AS is_open
FROM sessions JOIN transaction_progress ON transaction_progress.session_id = sessions.id
WHERE device_id = %(device_id)s AND transaction_uid = %(transaction_uid)s
FOR UPDATE
"""

_IS_RATED = "SELECT EXISTS (SELECT FROM cdrs WHERE session_id = %(session_id)s)"

# Only what a row must have: `save_transaction` follows in the same transaction.
_INSERT = """
WITH made AS (
    INSERT INTO sessions (device_id, connector_id, id_tag, started_at, start_received_at, meter_start_wh,
                          transaction_uid)
    VALUES (%(device_id)s, 0, '', %(at)s, %(at)s, 0, %(transaction_uid)s)
    ON CONFLICT (device_id, transaction_uid) WHERE transaction_uid IS NOT NULL DO NOTHING
    RETURNING id
)
INSERT INTO transaction_progress (session_id, progress, seq_missing, updated_at)
SELECT id, %(progress)s::jsonb, 0, %(at)s FROM made
RETURNING session_id
"""

_SAVE_PROGRESS = """
UPDATE transaction_progress
SET progress = %(progress)s::jsonb, seq_missing = %(seq_missing)s, rating = %(rating)s, updated_at = %(at)s
WHERE session_id = %(session_id)s
"""

# An end that was set otherwise (by reconciliation) stays until the charger tells its own.
_SAVE = f"""
WITH kept AS ({_SAVE_PROGRESS})
UPDATE sessions
SET connector_id = %(evse_id)s, evse_id = %(evse_id)s, id_tag = %(id_token)s,
    id_token_type = %(id_token_type)s, user_id = %(user_id)s, started_at = %(started_at)s,
    start_received_at = %(start_received_at)s, meter_start_wh = %(meter_start_wh)s,
    status = CASE WHEN %(ended_at)s::timestamptz IS NULL THEN status ELSE 'completed' END,
    ended_at = coalesce(%(ended_at)s, ended_at),
    stop_received_at = coalesce(%(stop_received_at)s, stop_received_at),
    meter_stop_wh = coalesce(%(meter_stop_wh)s, meter_stop_wh),
    stop_reason = coalesce(%(stop_reason)s, stop_reason),
    remote_start_id = %(remote_start_id)s, reservation_id = %(reservation_id)s,
    charging_state = %(charging_state)s, meter_last_wh = %(meter_last_wh)s, meter_last_at = %(meter_last_at)s
WHERE id = %(session_id)s
RETURNING id, device_id, connector_id, user_id, vehicle_id, id_tag, transaction_id, status,
          payment_status, started_at, start_received_at, meter_start_wh, ended_at,
          stop_received_at, meter_stop_wh, stop_reason, transaction_uid, remote_start_id,
          charging_state, meter_last_wh, meter_last_at
"""

# Only where nobody has changed it since the caller saw it: the lock and the comparison are one statement.
_READ_ON = f"""
WITH held AS (
    SELECT sessions.id
    FROM sessions JOIN transaction_progress ON transaction_progress.session_id = sessions.id
    WHERE sessions.id = %(session_id)s AND device_id = %(device_id)s AND transaction_uid = %(transaction_uid)s
      AND status = 'active' AND rating IS NULL AND progress = %(known)s::jsonb
    FOR UPDATE
), kept AS ({_SAVE_PROGRESS} AND session_id IN (SELECT id FROM held))
UPDATE sessions SET meter_last_wh = %(meter_last_wh)s, meter_last_at = %(meter_last_at)s
WHERE id IN (SELECT id FROM held)
RETURNING id
"""

_RETIRE = """
UPDATE sessions SET transaction_uid = left(transaction_uid, 230) || '#' || id WHERE id = %(session_id)s
"""

_STATE = """
SELECT transaction_uid, sessions.id AS session_id, status = 'active' AS is_open,
       seq_missing AS events_missing, updated_at
FROM sessions JOIN transaction_progress ON transaction_progress.session_id = sessions.id
WHERE device_id = %(device_id)s AND transaction_uid = %(transaction_uid)s
"""

_NOTE_START = """
WITH forgotten AS (
    DELETE FROM remote_starts
    WHERE device_id = %(device_id)s AND number <> %(number)s AND asked_at < %(before)s
)
INSERT INTO remote_starts (device_id, number, id_token, id_token_type, asked_at)
VALUES (%(device_id)s, %(number)s, %(id_token)s, %(id_token_type)s, %(at)s)
ON CONFLICT (device_id, number) DO UPDATE
SET id_token = EXCLUDED.id_token, id_token_type = EXCLUDED.id_token_type, asked_at = EXCLUDED.asked_at
"""

_ASKED_WITH = """
SELECT id_token, id_token_type FROM remote_starts WHERE device_id = %(device_id)s AND number = %(number)s
"""


async def note_start(
    connection: Connection, device_id: int, number: int, *, token: Mapping[str, Any], at: datetime
) -> None:
    """Keep the IdTokenType of a RequestStartTransaction, and forget this charger's very old ones."""
    parameters = {
        "device_id": device_id,
        "number": number,
        "id_token": clipped(token["idToken"], TOKEN_CHARACTERS_MAX),
        "id_token_type": clipped(token["type"], WORD_CHARACTERS_MAX),
        "at": at,
        "before": at - STARTS_KEPT,
    }
    await connection.execute(_NOTE_START, parameters)


async def token_of_start(connection: Connection, device_id: int, number: int) -> dict[str, str] | None:
    """Return the IdTokenType that this charger was asked to start with under this number, or None."""
    cursor = await connection.execute(_ASKED_WITH, {"device_id": device_id, "number": number})
    row = await cursor.fetchone()
    return None if row is None else {"idToken": row[0], "type": row[1]}


async def lock_transaction(
    connection: Connection, device_id: int, transaction_uid: str
) -> Transaction | None:
    """Return the charger's transaction, held until the caller's transaction ends, or None."""
    key = {"device_id": device_id, "transaction_uid": transaction_uid}
    row = await fetch_one(connection, _Row, _LOCK, key)
    if row is None:
        return None
    # asked once the lock is held: a rating that held it before is not in the view of the first statement
    is_rated = not row.is_open and await fetch_value(connection, _IS_RATED, {"session_id": row.session_id})
    progress = decode_progress(row.progress.encode())
    return Transaction(
        row.session_id, row.transaction_id, row.user_id, progress, row.rating, is_rated=bool(is_rated)
    )


async def make_transaction(
    connection: Connection, device_id: int, transaction_uid: str, at: datetime
) -> tuple[Transaction, bool]:
    """Begin to know a transaction, whichever of its events came first; the flag tells a new one.

    The same is returned to two gateways that do so at once.
    """
    empty = encode_progress(Progress()).decode()
    parameters = {"device_id": device_id, "transaction_uid": transaction_uid, "at": at, "progress": empty}
    made = await fetch_value(connection, _INSERT, parameters)
    transaction = await lock_transaction(connection, device_id, transaction_uid)
    assert transaction is not None
    return transaction, made is not None


async def save_transaction(
    connection: Connection,
    session_id: int,
    progress: Progress,
    *,
    user_id: int | None,
    rating: str | None,
    at: datetime,
) -> Session:
    """Keep what is known now, and show it in the session, which is returned. Not for a rated one."""
    facts = {"user_id": user_id, **_session_facts(progress)}
    parameters = _kept(session_id, progress, rating, at) | facts
    session = await fetch_one(connection, Session, _SAVE, parameters)
    assert session is not None
    return session


async def read_on(
    connection: Connection,
    device_id: int,
    transaction_uid: str,
    session_id: int,
    *,
    known: Progress,
    progress: Progress,
    at: datetime,
) -> bool:
    """Keep a `progress` that only reads on from `known`, in one statement (so a transaction by itself).

    False, and nothing is changed, where the transaction is not open any more, or not as `known` says.
    """
    parameters = {
        **_kept(session_id, progress, None, at),
        "device_id": device_id,
        "transaction_uid": transaction_uid,
        "known": encode_progress(known).decode(),
        "meter_last_wh": progress.integer("meter_last"),
        "meter_last_at": _moment(progress.integer("meter_last", 1)),
    }
    return await fetch_value(connection, _READ_ON, parameters) is not None


async def save_progress(
    connection: Connection, session_id: int, progress: Progress, *, rating: str | None, at: datetime
) -> None:
    """Keep what is known now; the session stays as it is."""
    await connection.execute(_SAVE_PROGRESS, _kept(session_id, progress, rating, at))


async def retire_transaction(connection: Connection, session_id: int) -> None:
    """Free the charger's id of an ended transaction, for one that uses ids again."""
    await connection.execute(_RETIRE, {"session_id": session_id})


async def transaction_state(
    connection: Connection, device_id: int, transaction_uid: str
) -> TransactionState | None:
    """Return what is known of the charger's transaction and what is missing of it, or None."""
    key = {"device_id": device_id, "transaction_uid": transaction_uid}
    return await fetch_one(connection, TransactionState, _STATE, key)


def _kept(session_id: int, progress: Progress, rating: str | None, at: datetime) -> dict[str, Any]:
    return {
        "session_id": session_id,
        "progress": encode_progress(progress).decode(),
        "seq_missing": progress.seq_missing,
        "rating": rating,
        "at": at,
    }


def _session_facts(progress: Progress) -> dict[str, Any]:
    """The session's columns."""
    started_us, received_us = progress.integer("started"), progress.integer("started", 1)
    assert started_us is not None
    assert received_us is not None
    return {
        "evse_id": progress.integer("evse") or 0,
        "id_token": progress.text("token") or "",
        "id_token_type": progress.text("token", 1),
        "started_at": to_datetime(started_us),
        "start_received_at": to_datetime(received_us),
        "meter_start_wh": progress.meter_start_wh,
        "ended_at": _moment(progress.integer("ended")),
        "stop_received_at": _moment(progress.integer("ended", 1)),
        "meter_stop_wh": progress.meter_stop_wh if progress.has_ended else None,
        "stop_reason": progress.text("ended", 2),
        "remote_start_id": progress.integer("remote_start_id"),
        "reservation_id": progress.integer("reservation_id"),
        "charging_state": progress.text("charging_state"),
        "meter_last_wh": progress.integer("meter_last"),
        "meter_last_at": _moment(progress.integer("meter_last", 1)),
    }


def _moment(us: int | None) -> datetime | None:
    return None if us is None else to_datetime(us)
