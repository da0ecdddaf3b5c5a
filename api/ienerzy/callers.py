"""Who may call Ienerzy: the types that stand in its signatures."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.callers import Caller, authenticate
from api.context import Ctx
from api.errors import forbidden
from api.limits import too_many_requests

SYSTEM = "ienerzy"
_bearer = HTTPBearer(auto_error=False, scheme_name="ienerzy", description="Token of /api/auth/verify-otp")


async def _caller(
    context: Ctx, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    caller = await authenticate(context, SYSTEM, credentials)
    window = await context.limiter.ienerzy_user(caller.id)
    if not window.is_within:
        raise too_many_requests(window)
    return caller


def _with_role(*roles: str) -> Callable[[Caller], Awaitable[Caller]]:
    async def check(caller: Annotated[Caller, Depends(_caller)]) -> Caller:
        if caller.role not in roles:
            raise forbidden()
        return caller

    return check


# A consumer reads its own batteries, a dealer its own, an admin all (conflict C43)
ReadsBatteries = Annotated[Caller, Depends(_with_role("dealer", "consumer", "admin"))]
WritesBatteries = Annotated[Caller, Depends(_with_role("dealer", "admin"))]
