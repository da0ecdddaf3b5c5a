"""Who may call EV-CMS endpoints, as types: a signature reads as the contract."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.callers import Caller, authenticate
from api.context import Ctx
from api.errors import forbidden
from storage.queries.charger_views import Scope

FAMILY = "evcms"

_bearer = HTTPBearer(
    scheme_name="EV-CMS",
    auto_error=False,
    bearerFormat="JWT",
    description="The accessToken of login",
)


# What a route takes that not everybody needs a token for.
BearerToken = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def _authenticated(context: Ctx, credentials: BearerToken) -> Caller:
    return await authenticate(context, FAMILY, credentials)


def _with_role(*roles: str) -> Callable[[Caller], Awaitable[Caller]]:
    async def check(caller: Annotated[Caller, Depends(_authenticated)]) -> Caller:
        if caller.role not in roles:
            raise forbidden(f"Insufficient permissions for this operation: it needs {' or '.join(roles)}")
        return caller

    return check


AnyUser = Annotated[Caller, Depends(_authenticated)]
BrandOrAdmin = Annotated[Caller, Depends(_with_role("brand", "admin"))]
Admin = Annotated[Caller, Depends(_with_role("admin"))]


def charger_scope(caller: Caller) -> Scope:
    """Return what the caller sees: a brand its own, a user all in use, an admin those in quarantine too."""
    if caller.role == "admin":
        return Scope(None, ("active", "quarantined"))
    return Scope(caller.id if caller.role == "brand" else None, ("active",))


def user_filter(caller: Caller) -> int | None:
    """Return whose sessions the caller is bound to by driver: a user to its own."""
    return caller.id if caller.role == "user" else None


def owner_filter(caller: Caller) -> int | None:
    """Return whose sessions the caller is bound to by charger: a brand to those at its own."""
    return caller.id if caller.role == "brand" else None


def wallet_filter(caller: Caller) -> int | None:
    """Return whose wallet the caller is bound to: everybody to his own, but an admin."""
    return None if caller.role == "admin" else caller.id
