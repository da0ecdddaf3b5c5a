"""StatusNotification (OCPP 1.6, section 4.9): a connector's status (0: the charger's own)."""

from ingest.ocpp.context import Context, Payload, integer
from protocols.ocpp.meter_values import CONNECTOR_ID_MAX
from protocols.timestamps import format_utc_ms
from storage.queries.chargers import set_connector_status


async def handle(context: Context, payload: Payload) -> Payload:
    """Keep the newest by arrival: a charger's own clock may be years off, and would then win for years."""
    connector_id = integer(payload, "connectorId", 0, CONNECTOR_ID_MAX)
    status, error_code = str(payload["status"]), str(payload["errorCode"])
    async with context.services.pool.connection() as connection:
        await set_connector_status(
            connection, context.device.id, connector_id, status, error_code, context.received_at
        )
    ts_us = context.device_time_us(payload)
    await context.record("status", payload, ts_us)
    at = format_utc_ms(context.received_at_us)
    facts = {"connector_id": connector_id, "status": status, "error_code": error_code, "at": at}
    await context.tell("charger-status", facts)
    return {}
