"""Who may call Lithovolt endpoints, as types: a signature reads as the contract (conflict C92)."""

from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.callers import Caller, authenticate
from api.context import Ctx
from api.errors import Problem, forbidden

FAMILY = "lithovolt"

_bearer = HTTPBearer(
    scheme_name="Lithovolt", auto_error=False, bearerFormat="JWT", description="The access token of a sign-in"
)


def unauthenticated(details: str) -> Problem:
    """401 in the words, and with the header, that clients of Django REST Framework look for."""
    headers = {"WWW-Authenticate": 'Bearer realm="api"'}
    return Problem(401, "Authentication required", details, headers=headers)


async def _authenticated(
    context: Ctx, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    if credentials is None:
        raise unauthenticated("Authentication credentials were not provided.")
    try:
        return await authenticate(context, FAMILY, credentials)
    except Problem as refusal:
        if refusal.status != 401:
            raise
        raise unauthenticated("Given token not valid for any token type") from refusal


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
WholesalerOrConsumer = Annotated[Caller, Depends(_Role("wholesaler", "consumer"))]
Consumer = Annotated[Caller, Depends(_Role("consumer"))]
