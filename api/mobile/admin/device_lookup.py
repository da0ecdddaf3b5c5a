"""From an id to the device or profile, or the family's 404; used by the portal's device endpoints."""

from typing import Annotated

from fastapi import Path

from api.errors import not_found
from api.fields import parse_id
from api.mobile.admin.schemas.devices import INT_MAX
from api.mobile.lookup import missing
from storage.database import Connection
from storage.queries import device_registry, profiles
from storage.queries.device_registry import DeviceView
from storage.queries.profiles import Profile

DeviceId = Annotated[str, Path(alias="device_id", json_schema_extra={"type": "integer", "examples": [7]})]


async def find_device(db: Connection, given: str) -> DeviceView:
    """Return the meter or battery; raises 404. Chargers are another family's."""
    device_id = parse_id(given)
    found = None
    if device_id is not None and device_id <= INT_MAX:
        found = await device_registry.get_view(db, device_id)
    if found is None or found.kind == "charger":
        raise missing("Device", given)
    return found


async def find_profile(db: Connection, profile_id: int) -> Profile:
    """Return the profile; raises 404."""
    found = await profiles.get_profile(db, profile_id)
    if found is None:
        raise not_found("Profile", f"Profile with ID {profile_id} not found")
    return found
