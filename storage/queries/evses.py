"""Connectors of OCPP 2.x by EVSE, as chargers report them; written by the OCPP gateway.

`connectors` has one row an EVSE under its number: what API and reconciliation read. Here is what it is
made from.
"""

from datetime import datetime

from storage.database import Connection, fetch_value

CONNECTORS_MAX = 64  # of one EVSE

_PUT = """
INSERT INTO evse_connectors (device_id, evse_id, connector_id, status, status_at)
SELECT %(device_id)s, %(evse_id)s, %(connector_id)s, %(status)s, %(at)s
WHERE (SELECT count(*) FROM evse_connectors
       WHERE device_id = %(device_id)s AND evse_id = %(evse_id)s AND connector_id <> %(connector_id)s)
      < %(bound)s
ON CONFLICT (device_id, evse_id, connector_id) DO UPDATE
SET status = EXCLUDED.status, status_at = EXCLUDED.status_at
WHERE evse_connectors.status_at <= EXCLUDED.status_at
"""

_STATUSES = "SELECT status FROM evse_connectors WHERE device_id = %(device_id)s AND evse_id = %(evse_id)s"

_KNOWN = "SELECT status FROM connectors WHERE device_id = %(device_id)s AND connector_id = %(evse_id)s"


async def put_evse_connector(
    connection: Connection, device_id: int, evse_id: int, connector_id: int, status: str, at: datetime
) -> list[str]:
    """Keep the status (of 2.x) unless a later one is there; returns those of all connectors of the EVSE."""
    key = {"device_id": device_id, "evse_id": evse_id, "connector_id": connector_id}
    await connection.execute(_PUT, {**key, "status": status, "at": at, "bound": CONNECTORS_MAX})
    rows = await (await connection.execute(_STATUSES, key)).fetchall()
    return [status for (status,) in rows]


async def known_status(connection: Connection, device_id: int, evse_id: int) -> str | None:
    """Return what is stored of the EVSE, in a word of 1.6; None where nothing is."""
    status = await fetch_value(connection, _KNOWN, {"device_id": device_id, "evse_id": evse_id})
    return None if status is None else str(status)
