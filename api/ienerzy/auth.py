"""Sign-in by one-time password, bound to the user type that was asked for last (rule R006)."""

from datetime import timedelta

from fastapi import APIRouter

from api import otp, tokens
from api.callers import refuse_blocked
from api.context import Context, Ctx, Db
from api.errors import Problem, not_found
from api.fields import normalise_phone
from api.ienerzy.callers import SYSTEM
from api.ienerzy.schemas import Login, LoginAnswer, Person, Verification, VerifyAnswer
from storage.database import Connection
from storage.queries.one_time_passwords import put_code, try_code
from storage.queries.users import User, find_by_phone, get_user

router = APIRouter(prefix="/api/auth", tags=["Ienerzy: auth"])


@router.post("/login")
async def login(body: Login, context: Ctx, db: Db) -> LoginAnswer:
    """Send a one-time password to the phone of an account (IE-001)."""
    phone = _phone(body.phone, context)
    user = await find_by_phone(db, SYSTEM, phone, body.userType)
    if user is None:
        raise not_found("User", f"No {body.userType} has the phone number {phone}")
    refuse_blocked(user)
    code = otp.new_code()
    await _keep(db, context, user, phone, code)
    await context.config.otp_sender.send(phone, code)
    return LoginAnswer(success=True, message="OTP sent successfully", user=_person(user))


@router.post("/verify-otp")
async def verify_otp(body: Verification, context: Ctx, db: Db) -> VerifyAnswer:
    """Exchange a one-time password for a token (IE-002)."""
    phone = _phone(body.phone, context)
    code_hash = otp.hash_code(context.config.secret_key, phone, body.otp)
    user_id = await try_code(db, system=SYSTEM, phone=phone, code_hash=code_hash, now=context.now())
    user = None if user_id is None else await get_user(db, user_id)
    if user is None:
        await db.commit()  # a wrong guess has cost a try
        raise Problem(401, "Invalid OTP", "The code is wrong, used or expired: ask for a new one")
    refuse_blocked(user)
    claims = tokens.Claims(user.id, user.token_version, None)
    life_s = context.config.ienerzy_access_s
    token = tokens.issue(context.config.secret_key, SYSTEM, claims, now_us=context.clock(), life_s=life_s)
    return VerifyAnswer(success=True, token=token, user=_person(user))


async def _keep(db: Connection, context: Context, user: User, phone: str, code: str) -> None:
    await put_code(
        db,
        system=SYSTEM,
        phone=phone,
        user_id=user.id,
        code_hash=otp.hash_code(context.config.secret_key, phone, code),
        tries=context.config.otp_tries,
        expires_at=context.now() + timedelta(seconds=context.config.otp_life_s),
    )


def _phone(text: str, context: Context) -> str:
    phone = normalise_phone(text, context.config.phone_region)
    if phone is None:
        raise Problem(
            400, "Validation failed", f"phone: {text} is not a phone number; write it as +919876543210"
        )
    return phone


def _person(user: User) -> Person:
    return Person(id=user.id, name=user.name, phone=user.phone or "", role=user.role)
