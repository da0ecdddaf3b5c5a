"""Accounts of Ienerzy as its admins see and change them; used by `api.ienerzy.accounts`."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.errors import UniqueViolation

from storage.database import Connection, fetch_all, fetch_one
from storage.errors import AlreadyExistsError
from storage.patterns import containing


@dataclass(frozen=True, slots=True)
class Account:
    """`dealer_id` and `dealer_name`: a consumer's or technician's dealer. `status`: active or blocked."""

    id: int
    role: str
    name: str
    phone: str
    status: str
    status_reason: str | None
    dealer_id: int | None
    dealer_name: str | None
    created_at: datetime


_SELECT = """
SELECT users.id, users.role, users.name, users.phone, users.status, users.status_reason,
       coalesce(users.dealer_id, technicians.dealer_id) AS dealer_id, dealers.name AS dealer_name,
       users.created_at
FROM users
LEFT JOIN technicians ON technicians.user_id = users.id
LEFT JOIN users dealers ON dealers.id = coalesce(users.dealer_id, technicians.dealer_id)
WHERE users.system = 'ienerzy' AND users.deleted_at IS NULL
"""

_GET = _SELECT + "AND users.id = %(id)s"

_LIST = (
    _SELECT
    + """
  AND (%(role)s::text IS NULL OR users.role = %(role)s)
  AND (%(status)s::text IS NULL OR users.status = %(status)s)
  AND (%(dealer_id)s::bigint IS NULL OR coalesce(users.dealer_id, technicians.dealer_id) = %(dealer_id)s)
  AND (%(pattern)s::text IS NULL OR users.name ILIKE %(pattern)s OR users.phone ILIKE %(pattern)s)
ORDER BY users.id DESC LIMIT %(limit)s
"""
)

# Whoever is blocked, or signs in by another phone, signs in anew.
_UPDATE = """
UPDATE users
SET name = %(name)s, phone = %(phone)s, status = %(status)s, status_reason = %(status_reason)s,
    token_version = token_version
        + CASE WHEN phone <> %(phone)s OR status = 'active' AND %(status)s <> 'active' THEN 1 ELSE 0 END,
    updated_at = %(now)s
WHERE id = %(id)s
"""


async def get_account(connection: Connection, user_id: int) -> Account | None:
    """Return the account, or None where Ienerzy has none with this id."""
    return await fetch_one(connection, Account, _GET, {"id": user_id})


async def list_accounts(
    connection: Connection,
    *,
    role: str | None = None,
    status: str | None = None,
    dealer_id: int | None = None,
    search: str | None = None,
    limit: int,
) -> list[Account]:
    """Return accounts, the newest first; `search` is part of a name or phone."""
    where = {"role": role, "status": status, "dealer_id": dealer_id, "limit": limit}
    pattern = None if search is None else containing(search)
    return await fetch_all(connection, Account, _LIST, {**where, "pattern": pattern})


async def update_account(
    connection: Connection,
    user_id: int,
    *,
    name: str,
    phone: str,
    status: str,
    status_reason: str | None,
    now: datetime,
) -> None:
    """Set what an admin may change; raises `AlreadyExistsError` where another of its role has the phone.

    Logins end where the phone is another one, or the account is blocked.
    """
    facts = {"id": user_id, "name": name, "phone": phone, "now": now}
    try:
        async with connection.transaction():
            await connection.execute(_UPDATE, {**facts, "status": status, "status_reason": status_reason})
    except UniqueViolation as error:
        raise AlreadyExistsError(f"ienerzy has an account of {phone} already") from error
