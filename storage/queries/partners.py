"""Companies that work with the platform: entered by admins, seen by brands too."""

from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.errors import AlreadyExistsError


@dataclass(frozen=True, slots=True)
class Partner:
    """`status`: active or inactive. `type` is the platform's own word for what the partner does."""

    id: int
    name: str
    email: str
    phone: str
    type: str
    address: str
    status: str
    created_at: datetime


_COLUMNS = "id, name, email, phone, type, address, status, created_at"

_INSERT = f"""
INSERT INTO partners (name, email, phone, type, address, created_at)
VALUES (%(name)s, lower(%(email)s), %(phone)s, %(type)s, %(address)s, %(now)s)
ON CONFLICT (email) DO NOTHING
RETURNING {_COLUMNS}
"""

_FILTER = """
FROM partners
WHERE (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(type)s::text IS NULL OR type = %(type)s)
"""

_LIST = f"SELECT {_COLUMNS} {_FILTER} ORDER BY id DESC LIMIT %(limit)s OFFSET %(offset)s"

_COUNT = f"SELECT count(*) {_FILTER}"


async def insert_partner(
    connection: Connection, *, name: str, email: str, phone: str, type_: str, address: str, now: datetime
) -> Partner:
    """Enter a partner. Raises `AlreadyExistsError` for an e-mail that another one has."""
    facts = {"name": name, "email": email, "phone": phone, "type": type_, "address": address, "now": now}
    made = await fetch_one(connection, Partner, _INSERT, facts)
    if made is None:
        raise AlreadyExistsError(f"there is a partner with the e-mail {email} already")
    return made


async def list_partners(
    connection: Connection,
    *,
    status: str | None = None,
    type_: str | None = None,
    limit: int,
    offset: int = 0,
) -> tuple[list[Partner], int]:
    """Return one page, newest first, and how many there are in all."""
    where = {"status": status, "type": type_}
    page = await fetch_all(connection, Partner, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))
