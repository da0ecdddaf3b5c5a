"""Rows that other rows need, for the tests of this room."""

from datetime import UTC, datetime

from storage.database import Connection, fetch_value
from storage.queries.devices import Device, register_device

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

_INSERT_USER = """
INSERT INTO users (system, role, name, email)
VALUES (%(system)s, %(role)s, %(name)s, lower(%(name)s) || '@example.org') RETURNING id
"""


async def make_user(connection: Connection, name: str, system: str = "evcms", role: str = "user") -> int:
    parameters = {"system": system, "role": role, "name": name}
    return int(await fetch_value(connection, _INSERT_USER, parameters))


async def make_charger(connection: Connection, identity: str = "CP-1", owner_id: int | None = None) -> Device:
    return await register_device(connection, "charger", identity, owner_id=owner_id)
