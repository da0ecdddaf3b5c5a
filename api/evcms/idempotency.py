"""Idempotency keys: a request that comes again with its key is answered as the first time, and does nothing.

Used by every endpoint of this family that moves money, and open to the others. An endpoint takes `Keyed` and
gives its work to `once`:

    @router.post("/pay", response_model=Answer[Paid])
    async def pay(body: Pay, caller: AnyUser, context: Ctx, db: Db, keyed: Keyed) -> Answer[Paid] | Replay:
        return await once(db, keyed, caller.id, body, context.now(), lambda: work(...))

The key is claimed, the work done and the answer kept in one transaction: a second request with the key waits
for the first; a work that is refused leaves the key free.
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse

from api.errors import Problem
from api.fields import IdempotencyKey
from storage.database import Connection
from storage.queries import idempotent_requests
from storage.queries.idempotent_requests import StoredAnswer

Replay = JSONResponse
T = TypeVar("T", bound=BaseModel)

STATUS = 200


class RequestKey:
    """The request's Idempotency-Key, or None, and the route that it is for."""

    def __init__(self, request: Request, idempotency_key: IdempotencyKey = None) -> None:
        self.key = idempotency_key
        self.route = f"{request.method} {request.url.path.rstrip('/')}"


Keyed = Annotated[RequestKey, Depends()]


async def once(
    db: Connection,
    keyed: RequestKey,
    user_id: int,
    body: BaseModel | None,
    now: datetime,
    work: Callable[[], Awaitable[T]],
    *,
    status: int = STATUS,
) -> T | Replay:
    """Do `work` once for a key and return its answer; `status` is that of the route.

    Raises 409 where the key was used for another route or body, and whatever `work` raises.
    """
    if keyed.key is None:
        return await work()
    digest = digest_of(body)
    if not await idempotent_requests.claim_key(
        db, user_id, keyed.key, route=keyed.route, digest=digest, now=now
    ):
        return await _replay(db, keyed, user_id, digest)
    answer = await work()
    shown = answer.model_dump(mode="json", by_alias=True)
    await idempotent_requests.keep_answer(db, user_id, keyed.key, status, shown)
    return answer


async def replayed(db: Connection, keyed: RequestKey, user_id: int, body: BaseModel | None) -> Replay | None:
    """Return what the key was answered, or None for a new one; for work that needs several transactions.

    Raises 409 as `once`, which the last of these transactions calls.
    """
    if keyed.key is None:
        return None
    stored = await idempotent_requests.stored_answer(db, user_id, keyed.key)
    return None if stored is None else _checked(stored, keyed, digest_of(body))


def digest_of(body: BaseModel | None) -> bytes:
    """SHA-256 of what was understood of a body: unknown fields and white space make no difference."""
    return hashlib.sha256(b"" if body is None else body.model_dump_json().encode()).digest()


def key_conflict(details: str) -> Problem:
    """409: the key was used for something else."""
    return Problem(409, "Idempotency key already used", details)


async def _replay(db: Connection, keyed: RequestKey, user_id: int, digest: bytes) -> Replay:
    assert keyed.key is not None
    stored = await idempotent_requests.stored_answer(db, user_id, keyed.key)
    if stored is None:
        raise key_conflict("The answer to this Idempotency-Key has just been forgotten: send a new key")
    return _checked(stored, keyed, digest)


def _checked(stored: StoredAnswer, keyed: RequestKey, digest: bytes) -> Replay:
    if stored.route != keyed.route or stored.digest != digest:
        raise key_conflict("This Idempotency-Key was used for another request: send a new key for a new one")
    return JSONResponse(stored.answer, stored.status)
