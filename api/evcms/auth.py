"""EV-CMS sign-in: /api/v1/auth (EV-001 to EV-006), and the e-mail's verification."""

from typing import Annotated

from fastapi import Query

from api.callers import refuse_blocked
from api.context import Ctx, Db
from api.errors import Problem, unauthenticated
from api.evcms.accounts import show
from api.evcms.callers import FAMILY, AnyUser
from api.evcms.email_verification import send_link, verify
from api.evcms.envelope import Answer, Done
from api.evcms.logins import begin, go_on
from api.evcms.schemas.users import (
    TOKEN_CHARACTERS_MAX,
    ChangePassword,
    Login,
    NamedUser,
    Refresh,
    Refreshed,
    Register,
    Registered,
    SignedIn,
    VerifyEmail,
)
from api.passwords import hash_password, is_password
from api.routing import Router
from storage.errors import AlreadyExistsError
from storage.queries import refresh_tokens, users

router = Router(prefix="/auth")


@router.post("/register", status_code=201)
async def register(body: Register, context: Ctx, db: Db) -> Answer[Registered]:
    """Make an account and sign it in; a link goes to its e-mail address, to verify that it is theirs.

    The role is `user` or `brand`: nobody makes himself an admin.
    """
    hashed = await hash_password(body.password)
    try:
        user = await users.insert_user(
            db,
            system=FAMILY,
            role=body.role,
            name=body.name,
            email=body.email,
            phone=body.phone,
            password_hash=hashed,
        )
    except AlreadyExistsError as error:
        raise Problem(409, "Email already registered", f"There is an account of {body.email}") from error
    await send_link(context, db, user)
    shown = await show(db, user)
    tokens = await begin(context, db, user)
    pair = {"access_token": tokens.access_token, "refresh_token": tokens.refresh_token}
    return Answer.of(Registered(user=shown, tokens=tokens, **pair))


@router.post("/login")
async def login(body: Login, context: Ctx, db: Db) -> Answer[SignedIn]:
    """Sign in by email and password. A blocked or suspended account is told so (403)."""
    user = await users.find_by_email(db, FAMILY, body.email)
    matches = await is_password(body.password, user.password_hash if user else None)
    if user is None or not matches:
        raise Problem(401, "Invalid email or password", "No account has this email and this password")
    refuse_blocked(user)
    shown = await show(db, user)
    tokens = await begin(context, db, user)
    return Answer.of(
        SignedIn(user=shown, access_token=tokens.access_token, refresh_token=tokens.refresh_token)
    )


@router.post("/refresh-token")
async def refresh(body: Refresh, context: Ctx, db: Db) -> Refreshed:
    """Exchange a refresh token for the next pair. Used twice, it ends the whole login."""
    tokens = await go_on(context, db, body.refresh_token)
    pair = {"access_token": tokens.access_token, "refresh_token": tokens.refresh_token}
    return Refreshed(success=True, data=tokens, **pair)


@router.get("/me")
async def me(caller: AnyUser, db: Db) -> Answer[NamedUser]:
    """Show the caller's account."""
    return Answer.of(NamedUser.around(await show(db, caller.user)))


@router.put("/change-password")
async def change_password(body: ChangePassword, caller: AnyUser, context: Ctx, db: Db) -> Done:
    """Set a new password; every other login of this account ends."""
    if not await is_password(body.current_password, caller.user.password_hash):
        raise Problem(400, "Current password is incorrect", "currentPassword is not this account's password")
    await users.set_password(db, caller.id, await hash_password(body.new_password))
    await refresh_tokens.revoke_others(db, caller.id, caller.session, context.now())
    return Done.of("Password changed")


@router.post("/logout")
async def logout(caller: AnyUser, context: Ctx, db: Db) -> Done:
    """End this login: its refresh token and its access tokens."""
    if caller.session is None:
        raise unauthenticated("This token belongs to no login")
    await refresh_tokens.revoke_family(db, caller.session, context.now())
    return Done.of("Logged out")


@router.get("/verify-email")
async def follow_link(
    token: Annotated[str, Query(max_length=TOKEN_CHARACTERS_MAX)], context: Ctx, db: Db
) -> Done:
    """Verify an e-mail address: where the link in our e-mail leads. Good for a day, and for nothing else."""
    await verify(context, db, token)
    return Done.of("E-mail verified")


@router.post("/verify-email")
async def verify_email(body: VerifyEmail, context: Ctx, db: Db) -> Done:
    """Verify an e-mail address by the token of the link, for clients that catch the link themselves."""
    await verify(context, db, body.token)
    return Done.of("E-mail verified")


@router.post("/verify-email/resend")
async def resend(caller: AnyUser, context: Ctx, db: Db) -> Done:
    """Send the caller a new link to verify the e-mail address, at most one a minute."""
    if caller.user.is_email_verified:
        raise Problem(409, "E-mail is verified already", f"{caller.user.email} is known to be the caller's")
    await send_link(context, db, caller.user)
    return Done.of("E-mail sent")
