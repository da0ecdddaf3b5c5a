"""People of all four API families, in one table; a login never crosses families.

Used by the API (sign-in, callers), by the command line and by the simulated fleet's accounts.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from storage.database import Connection, fetch_one, fetch_value
from storage.errors import AlreadyExistsError


@dataclass(frozen=True, slots=True)
class User:
    """`system`: evcms, ienerzy, lithovolt or mobile. `status`: active, blocked or suspended.

    `dealer_id` is an Ienerzy consumer's dealer. A token of an older `token_version` is dead.
    """

    id: int
    system: str
    role: str
    name: str
    email: str | None
    phone: str | None
    password_hash: str | None
    status: str
    is_email_verified: bool
    profile_picture: str | None
    preferences: dict[str, Any]
    dealer_id: int | None
    token_version: int
    created_at: datetime
    updated_at: datetime


_COLUMNS = """
id, system, role, name, email, phone, password_hash, status, is_email_verified, profile_picture, preferences,
dealer_id, token_version, created_at, updated_at
"""

_SELECT = "SELECT" + _COLUMNS + "FROM users "

_INSERT = (
    """
INSERT INTO users (system, role, name, email, phone, password_hash, dealer_id)
VALUES (%(system)s, %(role)s, %(name)s, lower(%(email)s), %(phone)s, %(password_hash)s, %(dealer_id)s)
ON CONFLICT DO NOTHING
RETURNING"""
    + _COLUMNS
)

_GET = _SELECT + "WHERE id = %(id)s"

_BY_EMAIL = _SELECT + "WHERE system = %(system)s AND email = lower(%(email)s)"

_BY_PHONE = _SELECT + "WHERE system = %(system)s AND phone = %(phone)s AND role = %(role)s"

# A login that was ended (logout, a refresh token used twice) takes its access tokens with it.
_SIGNED_IN = (
    _SELECT
    + """
WHERE id = %(id)s AND system = %(system)s AND token_version = %(token_version)s
  AND NOT EXISTS (
      SELECT FROM refresh_tokens WHERE family = %(family)s::uuid AND revoked_at IS NOT NULL)
"""
)

_SET_HASH = """
UPDATE users SET password_hash = %(password_hash)s, updated_at = now() WHERE id = %(id)s RETURNING id
"""


async def insert_user(
    connection: Connection,
    *,
    system: str,
    role: str,
    name: str,
    email: str | None = None,
    phone: str | None = None,
    password_hash: str | None = None,
    dealer_id: int | None = None,
) -> User:
    """Make an account; `phone` in E.164. Raises `AlreadyExistsError` when the login is taken."""
    login = {"system": system, "email": email, "phone": phone}
    facts = {"role": role, "name": name, "password_hash": password_hash, "dealer_id": dealer_id}
    made = await fetch_one(connection, User, _INSERT, {**login, **facts})
    if made is None:
        raise AlreadyExistsError(f"{system} has an account of {email or phone} already")
    return made


async def ensure_user(
    connection: Connection,
    *,
    system: str,
    role: str,
    name: str,
    email: str | None = None,
    phone: str | None = None,
    password_hash: str | None = None,
) -> User:
    """Return the account with this login, made with these facts unless it was there."""
    login = {"system": system, "role": role, "email": email, "phone": phone}
    made = await fetch_one(
        connection, User, _INSERT, {**login, "name": name, "password_hash": password_hash, "dealer_id": None}
    )
    if made is not None:
        return made
    found = await fetch_one(connection, User, _BY_EMAIL if email is not None else _BY_PHONE, login)
    assert found is not None, f"no account of {email or phone} where one was said to be"
    return found


async def get_user(connection: Connection, user_id: int) -> User | None:
    """Return the account, or None."""
    return await fetch_one(connection, User, _GET, {"id": user_id})


async def find_by_email(connection: Connection, system: str, email: str) -> User | None:
    """Return the account with this login, in any case of letters, or None."""
    return await fetch_one(connection, User, _BY_EMAIL, {"system": system, "email": email})


async def find_by_phone(connection: Connection, system: str, phone: str, role: str) -> User | None:
    """Return the account with this login (E.164), or None."""
    return await fetch_one(connection, User, _BY_PHONE, {"system": system, "phone": phone, "role": role})


async def find_signed_in(
    connection: Connection, user_id: int, *, system: str, token_version: int, family: UUID | None
) -> User | None:
    """Return the account that a token speaks for; None when it is gone or the login was ended."""
    parameters = {"id": user_id, "system": system, "token_version": token_version, "family": family}
    return await fetch_one(connection, User, _SIGNED_IN, parameters)


async def set_password(connection: Connection, user_id: int, password_hash: str) -> bool:
    """Set the argon2 hash of the password; False for an unknown user."""
    parameters = {"id": user_id, "password_hash": password_hash}
    return await fetch_value(connection, _SET_HASH, parameters) is not None
