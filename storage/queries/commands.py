"""Commands to chargers, kept until they are delivered; used by the API, the gateway and the jobs role.

    queued --claim--> sent --finish--> accepted | rejected | failed
    sent --give back--> queued | superseded | expired | failed
    queued --> superseded | cancelled | expired

Everything else does not happen: each statement names the state that it starts from. Whoever adds or claims a
charger's commands holds its row in `chargers` first: the generation that it has read is the newest then, and
locks are taken in one order. A state is published by the caller once it is committed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args
from uuid import UUID

from psycopg.types.json import Json

from protocols.ocpp.storable import shown
from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.errors import AlreadyExistsError, NotFoundError, TooManyCommandsError

State = Literal["queued", "sent", "accepted", "rejected", "failed", "expired", "superseded", "cancelled"]
STATES: tuple[State, ...] = get_args(State)

QUEUED_MAX = 100  # of one charger
ATTEMPTS_MAX = 5
# Longer than any call takes: what is sent for so long was lost with its gateway.
SENT_FOR_MAX = timedelta(minutes=10)
GONE = "the connection was gone before the charger answered"


@dataclass(frozen=True, slots=True)
class NewCommand:
    """A command to be kept. `supersede_key` and `is_repeatable`: see `protocols.ocpp.command_rules`.

    `idempotency_key`: the caller's own name for the order; `order_digest` then tells it from others.
    """

    id: UUID
    device_id: int
    action: str
    payload: Mapping[str, Any]
    priority: int
    is_repeatable: bool
    supersede_key: str | None
    created_at: datetime
    expires_at: datetime
    requested_by: int | None
    idempotency_key: str | None = None
    order_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A command as it stands. `attempts`: how often it was sent; `generation`: of its last socket."""

    id: UUID
    device_id: int
    identity: str
    action: str
    payload: dict[str, Any]
    priority: int
    is_repeatable: bool
    state: State
    attempts: int
    generation: int | None
    requested_by: int | None
    created_at: datetime
    due_at: datetime
    expires_at: datetime
    sent_at: datetime | None
    finished_at: datetime | None
    result: dict[str, Any] | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Claim:
    """What a gateway is to send now, if anything, and what else has changed while it was looked for."""

    command: Command | None
    changed: list[Command]


_COLUMNS = """
SELECT changed.id, device_id, devices.identity, action, payload, priority, is_repeatable, state, attempts,
       generation, requested_by, changed.created_at, due_at, expires_at, sent_at, finished_at, result, error
"""

_CHANGED = _COLUMNS + "FROM changed JOIN devices ON devices.id = device_id ORDER BY seq"

_SELECT = _COLUMNS + "FROM charger_commands AS changed JOIN devices ON devices.id = device_id\n"

_GET = _SELECT + "WHERE changed.id = %(id)s"

_FILTER = "WHERE device_id = %(device_id)s AND (%(state)s::text IS NULL OR state = %(state)s)"

_LIST = _SELECT + _FILTER + " ORDER BY seq DESC LIMIT %(limit)s OFFSET %(offset)s"

_COUNT = "SELECT count(*) FROM charger_commands " + _FILTER

_LOCK = "SELECT device_id FROM chargers WHERE device_id = %(device_id)s FOR NO KEY UPDATE"

# OCPP 1.6 section 4.2: a charger that was rejected is sent nothing.
_LOCK_GENERATION = """
SELECT device_id FROM chargers
WHERE device_id = %(device_id)s AND generation = %(generation)s AND registration <> 'Rejected'
FOR NO KEY UPDATE
"""

_SUPERSEDE = (
    """
WITH changed AS (
    UPDATE charger_commands
    SET state = 'superseded', finished_at = %(created_at)s, error = 'a newer command took its place'
    WHERE device_id = %(device_id)s AND state = 'queued' AND supersede_key = %(supersede_key)s
    RETURNING *
)
"""
    + _CHANGED
)

_COUNT_QUEUED = "SELECT count(*) FROM charger_commands WHERE device_id = %(device_id)s AND state = 'queued'"

_INSERT = (
    """
WITH changed AS (
    INSERT INTO charger_commands (id, device_id, action, payload, priority, is_repeatable, supersede_key,
                                  requested_by, created_at, due_at, expires_at, idempotency_key,
                                  order_digest)
    VALUES (%(id)s, %(device_id)s, %(action)s, %(payload)s, %(priority)s, %(is_repeatable)s,
            %(supersede_key)s, %(requested_by)s, %(created_at)s, %(created_at)s, %(expires_at)s,
            %(idempotency_key)s, %(order_digest)s)
    ON CONFLICT (requested_by, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING *
)
"""
    + _CHANGED
)

_BY_KEY = (
    "SELECT id, order_digest FROM charger_commands WHERE requested_by = %(by)s AND idempotency_key = %(key)s"
)

_HAS_OPEN = """
SELECT EXISTS (SELECT FROM charger_commands WHERE device_id = %(device_id)s AND state IN ('queued', 'sent'))
"""

_EXPIRE_SET = """
    UPDATE charger_commands
    SET state = 'expired', finished_at = %(now)s,
        error = 'not delivered in time' || coalesce('; last attempt: ' || error, '')
"""

_EXPIRE = (
    "WITH changed AS ("
    + _EXPIRE_SET
    + """
    WHERE device_id = %(device_id)s AND state = 'queued' AND expires_at <= %(now)s
    RETURNING *
)
"""
    + _CHANGED
)

_EXPIRE_ALL = (
    "WITH changed AS ("
    + _EXPIRE_SET
    + """
    WHERE id IN (
        SELECT id FROM charger_commands WHERE state = 'queued' AND expires_at <= %(now)s
        ORDER BY expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
    RETURNING *
)
"""
    + _CHANGED
)

# Strictly in order: one that waits for its next try holds back those behind it, for they may rest on it.
_CLAIM = (
    """
WITH head AS (
    SELECT id AS head_id FROM charger_commands
    WHERE device_id = %(device_id)s AND state IN ('queued', 'sent')
    ORDER BY state = 'sent' DESC, priority DESC, seq LIMIT 1
), changed AS (
    UPDATE charger_commands
    SET state = 'sent', sent_at = %(now)s, attempts = attempts + 1, generation = %(generation)s
    FROM head WHERE id = head_id AND state = 'queued' AND due_at <= %(now)s
    RETURNING charger_commands.*
)
"""
    + _CHANGED
)

_FINISH = (
    """
WITH changed AS (
    UPDATE charger_commands
    SET state = %(state)s, finished_at = %(now)s, result = %(result)s, error = %(error)s,
        payload = %(payload)s
    WHERE id = %(id)s AND state = 'sent' AND generation = %(generation)s
    RETURNING *
)
"""
    + _CHANGED
)

_UNSEND = (
    """
WITH changed AS (
    UPDATE charger_commands SET state = 'queued', attempts = attempts - 1, due_at = %(due_at)s
    WHERE id = %(id)s AND state = 'sent' AND generation = %(generation)s
    RETURNING *
)
"""
    + _CHANGED
)

_DECIDED = """
WITH decided AS (
    SELECT id AS decided_id, CASE
        WHEN NOT is_repeatable OR attempts >= %(attempts_max)s THEN 'failed'
        WHEN expires_at <= %(now)s THEN 'expired'
        WHEN EXISTS (
            SELECT FROM charger_commands AS newer
            WHERE newer.device_id = old.device_id AND newer.supersede_key = old.supersede_key
              AND newer.seq > old.seq AND newer.state IN ('queued', 'sent')) THEN 'superseded'
        ELSE 'queued' END AS verdict
    FROM charger_commands AS old
    WHERE state = 'sent'
"""

_GIVE_BACK = (
    """
), changed AS (
    UPDATE charger_commands
    SET state = verdict, due_at = %(due_at)s,
        finished_at = CASE verdict WHEN 'queued' THEN NULL ELSE %(now)s END,
        error = CASE
            WHEN verdict = 'superseded' THEN 'a newer command took its place; last attempt: '
            WHEN verdict = 'expired' THEN 'not delivered in time; last attempt: '
            WHEN NOT is_repeatable THEN 'unknown outcome: '
            WHEN verdict = 'failed' THEN 'given up after ' || attempts || ' attempts: '
            ELSE '' END || %(reason)s || CASE WHEN is_repeatable THEN '' ELSE
            '; the charger may have carried it out: look at its state before you send it again' END
    FROM decided WHERE id = decided_id
    RETURNING charger_commands.*
)
"""
    + _CHANGED
)

_GIVE_BACK_ONE = _DECIDED + "AND id = %(id)s AND generation = %(generation)s FOR UPDATE" + _GIVE_BACK

_GIVE_BACK_OLDER = (
    _DECIDED + "AND device_id = %(device_id)s AND generation < %(generation)s FOR UPDATE" + _GIVE_BACK
)

_GIVE_BACK_ABANDONED = (
    _DECIDED
    + """
      AND (sent_at <= %(sent_before)s OR NOT EXISTS (
          SELECT FROM chargers
          WHERE chargers.device_id = old.device_id AND is_connected AND chargers.generation = old.generation))
    ORDER BY sent_at LIMIT %(limit)s FOR UPDATE OF old SKIP LOCKED
"""
    + _GIVE_BACK
)

_CANCEL = (
    """
WITH changed AS (
    UPDATE charger_commands SET state = 'cancelled', finished_at = %(now)s
    WHERE id = %(id)s AND state = 'queued'
    RETURNING *
)
"""
    + _CHANGED
)

_DUE = """
SELECT DISTINCT device_id FROM charger_commands JOIN chargers USING (device_id)
WHERE state = 'queued' AND due_at <= %(now)s AND is_connected AND gateway = %(gateway)s
ORDER BY device_id LIMIT %(limit)s
"""

_PURGE = """
DELETE FROM charger_commands WHERE id IN (
    SELECT id FROM charger_commands WHERE finished_at < %(before)s ORDER BY finished_at LIMIT %(limit)s)
"""


async def enqueue(connection: Connection, new: NewCommand) -> tuple[Command, list[Command]]:
    """Keep a command; returns it, and those that wait no more because this one takes their place.

    For an order that was kept before under its key: that command. Raises `NotFoundError` where the device is
    no charger, `TooManyCommandsError` where too many wait, `AlreadyExistsError` for another order's key.
    """
    facts = {name: getattr(new, name) for name in NewCommand.__slots__}
    if await fetch_value(connection, _LOCK, facts) is None:
        raise NotFoundError(f"device {new.device_id} is no charger")
    kept = await kept_before(connection, new.requested_by, new.idempotency_key, new.order_digest)
    if kept is not None:
        return kept, []
    superseded = await fetch_all(connection, Command, _SUPERSEDE, facts)
    if int(await fetch_value(connection, _COUNT_QUEUED, facts)) >= QUEUED_MAX:
        raise TooManyCommandsError(f"{QUEUED_MAX} commands wait for charger {new.device_id}: cancel some")
    command = await fetch_one(connection, Command, _INSERT, {**facts, "payload": Json(new.payload)})
    if command is None:
        # at the same moment, for another charger: that one's row was not the one that is locked here
        raise AlreadyExistsError(_used(new.idempotency_key))
    return command, superseded


async def kept_before(
    connection: Connection, requested_by: int | None, key: str | None, order_digest: str | None
) -> Command | None:
    """Return what this caller's key made, or None; raises `AlreadyExistsError` for another order's key."""
    if key is None:
        return None
    row = await (await connection.execute(_BY_KEY, {"by": requested_by, "key": key})).fetchone()
    if row is None:
        return None
    if row[1] != order_digest:
        raise AlreadyExistsError(_used(key))
    return await get_command(connection, row[0])


def _used(key: str | None) -> str:
    return f"The Idempotency-Key {key} was used for another order: send a new key for a new one"


async def claim(connection: Connection, device_id: int, generation: int, now: datetime) -> Claim:
    """Take the charger's next command for the socket of this generation; it is `sent` when this is committed.

    Nothing where another socket is the newest, or a command is out already. What an older socket has not
    brought to its end is decided first, and what has expired ends.
    """
    about = {"device_id": device_id, "generation": generation, "now": now}
    if not await fetch_value(connection, _HAS_OPEN, about):
        return Claim(None, [])
    if await fetch_value(connection, _LOCK_GENERATION, about) is None:
        return Claim(None, [])
    back = {**about, "attempts_max": ATTEMPTS_MAX, "due_at": now, "reason": GONE}
    changed = await fetch_all(connection, Command, _GIVE_BACK_OLDER, back)
    changed += await fetch_all(connection, Command, _EXPIRE, about)
    return Claim(await fetch_one(connection, Command, _CLAIM, about), changed)


async def finish(
    connection: Connection,
    command: Command,
    state: Literal["accepted", "rejected", "failed"],
    now: datetime,
    *,
    result: Mapping[str, Any] | None = None,
    error: str | None = None,
) -> Command | None:
    """Note what became of a claimed command; None where somebody else has decided meanwhile.

    Passwords and keys in its payload are forgotten: it is not sent again.
    """
    facts = {"id": command.id, "generation": command.generation, "state": state, "now": now, "error": error}
    kept = None if result is None else Json(result)
    return await fetch_one(
        connection, Command, _FINISH, {**facts, "result": kept, "payload": Json(shown(command.payload))}
    )


async def give_back(
    connection: Connection, command: Command, now: datetime, *, due_at: datetime, reason: str
) -> Command | None:
    """End an attempt without an answer: what may be said twice waits until `due_at`, the rest has failed."""
    about = {"id": command.id, "generation": command.generation, "now": now, "due_at": due_at}
    parameters = {**about, "attempts_max": ATTEMPTS_MAX, "reason": reason}
    return await fetch_one(connection, Command, _GIVE_BACK_ONE, parameters)


async def unsend(connection: Connection, command: Command, due_at: datetime) -> Command | None:
    """Put back a claimed command that never went out: it counts as no attempt."""
    about = {"id": command.id, "generation": command.generation, "due_at": due_at}
    return await fetch_one(connection, Command, _UNSEND, about)


async def cancel(connection: Connection, command_id: UUID, now: datetime) -> Command | None:
    """Cancel a command that still waits; None where it does not, or there is none."""
    return await fetch_one(connection, Command, _CANCEL, {"id": command_id, "now": now})


async def get_command(connection: Connection, command_id: UUID) -> Command | None:
    """Return the command as it stands, or None."""
    return await fetch_one(connection, Command, _GET, {"id": command_id})


async def list_commands(
    connection: Connection, device_id: int, *, state: State | None, limit: int, offset: int = 0
) -> tuple[list[Command], int]:
    """Return one page of a charger's commands, newest first, and how many there are in all."""
    where = {"device_id": device_id, "state": state}
    page = await fetch_all(connection, Command, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))


async def due_chargers(connection: Connection, gateway: str, now: datetime, limit: int) -> list[int]:
    """Return chargers whose socket this gateway holds, and for which commands are due."""
    rows = await connection.execute(_DUE, {"gateway": gateway, "now": now, "limit": limit})
    return [device_id for (device_id,) in await rows.fetchall()]


async def end_overdue(connection: Connection, now: datetime, limit: int) -> list[Command]:
    """End what has expired, and decide on what went out over a socket that is gone; `limit` of each."""
    about = {"now": now, "limit": limit, "sent_before": now - SENT_FOR_MAX, "due_at": now}
    back = {**about, "attempts_max": ATTEMPTS_MAX, "reason": GONE}
    changed = await fetch_all(connection, Command, _GIVE_BACK_ABANDONED, back)
    return changed + await fetch_all(connection, Command, _EXPIRE_ALL, about)


async def purge(connection: Connection, before: datetime, limit: int) -> int:
    """Delete up to `limit` commands that ended before then; returns how many."""
    return (await connection.execute(_PURGE, {"before": before, "limit": limit})).rowcount
