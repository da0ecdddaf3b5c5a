"""For whom an admin enters a station or a franchise; a brand enters its own."""

from api.callers import Caller
from api.errors import not_found
from api.evcms.callers import FAMILY
from api.fields import parse_id
from storage.database import Connection
from storage.queries.users import get_user

OWNING_ROLES = {"brand", "admin"}


async def owner_for(db: Connection, caller: Caller, reference: str | None) -> int:
    """Return the owner's account: the caller, or the one that an admin names. Raises 404."""
    if caller.role != "admin" or reference is None:
        return caller.id
    user_id = parse_id(reference)
    user = None if user_id is None else await get_user(db, user_id)
    if user is None or user.system != FAMILY or user.role not in OWNING_ROLES or user.status != "active":
        raise not_found("Owner", f"No brand has the id {reference}")
    return user.id
