"""Lithovolt sign-in: /api/auth/.../ (LI-001 to LI-005, LI-X01), each path with its slash (conflict C01)."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from api import logins
from api.context import Context, Ctx, Db
from api.errors import forbidden
from api.limits import too_many_requests
from api.lithovolt.accounts import create, phone_of, send_reset
from api.lithovolt.callers import FAMILY, AnyUser, unauthenticated
from api.lithovolt.schemas import Detail, refused
from api.lithovolt.user_schemas import (
    Addressed,
    LoginIn,
    OtpIn,
    PasswordIn,
    Refreshed,
    RefreshIn,
    RegisterIn,
    ResetConfirmIn,
    ResetIn,
    SignedIn,
    UserOut,
)
from api.otp import hash_code, new_code
from api.passwords import hash_password, is_password
from api.routing import Router
from storage.database import Connection
from storage.queries import lithovolt_users, one_time_passwords, password_resets, refresh_tokens, users
from storage.queries.users import User
from stream.lithovolt_kinds import Channel
from stream.lithovolt_words import tell

router = Router(prefix="/auth")


@router.post("/register/", status_code=201)
async def register(body: RegisterIn, context: Ctx, db: Db) -> UserOut:
    """Make an account, of a consumer unless said otherwise. A wholesaler waits for an admin's approval."""
    is_approved = body.role != "wholesaler"
    return UserOut.of(
        await create(context, db, body, role=body.role, password=body.password, is_approved=is_approved)
    )


@router.post("/login/")
async def login(body: LoginIn, context: Ctx, db: Db) -> SignedIn:
    """Sign in by e-mail and password. A blocked account, and a wholesaler not yet approved, get 403."""
    await _count(context, "password", body.email)
    user = await users.find_by_email(db, FAMILY, body.email)
    matches = await is_password(body.password, user.password_hash if user else None)
    if user is None or not matches:
        raise unauthenticated("No active account found with the given credentials")
    await context.limiter.forget_lithovolt_tries("password", body.email)
    return await _sign_in(context, db, user)


@router.post("/otp/send/")
async def send_otp(body: Addressed, context: Ctx, db: Db) -> Detail:
    """Send a one-time password to a consumer's phone or e-mail; the answer is the same for an unknown one."""
    where = _where(context, body)
    await _count(context, "otp", where.login)
    account = await lithovolt_users.find_account(db, email=where.email, phone=where.phone)
    if account is not None and account.role == "consumer" and account.status == "active":
        code, config = new_code(), context.config
        await one_time_passwords.put_code(
            db,
            system=FAMILY,
            phone=where.login,
            user_id=account.id,
            code_hash=hash_code(config.secret_key, where.login, code),
            tries=config.otp_tries,
            expires_at=context.now() + timedelta(seconds=config.otp_life_s),
        )
        values = {"code": code, "minutes": config.otp_life_s // 60}
        key = str(uuid.uuid4())
        await tell(db, account.id, "otp", values, context.now(), key, channels=(where.channel,))
    return Detail(detail="If a consumer has this address, a one-time password is on its way to it.")


@router.post("/otp/verify/")
async def verify_otp(body: OtpIn, context: Ctx, db: Db) -> SignedIn:
    """Sign in by a one-time password, which is good for one use, five tries and five minutes."""
    where = _where(context, body)
    code_hash = hash_code(context.config.secret_key, where.login, body.otp)
    user_id = await one_time_passwords.try_code(
        db, system=FAMILY, phone=where.login, code_hash=code_hash, now=context.now()
    )
    user = None if user_id is None else await users.get_user(db, user_id)
    if user is None or user.role != "consumer" or where.login not in {user.email, user.phone}:
        await db.commit()  # the try that it cost must outlive this refusal
        raise unauthenticated("The one-time password is wrong, expired or used up: ask for a new one.")
    if where.email is not None:
        await users.verify_email(db, user.id, context.now())
    return await _sign_in(context, db, user)


@router.post("/token/refresh/")
async def refresh_token(body: RefreshIn, context: Ctx, db: Db) -> Refreshed:
    """Exchange a refresh token for the next pair. Used twice, it ends the whole login."""
    pair = await logins.go_on(context, db, body.refresh, FAMILY, _lives(context))
    return Refreshed(access=pair.access, refresh=pair.refresh)


@router.post("/password/reset/")
async def reset_password(body: ResetIn, context: Ctx, db: Db) -> Detail:
    """Send a token that sets a new password to an account's e-mail; the same answer for an unknown one."""
    await _count(context, "reset", body.email)
    account = await lithovolt_users.find_account(db, email=body.email)
    if account is not None and account.status == "active":
        await send_reset(context, db, account)
    return Detail(detail="If an account has this e-mail, a token to set a new password is on its way to it.")


@router.post("/password/reset/confirm/")
async def confirm_reset(body: ResetConfirmIn, context: Ctx, db: Db) -> Detail:
    """Set a new password by the token of the e-mail, which is good for one use. All logins end."""
    user_id = await password_resets.take_reset(db, logins.hash_token(body.token), context.now())
    if user_id is None:
        raise refused("token", "The token is wrong, expired or used up: ask for a new one.")
    await users.set_password(db, user_id, await hash_password(body.password))
    await users.verify_email(db, user_id, context.now())
    await refresh_tokens.revoke_all(db, user_id, context.now())
    return Detail(detail="The password is set: sign in with it.")


@router.post("/password/change/")
async def change_password(body: PasswordIn, caller: AnyUser, context: Ctx, db: Db) -> Detail:
    """Set a new password, with the present one as proof. Every other login of this account ends."""
    login = caller.user.email or str(caller.id)
    await _count(context, "password", login)
    if not await is_password(body.current_password, caller.user.password_hash):
        raise refused("current_password", "This is not the password of this account.")
    await context.limiter.forget_lithovolt_tries("password", login)
    await users.set_password(db, caller.id, await hash_password(body.new_password))
    await refresh_tokens.revoke_others(db, caller.id, caller.session, context.now())
    return Detail(detail="Password changed.")


@dataclass(frozen=True, slots=True)
class _Where:
    """Where a one-time password goes: one of both is None."""

    phone: str | None
    email: str | None

    @property
    def login(self) -> str:
        return self.phone or self.email or ""

    @property
    def channel(self) -> Channel:
        return "email" if self.phone is None else "sms"


def _where(context: Context, body: Addressed) -> _Where:
    return _Where(None if body.phone is None else phone_of(context, body.phone), body.email)


async def _count(context: Context, what: str, login: str) -> None:
    """Count a try against guessing and flooding, for logins that nobody has too; raises 429."""
    window = await context.limiter.lithovolt_try(what, login)
    if not window.is_within:
        raise too_many_requests(window)


async def _sign_in(context: Context, db: Connection, user: User) -> SignedIn:
    """Begin a login of an account that may have one, and hold it: whoever blocks it ends this login too."""
    account = (await lithovolt_users.lock_accounts(db, [user.id])).get(user.id)
    held = await users.get_user(db, user.id)
    # checking a password takes a while, in which another one may have been set
    if account is None or held is None or held.password_hash != user.password_hash:
        raise unauthenticated("No active account found with the given credentials")
    if account.status != "active":
        raise forbidden(f"This account is {account.status}")
    if not account.is_approved:
        raise forbidden("This account waits for the approval of an admin.")
    pair = await logins.begin(context, db, held, _lives(context))
    return SignedIn(access=pair.access, refresh=pair.refresh, user=UserOut.of(account))


def _lives(context: Context) -> logins.Lives:
    return logins.Lives(context.config.lithovolt_access_s, context.config.lithovolt_refresh_s)
