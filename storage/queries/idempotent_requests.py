"""What requests with an Idempotency-Key were answered; used by the EV-CMS family and the jobs role.

A key is claimed at the beginning of the transaction that does the work, and its answer kept at the end:
who brings the same key meanwhile waits for that transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """`route` is method and path, `digest` of the body; `status` and `answer` are what went out."""

    route: str
    digest: bytes
    status: int
    answer: dict[str, Any]


_CLAIM = """
INSERT INTO idempotent_requests (user_id, key, route, digest, status, answer, created_at)
VALUES (%(user_id)s, %(key)s, %(route)s, %(digest)s, 0, 'null', %(now)s)
ON CONFLICT (user_id, key) DO NOTHING
RETURNING true
"""

_GET = """
SELECT route, digest, status, answer FROM idempotent_requests WHERE user_id = %(user_id)s AND key = %(key)s
"""

_KEEP = """
UPDATE idempotent_requests SET status = %(status)s, answer = %(answer)s
WHERE user_id = %(user_id)s AND key = %(key)s
"""

_FORGET = """
DELETE FROM idempotent_requests WHERE (user_id, key) IN (
    SELECT user_id, key FROM idempotent_requests WHERE created_at < %(before)s
    ORDER BY created_at LIMIT %(limit)s)
"""


async def claim_key(
    connection: Connection, user_id: int, key: str, *, route: str, digest: bytes, now: datetime
) -> bool:
    """Take the key for this transaction; waits for another that has it; False where that one committed."""
    facts = {"user_id": user_id, "key": key, "route": route, "digest": digest, "now": now}
    return await fetch_value(connection, _CLAIM, facts) is not None


async def stored_answer(connection: Connection, user_id: int, key: str) -> StoredAnswer | None:
    """Return what the key was answered, or None."""
    return await fetch_one(connection, StoredAnswer, _GET, {"user_id": user_id, "key": key})


async def keep_answer(
    connection: Connection, user_id: int, key: str, status: int, answer: Mapping[str, Any]
) -> None:
    """Keep the answer of a key that this transaction claimed."""
    facts = {"user_id": user_id, "key": key, "status": status}
    await connection.execute(_KEEP, {**facts, "answer": Jsonb(dict(answer))})


async def forget_answers(connection: Connection, before: datetime, limit: int) -> int:
    """Delete up to `limit` answers of requests from before then; returns how many."""
    return (await connection.execute(_FORGET, {"before": before, "limit": limit})).rowcount
