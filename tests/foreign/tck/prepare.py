"""What open-ocpp-tck's scenarios take for granted: three chargers and their tokens, in a running Gridwire.

Run by hand, see README.md: `python -m tests.foreign.tck.prepare`. Safe to repeat.
"""

import asyncio
from datetime import UTC, datetime, timedelta

from deploy.settings import needed, read_settings
from storage.database import Connection, in_transaction
from storage.queries.devices import register_device, set_device_status
from storage.queries.id_tokens import put_token
from storage.queries.users import ensure_user

CHARGERS = ("CERTCP1", "CERTCP2", "CERTCP3")
TAGS = (
    *(f"CERT{number:03}" for number in (3, 4, 5, 10, 11, 12, 13, 14, 17, 18, 28, 56, 57, 59)),
    "CE712001",  # of the 2.0.1 scenarios
    "CERT-RES01",
    "CERT-TAG-1",
    "CERT-TAG-2",
)
EXPIRED, BLOCKED = "CERT023-EXP", "CERT023-BLK"


async def prepare(connection: Connection) -> None:
    """Register the chargers without a password, and the tokens in the three states."""
    driver = await ensure_user(
        connection, system="evcms", role="user", name="Certification", email="certification@example.com"
    )
    for identity in CHARGERS:
        device = await register_device(connection, "charger", identity, name=identity)
        await set_device_status(connection, device.id, "active")
    for tag in TAGS:
        await put_token(connection, tag, driver.id)
    await put_token(connection, EXPIRED, driver.id, expires_at=datetime.now(UTC) - timedelta(hours=1))
    await put_token(connection, BLOCKED, driver.id, status="Blocked")


if __name__ == "__main__":
    url = needed(read_settings().database_url, "GRIDWIRE_DATABASE_URL")
    asyncio.run(in_transaction(url, "tck", prepare))
    print(f"ready: {', '.join(CHARGERS)}")
