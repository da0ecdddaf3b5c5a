"""What a charger is besides a device: its connection, its boot, its connectors.

Written by the OCPP gateway, read by the API. The newest authenticated socket of a charger has the
highest generation; whatever an older one still says about being connected is ignored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class Charger:
    """A charger with its device's facts. `registration`: Accepted, Pending or Rejected (OCPP 1.6, 6.5)."""

    device_id: int
    identity: str
    status: str
    name: str | None
    owner_id: int | None
    vendor: str | None
    model: str | None
    firmware: str | None
    station_id: int | None
    station_name: str | None
    maintenance: bool
    is_connected: bool
    generation: int
    gateway: str | None
    ocpp_version: str | None
    registration: str
    last_heartbeat_at: datetime | None
    last_seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class Connector:
    """`status` is an OCPP 1.6 ChargePointStatus; connector 0 is the charger itself."""

    device_id: int
    connector_id: int
    type: str
    power_kw: float
    status: str
    error_code: str
    status_at: datetime | None


_GET = """
SELECT device_id, identity, devices.status, devices.name, devices.owner_id, vendor, model, firmware,
       station_id, stations.name AS station_name, maintenance, is_connected, generation, gateway,
       ocpp_version, registration, last_heartbeat_at, last_seen_at
FROM chargers JOIN devices ON devices.id = device_id LEFT JOIN stations ON stations.id = station_id
WHERE device_id = %(device_id)s
"""

_CONNECTED = """
UPDATE chargers
SET generation = generation + 1, is_connected = true, gateway = %(gateway)s, ocpp_version = %(ocpp_version)s
WHERE device_id = %(device_id)s
RETURNING generation
"""

_DISCONNECTED = """
UPDATE chargers SET is_connected = false, gateway = NULL
WHERE device_id = %(device_id)s AND generation = %(generation)s AND is_connected
RETURNING device_id
"""

_DISCONNECT_GATEWAY = """
UPDATE chargers SET is_connected = false, gateway = NULL
WHERE gateway = %(gateway)s AND is_connected
RETURNING device_id
"""

_BOOTED = """
UPDATE devices
SET vendor = %(vendor)s, model = %(model)s,
    firmware = coalesce(%(firmware)s, firmware), serial = coalesce(%(serial)s, serial),
    last_seen_at = greatest(last_seen_at, %(at)s)
WHERE id = %(device_id)s
"""

_HEARTBEAT = """
UPDATE chargers SET last_heartbeat_at = greatest(last_heartbeat_at, %(at)s)
WHERE device_id = %(device_id)s
RETURNING registration
"""

_SET_STATION = """
UPDATE chargers SET station_id = %(station_id)s WHERE device_id = %(device_id)s RETURNING device_id
"""

# The device is held: nobody else registers, adopts or archives it meanwhile.
_LOCK = (
    _GET
    + """
FOR UPDATE OF devices
"""
)

_SET_MAINTENANCE = """
UPDATE chargers SET maintenance = %(maintenance)s WHERE device_id = %(device_id)s
"""

_SHUT_OUT = """
UPDATE chargers SET generation = generation + 1, is_connected = false, gateway = NULL
WHERE device_id = %(device_id)s
RETURNING generation
"""

_SET_CONNECTOR_STATUS = """
INSERT INTO connectors (device_id, connector_id, status, error_code, status_at)
VALUES (%(device_id)s, %(connector_id)s, %(status)s, %(error_code)s, %(at)s)
ON CONFLICT (device_id, connector_id) DO UPDATE
SET status = EXCLUDED.status, error_code = EXCLUDED.error_code, status_at = EXCLUDED.status_at
WHERE connectors.status_at IS NULL OR connectors.status_at <= EXCLUDED.status_at
RETURNING connector_id
"""

_LIST_CONNECTORS = """
SELECT device_id, connector_id, type, power_kw, status, error_code, status_at
FROM connectors WHERE device_id = ANY(%(device_ids)s) ORDER BY device_id, connector_id
"""

_COUNT_CONNECTED = "SELECT count(*) FROM chargers WHERE is_connected"


async def get_charger(connection: Connection, device_id: int) -> Charger | None:
    """Return the charger, or None where the id is none of a charger."""
    return await fetch_one(connection, Charger, _GET, {"device_id": device_id})


async def charger_connected(connection: Connection, device_id: int, gateway: str, ocpp_version: str) -> int:
    """Note a newly authenticated socket; returns its generation, which `charger_disconnected` wants back."""
    parameters = {"device_id": device_id, "gateway": gateway, "ocpp_version": ocpp_version}
    generation = await fetch_value(connection, _CONNECTED, parameters)
    assert isinstance(generation, int), f"device {device_id} is no charger"
    return generation


async def charger_disconnected(connection: Connection, device_id: int, generation: int) -> bool:
    """Note the end of a socket; False, and nothing changed, when a newer one is there."""
    parameters = {"device_id": device_id, "generation": generation}
    return await fetch_value(connection, _DISCONNECTED, parameters) is not None


async def disconnect_gateway(connection: Connection, gateway: str) -> list[int]:
    """Mark what an earlier life of this gateway left connected; returns those device ids.

    A gateway calls it when it starts, before it listens.
    """
    rows = await connection.execute(_DISCONNECT_GATEWAY, {"gateway": gateway})
    return sorted(device_id for (device_id,) in await rows.fetchall())


async def charger_booted(
    connection: Connection,
    device_id: int,
    *,
    vendor: str,
    model: str,
    firmware: str | None,
    serial: str | None,
    at: datetime,
) -> str:
    """Keep what a BootNotification says (OCPP 1.6, 4.2); returns the registration status to answer."""
    facts = {"vendor": vendor, "model": model, "firmware": firmware, "serial": serial}
    await connection.execute(_BOOTED, {**facts, "device_id": device_id, "at": at})
    return await charger_heartbeat(connection, device_id, at)


async def charger_heartbeat(connection: Connection, device_id: int, at: datetime) -> str:
    """Note a sign of life; an earlier time never replaces a later one. Returns the registration status."""
    registration = await fetch_value(connection, _HEARTBEAT, {"device_id": device_id, "at": at})
    assert isinstance(registration, str), f"device {device_id} is no charger"
    return registration


async def set_charger_station(connection: Connection, device_id: int, station_id: int | None) -> bool:
    """Place the charger at a station or at none; False for an unknown charger."""
    parameters = {"device_id": device_id, "station_id": station_id}
    return await fetch_value(connection, _SET_STATION, parameters) is not None


async def lock_charger(connection: Connection, device_id: int) -> Charger | None:
    """Return the charger, held until commit, or None where the id is none of a charger."""
    return await fetch_one(connection, Charger, _LOCK, {"device_id": device_id})


async def set_maintenance(connection: Connection, device_id: int, maintenance: bool) -> None:
    """Say whether somebody works on the charger."""
    await connection.execute(_SET_MAINTENANCE, {"device_id": device_id, "maintenance": maintenance})


async def shut_out_charger(connection: Connection, device_id: int) -> int:
    """Note that the charger is offline whatever its socket says; returns the generation that ends it.

    Once committed, `stream.bus.end_socket` tells the gateway that holds the socket.
    """
    generation = await fetch_value(connection, _SHUT_OUT, {"device_id": device_id})
    assert isinstance(generation, int), f"device {device_id} is no charger"
    return generation


async def set_connector_status(
    connection: Connection, device_id: int, connector_id: int, status: str, error_code: str, at: datetime
) -> bool:
    """Keep a StatusNotification (OCPP 1.6, 4.9); False when a later one is there already."""
    parameters = {"device_id": device_id, "connector_id": connector_id}
    facts = {"status": status, "error_code": error_code, "at": at}
    return await fetch_value(connection, _SET_CONNECTOR_STATUS, {**parameters, **facts}) is not None


async def list_connectors(connection: Connection, device_id: int) -> list[Connector]:
    """Return the connectors that the charger has spoken of, by number."""
    return await list_connectors_of(connection, [device_id])


async def list_connectors_of(connection: Connection, device_ids: Sequence[int]) -> list[Connector]:
    """Return the connectors of many chargers, by charger and number."""
    return await fetch_all(connection, Connector, _LIST_CONNECTORS, {"device_ids": list(device_ids)})


async def count_connected(connection: Connection) -> int:
    """Return how many chargers hold a socket."""
    return int(await fetch_value(connection, _COUNT_CONNECTED, {}))
