"""Who calls: from a Bearer token to an account that may act; each family makes its caller types of this."""

from dataclasses import dataclass
from uuid import UUID

from fastapi.security import HTTPAuthorizationCredentials

from api import tokens
from api.context import Context
from api.errors import forbidden, unauthenticated
from storage.database import one_statement
from storage.queries.users import User, find_signed_in


@dataclass(frozen=True, slots=True)
class Caller:
    """The account behind a valid token; `session` is the login that the token came from."""

    user: User
    session: UUID | None

    @property
    def id(self) -> int:
        """The account's id."""
        return self.user.id

    @property
    def role(self) -> str:
        """The account's role in its family."""
        return self.user.role


async def authenticate(
    context: Context, family: str, credentials: HTTPAuthorizationCredentials | None
) -> Caller:
    """Return the caller; raises 401 without a valid token of `family`, 403 for a blocked account.

    A deleted account has no valid tokens. On a connection of its own, given back at once: some endpoints
    wait for devices.
    """
    if credentials is None:
        raise unauthenticated()
    claims = tokens.read(context.config.secret_key, family, credentials.credentials, now_us=context.clock())
    async with one_statement(context.pool) as connection:
        user = await find_signed_in(
            connection,
            claims.user_id,
            system=family,
            token_version=claims.token_version,
            family=claims.session,
        )
    if user is None:
        raise unauthenticated("Valid JWT token is required: this login has ended")
    refuse_blocked(user)
    return Caller(user, claims.session)


def refuse_blocked(user: User) -> None:
    """Raise 403 for an account that an operator has blocked or suspended."""
    if user.status != "active":
        raise forbidden(f"This account is {user.status}")
