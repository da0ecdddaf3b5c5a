"""Logins of the family: passwords tried, tokens that last, and what ends them.

A login is a row of `refresh_tokens` that is never exchanged (rule R604 knows no refresh): ending the row ends
the login's token. Used by the app's sign-in and the portal's.
"""

import hashlib
import secrets
import uuid
from datetime import timedelta
from uuid import UUID

from api import tokens
from api.context import Context
from api.limits import too_many_requests
from api.mobile.callers import FAMILY
from api.passwords import is_password
from storage.database import Connection
from storage.queries import refresh_tokens

LOGIN_BYTES = 32


async def try_password(context: Context, login: str, password: str, password_hash: str | None) -> bool:
    """Tell whether the password is right, counted against guessing; raises 429 beyond the limit.

    As slow, and as much counted, for a login that nobody has.
    """
    window = await context.limiter.mobile_try(login)
    if not window.is_within:
        raise too_many_requests(window)
    matches = await is_password(password, password_hash)
    if matches:
        await context.limiter.forget_mobile_tries(login)
    return matches


async def begin(context: Context, db: Connection, user_id: int, token_version: int, life_s: int) -> str:
    """Start a login; returns its token, good for `life_s` seconds."""
    session, now = uuid.uuid4(), context.now()
    await refresh_tokens.insert_token(
        db,
        hashlib.sha256(secrets.token_bytes(LOGIN_BYTES)).digest(),
        family=session,
        user_id=user_id,
        expires_at=now + timedelta(seconds=life_s),
        now=now,
    )
    claims = tokens.Claims(user_id, token_version, session)
    return tokens.issue(context.config.secret_key, FAMILY, claims, now_us=context.clock(), life_s=life_s)


async def end_others(context: Context, db: Connection, user_id: int, session: UUID | None) -> None:
    """End all logins of the user but this one."""
    await refresh_tokens.revoke_others(db, user_id, session, context.now())
