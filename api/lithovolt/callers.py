"""Who may call Lithovolt endpoints, as types: a signature reads as the contract (conflict C92)."""

from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.callers import Caller, authenticate
from api.context import Ctx
from api.errors import forbidden

FAMILY = "lithovolt"

_bearer = HTTPBearer(
    scheme_name="Lithovolt", auto_error=False, bearerFormat="JWT", description="The access token of a sign-in"
)


async def _authenticated(
    context: Ctx, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    return await authenticate(context, FAMILY, credentials)


class _Role:
    """A dependency: the caller, if it has one of these roles."""

    def __init__(self, *roles: str) -> None:
        self._roles = frozenset(roles)

    async def __call__(self, caller: Annotated[Caller, Depends(_authenticated)]) -> Caller:
        if caller.role not in self._roles:
            raise forbidden("You do not have permission to perform this action.")
        return caller


AnyUser = Annotated[Caller, Depends(_authenticated)]
Admin = Annotated[Caller, Depends(_Role("admin"))]
Wholesaler = Annotated[Caller, Depends(_Role("wholesaler"))]
AdminOrWholesaler = Annotated[Caller, Depends(_Role("admin", "wholesaler"))]
