"""Who may call EV-CMS: the types that stand in its signatures."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.callers import Caller, authenticate
from api.context import Ctx
from api.errors import forbidden

SYSTEM = "evcms"
_bearer = HTTPBearer(auto_error=False, scheme_name="evcms", description="Access token of /api/v1/auth/login")


async def _caller(
    context: Ctx, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    return await authenticate(context, SYSTEM, credentials)


def _with_role(*roles: str) -> Callable[[Caller], Awaitable[Caller]]:
    async def check(caller: Annotated[Caller, Depends(_caller)]) -> Caller:
        if caller.role not in roles:
            raise forbidden()
        return caller

    return check


AnyUser = Annotated[Caller, Depends(_caller)]
Operator = Annotated[Caller, Depends(_with_role("brand", "admin"))]
