"""Monitors on variables that chargers run, as they confirmed or reported them.

Written by the OCPP gateway, read by the API. OCPP 2.0.1 part 2, block N.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from storage.database import Connection, fetch_all, fetch_value

MONITORS_MAX = 5_000  # of one charger
Kind = Literal["HardWiredMonitor", "PreconfiguredMonitor", "CustomMonitor"]


@dataclass(frozen=True, slots=True)
class Monitor:
    """`severity` 0 (danger) to 9 (debug). No instance is '', no EVSE or connector 0."""

    monitor_id: int
    component: str
    component_instance: str
    evse_id: int
    connector_id: int
    variable: str
    variable_instance: str
    type: str
    value: float
    severity: int
    is_transaction: bool
    kind: Kind


@dataclass(frozen=True, slots=True)
class StoredMonitor(Monitor):
    """A monitor, and when it came."""

    updated_at: datetime


_COLUMNS = """
monitor_id, component, component_instance, evse_id, connector_id, variable, variable_instance, type, value,
severity, is_transaction, kind
"""

_PUT = f"""
INSERT INTO variable_monitors (device_id, {_COLUMNS}, updated_at)
SELECT %(device_id)s, %(monitor_id)s, %(component)s, %(component_instance)s, %(evse_id)s, %(connector_id)s,
       %(variable)s, %(variable_instance)s, %(type)s, %(value)s, %(severity)s, %(is_transaction)s, %(kind)s,
       %(at)s
WHERE (SELECT count(*) FROM variable_monitors
       WHERE device_id = %(device_id)s AND monitor_id <> %(monitor_id)s) < %(bound)s
ON CONFLICT (device_id, monitor_id) DO UPDATE
SET component = EXCLUDED.component, component_instance = EXCLUDED.component_instance,
    evse_id = EXCLUDED.evse_id, connector_id = EXCLUDED.connector_id, variable = EXCLUDED.variable,
    variable_instance = EXCLUDED.variable_instance, type = EXCLUDED.type, value = EXCLUDED.value,
    severity = EXCLUDED.severity, is_transaction = EXCLUDED.is_transaction, kind = EXCLUDED.kind,
    updated_at = EXCLUDED.updated_at
"""

_REMOVE = """
DELETE FROM variable_monitors WHERE device_id = %(device_id)s AND monitor_id = ANY(%(monitor_ids)s)
RETURNING monitor_id
"""

_REMOVE_KINDS = "DELETE FROM variable_monitors WHERE device_id = %(device_id)s AND kind = ANY(%(kinds)s)"

_LIST = f"""
SELECT {_COLUMNS}, updated_at FROM variable_monitors WHERE device_id = %(device_id)s
ORDER BY monitor_id LIMIT %(limit)s OFFSET %(offset)s
"""

_COUNT = "SELECT count(*) FROM variable_monitors WHERE device_id = %(device_id)s"


async def put_monitor(connection: Connection, device_id: int, monitor: Monitor, at: datetime) -> bool:
    """Keep a monitor; one with its id is replaced (OCPP 2.0.1 part 2, N04).

    False, and nothing kept, beyond `MONITORS_MAX`.
    """
    parameters = {"device_id": device_id, "at": at, "bound": MONITORS_MAX, **asdict(monitor)}
    return (await connection.execute(_PUT, parameters)).rowcount == 1


async def remove_monitors(connection: Connection, device_id: int, monitor_ids: Sequence[int]) -> list[int]:
    """Forget monitors, and return the ids of those that were there."""
    parameters = {"device_id": device_id, "monitor_ids": list(monitor_ids)}
    return sorted(each for (each,) in await (await connection.execute(_REMOVE, parameters)).fetchall())


async def remove_monitors_of(connection: Connection, device_id: int, kinds: Sequence[Kind]) -> int:
    """Forget all monitors of these kinds; returns how many there were."""
    parameters = {"device_id": device_id, "kinds": list(kinds)}
    return (await connection.execute(_REMOVE_KINDS, parameters)).rowcount


async def list_monitors(
    connection: Connection, device_id: int, *, limit: int, offset: int = 0
) -> tuple[list[StoredMonitor], int]:
    """Return one page by id, and how many there are in all."""
    where = {"device_id": device_id}
    page = await fetch_all(connection, StoredMonitor, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))
