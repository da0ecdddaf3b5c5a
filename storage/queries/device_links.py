"""By which way a device was heard last, and so by which a downlink reaches it.

Used by the shells: written when the way changes, read when a command is to go out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_one


@dataclass(frozen=True, slots=True)
class DeviceLink:
    """`source`: the shell's (chirpstack, things_stack, coap, ...); `address`: what that needs to reach it."""

    device_id: int
    source: str
    address: dict[str, Any]
    updated_at: datetime


_GET = "SELECT device_id, source, address, updated_at FROM device_links WHERE device_id = %(device_id)s"

_PUT = """
INSERT INTO device_links (device_id, source, address, updated_at)
VALUES (%(device_id)s, %(source)s, %(address)s, %(at)s)
ON CONFLICT (device_id) DO UPDATE
SET source = EXCLUDED.source, address = EXCLUDED.address, updated_at = EXCLUDED.updated_at
"""


async def get_link(connection: Connection, device_id: int) -> DeviceLink | None:
    """Return the way to a device, or None if it was never heard."""
    return await fetch_one(connection, DeviceLink, _GET, {"device_id": device_id})


async def put_link(
    connection: Connection, device_id: int, source: str, address: Mapping[str, object], at: datetime
) -> None:
    """Write the way by which a device was heard at `at`."""
    parameters = {"device_id": device_id, "source": source, "address": Jsonb(address), "at": at}
    await connection.execute(_PUT, parameters)
