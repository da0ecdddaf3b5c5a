"""People of all four API families, in one table; a login never crosses families.

Used by the API (sign-in, callers, admins), by the command line and by the simulated fleet's accounts.
A deleted account is not there for anything here but `restore_user`; its login stays taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.errors import AlreadyExistsError
from storage.patterns import containing


@dataclass(frozen=True, slots=True)
class User:
    """`system`: evcms, ienerzy, lithovolt or mobile. `status`: active, blocked or suspended, and why.

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
    status_reason: str | None


_COLUMNS = """
id, system, role, name, email, phone, password_hash, status, is_email_verified, profile_picture, preferences,
dealer_id, token_version, created_at, updated_at, status_reason
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

_GET = _SELECT + "WHERE id = %(id)s AND deleted_at IS NULL"

_BY_EMAIL = _SELECT + "WHERE system = %(system)s AND email = lower(%(email)s)"

_PRESENT_BY_EMAIL = _BY_EMAIL + " AND deleted_at IS NULL"

_BY_PHONE = _SELECT + "WHERE system = %(system)s AND phone = %(phone)s AND role = %(role)s"

# A login that was ended (logout, a refresh token used twice) takes its access tokens with it. Of a blocked
# account it still says whose it was: the answer is then that it is blocked (conflict C41).
_SIGNED_IN = (
    _SELECT
    + """
WHERE id = %(id)s AND system = %(system)s AND deleted_at IS NULL
  AND (status <> 'active'
       OR token_version = %(token_version)s AND NOT EXISTS (
           SELECT FROM refresh_tokens WHERE family = %(family)s::uuid AND revoked_at IS NOT NULL))
"""
)

_LOCK = _SELECT + "WHERE id = ANY(%(ids)s) AND deleted_at IS NULL ORDER BY id FOR NO KEY UPDATE"

_HOLD = "SELECT id FROM users WHERE id = %(id)s FOR NO KEY UPDATE"

# Index users_search has this expression, users_evcms this condition.
_FILTER = """
FROM users
WHERE system = 'evcms' AND deleted_at IS NULL
  AND (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(role)s::text IS NULL OR role = %(role)s)
  AND (%(pattern)s::text IS NULL OR (name || ' ' || coalesce(email, '')) ILIKE %(pattern)s)
"""

_LIST = "SELECT" + _COLUMNS + _FILTER + "ORDER BY id DESC LIMIT %(limit)s OFFSET %(offset)s"

_COUNT = "SELECT count(*)" + _FILTER

_UPDATE_PROFILE = (
    """
UPDATE users
SET name = coalesce(%(name)s, name), phone = coalesce(%(phone)s, phone),
    profile_picture = coalesce(%(profile_picture)s, profile_picture), updated_at = %(now)s
WHERE id = %(id)s
RETURNING"""
    + _COLUMNS
)

_MERGE_PREFERENCES = (
    """
UPDATE users SET preferences = preferences || %(preferences)s, updated_at = %(now)s
WHERE id = %(id)s
RETURNING"""
    + _COLUMNS
)

_UPDATE_STANDING = (
    """
UPDATE users
SET name = %(name)s, role = %(role)s, status = %(status)s, status_reason = %(status_reason)s,
    updated_at = %(now)s
WHERE id = %(id)s
RETURNING"""
    + _COLUMNS
)

_VERIFY_EMAIL = """
UPDATE users SET is_email_verified = true, updated_at = %(now)s
WHERE id = %(id)s AND deleted_at IS NULL AND NOT is_email_verified
RETURNING id
"""

_DELETE = """
UPDATE users SET deleted_at = %(now)s, token_version = token_version + 1, updated_at = %(now)s
WHERE id = %(id)s AND deleted_at IS NULL
RETURNING id
"""

_RESTORE = (
    """
UPDATE users SET deleted_at = NULL, updated_at = %(now)s
WHERE id = %(id)s AND system = %(system)s AND deleted_at IS NOT NULL
RETURNING"""
    + _COLUMNS
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
    dealer_id: int | None = None,
) -> User:
    """Return the account with this login, made with these facts unless it was there."""
    login = {"system": system, "role": role, "email": email, "phone": phone}
    made = await fetch_one(
        connection,
        User,
        _INSERT,
        {**login, "name": name, "password_hash": password_hash, "dealer_id": dealer_id},
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
    return await fetch_one(connection, User, _PRESENT_BY_EMAIL, {"system": system, "email": email})


async def find_by_phone(connection: Connection, system: str, phone: str, role: str) -> User | None:
    """Return the account with this login (E.164), or None."""
    return await fetch_one(connection, User, _BY_PHONE, {"system": system, "phone": phone, "role": role})


async def find_signed_in(
    connection: Connection, user_id: int, *, system: str, token_version: int, family: UUID | None
) -> User | None:
    """Return the account that a token speaks for; None when it is gone or the login was ended.

    A blocked account comes back whatever became of the login: look at its `status`.
    """
    parameters = {"id": user_id, "system": system, "token_version": token_version, "family": family}
    return await fetch_one(connection, User, _SIGNED_IN, parameters)


async def set_password(connection: Connection, user_id: int, password_hash: str) -> bool:
    """Set the argon2 hash of the password; False for an unknown user."""
    parameters = {"id": user_id, "password_hash": password_hash}
    return await fetch_value(connection, _SET_HASH, parameters) is not None


async def lock_users(connection: Connection, user_ids: Sequence[int]) -> dict[int, User]:
    """Return those of the accounts that are there, by id, held until commit."""
    found = await fetch_all(connection, User, _LOCK, {"ids": list(user_ids)})
    return {user.id: user for user in found}


async def hold_user(connection: Connection, user_id: int) -> None:
    """Hold an account until commit, where what it may have rests on all that it has: one change at a time."""
    await connection.execute(_HOLD, {"id": user_id})


async def list_evcms_users(
    connection: Connection,
    *,
    status: str | None = None,
    role: str | None = None,
    search: str | None = None,
    limit: int,
    offset: int = 0,
) -> tuple[list[User], int]:
    """Return one page of EV-CMS accounts, newest first, and how many there are in all.

    `search` is part of a name or an e-mail, in any case of letters.
    """
    where = {"status": status, "role": role, "pattern": None if search is None else containing(search)}
    page = await fetch_all(connection, User, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))


async def update_profile(
    connection: Connection,
    user_id: int,
    *,
    name: str | None,
    phone: str | None,
    profile_picture: str | None,
    now: datetime,
) -> User:
    """Change what its owner may change of an account; None leaves a thing as it is."""
    facts = {"name": name, "phone": phone, "profile_picture": profile_picture}
    return await _changed(connection, _UPDATE_PROFILE, {"id": user_id, "now": now, **facts})


async def merge_preferences(
    connection: Connection, user_id: int, preferences: Mapping[str, Any], now: datetime
) -> User:
    """Set these of the account's preferences."""
    facts = {"id": user_id, "preferences": Jsonb(dict(preferences)), "now": now}
    return await _changed(connection, _MERGE_PREFERENCES, facts)


async def update_standing(
    connection: Connection,
    user_id: int,
    *,
    name: str,
    role: str,
    status: str,
    status_reason: str | None,
    now: datetime,
) -> User:
    """Set what an admin decides of an account."""
    facts = {"name": name, "role": role, "status": status, "status_reason": status_reason}
    return await _changed(connection, _UPDATE_STANDING, {"id": user_id, "now": now, **facts})


async def verify_email(connection: Connection, user_id: int, now: datetime) -> bool:
    """Note that the account's e-mail is its owner's; False where that was known, or nobody is there."""
    return await fetch_value(connection, _VERIFY_EMAIL, {"id": user_id, "now": now}) is not None


async def delete_user(connection: Connection, user_id: int, now: datetime) -> bool:
    """Take an account away, and its tokens with it; False where there is none."""
    return await fetch_value(connection, _DELETE, {"id": user_id, "now": now}) is not None


async def restore_user(connection: Connection, system: str, user_id: int, now: datetime) -> User | None:
    """Give a deleted account back; None where none was deleted."""
    facts = {"id": user_id, "system": system, "now": now}
    return await fetch_one(connection, User, _RESTORE, facts)


async def _changed(connection: Connection, statement: LiteralString, facts: Mapping[str, Any]) -> User:
    user = await fetch_one(connection, User, statement, facts)
    assert user is not None, "whoever changes an account has seen it in this transaction"
    return user
