"""The device registry: an external identity becomes an integer id that all series carry.

Used by `ingest.registry` (find, register), the shells (touch), the command line and the API (status,
owner, secret, lists). Identities are compared without case (OCPP 1.6J section 3.1.1 leaves case to us;
chargers are found that change it).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all, fetch_one


@dataclass(frozen=True, slots=True)
class Device:
    """`kind`: charger, battery or meter. `status`: active, quarantined or archived."""

    id: int
    kind: str
    identity: str
    status: str
    owner_id: int | None
    name: str | None
    vendor: str | None
    model: str | None
    firmware: str | None
    secret_hash: str | None
    last_seen_at: datetime | None
    profile_id: int | None


_SELECT = """
SELECT id, kind, identity, status, owner_id, name, vendor, model, firmware, secret_hash, last_seen_at,
       profile_id
FROM devices
"""

_RETURNING = """
RETURNING id, kind, identity, status, owner_id, name, vendor, model, firmware, secret_hash, last_seen_at,
       profile_id
"""

_FIND = _SELECT + "WHERE kind = %(kind)s AND identity_key = lower(%(identity)s)"

_INSERT = (
    """
INSERT INTO devices (kind, identity, status, owner_id, name, secret_hash)
VALUES (%(kind)s, %(identity)s, %(status)s, %(owner_id)s, %(name)s, %(secret_hash)s)
ON CONFLICT (kind, identity_key) DO NOTHING
"""
    + _RETURNING
)

_INSERT_CHARGER = "INSERT INTO chargers (device_id) VALUES (%(id)s) ON CONFLICT DO NOTHING"

# A battery that somebody entered by hand before it ever reported is linked, not doubled.
_INSERT_BATTERY = """
INSERT INTO batteries (serial_number, device_id) VALUES (%(identity)s, %(id)s)
ON CONFLICT (serial_key) DO UPDATE SET device_id = EXCLUDED.device_id WHERE batteries.device_id IS NULL
"""

_ASSETS = {"charger": _INSERT_CHARGER, "battery": _INSERT_BATTERY}

_GET = _SELECT + "WHERE id = %(id)s"

_SET_STATUS = (
    """
UPDATE devices SET status = %(status)s
WHERE id = %(id)s
"""
    + _RETURNING
)

_SET_OWNER = (
    """
UPDATE devices SET owner_id = %(owner_id)s
WHERE id = %(id)s
"""
    + _RETURNING
)

_SET_HASH = (
    """
UPDATE devices SET secret_hash = %(secret_hash)s
WHERE id = %(id)s
"""
    + _RETURNING
)

# Locked in order of id, so that two shells that touch the same devices cannot deadlock.
_TOUCH = """
WITH seen AS (
    SELECT id FROM devices WHERE id = ANY(%(ids)s) ORDER BY id FOR NO KEY UPDATE
)
UPDATE devices SET last_seen_at = greatest(last_seen_at, %(at)s) FROM seen WHERE devices.id = seen.id
"""

_LIST = (
    _SELECT
    + """
WHERE id > %(after_id)s
  AND (%(kind)s::text IS NULL OR kind = %(kind)s)
  AND (%(status)s::text IS NULL OR status = %(status)s)
ORDER BY id LIMIT %(limit)s
"""
)


async def find_device(connection: Connection, kind: str, identity: str) -> Device | None:
    """Return the device that goes by this identity, or None."""
    return await fetch_one(connection, Device, _FIND, {"kind": kind, "identity": identity})


async def get_device(connection: Connection, device_id: int) -> Device | None:
    """Return the device with this id, or None."""
    return await fetch_one(connection, Device, _GET, {"id": device_id})


async def register_device(
    connection: Connection,
    kind: str,
    identity: str,
    *,
    status: str = "active",
    owner_id: int | None = None,
    name: str | None = None,
    secret_hash: str | None = None,
) -> Device:
    """Return the device, made with these facts unless it was there: an existing one stays as it is.

    A charger gets its `chargers` row with it, a battery its `batteries` row (or is linked to the one
    with this serial number). Safe for many processes at once.
    """
    found = await find_device(connection, kind, identity)
    if found is not None:
        return found
    facts = {"kind": kind, "identity": identity, "status": status}
    made = await fetch_one(
        connection,
        Device,
        _INSERT,
        {**facts, "owner_id": owner_id, "name": name, "secret_hash": secret_hash},
    )
    if made is None:  # another process was faster; its row is committed by now
        raced = await find_device(connection, kind, identity)
        assert raced is not None
        return raced
    if kind in _ASSETS:
        await connection.execute(_ASSETS[kind], {"id": made.id, "identity": identity})
    return made


async def set_device_status(connection: Connection, device_id: int, status: str) -> Device | None:
    """Activate, quarantine or archive; returns the device after it, None for an unknown id."""
    return await fetch_one(connection, Device, _SET_STATUS, {"id": device_id, "status": status})


async def set_device_owner(connection: Connection, device_id: int, owner_id: int | None) -> Device | None:
    """Give the device to a user or to nobody; returns the device after it, None for an unknown id."""
    return await fetch_one(connection, Device, _SET_OWNER, {"id": device_id, "owner_id": owner_id})


async def set_device_secret(connection: Connection, device_id: int, secret_hash: str | None) -> Device | None:
    """Set the argon2 hash of the Basic password; returns the device after it, None for an unknown id."""
    return await fetch_one(connection, Device, _SET_HASH, {"id": device_id, "secret_hash": secret_hash})


async def touch_devices(connection: Connection, ids: Sequence[int], at: datetime) -> None:
    """Note that these devices were heard of at `at`; an earlier time never replaces a later one."""
    await connection.execute(_TOUCH, {"ids": list(ids), "at": at})


async def list_devices(
    connection: Connection,
    *,
    kind: str | None = None,
    status: str | None = None,
    after_id: int = 0,
    limit: int,
) -> list[Device]:
    """Return the next `limit` devices behind `after_id`, in order of id."""
    parameters = {"kind": kind, "status": status, "after_id": after_id, "limit": limit}
    return await fetch_all(connection, Device, _LIST, parameters)
