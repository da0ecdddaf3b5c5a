"""Devices as operators see them: with their profile, keys and what waits for them; entering many at once.

Used by the Mobile family's portal and the command line. `storage.queries.devices` has what the shells need.
"""

from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class DeviceView:
    """`key_kinds`: of its secrets, which no answer shows. `waiting`: commands that it has not got yet."""

    id: int
    kind: str
    identity: str
    status: str
    name: str | None
    vendor: str | None
    model: str | None
    profile_id: int | None
    profile_name: str | None
    interval_s: int | None
    replaced_by: int | None
    last_seen_at: datetime | None
    created_at: datetime
    source: str | None
    key_kinds: list[str]
    waiting: int


_SELECT = """
SELECT devices.id, devices.kind, identity, status, devices.name, devices.vendor, devices.model, profile_id,
       device_profiles.name AS profile_name, interval_s, replaced_by, last_seen_at, devices.created_at,
       device_links.source,
       ARRAY(SELECT kind FROM device_keys WHERE device_id = devices.id ORDER BY kind) AS key_kinds,
       (SELECT count(*)::integer FROM device_commands
        WHERE device_id = devices.id AND state = 'pending') AS waiting
FROM devices
LEFT JOIN device_profiles ON device_profiles.id = profile_id
LEFT JOIN device_links ON device_links.device_id = devices.id
"""

_GET = _SELECT + "WHERE devices.id = %(id)s"

_LIST = (
    _SELECT
    + """
WHERE devices.id > %(after_id)s
  AND (%(kind)s::text IS NULL OR devices.kind = %(kind)s)
  AND (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(profile_id)s::integer IS NULL OR profile_id = %(profile_id)s)
  AND (%(silent_since)s::timestamptz IS NULL OR last_seen_at IS NULL OR last_seen_at < %(silent_since)s)
  AND (%(query)s::text IS NULL OR strpos(identity_key, lower(%(query)s)) > 0
       OR strpos(lower(devices.name), lower(%(query)s)) > 0)
ORDER BY devices.id LIMIT %(limit)s
"""
)

_DESCRIBE = """
UPDATE devices SET name = coalesce(%(name)s, name), vendor = coalesce(%(vendor)s, vendor),
    model = coalesce(%(model)s, model), profile_id = coalesce(%(profile_id)s, profile_id)
WHERE id = %(id)s
"""

# The new device takes over what the old one was; its own profile and name stand where it has them.
_REPLACE = """
WITH old AS (
    UPDATE devices SET status = 'archived', replaced_by = %(new_id)s
    WHERE id = %(old_id)s AND replaced_by IS NULL
    RETURNING profile_id, owner_id, name
)
UPDATE devices SET status = 'active', profile_id = coalesce(devices.profile_id, old.profile_id),
    owner_id = coalesce(devices.owner_id, old.owner_id), name = coalesce(devices.name, old.name)
FROM old WHERE devices.id = %(new_id)s
RETURNING devices.id
"""


async def get_view(connection: Connection, device_id: int) -> DeviceView | None:
    """Return one device, or None."""
    return await fetch_one(connection, DeviceView, _GET, {"id": device_id})


async def list_views(
    connection: Connection,
    *,
    kind: str | None = None,
    status: str | None = None,
    profile_id: int | None = None,
    silent_since: datetime | None = None,
    query: str | None = None,
    after_id: int = 0,
    limit: int,
) -> list[DeviceView]:
    """Return a page of devices in order of id, those behind `after_id`.

    `silent_since`: only those not heard of since then; `query`: text in identity or name.
    """
    parameters = {
        "kind": kind,
        "status": status,
        "profile_id": profile_id,
        "silent_since": silent_since,
        "query": query,
        "after_id": after_id,
        "limit": limit,
    }
    return await fetch_all(connection, DeviceView, _LIST, parameters)


async def describe(
    connection: Connection,
    device_id: int,
    *,
    name: str | None = None,
    vendor: str | None = None,
    model: str | None = None,
    profile_id: int | None = None,
) -> None:
    """Set what is given, and leave the rest as it is."""
    parameters = {"id": device_id, "name": name, "vendor": vendor, "model": model, "profile_id": profile_id}
    await connection.execute(_DESCRIBE, parameters)


async def replace_device(connection: Connection, old_id: int, new_id: int) -> bool:
    """Let a new device stand in an old one's place; the old one is archived.

    False: the old one is unknown, or was replaced before.
    """
    return await fetch_value(connection, _REPLACE, {"old_id": old_id, "new_id": new_id}) is not None
