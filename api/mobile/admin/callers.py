"""Who may call the portal: `Admin`, a user of system `mobile` with role `admin`; used by all of its parts."""

from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.callers import Caller
from api.context import Ctx
from api.errors import forbidden
from api.mobile.callers import ADMIN, authenticated

_bearer = HTTPBearer(
    scheme_name="Mobile-Portal",
    auto_error=False,
    bearerFormat="JWT",
    description="The token of /api/mobile/admin/login",
)


async def _admin(
    context: Ctx, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    caller = await authenticated(context, credentials)
    if caller.role != ADMIN:
        raise forbidden("This is for the portal's administrators")
    return caller


Admin = Annotated[Caller, Depends(_admin)]
