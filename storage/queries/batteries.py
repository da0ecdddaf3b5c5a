"""Batteries as assets: serial, status, dealer, consumer, and the immobiliser's commands.

Used by the Ienerzy API and by the MQTT command relay. Serial numbers are compared without case.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one
from storage.errors import AlreadyExistsError


@dataclass(frozen=True, slots=True)
class Battery:
    """`status`: active, inactive or maintenance. `owner_id` is the consumer, `device_id` what reports."""

    id: int
    serial_number: str
    device_id: int | None
    status: str
    health_score: Decimal
    dealer_id: int | None
    owner_id: int | None
    consumer_name: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class BatteryCommand:
    """`action`: activate or deactivate. `state`: pending, confirmed, refused or superseded."""

    id: UUID
    battery_id: int
    serial_number: str
    action: str
    state: str
    requested_by: int | None
    created_at: datetime
    answered_at: datetime | None
    answer: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class HealthGroup:
    """Health scores (0 to 100) of the batteries that have one status; `sum_health` for means over several."""

    status: str
    count: int
    sum_health: Decimal
    avg_health: Decimal
    min_health: Decimal
    max_health: Decimal


_SELECT = """
SELECT batteries.id, serial_number, device_id, batteries.status, health_score, batteries.dealer_id, owner_id,
       users.name AS consumer_name, batteries.created_at
FROM batteries LEFT JOIN users ON users.id = owner_id
"""

_FIND = _SELECT + "WHERE serial_key = lower(%(serial_number)s)"

_GET = _SELECT + "WHERE batteries.id = %(id)s"

_LIST = (
    _SELECT
    + """
WHERE batteries.id > %(after_id)s
  AND (%(status)s::text IS NULL OR batteries.status = %(status)s)
  AND (%(dealer_id)s::bigint IS NULL OR batteries.dealer_id = %(dealer_id)s)
  AND (%(owner_id)s::bigint IS NULL OR owner_id = %(owner_id)s)
ORDER BY batteries.id LIMIT %(limit)s
"""
)

# A battery that reported before anybody entered it is nobody's: a dealer who enters it takes it over.
_INSERT = """
INSERT INTO batteries (serial_number, health_score, dealer_id, device_id)
VALUES (%(serial_number)s, %(health_score)s, %(dealer_id)s,
        (SELECT id FROM devices WHERE kind = 'battery' AND identity_key = lower(%(serial_number)s)))
ON CONFLICT (serial_key) DO UPDATE
SET dealer_id = EXCLUDED.dealer_id, health_score = EXCLUDED.health_score
WHERE batteries.dealer_id IS NULL AND batteries.owner_id IS NULL AND EXCLUDED.dealer_id IS NOT NULL
RETURNING id, serial_number, device_id, status, health_score, dealer_id, owner_id,
          NULL::text AS consumer_name, created_at
"""

_SET_STATUS = "UPDATE batteries SET status = %(status)s WHERE id = %(id)s"

_HEALTH = """
SELECT status, count(*) AS count, sum(health_score) AS sum_health, avg(health_score) AS avg_health,
       min(health_score) AS min_health, max(health_score) AS max_health
FROM batteries
WHERE (%(dealer_id)s::bigint IS NULL OR dealer_id = %(dealer_id)s)
  AND (%(owner_id)s::bigint IS NULL OR owner_id = %(owner_id)s)
GROUP BY status ORDER BY status
"""

# Whoever changes a battery's commands holds the battery first: one order of locks, no deadlock.
_LOCK = "SELECT id FROM batteries WHERE id = %(battery_id)s FOR NO KEY UPDATE"

_LOCK_OF_COMMAND = """
SELECT id FROM batteries
WHERE id = (SELECT battery_id FROM battery_commands WHERE id = %(id)s)
FOR NO KEY UPDATE
"""

_SUPERSEDE = """
UPDATE battery_commands SET state = 'superseded' WHERE battery_id = %(battery_id)s AND state = 'pending'
"""

_INSERT_COMMAND = """
INSERT INTO battery_commands (id, battery_id, action, requested_by)
VALUES (%(id)s, %(battery_id)s, %(action)s, %(requested_by)s)
"""

_ANSWER = """
WITH answered AS (
    UPDATE battery_commands SET state = %(state)s, answer = %(answer)s, answered_at = %(at)s
    WHERE id = %(id)s AND state = 'pending'
    RETURNING battery_id, action, state
)
UPDATE batteries SET status = CASE answered.action WHEN 'activate' THEN 'active' ELSE 'inactive' END
FROM answered WHERE batteries.id = answered.battery_id AND answered.state = 'confirmed'
"""

_SELECT_COMMAND = """
SELECT battery_commands.id, battery_id, serial_number, action, state, requested_by,
       battery_commands.created_at, answered_at, answer
FROM battery_commands JOIN batteries ON batteries.id = battery_id
"""

_GET_COMMAND = _SELECT_COMMAND + "WHERE battery_commands.id = %(id)s"

_PENDING_FOR = _SELECT_COMMAND + "WHERE serial_key = lower(%(identity)s) AND state = 'pending'"


async def find_battery(connection: Connection, serial_number: str) -> Battery | None:
    """Return the battery with this serial number, in any case of letters, or None."""
    return await fetch_one(connection, Battery, _FIND, {"serial_number": serial_number})


async def get_battery(connection: Connection, battery_id: int) -> Battery | None:
    """Return the battery, or None."""
    return await fetch_one(connection, Battery, _GET, {"id": battery_id})


async def list_batteries(
    connection: Connection,
    *,
    status: str | None = None,
    dealer_id: int | None = None,
    owner_id: int | None = None,
    after_id: int = 0,
    limit: int,
) -> list[Battery]:
    """Return the next `limit` batteries behind `after_id`, with the consumer's name, in order of id."""
    where = {"status": status, "dealer_id": dealer_id, "owner_id": owner_id}
    return await fetch_all(connection, Battery, _LIST, {**where, "after_id": after_id, "limit": limit})


async def insert_battery(
    connection: Connection, serial_number: str, *, health_score: Decimal, dealer_id: int | None
) -> Battery:
    """Enter a battery, linked to the device of this serial if it has reported already.

    Raises `AlreadyExistsError` when the serial number is taken.
    """
    parameters = {"serial_number": serial_number, "health_score": health_score, "dealer_id": dealer_id}
    made = await fetch_one(connection, Battery, _INSERT, parameters)
    if made is None:
        raise AlreadyExistsError(f"battery {serial_number!r}: this serial number is entered already")
    return made


async def set_battery_status(connection: Connection, battery_id: int, status: str) -> Battery | None:
    """Set the status; returns the battery after it, None for an unknown id."""
    await connection.execute(_SET_STATUS, {"id": battery_id, "status": status})
    return await fetch_one(connection, Battery, _GET, {"id": battery_id})


async def health_report(
    connection: Connection, *, dealer_id: int | None = None, owner_id: int | None = None
) -> list[HealthGroup]:
    """Return count and scores by status, of one dealer's or consumer's batteries or of all."""
    return await fetch_all(connection, HealthGroup, _HEALTH, {"dealer_id": dealer_id, "owner_id": owner_id})


async def insert_command(
    connection: Connection, command_id: UUID, battery_id: int, action: str, requested_by: int | None
) -> BatteryCommand:
    """Write a pending command; an earlier one that still waits is superseded by it."""
    await connection.execute(_LOCK, {"battery_id": battery_id})
    await connection.execute(_SUPERSEDE, {"battery_id": battery_id})
    facts = {"id": command_id, "battery_id": battery_id, "action": action, "requested_by": requested_by}
    await connection.execute(_INSERT_COMMAND, facts)
    command = await get_command(connection, command_id)
    assert command is not None
    return command


async def get_command(connection: Connection, command_id: UUID) -> BatteryCommand | None:
    """Return the command as it stands, or None."""
    return await fetch_one(connection, BatteryCommand, _GET_COMMAND, {"id": command_id})


async def answer_command(
    connection: Connection, command_id: UUID, state: str, answer: Mapping[str, Any], at: datetime
) -> BatteryCommand | None:
    """Note the battery's answer (confirmed or refused); a confirmed one sets the battery's status.

    A repeat, or the answer to a superseded command, changes nothing. Returns the command as it stands,
    None for an unknown one.
    """
    await connection.execute(_LOCK_OF_COMMAND, {"id": command_id})
    facts = {"id": command_id, "state": state, "answer": Jsonb(answer), "at": at}
    await connection.execute(_ANSWER, facts)
    return await get_command(connection, command_id)


async def pending_commands_for(connection: Connection, identity: str) -> list[BatteryCommand]:
    """Return what this battery has not answered yet: none or one."""
    return await fetch_all(connection, BatteryCommand, _PENDING_FOR, {"identity": identity})
