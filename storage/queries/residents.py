"""People with the app: a user of system `mobile` with role `resident`, and the person behind it.

Used by the Mobile family (sign-in, callers, the portal) and by `stream.notices`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class Account:
    """One user and its person; `phone` is the login, in E.164. `status`: active, blocked or suspended."""

    id: int
    person_id: int
    phone: str
    password_hash: str | None
    password_must_change: bool
    token_version: int
    status: str
    preferences: dict[str, Any]
    last_login_at: datetime | None
    created_at: datetime
    first_name: str
    last_name: str
    email: str | None

    @property
    def is_active(self) -> bool:
        """Whether it may sign in."""
        return self.status == "active"


_SELECT = """
SELECT users.id, persons.id AS person_id, users.phone, users.password_hash, users.password_must_change,
       users.token_version, users.status, users.preferences, users.last_login_at, users.created_at,
       persons.first_name, persons.last_name, persons.email
FROM users JOIN persons ON persons.user_id = users.id
WHERE users.system = 'mobile' AND users.role = 'resident'
"""

_GET = _SELECT + "AND users.id = %(id)s"

_BY_PHONE = _SELECT + "AND users.phone = %(phone)s"

_LIST = (
    _SELECT
    + """
AND users.id > %(after_id)s
AND (%(query)s::text IS NULL
     OR strpos(lower(concat_ws(' ', persons.first_name, persons.last_name, users.phone)),
               lower(%(query)s)) > 0)
ORDER BY users.id LIMIT %(limit)s
"""
)

_INSERT = """
INSERT INTO users (system, role, name, phone, password_hash, password_must_change)
SELECT 'mobile', 'resident', first_name || ' ' || last_name, phone, %(password_hash)s, true
FROM persons WHERE id = %(person_id)s
RETURNING id
"""

_LINK = "UPDATE persons SET user_id = %(user_id)s WHERE id = %(person_id)s"

_LOGGED_IN = "UPDATE users SET last_login_at = %(now)s WHERE id = %(id)s"

_CHANGE = """
UPDATE users SET password_hash = %(password_hash)s, password_must_change = false, updated_at = now()
WHERE id = %(id)s
"""

# Raising the version ends every login there is.
_RESET = """
UPDATE users SET password_hash = %(password_hash)s, password_must_change = true,
                 token_version = token_version + 1, updated_at = now()
WHERE id = %(id)s
"""

_SET_STATUS = "UPDATE users SET status = %(status)s, updated_at = now() WHERE id = %(id)s"

_CHANGE_PREFERENCES = """
UPDATE users SET preferences = preferences || %(changes)s, updated_at = now() WHERE id = %(id)s
"""


async def get_account(connection: Connection, user_id: int) -> Account | None:
    """Return the account with this user id, or None."""
    return await fetch_one(connection, Account, _GET, {"id": user_id})


async def find_account(connection: Connection, phone: str) -> Account | None:
    """Return the account with this login (E.164), or None."""
    return await fetch_one(connection, Account, _BY_PHONE, {"phone": phone})


async def list_accounts(
    connection: Connection, *, query: str | None, after_id: int, limit: int
) -> list[Account]:
    """Return the next `limit` accounts behind `after_id` whose name or phone has `query` in it."""
    parameters = {"query": query, "after_id": after_id, "limit": limit}
    return await fetch_all(connection, Account, _LIST, parameters)


async def insert_account(connection: Connection, person_id: int, password_hash: str) -> int:
    """Make the user of a person that has none, with a password to be changed; returns its id.

    The caller holds the person (`persons.lock_person`): two that come at a time make one user.
    """
    parameters = {"person_id": person_id, "password_hash": password_hash}
    user_id = int(await fetch_value(connection, _INSERT, parameters))
    await connection.execute(_LINK, {"user_id": user_id, "person_id": person_id})
    return user_id


async def note_login(connection: Connection, user_id: int, now: datetime) -> None:
    """Note when the user signed in."""
    await connection.execute(_LOGGED_IN, {"id": user_id, "now": now})


async def change_password(connection: Connection, user_id: int, password_hash: str) -> None:
    """Set the user's own password; it need not be changed any more."""
    await connection.execute(_CHANGE, {"id": user_id, "password_hash": password_hash})


async def reset_password(connection: Connection, user_id: int, password_hash: str) -> None:
    """Set a password that must be changed, and end every login of this user."""
    await connection.execute(_RESET, {"id": user_id, "password_hash": password_hash})


async def set_status(connection: Connection, user_id: int, status: str) -> None:
    """Let the user in (active) or not (suspended)."""
    await connection.execute(_SET_STATUS, {"id": user_id, "status": status})


async def change_preferences(connection: Connection, user_id: int, changes: dict[str, Any]) -> None:
    """Keep what the user wants to be told, and how; what is not named stays as it is."""
    await connection.execute(_CHANGE_PREFERENCES, {"id": user_id, "changes": Jsonb(changes)})
