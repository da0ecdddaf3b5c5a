"""The portal's sign-in: POST /api/mobile/admin/login."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api.context import Ctx, Db
from api.errors import Problem
from api.fields import Email
from api.mobile.callers import ADMIN, FAMILY, inactive
from api.mobile.logins import begin, try_password
from api.mobile.passwords import CHARACTERS_MAX
from api.mobile.schemas.common import Body, example
from api.routing import Router
from storage.queries import users

router = Router()


class AdminLogin(Body):
    """An administrator's e-mail and password; `gridwire users create --system mobile` makes one."""

    model_config = example(email="office@example.com", password="a long password")  # noqa: S106

    email: Email
    password: Annotated[str, Field(min_length=1, max_length=CHARACTERS_MAX)]


class AdminOut(BaseModel):
    """An administrator's account."""

    id: int
    name: str
    email: str
    role: Literal["admin"]


class AdminSignedIn(BaseModel):
    """The token to send with all else, and whose it is."""

    token: str
    user: AdminOut


@router.post("/login")
async def login(body: AdminLogin, context: Ctx, db: Db) -> AdminSignedIn:
    """Sign in to the portal by e-mail and password."""
    found = await users.find_by_email(db, FAMILY, body.email)
    user = found if found is not None and found.role == ADMIN else None
    if not await try_password(context, body.email, body.password, user.password_hash if user else None):
        raise Problem(401, "Invalid email or password", "No administrator has this email and this password")
    assert user is not None, "nobody's password is never right"
    if user.status != "active":
        raise inactive()
    token = await begin(context, db, user.id, user.token_version, context.config.mobile_portal_access_s)
    shown = AdminOut(id=user.id, name=user.name, email=user.email or "", role="admin")
    return AdminSignedIn(token=token, user=shown)
