"""Ienerzy sign-in by one-time password: /api/auth/login and /api/auth/verify-otp (IE-001, IE-002)."""

from datetime import timedelta

from api import tokens
from api.callers import refuse_blocked
from api.context import Ctx, Db
from api.errors import Problem, not_found
from api.ienerzy.callers import FAMILY
from api.ienerzy.phones import phone_of
from api.ienerzy.schemas import LoginIn, OtpSent, UserOut, Verified, VerifyIn
from api.limits import too_many_requests
from api.otp import hash_code, new_code
from api.routing import Router
from storage.queries import one_time_passwords, users

router = Router(prefix="/auth")


@router.post("/login")
async def login(body: LoginIn, context: Ctx, db: Db) -> OtpSent:
    """Send a one-time password; the account is the one of this phone and `userType`.

    A new one takes the place of the one before. A phone is sent as many a minute as an address may ask for.
    """
    phone = phone_of(context, body.phone)
    window = await context.limiter.ienerzy_auth(phone)
    if not window.is_within:
        raise too_many_requests(window)
    user = await users.find_by_phone(db, FAMILY, phone, body.userType)
    if user is None:
        raise not_found("User", f"No {body.userType} has the phone number {phone}")
    refuse_blocked(user)
    code, config = new_code(), context.config
    await one_time_passwords.put_code(
        db,
        system=FAMILY,
        phone=phone,
        user_id=user.id,
        code_hash=hash_code(config.secret_key, phone, code),
        tries=config.otp_tries,
        expires_at=context.now() + timedelta(seconds=config.otp_life_s),
    )
    await config.otp_sender.send(db, user, code, context.now())
    return OtpSent(success=True, message="OTP sent successfully", user=UserOut.of(user))


@router.post("/verify-otp")
async def verify_otp(body: VerifyIn, context: Ctx, db: Db) -> Verified:
    """Exchange a one-time password for a token, of the account that asked for it last.

    A phone's are tried as often a minute as an address may ask, from wherever: new ones help no guess.
    """
    phone, config = phone_of(context, body.phone), context.config
    window = await context.limiter.ienerzy_auth(f"verify:{phone}")
    if not window.is_within:
        raise too_many_requests(window)
    user_id = await one_time_passwords.try_code(
        db,
        system=FAMILY,
        phone=phone,
        code_hash=hash_code(config.secret_key, phone, body.otp),
        now=context.now(),
    )
    user = None if user_id is None else await users.get_user(db, user_id)
    if user is None or user.phone != phone:  # whose phone is another one by now signs in by that
        await db.commit()  # the try that it cost must outlive this refusal
        raise Problem(401, "Invalid OTP", "The OTP is wrong, expired or used up: ask for a new one")
    refuse_blocked(user)
    claims = tokens.Claims(user.id, user.token_version, None)
    token = tokens.issue(
        config.secret_key, FAMILY, claims, now_us=context.clock(), life_s=config.ienerzy_access_s
    )
    return Verified(success=True, token=token, user=UserOut.of(user))
