"""The outbox: what follows from a committed fact, written in that fact's transaction.

Shells and the API enqueue; the jobs role claims, carries out and finishes in one transaction, so that a
worker that dies gives its tasks back by dying. At least once: handlers are idempotent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_value


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do; `attempts` counts the failed ones."""

    id: int
    kind: str
    payload: dict[str, Any]
    attempts: int


_ENQUEUE = """
INSERT INTO outbox (kind, payload, due_at) VALUES (%(kind)s, %(payload)s, coalesce(%(due_at)s, now()))
RETURNING id
"""

_CLAIM = """
SELECT id, kind, payload, attempts FROM outbox
WHERE done_at IS NULL AND due_at <= %(now)s
ORDER BY due_at, id LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
"""

_FINISH = "UPDATE outbox SET done_at = %(now)s, last_error = NULL WHERE id = %(id)s"

_POSTPONE = """
UPDATE outbox SET attempts = attempts + 1, due_at = %(due_at)s, last_error = %(error)s WHERE id = %(id)s
"""

_PURGE = """
DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE done_at < %(before)s ORDER BY id LIMIT %(limit)s)
"""

_PENDING = "SELECT count(*) FROM outbox WHERE done_at IS NULL"


async def enqueue(
    connection: Connection, kind: str, payload: Mapping[str, Any], due_at: datetime | None = None
) -> int:
    """Write a task into the caller's transaction, due now or at `due_at`; returns its id."""
    parameters = {"kind": kind, "payload": Jsonb(payload), "due_at": due_at}
    return int(await fetch_value(connection, _ENQUEUE, parameters))


async def claim_due(connection: Connection, now: datetime, limit: int) -> list[Task]:
    """Return up to `limit` due tasks that no other worker holds; held until the transaction ends."""
    return await fetch_all(connection, Task, _CLAIM, {"now": now, "limit": limit})


async def finish(connection: Connection, task_id: int, now: datetime) -> None:
    """Note that the task is done, in the transaction that did it."""
    await connection.execute(_FINISH, {"id": task_id, "now": now})


async def postpone(connection: Connection, task_id: int, due_at: datetime, error: str) -> None:
    """Note a failed attempt and when to try again."""
    await connection.execute(_POSTPONE, {"id": task_id, "due_at": due_at, "error": error})


async def pending_count(connection: Connection) -> int:
    """Return how many tasks are not done, due or not."""
    return int(await fetch_value(connection, _PENDING, {}))


async def purge(connection: Connection, before: datetime, limit: int) -> int:
    """Delete up to `limit` tasks that were done before then; returns how many."""
    return (await connection.execute(_PURGE, {"before": before, "limit": limit})).rowcount
