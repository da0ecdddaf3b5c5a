"""Meters (a unit's points of supply) and which device's register measures each from when to when.

Used by `stream.metering`, the Mobile family and the command line. What changes how registers are read writes
`metering_due` in the same transaction.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NotRequired, TypedDict, Unpack

from psycopg.errors import ExclusionViolation, ForeignKeyViolation, UniqueViolation

from protocols.quantities import CODES, QUANTITIES
from storage.database import Connection, fetch_all, fetch_one, fetch_value
from storage.errors import AlreadyExistsError, NotFoundError
from storage.queries import metering_due

METERS_OF_UNIT_MAX = 200
INSTALLATIONS_MAX = 200  # of one meter


@dataclass(frozen=True, slots=True)
class Meter:
    """`meter_type`: prepaid or postpaid. `supply`: open or closed, as the wallet's rules last had it."""

    id: int
    unit_id: int
    serial_number: str
    meter_type: str
    utility_type: str
    status: str
    device_type: str
    communication_type: str
    supply: str
    created_at: datetime


class NewMeter(TypedDict):
    """What a meter is made of; see `Meter`."""

    unit_id: int
    serial_number: str
    utility_type: str
    device_type: str
    communication_type: str
    meter_type: NotRequired[str]
    status: NotRequired[str]


@dataclass(frozen=True, slots=True)
class BilledMeter:
    """What a bill is made by: the meter, and its estate's time zone and currency."""

    id: int
    unit_id: int
    serial_number: str
    meter_type: str
    utility_type: str
    supply: str
    time_zone: str
    currency: str


@dataclass(frozen=True, slots=True)
class WatchedMeter:
    """What alerts need to know of a meter."""

    id: int
    unit_id: int
    utility_type: str
    time_zone: str


@dataclass(frozen=True, slots=True)
class Installation:
    """A device at a meter, `until` excluded (None: still). `multiplier`: register to Wh or m3.

    `register_modulus`: the register rolls over to 0 there. `consumption_max_per_h`, in Wh or m3, and
    `interval_s` are of the device's profile.
    """

    id: int
    meter_id: int
    device_id: int
    channel: int
    quantity: str
    multiplier: Decimal
    register_modulus: Decimal | None
    since: datetime
    until: datetime | None
    consumption_max_per_h: Decimal | None
    interval_s: int | None


class NewInstallation(TypedDict):
    """What an installation is made of; see `Installation`."""

    meter_id: int
    device_id: int
    quantity: str
    since: datetime
    channel: NotRequired[int]
    multiplier: NotRequired[Decimal]
    register_modulus: NotRequired[Decimal | None]


_COLUMNS = """id, unit_id, serial_number, meter_type, utility_type, status, device_type, communication_type,
       supply, created_at"""

_SELECT = f"SELECT {_COLUMNS} FROM meters "

_GET = _SELECT + "WHERE id = %(id)s"

_OF_UNIT = _SELECT + "WHERE unit_id = %(unit_id)s ORDER BY id LIMIT %(limit)s"

_WATCHED = """
SELECT meters.id, meters.unit_id, meters.utility_type, estates.time_zone
FROM meters JOIN units ON units.id = meters.unit_id JOIN estates ON estates.id = units.estate_id
WHERE meters.id > %(after_id)s AND meters.status = 'active' ORDER BY meters.id LIMIT %(limit)s
"""

_INSERT = f"""
INSERT INTO meters (unit_id, serial_number, meter_type, utility_type, status, device_type, communication_type)
VALUES (%(unit_id)s, %(serial_number)s, %(meter_type)s, %(utility_type)s, %(status)s, %(device_type)s,
        %(communication_type)s)
RETURNING {_COLUMNS}
"""

_BILLED = """
SELECT meters.id, meters.unit_id, meters.serial_number, meters.meter_type, meters.utility_type, meters.supply,
       estates.time_zone, estates.currency
FROM meters JOIN units ON units.id = meters.unit_id JOIN estates ON estates.id = units.estate_id
WHERE meters.id = %(id)s
"""

# The unit, not the meter: all meters of a unit share its wallet, and closing one supply closes the others.
_LOCK_UNIT = "SELECT id FROM units WHERE id = %(unit_id)s FOR NO KEY UPDATE"

_SET_SUPPLY = "UPDATE meters SET supply = %(supply)s WHERE id = %(id)s"

_INSTALLATIONS = """
SELECT meter_installations.id, meter_id, device_id, channel, quantity, multiplier, register_modulus, since,
       until, CASE WHEN jsonb_typeof(options -> 'consumption_max_per_h') = 'number'
                   THEN (options ->> 'consumption_max_per_h')::numeric END AS consumption_max_per_h,
       interval_s
FROM meter_installations JOIN devices ON devices.id = device_id
LEFT JOIN device_profiles ON device_profiles.id = profile_id
WHERE meter_id = ANY(%(meter_ids)s) ORDER BY meter_id, since LIMIT %(limit)s
"""

_MEASURED_BY = """
SELECT DISTINCT meter_id FROM meter_installations WHERE device_id = %(device_id)s ORDER BY meter_id
"""

_END = """
UPDATE meter_installations SET until = %(since)s
WHERE meter_id = %(meter_id)s AND until IS NULL AND since < %(since)s
"""

_INSTALL = """
INSERT INTO meter_installations (meter_id, device_id, channel, quantity, multiplier, register_modulus, since)
VALUES (%(meter_id)s, %(device_id)s, %(channel)s, %(quantity)s, %(multiplier)s, %(register_modulus)s,
        %(since)s)
RETURNING id
"""

# Nobody has closed a device that was not at this meter before.
_OPEN_SUPPLY = """
UPDATE meters SET supply = 'open'
WHERE id = %(meter_id)s AND supply = 'closed' AND NOT EXISTS (
    SELECT FROM meter_installations WHERE meter_id = %(meter_id)s AND device_id = %(device_id)s)
"""

_UNINSTALL = """
UPDATE meter_installations SET until = %(until)s
WHERE meter_id = %(meter_id)s AND until IS NULL AND since < %(until)s
RETURNING device_id
"""


async def insert_meter(connection: Connection, **meter: Unpack[NewMeter]) -> Meter:
    """Write a meter. Raises `AlreadyExistsError` (the serial number is taken), `NotFoundError` (the unit)."""
    parameters = {"meter_type": "prepaid", "status": "active", **meter}
    try:
        async with connection.transaction():
            made = await fetch_one(connection, Meter, _INSERT, parameters)
    except UniqueViolation as error:
        raise AlreadyExistsError(
            f"there is a meter with the serial number {meter['serial_number']!r}"
        ) from error
    except ForeignKeyViolation as error:
        raise NotFoundError(f"there is no unit {meter['unit_id']}") from error
    assert made is not None
    return made


async def get_meter(connection: Connection, meter_id: int) -> Meter | None:
    """Return the meter with this id, or None."""
    return await fetch_one(connection, Meter, _GET, {"id": meter_id})


async def list_unit_meters(connection: Connection, unit_id: int) -> list[Meter]:
    """Return a unit's meters in order of id."""
    return await fetch_all(connection, Meter, _OF_UNIT, {"unit_id": unit_id, "limit": METERS_OF_UNIT_MAX})


async def list_watched_meters(connection: Connection, *, after_id: int = 0, limit: int) -> list[WatchedMeter]:
    """Return a page of the active meters in order of id, those behind `after_id`."""
    return await fetch_all(connection, WatchedMeter, _WATCHED, {"after_id": after_id, "limit": limit})


async def billed_meter(connection: Connection, meter_id: int) -> BilledMeter | None:
    """Return what the meter's bills are made by, or None."""
    return await fetch_one(connection, BilledMeter, _BILLED, {"id": meter_id})


async def lock_unit(connection: Connection, unit_id: int) -> None:
    """Wait for whoever bills a meter of this unit or moves its wallet, until the transaction ends.

    Everybody takes it before accounts and before meters, so that nobody waits in a circle.
    """
    await connection.execute(_LOCK_UNIT, {"unit_id": unit_id})


async def set_supply(connection: Connection, meter_id: int, supply: str) -> None:
    """Note what was commanded last: open or closed."""
    await connection.execute(_SET_SUPPLY, {"id": meter_id, "supply": supply})


async def installations(connection: Connection, *meter_ids: int) -> list[Installation]:
    """Return which devices measured these meters, by meter and oldest first."""
    parameters = {"meter_ids": list(meter_ids), "limit": INSTALLATIONS_MAX * max(1, len(meter_ids))}
    return await fetch_all(connection, Installation, _INSTALLATIONS, parameters)


async def meters_of_device(connection: Connection, device_id: int) -> list[int]:
    """Return the ids of the meters that a device measures or measured."""
    rows = await connection.execute(_MEASURED_BY, {"device_id": device_id})
    return [meter_id for (meter_id,) in await rows.fetchall()]


async def install(connection: Connection, **new: Unpack[NewInstallation]) -> int:
    """Let a device's register measure a meter from `since` on; the device before it ends there.

    A device that is new to the meter is taken for open: where the wallet is empty, the next debit closes it.
    Returns the installation's id. Raises `AlreadyExistsError` (the device's register or the meter is taken at
    that time), `NotFoundError` (meter, device, or the quantity among the registers).
    """
    code = CODES.get(new["quantity"])
    if code is None or not QUANTITIES[code].is_register:
        raise NotFoundError(f"quantity {new['quantity']!r} is no register that counts up")
    parameters = {"channel": 0, "multiplier": Decimal(1), "register_modulus": None, **new}
    try:
        async with connection.transaction():
            await connection.execute(_END, parameters)
            await connection.execute(_OPEN_SUPPLY, parameters)
            made = int(await fetch_value(connection, _INSTALL, parameters))
    except ExclusionViolation as error:
        raise AlreadyExistsError(
            f"meter {new['meter_id']} or this register of device {new['device_id']} is taken since"
            f" {new['since'].isoformat()}: end that installation first"
        ) from error
    except ForeignKeyViolation as error:
        raise NotFoundError(f"there is no meter {new['meter_id']} or no device {new['device_id']}") from error
    await metering_due.add(connection, [new["device_id"]], [new["since"]], "replacement")
    return made


async def uninstall(connection: Connection, meter_id: int, until: datetime) -> bool:
    """End the meter's current installation; False: it has none that began before."""
    device_id = await fetch_value(connection, _UNINSTALL, {"meter_id": meter_id, "until": until})
    if device_id is None:
        return False
    await metering_due.add(connection, [device_id], [until], "replacement")
    return True
