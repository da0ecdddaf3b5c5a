"""Access tokens: JWT, HS256, one audience a family, so that no family takes another's; used by callers."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt

from api.errors import unauthenticated

ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True)
class Claims:
    """Whom a token speaks for. `session` is the login that it came from, where logins can be ended."""

    user_id: int
    token_version: int
    session: UUID | None


def issue(secret_key: str, audience: str, claims: Claims, *, now_us: int, life_s: int) -> str:
    """Sign an access token that is good for `life_s` seconds from now."""
    now_s = now_us // 1_000_000
    payload: dict[str, Any] = {
        "aud": audience,
        "sub": str(claims.user_id),
        "ver": claims.token_version,
        "iat": now_s,
        "exp": now_s + life_s,
    }
    if claims.session is not None:
        payload["sid"] = str(claims.session)
    return jwt.encode(payload, secret_key, ALGORITHM)


def read(secret_key: str, audience: str, token: str, *, now_us: int) -> Claims:
    """Check signature, audience and expiry; raises the 401 `Problem`.

    Expiry is held against our clock and not the library's.
    """
    try:
        payload = jwt.decode(
            token,
            secret_key,
            algorithms=[ALGORITHM],
            audience=audience,
            options={"require": ["exp", "sub", "aud"], "verify_exp": False, "verify_iat": False},
        )
        session = payload.get("sid")
        claims = Claims(int(payload["sub"]), int(payload["ver"]), UUID(session) if session else None)
        is_expired = int(payload["exp"]) * 1_000_000 <= now_us
    except (jwt.InvalidTokenError, ValueError, KeyError, TypeError) as error:
        raise unauthenticated("Valid JWT token is required: this one is not valid here") from error
    if is_expired:
        raise unauthenticated("Valid JWT token is required: this one has expired")
    return claims
