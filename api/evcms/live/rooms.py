"""The rooms: how they are called, and who may be in which."""

from collections.abc import Mapping
from typing import Any

from api.callers import Caller
from api.context import Context
from api.errors import Problem
from api.evcms.booking_access import booking_of
from api.evcms.session_access import session_of

ID_CHARACTERS_MAX = 32
ADMINS = "admins"
DRIVERS = "drivers"


def user_room(user_id: int) -> str:
    """Everything about this account; a brand's too."""
    return f"user:{user_id}"


def session_room(session_id: int | str) -> str:
    """A charging session's updates."""
    return f"session:{session_id}"


def booking_room(booking_id: int | str) -> str:
    """A booking's updates."""
    return f"booking:{booking_id}"


def own_rooms(caller: Caller) -> list[str]:
    """The rooms that go with an account, from its authentication on."""
    of_role = {"admin": [ADMINS], "user": [DRIVERS]}
    return [user_room(caller.id), *of_role.get(caller.role, [])]


def field_of(arguments: tuple[Any, ...], name: str) -> str:
    """Return the id in `{name: id}`, the only argument; raises the 422 `Problem`."""
    payload = arguments[0] if arguments else None
    value = payload.get(name) if isinstance(payload, Mapping) else None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value) <= ID_CHARACTERS_MAX:
        raise Problem(422, "Validation failed", f"{name}: a text of 1 to {ID_CHARACTERS_MAX} characters")
    return value


async def session_id_of(context: Context, caller: Caller, reference: str) -> int:
    """Return the session's id; raises 404, or 403 for one that is not the caller's."""
    async with context.pool.connection() as db:
        return (await session_of(db, caller, reference)).id


async def booking_id_of(context: Context, caller: Caller, reference: str) -> int:
    """The same of a booking."""
    async with context.pool.connection() as db:
        return (await booking_of(db, caller, reference)).id
