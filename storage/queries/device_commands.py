"""Commands that wait for devices which are not chargers: valves, relays, settings, raw downlinks.

Written by `stream.metering` and the portal, taken by the shells that can reach the device. A device that
sleeps gets its command after it was heard; until then the command waits here, at most until it expires.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NotRequired, TypedDict, Unpack
from uuid import UUID

from storage.database import Connection, fetch_all, fetch_one

State = Literal["pending", "sent", "acknowledged", "failed", "expired", "superseded"]


@dataclass(frozen=True, slots=True)
class DeviceCommand:
    """`payload`: the bytes that go to the device, on LoRaWAN's fPort `port`. `reason`: why it was sent."""

    id: UUID
    device_id: int
    action: str
    port: int
    payload: bytes
    is_confirmed: bool
    state: State
    reason: str
    requested_by: int | None
    created_at: datetime
    expires_at: datetime
    sent_at: datetime | None
    done_at: datetime | None
    detail: str | None


class NewCommand(TypedDict):
    """What a command is made of; see `DeviceCommand`. The caller's `command_id` makes it idempotent."""

    command_id: UUID
    device_id: int
    action: str
    port: int
    payload: bytes
    is_confirmed: bool
    reason: str
    created_at: datetime
    expires_at: datetime
    requested_by: NotRequired[int | None]


_COLUMNS = """id, device_id, action, port, payload, is_confirmed, state, reason, requested_by, created_at,
       expires_at, sent_at, done_at, detail"""

_SELECT = f"SELECT {_COLUMNS} FROM device_commands "

# Opening and closing a supply undo each other: the newer one is what is meant.
_SUPERSEDE = """
UPDATE device_commands SET state = 'superseded', done_at = %(created_at)s
WHERE device_id = %(device_id)s AND state = 'pending'
  AND (action = %(action)s OR action = ANY(%(opposites)s))
"""

_INSERT = f"""
INSERT INTO device_commands (id, device_id, action, port, payload, is_confirmed, reason, requested_by,
                             created_at, expires_at)
VALUES (%(command_id)s, %(device_id)s, %(action)s, %(port)s, %(payload)s, %(is_confirmed)s, %(reason)s,
        %(requested_by)s, %(created_at)s, %(expires_at)s)
ON CONFLICT (id) DO NOTHING
RETURNING {_COLUMNS}
"""

_GET = _SELECT + "WHERE id = %(id)s"

_EXPIRE = """
UPDATE device_commands SET state = 'expired', done_at = %(now)s
WHERE device_id = %(device_id)s AND state IN ('pending', 'sent') AND expires_at <= %(now)s
"""

_EXPIRE_ALL = """
UPDATE device_commands SET state = 'expired', done_at = %(now)s
WHERE id IN (
    SELECT id FROM device_commands
    WHERE state IN ('pending', 'sent') AND expires_at <= %(now)s
    ORDER BY device_id, created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""

_TAKE = f"""
UPDATE device_commands SET state = 'sent', sent_at = %(now)s
WHERE id = (
    SELECT id FROM device_commands
    WHERE device_id = %(device_id)s AND state = 'pending' AND expires_at > %(now)s
    ORDER BY created_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING {_COLUMNS}
"""

_MARK = f"""
UPDATE device_commands
SET state = %(state)s, detail = %(detail)s,
    sent_at = CASE WHEN %(state)s = 'pending' THEN NULL ELSE sent_at END,
    done_at = CASE WHEN %(state)s IN ('pending', 'sent') THEN NULL ELSE %(at)s END
WHERE id = %(id)s AND state IN ('pending', 'sent')
RETURNING {_COLUMNS}
"""

_LIST = (
    _SELECT
    + """
WHERE device_id = %(device_id)s AND (%(state)s::text IS NULL OR state = %(state)s)
ORDER BY created_at DESC, id LIMIT %(limit)s
"""
)

_OPEN = (
    _SELECT
    + """
WHERE device_id = %(device_id)s AND state IN ('pending', 'sent')
ORDER BY created_at, id LIMIT %(limit)s
"""
)

_DEVICES_WITH_OPEN = """
SELECT DISTINCT device_id FROM device_commands
WHERE device_id = ANY(%(device_ids)s) AND state IN ('pending', 'sent')
"""

_WAITING = """
SELECT DISTINCT device_id FROM device_commands
WHERE state = 'pending' AND expires_at > %(now)s AND device_id > %(after_id)s
ORDER BY device_id LIMIT %(limit)s
"""

# A later order to the same supply, whatever became of it, is what is meant now.
_UNDONE = (
    _SELECT
    + """
WHERE state IN ('failed', 'expired') AND done_at >= %(since)s AND done_at < %(before)s
  AND reason = ANY(%(reasons)s)
  AND NOT EXISTS (
      SELECT FROM device_commands AS later
      WHERE later.device_id = device_commands.device_id AND later.created_at > device_commands.created_at
        AND later.action IN ('open', 'close'))
ORDER BY done_at LIMIT %(limit)s
"""
)

_OPPOSITES = {"open": ["close"], "close": ["open"]}


async def insert_command(connection: Connection, **command: Unpack[NewCommand]) -> DeviceCommand:
    """Write a command; one of its action that still waits is superseded. The same id changes nothing."""
    known = await get_command(connection, command["command_id"])
    if known is not None:
        return known
    opposites = _OPPOSITES.get(command["action"], [])
    await connection.execute(_SUPERSEDE, {**command, "opposites": opposites})
    made = await fetch_one(connection, DeviceCommand, _INSERT, {"requested_by": None, **command})
    assert made is not None, "an id that came at the same time would be a caller's fault"
    return made


async def get_command(connection: Connection, command_id: UUID) -> DeviceCommand | None:
    """Return the command with this id, or None."""
    return await fetch_one(connection, DeviceCommand, _GET, {"id": command_id})


async def take_next(connection: Connection, device_id: int, now: datetime) -> DeviceCommand | None:
    """Mark the oldest waiting command of a device as sent and return it; those too old are expired."""
    await connection.execute(_EXPIRE, {"device_id": device_id, "now": now})
    return await fetch_one(connection, DeviceCommand, _TAKE, {"device_id": device_id, "now": now})


async def expire(connection: Connection, now: datetime, limit: int) -> int:
    """Mark up to `limit` open commands of all devices whose time is over as expired; returns how many.

    Nobody may ever take one of a device that is not heard of again.
    """
    return (await connection.execute(_EXPIRE_ALL, {"now": now, "limit": limit})).rowcount


async def mark(
    connection: Connection, command_id: UUID, state: State, at: datetime, detail: str | None = None
) -> DeviceCommand | None:
    """Move an open command to `state` (`pending`: it waits again); None: it is unknown or was done before."""
    parameters = {"id": command_id, "state": state, "at": at, "detail": detail}
    return await fetch_one(connection, DeviceCommand, _MARK, parameters)


async def list_commands(
    connection: Connection, device_id: int, *, state: State | None = None, limit: int
) -> list[DeviceCommand]:
    """Return a device's commands, newest first."""
    parameters = {"device_id": device_id, "state": state, "limit": limit}
    return await fetch_all(connection, DeviceCommand, _LIST, parameters)


async def open_commands(connection: Connection, device_id: int, *, limit: int) -> list[DeviceCommand]:
    """Return a device's commands that wait or are under way, oldest first."""
    return await fetch_all(connection, DeviceCommand, _OPEN, {"device_id": device_id, "limit": limit})


async def devices_with_open(connection: Connection, device_ids: Sequence[int]) -> set[int]:
    """Return those of these devices that have commands which wait or are under way."""
    rows = await connection.execute(_DEVICES_WITH_OPEN, {"device_ids": list(device_ids)})
    return {device_id for (device_id,) in await rows.fetchall()}


async def undone(
    connection: Connection, reasons: Sequence[str], *, since: datetime, before: datetime, limit: int
) -> list[DeviceCommand]:
    """Return orders to supplies that failed or expired in [since, before), without a later order."""
    parameters = {"reasons": list(reasons), "since": since, "before": before, "limit": limit}
    return await fetch_all(connection, DeviceCommand, _UNDONE, parameters)


async def devices_with_waiting(
    connection: Connection, now: datetime, *, after_id: int = 0, limit: int
) -> list[int]:
    """Return the ids of devices that a command waits for, in order, those behind `after_id`."""
    rows = await connection.execute(_WAITING, {"now": now, "after_id": after_id, "limit": limit})
    return [device_id for (device_id,) in await rows.fetchall()]
