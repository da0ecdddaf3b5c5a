"""Making and changing accounts: what the sign-in and the users' endpoints of Lithovolt share."""

import uuid
from datetime import timedelta
from typing import Any

from api.context import Context
from api.errors import Problem
from api.lithovolt.schemas import refused
from api.lithovolt.user_schemas import RegisterIn, UserIn
from api.logins import hash_token, new_token
from api.passwords import hash_password
from api.phones import normalise_phone
from storage.database import Connection
from storage.errors import AlreadyExistsError
from storage.queries import lithovolt_users, password_resets
from storage.queries.lithovolt_users import Account, Facts
from stream.lithovolt_words import tell


async def create(
    context: Context,
    db: Connection,
    body: RegisterIn | UserIn,
    *,
    role: str,
    password: str | None,
    is_approved: bool,
) -> Account:
    """Make an account; raises 400 by field for an e-mail or a phone that is taken."""
    hashed = None if password is None else await hash_password(password)
    facts = Facts(
        first_name=body.first_name,
        last_name=body.last_name,
        phone=None if body.phone is None else phone_of(context, body.phone),
        company=body.company,
        gstin=body.gstin,
        address=body.address,
    )
    try:
        return await lithovolt_users.insert_account(
            db, email=body.email, password_hash=hashed, role=role, is_approved=is_approved, **facts
        )
    except AlreadyExistsError as error:
        if await lithovolt_users.find_account(db, email=body.email) is not None:
            raise refused("email", "A user with this email already exists.") from error
        raise phone_taken() from error


def changed(context: Context, account: Account, changes: dict[str, Any]) -> Facts:
    """Return what an account will be by these fields of a body; what is not among them stays."""
    given = {name: value for name, value in changes.items() if value is not None or name == "phone"}
    if given.get("phone") is not None:
        given["phone"] = phone_of(context, given["phone"])
    return Facts(
        first_name=given.get("first_name", account.first_name),
        last_name=given.get("last_name", account.last_name),
        phone=given.get("phone", account.phone),
        company=given.get("company", account.company),
        gstin=given.get("gstin", account.gstin),
        address=given.get("address", account.address),
    )


def phone_of(context: Context, given: str) -> str:
    """Return a phone number as E.164; raises 400."""
    phone = normalise_phone(given, context.config.phone_region)
    if phone is None:
        raise refused("phone", "Enter a valid phone number, as in +919876543210.")
    return phone


def phone_taken() -> Problem:
    """400: another account has this phone."""
    return refused("phone", "A user with this phone already exists.")


async def send_reset(context: Context, db: Connection, account: Account) -> None:
    """Send a token that sets a new password, by e-mail, as soon as the transaction is committed."""
    token, now, life_s = new_token(), context.now(), context.config.lithovolt_reset_s
    expires_at = now + timedelta(seconds=life_s)
    await password_resets.insert_reset(
        db, hash_token(token), user_id=account.id, expires_at=expires_at, now=now
    )
    values = {"token": token, "minutes": life_s // 60}
    await tell(db, account.id, "password_reset", values, now, str(uuid.uuid4()), channels=["email"])
