"""Accounts of the Lithovolt family: the login in `users`, all else in `lithovolt_profiles`.

Used by the family's sign-in and user administration, by its notifications, and by whoever prints names on
invoices and certificates. An account of the command line has no profile: its fields are empty then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict, Unpack

import psycopg

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.errors import AlreadyExistsError
from storage.patterns import containing
from storage.queries import users

SYSTEM = "lithovolt"
ADMINS_MAX = 100  # who are told what all admins are told


@dataclass(frozen=True, slots=True)
class Account:
    """`role`: admin, wholesaler or consumer. `status`: active, blocked or suspended, and why.

    `name` is both names, or that of an account without a profile. A wholesaler who is not approved cannot
    sign in.
    """

    id: int
    role: str
    name: str
    email: str
    phone: str | None
    first_name: str
    last_name: str
    company: str
    gstin: str
    address: str
    is_approved: bool
    is_email_verified: bool
    status: str
    status_reason: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def is_served(self) -> bool:
        """Whether stock may go to it: an approved wholesaler who is not blocked."""
        return self.role == "wholesaler" and self.status == "active" and self.is_approved


class Facts(TypedDict):
    """What an account is beside its login and standing; `phone` in E.164."""

    first_name: str
    last_name: str
    phone: str | None
    company: str
    gstin: str
    address: str


_SELECT = """
SELECT users.id, role, name, coalesce(email, '') AS email, phone,
       coalesce(profile.first_name, name) AS first_name, coalesce(profile.last_name, '') AS last_name,
       coalesce(profile.company, '') AS company, coalesce(profile.gstin, '') AS gstin,
       coalesce(profile.address, '') AS address, coalesce(profile.is_approved, true) AS is_approved,
       is_email_verified, status, status_reason, created_at, updated_at
FROM users LEFT JOIN lithovolt_profiles AS profile ON profile.user_id = users.id
WHERE system = 'lithovolt' AND deleted_at IS NULL
"""

_GET = _SELECT + "AND users.id = %(id)s"

_SOME = _SELECT + "AND users.id = ANY(%(ids)s)"

_BY_PHONE = _SELECT + "AND phone = %(phone)s"

_BY_EMAIL = _SELECT + "AND email = lower(%(email)s)"

_ADMINS = _SELECT + "AND role = 'admin' AND status = 'active' ORDER BY users.id LIMIT %(limit)s"

_FILTER = """
  AND (%(role)s::text IS NULL OR role = %(role)s)
  AND (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(is_approved)s::boolean IS NULL OR coalesce(profile.is_approved, true) = %(is_approved)s)
  AND (%(pattern)s::text IS NULL
       OR concat_ws(' ', name, email, phone, profile.company) ILIKE %(pattern)s)
"""

_LIST = _SELECT + _FILTER + "ORDER BY users.id DESC LIMIT %(limit)s OFFSET %(offset)s"

_COUNT = (
    """
SELECT count(*) FROM users LEFT JOIN lithovolt_profiles AS profile ON profile.user_id = users.id
WHERE system = 'lithovolt' AND deleted_at IS NULL
"""
    + _FILTER
)

_PUT_PROFILE = """
INSERT INTO lithovolt_profiles (user_id, first_name, last_name, company, gstin, address, is_approved)
VALUES (%(id)s, %(first_name)s, %(last_name)s, %(company)s, %(gstin)s, %(address)s, %(is_approved)s)
ON CONFLICT (user_id) DO UPDATE
SET first_name = EXCLUDED.first_name, last_name = EXCLUDED.last_name, company = EXCLUDED.company,
    gstin = EXCLUDED.gstin, address = EXCLUDED.address, is_approved = EXCLUDED.is_approved
"""

_UPDATE_USER = """
UPDATE users
SET name = %(name)s, phone = %(phone)s, role = %(role)s, status = %(status)s,
    status_reason = %(status_reason)s, updated_at = %(now)s
WHERE id = %(id)s
"""


async def insert_account(
    connection: Connection,
    *,
    email: str,
    password_hash: str | None,
    role: str,
    is_approved: bool,
    **facts: Unpack[Facts],
) -> Account:
    """Make an account. Raises `AlreadyExistsError` when the e-mail or the phone is taken."""
    made = await users.insert_user(
        connection,
        system=SYSTEM,
        role=role,
        name=full_name(facts["first_name"], facts["last_name"]),
        email=email,
        phone=facts["phone"],
        password_hash=password_hash,
    )
    await connection.execute(_PUT_PROFILE, {"id": made.id, "is_approved": is_approved, **facts})
    return await _seen(connection, made.id)


async def get_account(connection: Connection, user_id: int) -> Account | None:
    """Return the account, or None."""
    return await fetch_one(connection, Account, _GET, {"id": user_id})


async def find_account(
    connection: Connection, *, email: str | None = None, phone: str | None = None
) -> Account | None:
    """Return the account with this e-mail, or with this phone (E.164), or None; give one of both."""
    if email is not None:
        return await fetch_one(connection, Account, _BY_EMAIL, {"email": email})
    return await fetch_one(connection, Account, _BY_PHONE, {"phone": phone})


async def list_admins(connection: Connection) -> list[Account]:
    """Return the active admins, the first `ADMINS_MAX`: who are told what all admins are told."""
    return await fetch_all(connection, Account, _ADMINS, {"limit": ADMINS_MAX})


async def lock_accounts(connection: Connection, user_ids: Sequence[int]) -> dict[int, Account]:
    """Return those of the accounts that are there, by id, as they are once they are held, until commit."""
    held = await users.lock_users(connection, user_ids)
    # a statement that waits for the lock has the profiles of before it waited
    found = await fetch_all(connection, Account, _SOME, {"ids": list(held)})
    return {account.id: account for account in found}


async def list_accounts(
    connection: Connection,
    *,
    role: str | None,
    status: str | None,
    is_approved: bool | None,
    search: str | None,
    limit: int,
    offset: int,
) -> tuple[list[Account], int]:
    """Return one page of accounts, newest first, and how many there are in all.

    `search` is part of a name, an e-mail, a phone or a company, in any case of letters.
    """
    where = {
        "role": role,
        "status": status,
        "is_approved": is_approved,
        "pattern": None if search is None else containing(search),
    }
    page = await fetch_all(connection, Account, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))


async def update_account(
    connection: Connection,
    user_id: int,
    *,
    role: str,
    status: str,
    status_reason: str | None,
    is_approved: bool,
    now: datetime,
    **facts: Unpack[Facts],
) -> Account:
    """Set all that an account is but its e-mail and password; the caller has seen it in this transaction.

    Raises `AlreadyExistsError` when another account has the phone.
    """
    name = full_name(facts["first_name"], facts["last_name"])
    standing = {"role": role, "status": status, "status_reason": status_reason, "now": now}
    try:
        await connection.execute(
            _UPDATE_USER, {"id": user_id, "name": name, "phone": facts["phone"], **standing}
        )
    except psycopg.errors.UniqueViolation as error:
        raise AlreadyExistsError(f"{SYSTEM} has an account of {facts['phone']} already") from error
    await connection.execute(_PUT_PROFILE, {"id": user_id, "is_approved": is_approved, **facts})
    return await _seen(connection, user_id)


def full_name(first_name: str, last_name: str) -> str:
    """Both names as one."""
    return f"{first_name} {last_name}".strip()


async def _seen(connection: Connection, user_id: int) -> Account:
    account = await get_account(connection, user_id)
    assert account is not None, "it was written in this transaction"
    return account
