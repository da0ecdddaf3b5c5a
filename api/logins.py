"""Logins with refresh tokens: what begins one and what carries it on; used by EV-CMS and Lithovolt sign-in.

A login is a family of refresh tokens, each good for one use. Ending the family ends its access tokens too.
"""

import hashlib
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import timedelta

from api import tokens
from api.callers import refuse_blocked
from api.context import Context
from api.errors import unauthenticated
from storage.database import Connection
from storage.queries import refresh_tokens
from storage.queries.refresh_tokens import Rotation
from storage.queries.users import User, get_user

REFRESH_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Lives:
    """How long the tokens of a family are good for, in seconds."""

    access_s: int
    refresh_s: int


@dataclass(frozen=True, slots=True)
class Pair:
    """An access token and the refresh token that is exchanged for the next pair."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)


async def begin(context: Context, db: Connection, user: User, lives: Lives) -> Pair:
    """Start a login of `user`, a family of refresh tokens of its own."""
    return await _issue(context, db, user, uuid.uuid4(), lives)


async def go_on(context: Context, db: Connection, presented: str, system: str, lives: Lives) -> Pair:
    """Exchange a refresh token; raises 401 for one that is not good (any more), 403 for a blocked account.

    One of another API family is not good here, and not used up either.
    """
    outcome, token = await refresh_tokens.use_token(db, hash_token(presented), context.now())
    if outcome is Rotation.REUSED:
        await db.commit()  # the end of the login must outlive this refusal
    user = None if token is None else await get_user(db, token.user_id)
    if user is not None and user.system == system:
        refuse_blocked(user)
    if outcome is not Rotation.DONE or token is None or user is None or user.system != system:
        raise unauthenticated("The refresh token is not valid: log in again")
    return await _issue(context, db, user, token.family, lives)


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(REFRESH_TOKEN_BYTES)


def hash_token(token: str) -> bytes:
    """What is kept of a random token: plain SHA-256, for there is nothing to try out."""
    return hashlib.sha256(token.encode()).digest()


async def _issue(context: Context, db: Connection, user: User, family: uuid.UUID, lives: Lives) -> Pair:
    now = context.now()
    refresh = new_token()
    await refresh_tokens.insert_token(
        db,
        hash_token(refresh),
        family=family,
        user_id=user.id,
        expires_at=now + timedelta(seconds=lives.refresh_s),
        now=now,
    )
    access = tokens.issue(
        context.config.secret_key,
        user.system,
        tokens.Claims(user.id, user.token_version, family),
        now_us=context.clock(),
        life_s=lives.access_s,
    )
    return Pair(access, refresh)
