"""Who may call the Mobile family, as types: `Resident` is somebody with the app.

The portal's caller is in `api.mobile.admin.callers`; both take tokens of this family alone (conflict C30).
"""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.callers import Caller, authenticate
from api.context import Context, Ctx
from api.errors import Problem, forbidden
from storage.queries import residents
from storage.queries.residents import Account

FAMILY = "mobile"
RESIDENT = "resident"
ADMIN = "admin"

_bearer = HTTPBearer(
    scheme_name="Mobile", auto_error=False, bearerFormat="JWT", description="The token of login: 30 days"
)


@dataclass(frozen=True, slots=True)
class ResidentCaller:
    """A person with the app, and the login that the token came from."""

    account: Account
    session: UUID | None

    @property
    def id(self) -> int:
        """The user's id."""
        return self.account.id


def invalid_token() -> Problem:
    """401 in the words of rule R631."""
    headers = {"WWW-Authenticate": "Bearer"}
    return Problem(401, "Invalid or expired token", "Please login again", headers=headers)


def inactive() -> Problem:
    """403 for an account that the portal has deactivated (rules R606 and R609)."""
    return Problem(403, "Account is inactive", "This account is inactive: ask your estate's office")


async def authenticated(context: Context, credentials: HTTPAuthorizationCredentials | None) -> Caller:
    """Return who calls, in either role; raises 401 and 403 in this family's words."""
    try:
        return await authenticate(context, FAMILY, credentials)
    except Problem as refusal:
        raise (invalid_token() if refusal.status == 401 else inactive()) from refusal


async def _resident(
    context: Ctx, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> ResidentCaller:
    caller = await authenticated(context, credentials)
    if caller.role != RESIDENT:
        raise forbidden("This is for people with the app; the portal is /api/mobile/admin")
    async with context.pool.connection() as connection:
        account = await residents.get_account(connection, caller.id)
    assert account is not None, "a resident's user is made with its person"
    return ResidentCaller(account, caller.session)


Resident = Annotated[ResidentCaller, Depends(_resident)]
