"""A device that another one takes the place of: registry and meters in one transaction.

Used by the portal and the command line.
"""

from datetime import datetime

from storage.database import Connection
from storage.errors import NotFoundError
from storage.queries import device_registry, meters


async def replace(connection: Connection, old_id: int, new_id: int, at: datetime) -> int:
    """Archive the old device and let the new one measure its meters from `at` on; returns how many meters.

    The registers' quantity, channel, multiplier and rollover carry over: a device with other registers is
    installed at its meter by itself. Raises `NotFoundError` (the old device is unknown or was
    replaced before), `AlreadyExistsError` (the new one measures something else already).
    """
    if not await device_registry.replace_device(connection, old_id, new_id):
        raise NotFoundError(f"device {old_id} is not there, or was replaced before")
    measured = await meters.meters_of_device(connection, old_id)
    current = [
        installation
        for installation in (await meters.installations(connection, *measured) if measured else [])
        if installation.device_id == old_id and (installation.until is None or installation.until > at)
    ]
    for installation in current:
        await meters.install(
            connection,
            meter_id=installation.meter_id,
            device_id=new_id,
            quantity=installation.quantity,
            channel=installation.channel,
            multiplier=installation.multiplier,
            register_modulus=installation.register_modulus,
            since=at,
        )
    return len(current)
