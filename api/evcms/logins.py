"""Logins: what begins one, what carries it on, and what ends it; used by the EV-CMS sign-in."""

import hashlib
import secrets
import uuid
from datetime import timedelta

from api import tokens
from api.callers import refuse_blocked
from api.context import Context
from api.errors import unauthenticated
from api.evcms.callers import FAMILY
from api.evcms.schemas.users import Tokens
from storage.database import Connection
from storage.queries import refresh_tokens
from storage.queries.refresh_tokens import Rotation
from storage.queries.users import User, get_user

REFRESH_TOKEN_BYTES = 32


async def begin(context: Context, db: Connection, user: User) -> Tokens:
    """Start a login of `user`, a family of refresh tokens of its own."""
    return await _issue(context, db, user, uuid.uuid4())


async def go_on(context: Context, db: Connection, presented: str) -> Tokens:
    """Exchange a refresh token; raises 401 for one that is not good (any more), 403 for a blocked account."""
    outcome, token = await refresh_tokens.use_token(db, _hash(presented), context.now())
    if outcome is Rotation.REUSED:
        await db.commit()  # the end of the login must outlive this refusal
    user = None if token is None else await get_user(db, token.user_id)
    if user is not None:
        refuse_blocked(user)
    if outcome is not Rotation.DONE or token is None or user is None:
        raise unauthenticated("The refresh token is not valid: log in again")
    return await _issue(context, db, user, token.family)


async def _issue(context: Context, db: Connection, user: User, family: uuid.UUID) -> Tokens:
    config, now = context.config, context.now()
    refresh = secrets.token_urlsafe(REFRESH_TOKEN_BYTES)
    await refresh_tokens.insert_token(
        db,
        _hash(refresh),
        family=family,
        user_id=user.id,
        expires_at=now + timedelta(seconds=config.evcms_refresh_s),
        now=now,
    )
    access = tokens.issue(
        config.secret_key,
        FAMILY,
        tokens.Claims(user.id, user.token_version, family),
        now_us=context.clock(),
        life_s=config.evcms_access_s,
    )
    return Tokens(access_token=access, refresh_token=refresh)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
