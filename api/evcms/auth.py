"""Sign-in: email and password, access tokens of an hour, refresh tokens rotated at each use."""

import hashlib
import secrets
import uuid
from datetime import timedelta

from fastapi import APIRouter

from api import tokens
from api.callers import refuse_blocked
from api.context import Context, Ctx, Db
from api.errors import Problem, forbidden, unauthenticated
from api.evcms.callers import SYSTEM, AnyUser
from api.evcms.schemas.common import Done, money
from api.evcms.schemas.people import (
    Credentials,
    LoginAnswer,
    LoginData,
    PasswordChange,
    RefreshAnswer,
    RefreshRequest,
    RegisterAnswer,
    RegisterData,
    Registration,
    TokenPair,
    UserAnswer,
    UserData,
    UserOut,
    WalletOut,
)
from api.passwords import hash_password, is_password
from storage import ledger
from storage.database import Connection
from storage.errors import AlreadyExistsError
from storage.queries import refresh_tokens
from storage.queries.refresh_tokens import Rotation
from storage.queries.users import User, find_by_email, get_user, insert_user, set_password

router = APIRouter(prefix="/api/v1/auth", tags=["EV-CMS: auth"])
REFRESH_BYTES = 32


@router.post("/register", status_code=201)
async def register(body: Registration, context: Ctx, db: Db) -> RegisterAnswer:
    """Make an account and sign it in (EV-001)."""
    if body.role == "admin":
        raise forbidden("An admin account is made by an operator, not by registration")
    try:
        user = await insert_user(
            db,
            system=SYSTEM,
            role=body.role,
            name=body.name,
            email=body.email,
            phone=body.phone,
            password_hash=await hash_password(body.password),
        )
    except AlreadyExistsError as error:
        raise Problem(409, "Email already registered", str(error)) from error
    pair = await _sign_in(db, context, user, uuid.uuid4())
    flat = {"access_token": pair.access_token, "refresh_token": pair.refresh_token}
    return RegisterAnswer(success=True, data=RegisterData(user=await shown(db, user), tokens=pair, **flat))


@router.post("/login")
async def login(body: Credentials, context: Ctx, db: Db) -> LoginAnswer:
    """Sign in (EV-002)."""
    user = await find_by_email(db, SYSTEM, body.email) if "\0" not in body.email else None
    is_right = await is_password(body.password, None if user is None else user.password_hash)
    if user is None or not is_right:
        raise unauthenticated("Invalid email or password")
    refuse_blocked(user)
    pair = await _sign_in(db, context, user, uuid.uuid4())
    data = LoginData(
        user=await shown(db, user), access_token=pair.access_token, refresh_token=pair.refresh_token
    )
    return LoginAnswer(success=True, data=data)


@router.post("/refresh-token")
async def refresh(body: RefreshRequest, context: Ctx, db: Db) -> RefreshAnswer:
    """Exchange a refresh token for the next pair; one that comes twice ends its login (EV-003)."""
    outcome, token = await refresh_tokens.use_token(db, _hash(body.refresh_token), context.now())
    if outcome is Rotation.REUSED:
        await db.commit()  # the login has ended, whoever has the other copy
        raise unauthenticated("This refresh token was used before: its login has ended, sign in again")
    user = None if token is None else await get_user(db, token.user_id)
    if token is None or user is None:
        raise unauthenticated("Invalid or expired refresh token: sign in again")
    refuse_blocked(user)
    pair = await _sign_in(db, context, user, token.family)
    return RefreshAnswer(
        success=True, data=pair, access_token=pair.access_token, refresh_token=pair.refresh_token
    )


@router.get("/me")
async def me(caller: AnyUser, db: Db) -> UserAnswer:
    """The caller's account (EV-004)."""
    user = await shown(db, caller.user)
    return UserAnswer(success=True, data=UserData(**dict(user), user=user))


@router.put("/change-password")
async def change_password(body: PasswordChange, caller: AnyUser, context: Ctx, db: Db) -> Done:
    """Set another password; all other logins of the account end (EV-005)."""
    if not await is_password(body.current_password, caller.user.password_hash):
        raise Problem(400, "Current password is incorrect", "Nothing was changed")
    await set_password(db, caller.id, await hash_password(body.new_password))
    await refresh_tokens.revoke_others(db, caller.id, caller.session, context.now())
    return Done(message="Password changed")


@router.post("/logout")
async def logout(caller: AnyUser, context: Ctx, db: Db) -> Done:
    """End this login: its refresh token and its access tokens (EV-006)."""
    if caller.session is not None:
        await refresh_tokens.revoke_family(db, caller.session, context.now())
    return Done(message="Logged out")


async def shown(db: Connection, user: User) -> UserOut:
    """Print an account with its wallet."""
    wallet = await ledger.wallet(db, user.id)
    return UserOut(
        id=str(user.id),
        email=user.email or "",
        name=user.name,
        phone=user.phone or "",
        role=user.role,
        profile_picture=user.profile_picture or "",
        is_email_verified=user.is_email_verified,
        status=user.status,
        vehicles=[],
        wallet=wallet_of(wallet),
        preferences=user.preferences,
        created_at=user.created_at,
        updated_at=user.updated_at,
    )


def wallet_of(account: ledger.Account | None) -> WalletOut:
    """Print a wallet; who has none has nothing in it."""
    if account is None:
        return WalletOut(balance=0.0, currency="INR")
    return WalletOut(balance=money(account.available_minor), currency=account.currency)


async def _sign_in(db: Connection, context: Context, user: User, family: uuid.UUID) -> TokenPair:
    """Issue the next pair of a login."""
    config, now = context.config, context.now()
    claims = tokens.Claims(user.id, user.token_version, family)
    access = tokens.issue(
        config.secret_key, SYSTEM, claims, now_us=context.clock(), life_s=config.evcms_access_s
    )
    refresh_token = secrets.token_urlsafe(REFRESH_BYTES)
    await refresh_tokens.insert_token(
        db,
        _hash(refresh_token),
        family=family,
        user_id=user.id,
        expires_at=now + timedelta(seconds=config.evcms_refresh_s),
        now=now,
    )
    return TokenPair(access_token=access, refresh_token=refresh_token)


def _hash(refresh_token: str) -> bytes:
    return hashlib.sha256(refresh_token.encode()).digest()
