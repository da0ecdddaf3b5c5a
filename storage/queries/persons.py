"""Persons: whoever owns or rents a unit, with the phone that is their login; used by the portal."""

from dataclasses import dataclass
from datetime import datetime

import psycopg

from storage.database import Connection, fetch_all, fetch_one
from storage.errors import AlreadyExistsError


@dataclass(frozen=True, slots=True)
class Person:
    """`phone` in E.164; `user_id` is the person's user of the app, where there is one."""

    id: int
    first_name: str
    last_name: str
    phone: str
    email: str | None
    user_id: int | None
    created_at: datetime


_COLUMNS = " id, first_name, last_name, phone, email, user_id, created_at "

_INSERT = (
    """
INSERT INTO persons (first_name, last_name, phone, email)
VALUES (%(first_name)s, %(last_name)s, %(phone)s, %(email)s)
ON CONFLICT (phone) DO NOTHING
RETURNING"""
    + _COLUMNS
)

_GET = "SELECT" + _COLUMNS + "FROM persons WHERE id = %(id)s"

_LOCK = _GET + " FOR UPDATE"

_LIST = (
    "SELECT"
    + _COLUMNS
    + """
FROM persons
WHERE id > %(after_id)s
  AND (%(query)s::text IS NULL
       OR strpos(lower(concat_ws(' ', first_name, last_name, phone, email)), lower(%(query)s)) > 0)
ORDER BY id LIMIT %(limit)s
"""
)

_UPDATE = (
    """
UPDATE persons SET first_name = %(first_name)s, last_name = %(last_name)s, phone = %(phone)s,
                   email = %(email)s
WHERE id = %(id)s
RETURNING"""
    + _COLUMNS
)

_UPDATE_USER = """
UPDATE users SET phone = %(phone)s, name = %(first_name)s || ' ' || %(last_name)s, updated_at = now()
WHERE id = (SELECT user_id FROM persons WHERE id = %(id)s)
"""


async def insert_person(
    connection: Connection, *, first_name: str, last_name: str, phone: str, email: str | None
) -> Person:
    """Make a person; `phone` in E.164. Raises `AlreadyExistsError` when another has the phone."""
    facts = {"first_name": first_name, "last_name": last_name, "phone": phone, "email": email}
    made = await fetch_one(connection, Person, _INSERT, facts)
    if made is None:
        raise AlreadyExistsError(f"a person has the phone number {phone} already")
    return made


async def get_person(connection: Connection, person_id: int) -> Person | None:
    """Return the person, or None."""
    return await fetch_one(connection, Person, _GET, {"id": person_id})


async def lock_person(connection: Connection, person_id: int) -> Person | None:
    """Return the person, held until commit, or None.

    Before rows that refer to it are written: their foreign keys share a lock that none could raise then.
    """
    return await fetch_one(connection, Person, _LOCK, {"id": person_id})


async def list_persons(
    connection: Connection, *, query: str | None, after_id: int, limit: int
) -> list[Person]:
    """Return the next `limit` persons behind `after_id` whose name, phone or e-mail has `query` in it."""
    return await fetch_all(connection, Person, _LIST, {"query": query, "after_id": after_id, "limit": limit})


async def update_person(
    connection: Connection, person_id: int, *, first_name: str, last_name: str, phone: str, email: str | None
) -> Person | None:
    """Change a person, and the login with the phone; None for an unknown id.

    Raises `AlreadyExistsError` when another has the phone.
    """
    facts = {"first_name": first_name, "last_name": last_name, "phone": phone, "email": email}
    try:
        await connection.execute(_UPDATE_USER, {"id": person_id, **facts})
        return await fetch_one(connection, Person, _UPDATE, {"id": person_id, **facts})
    except psycopg.errors.UniqueViolation as error:
        raise AlreadyExistsError(f"a person has the phone number {phone} already") from error
