"""A brand's franchises and their staff; both groups of paths of the EV-CMS family read and write these."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict, Unpack

from psycopg import errors

from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.errors import AlreadyExistsError
from storage.patterns import containing

STAFF_MAX = 200  # of one franchise


@dataclass(frozen=True, slots=True)
class Franchise:
    """`owner_id` is the brand; `status`: active, inactive or suspended."""

    id: int
    owner_id: int
    name: str
    location: str
    contact_person: str
    phone: str | None
    email: str | None
    agreement: str | None
    status: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Staff:
    """Somebody who works at a franchise; no account."""

    id: int
    franchise_id: int
    name: str
    role: str
    phone: str | None
    email: str | None
    created_at: datetime


class FranchiseFacts(TypedDict, total=False):
    """What can be set of a franchise; what is left out or None stays as it is."""

    name: str | None
    location: str | None
    contact_person: str | None
    phone: str | None
    email: str | None
    agreement: str | None
    status: str | None


_COLUMNS = """
id, owner_id, name, location, contact_person, phone, email, agreement, status, created_at
"""

_SELECT = "SELECT" + _COLUMNS + "FROM franchises "

_GET = _SELECT + "WHERE id = %(id)s AND deleted_at IS NULL"

# The searched text is the expression of the index `franchises_search`, to the letter.
_FILTER = """
WHERE deleted_at IS NULL
  AND (%(owner_id)s::bigint IS NULL OR owner_id = %(owner_id)s)
  AND (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(pattern)s::text IS NULL OR (name || ' ' || location) ILIKE %(pattern)s)
"""

_LIST = _SELECT + _FILTER + "ORDER BY id DESC LIMIT %(limit)s OFFSET %(offset)s"

_COUNT = "SELECT count(*) FROM franchises " + _FILTER

_INSERT = (
    """
INSERT INTO franchises (owner_id, name, location, contact_person, phone, email, agreement, created_at,
                        updated_at)
VALUES (%(owner_id)s, %(name)s, %(location)s, %(contact_person)s, %(phone)s, %(email)s, %(agreement)s,
        %(now)s, %(now)s)
ON CONFLICT (owner_id, lower(name)) WHERE deleted_at IS NULL DO NOTHING
RETURNING"""
    + _COLUMNS
)

_UPDATE = (
    """
UPDATE franchises
SET name = coalesce(%(name)s, name), location = coalesce(%(location)s, location),
    contact_person = coalesce(%(contact_person)s, contact_person), phone = coalesce(%(phone)s, phone),
    email = coalesce(%(email)s, email), agreement = coalesce(%(agreement)s, agreement),
    status = coalesce(%(status)s, status), updated_at = %(now)s
WHERE id = %(id)s AND deleted_at IS NULL
RETURNING"""
    + _COLUMNS
)

_LOCK = "SELECT id FROM franchises WHERE id = %(id)s FOR UPDATE"

_HAS_STATIONS = """
SELECT EXISTS (SELECT FROM stations JOIN franchises ON franchises.id = franchise_id
               WHERE franchise_id = %(id)s AND stations.owner_id = franchises.owner_id
                 AND stations.deleted_at IS NULL)
"""

_DELETE = "UPDATE franchises SET deleted_at = %(now)s, updated_at = %(now)s WHERE id = %(id)s"

_STAFF_COLUMNS = "id, franchise_id, name, role, phone, email, created_at"

_LIST_STAFF = f"""
SELECT {_STAFF_COLUMNS} FROM franchise_staff WHERE franchise_id = %(franchise_id)s
ORDER BY id LIMIT %(limit)s
"""

_COUNT_STAFF = "SELECT count(*) FROM franchise_staff WHERE franchise_id = %(id)s"

_INSERT_STAFF = f"""
INSERT INTO franchise_staff (franchise_id, name, role, phone, email, created_at)
VALUES (%(franchise_id)s, %(name)s, %(role)s, %(phone)s, %(email)s, %(now)s)
RETURNING {_STAFF_COLUMNS}
"""

_DELETE_STAFF = "DELETE FROM franchise_staff WHERE id = %(id)s AND franchise_id = %(franchise_id)s"

_NO_FACTS = dict.fromkeys(FranchiseFacts.__annotations__)


async def get_franchise(connection: Connection, franchise_id: int) -> Franchise | None:
    """Return the franchise, or None where there is none or it was deleted."""
    return await fetch_one(connection, Franchise, _GET, {"id": franchise_id})


async def list_franchises(
    connection: Connection,
    *,
    owner_id: int | None = None,
    status: str | None = None,
    search: str | None = None,
    limit: int,
    offset: int = 0,
) -> tuple[list[Franchise], int]:
    """Return one page, newest first, and how many there are in all. `search`: in name or location."""
    pattern = None if search is None else containing(search)
    where = {"owner_id": owner_id, "status": status, "pattern": pattern}
    page = await fetch_all(connection, Franchise, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))


async def insert_franchise(
    connection: Connection, owner_id: int, now: datetime, **facts: Unpack[FranchiseFacts]
) -> Franchise:
    """Make a franchise. Raises `AlreadyExistsError` where the brand has one of this name."""
    values = {**_NO_FACTS, **facts, "owner_id": owner_id, "now": now}
    made = await fetch_one(connection, Franchise, _INSERT, values)
    if made is None:
        raise AlreadyExistsError(f"there is a franchise named {facts.get('name')!r} already")
    return made


async def update_franchise(
    connection: Connection, franchise_id: int, now: datetime, **facts: Unpack[FranchiseFacts]
) -> Franchise | None:
    """Set what is given; None where it is gone. Raises `AlreadyExistsError` where the name is taken."""
    values = {**_NO_FACTS, **facts, "id": franchise_id, "now": now}
    try:
        return await fetch_one(connection, Franchise, _UPDATE, values)
    except errors.UniqueViolation as error:
        message = f"there is a franchise named {facts.get('name')!r} already"
        raise AlreadyExistsError(message) from error


async def lock_franchise(connection: Connection, franchise_id: int) -> None:
    """Hold the franchise until commit."""
    await connection.execute(_LOCK, {"id": franchise_id})


async def has_stations(connection: Connection, franchise_id: int) -> bool:
    """Whether stations are run by it."""
    return bool(await fetch_value(connection, _HAS_STATIONS, {"id": franchise_id}))


async def delete_franchise(connection: Connection, franchise_id: int, now: datetime) -> None:
    """Delete it, so that its name is free; its row stays."""
    await connection.execute(_DELETE, {"id": franchise_id, "now": now})


async def list_staff(connection: Connection, franchise_id: int) -> list[Staff]:
    """Return all who work at the franchise."""
    return await fetch_all(connection, Staff, _LIST_STAFF, {"franchise_id": franchise_id, "limit": STAFF_MAX})


async def insert_staff(
    connection: Connection,
    franchise_id: int,
    now: datetime,
    *,
    name: str,
    role: str,
    phone: str | None,
    email: str | None,
) -> Staff | None:
    """Add somebody; None where the franchise has `STAFF_MAX` already."""
    await lock_franchise(connection, franchise_id)
    if await fetch_value(connection, _COUNT_STAFF, {"id": franchise_id}) >= STAFF_MAX:
        return None
    facts = {"franchise_id": franchise_id, "name": name, "role": role, "phone": phone, "email": email}
    made = await fetch_one(connection, Staff, _INSERT_STAFF, {**facts, "now": now})
    assert made is not None
    return made


async def delete_staff(connection: Connection, franchise_id: int, staff_id: int) -> bool:
    """Take somebody off; False where there is nobody with this id."""
    deleted = await connection.execute(_DELETE_STAFF, {"id": staff_id, "franchise_id": franchise_id})
    return deleted.rowcount == 1
