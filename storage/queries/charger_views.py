"""What the API shows of chargers: their derived status, connectors with sessions, sums, live energy.

`status` of a charger here is one of Online, Offline, Faulted, Maintenance: maintenance as set by an
operator comes first, then whether it holds a socket, then faults (connector 0, which is the charger
itself by OCPP 1.6 section 4.9, or all of its connectors). A connector is Unavailable unless its charger is
active, online and not in maintenance, whatever it said last; `LIVE_STATUS` says so for every reader.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class Scope:
    """Which chargers a caller sees: of one owner or of all, with these statuses in the registry."""

    owner_id: int | None
    registry: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChargerView:
    """`registry` is active, quarantined or archived; `status` as in the module's docstring.

    `ocpp_version` is that of its newest connection, None for a charger that has had none.
    """

    device_id: int
    identity: str
    registry: str
    name: str | None
    owner_id: int | None
    vendor: str | None
    model: str | None
    firmware: str | None
    station_id: int | None
    station_name: str | None
    last_heartbeat_at: datetime | None
    is_connected: bool
    ocpp_version: str | None
    status: str


@dataclass(frozen=True, slots=True)
class ConnectorView:
    """`status` is an OCPP 1.6 ChargePointStatus as of now; `session_id` is the open session, if any."""

    device_id: int
    connector_id: int
    type: str
    power_kw: float
    status: str
    session_id: int | None


@dataclass(frozen=True, slots=True)
class ChargerTotals:
    """Chargers by status; those in maintenance are in the total only."""

    total: int
    online: int
    offline: int
    faulted: int


@dataclass(frozen=True, slots=True)
class SessionEnergy:
    """Energy that the meter has counted in an open session, Wh."""

    session_id: int
    energy_wh: float


# Over `connectors`, `chargers`, `devices` and, as `whole`, the charger's connector 0, which may be missing.
LIVE_STATUS = """
CASE WHEN connectors.status IS NULL OR devices.status <> 'active'
          OR chargers.maintenance OR NOT chargers.is_connected THEN 'Unavailable'
     WHEN whole.status IN ('Faulted', 'Unavailable') THEN whole.status
     ELSE connectors.status END
"""

# A deleted station is not shown; its chargers are there again with it when it is restored.
_VIEW = """
SELECT device_id, identity, devices.status AS registry, devices.name, devices.owner_id, vendor, model,
       firmware, stations.id AS station_id, stations.name AS station_name, last_heartbeat_at,
       is_connected, ocpp_version,
       CASE WHEN maintenance THEN 'Maintenance'
            WHEN NOT is_connected THEN 'Offline'
            WHEN coalesce((
                SELECT bool_or(connectors.status = 'Faulted') FILTER (WHERE connector_id = 0)
                    OR bool_and(connectors.status = 'Faulted') FILTER (WHERE connector_id > 0)
                FROM connectors WHERE connectors.device_id = chargers.device_id), false) THEN 'Faulted'
            ELSE 'Online' END AS status
FROM chargers JOIN devices ON devices.id = device_id
LEFT JOIN stations ON stations.id = station_id AND stations.deleted_at IS NULL
"""

_GET = _VIEW + "WHERE device_id = %(device_id)s"

_SOME = _VIEW + "WHERE device_id = ANY(%(device_ids)s) ORDER BY device_id"

_FIND = _VIEW + "WHERE devices.kind = 'charger' AND devices.identity_key = lower(%(identity)s)"

_SEEN = (
    "FROM ("
    + _VIEW
    + """
    WHERE devices.status = ANY(%(registry)s)
      AND (%(owner_id)s::bigint IS NULL OR devices.owner_id = %(owner_id)s)
      AND (%(station_id)s::bigint IS NULL OR stations.id = %(station_id)s)
) AS seen
"""
)

_FILTER = (
    _SEEN
    + """
WHERE (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(manufacturer)s::text IS NULL OR lower(vendor) = lower(%(manufacturer)s))
"""
)

_LIST = "SELECT seen.* " + _FILTER + "ORDER BY device_id LIMIT %(limit)s OFFSET %(offset)s"

_COUNT = "SELECT count(*) " + _FILTER

_TOTALS = (
    """
SELECT count(*) AS total,
       count(*) FILTER (WHERE status = 'Online') AS online,
       count(*) FILTER (WHERE status = 'Offline') AS offline,
       count(*) FILTER (WHERE status = 'Faulted') AS faulted
"""
    + _SEEN
)

_SEEN_IDS = "SELECT array_agg(device_id) " + _SEEN

_CONNECTORS = f"""
SELECT connectors.device_id, connectors.connector_id, connectors.type, connectors.power_kw,
       {LIVE_STATUS} AS status,
       (SELECT max(sessions.id) FROM sessions
        WHERE sessions.device_id = connectors.device_id AND sessions.connector_id = connectors.connector_id
          AND sessions.status = 'active') AS session_id
FROM connectors JOIN chargers ON chargers.device_id = connectors.device_id
JOIN devices ON devices.id = connectors.device_id
LEFT JOIN connectors AS whole ON whole.device_id = connectors.device_id AND whole.connector_id = 0
WHERE connectors.device_id = ANY(%(device_ids)s) AND connectors.connector_id > 0
ORDER BY connectors.device_id, connectors.connector_id
"""

# An hour of slack on both sides: a charger's clock may be off, and the bound is only to skip partitions.
_ENERGY = """
SELECT sessions.id AS session_id, greatest(0, newest.value - meter_start_wh) AS energy_wh
FROM sessions CROSS JOIN LATERAL (
    SELECT value FROM charger_samples
    WHERE charger_samples.device_id = sessions.device_id
      AND charger_samples.transaction_id = sessions.transaction_id
      AND measurand = %(measurand)s AND phase = 0 AND location = 0
      AND ts >= started_at - interval '1 hour' AND ts <= %(now)s::timestamptz + interval '1 hour'
    ORDER BY ts DESC LIMIT 1
) AS newest
WHERE sessions.id = ANY(%(ids)s)
"""


async def get_view(connection: Connection, device_id: int) -> ChargerView | None:
    """Return the charger, archived ones too, or None."""
    return await fetch_one(connection, ChargerView, _GET, {"device_id": device_id})


async def some_views(connection: Connection, device_ids: Sequence[int]) -> list[ChargerView]:
    """Return these chargers, archived ones too, in order of id."""
    return await fetch_all(connection, ChargerView, _SOME, {"device_ids": list(device_ids)})


async def find_view(connection: Connection, identity: str) -> ChargerView | None:
    """Return the charger that goes by this OCPP identity, in any case of letters, or None."""
    return await fetch_one(connection, ChargerView, _FIND, {"identity": identity})


async def list_views(
    connection: Connection,
    scope: Scope,
    *,
    station_id: int | None = None,
    status: str | None = None,
    manufacturer: str | None = None,
    limit: int,
    offset: int = 0,
) -> tuple[list[ChargerView], int]:
    """Return one page in order of id, and how many there are in all."""
    seen = {"owner_id": scope.owner_id, "registry": list(scope.registry), "station_id": station_id}
    where = {**seen, "status": status, "manufacturer": manufacturer}
    page = await fetch_all(connection, ChargerView, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))


async def charger_totals(connection: Connection, scope: Scope, station_id: int | None) -> ChargerTotals:
    """Return sums over the chargers that `scope` sees, of one station or of all."""
    where = {"owner_id": scope.owner_id, "registry": list(scope.registry), "station_id": station_id}
    totals = await fetch_one(connection, ChargerTotals, _TOTALS, where)
    assert totals is not None
    return totals


async def seen_ids(connection: Connection, scope: Scope, station_id: int | None) -> list[int]:
    """Return the device ids of the chargers that `scope` sees, of one station or of all."""
    where = {"owner_id": scope.owner_id, "registry": list(scope.registry), "station_id": station_id}
    return list(await fetch_value(connection, _SEEN_IDS, where) or [])


async def list_connector_views(connection: Connection, device_ids: Sequence[int]) -> list[ConnectorView]:
    """Return the connectors of these chargers, by charger and number, connector 0 left out."""
    return await fetch_all(connection, ConnectorView, _CONNECTORS, {"device_ids": list(device_ids)})


async def live_energy(
    connection: Connection, session_ids: Sequence[int], measurand: int, now: datetime
) -> dict[int, float]:
    """Return Wh so far by session, of those whose charger has sent meter values of `measurand`."""
    parameters = {"ids": list(session_ids), "measurand": measurand, "now": now}
    rows = await fetch_all(connection, SessionEnergy, _ENERGY, parameters)
    return {row.session_id: row.energy_wh for row in rows}
