"""StatusNotification (OCPP 2.0.1 part 2, G01), and the same told by NotifyEvent: a connector's status."""

from ingest.ocpp.context import Context, Payload, integer
from protocols.ocpp.connector_status import evse_status, is_status
from protocols.ocpp.meter_values import CONNECTOR_ID_MAX
from protocols.timestamps import format_utc_ms
from storage.queries.chargers import set_connector_status
from storage.queries.evses import known_status, put_evse_connector

# 2.x tells of faults by NotifyEvent; 1.6's error code has a word for that.
_FAULT, _NO_FAULT = "OtherError", "NoError"


async def handle(context: Context, payload: Payload) -> Payload:
    """Keep the newest by arrival, for the connector and for its EVSE."""
    evse_id = integer(payload, "evseId", 0, CONNECTOR_ID_MAX)
    connector_id = integer(payload, "connectorId", 0, CONNECTOR_ID_MAX)
    await keep_status(context, evse_id, connector_id, str(payload["connectorStatus"]))
    await context.record("status", payload, context.device_time_us(payload))
    return {}


async def keep_status(context: Context, evse_id: int, connector_id: int, status: str) -> None:
    """Store a ConnectorStatusEnumType and what the EVSE is by it."""
    word = status if is_status(status) else "Unavailable"
    device_id, at = context.device.id, context.received_at
    async with context.services.pool.connection() as connection:
        connectors = await put_evse_connector(connection, device_id, evse_id, connector_id, word, at)
        evse = evse_status(connectors, await known_status(connection, device_id, evse_id))
        error_code = _FAULT if evse == "Faulted" else _NO_FAULT
        await set_connector_status(connection, device_id, evse_id, evse, error_code, at)
    await tell_status(context, evse_id, evse, error_code)


async def tell_status(context: Context, evse_id: int, status: str, error_code: str = _NO_FAULT) -> None:
    """Publish the live event, as in 1.6."""
    at = format_utc_ms(context.received_at_us)
    facts = {"connector_id": evse_id, "status": status, "error_code": error_code, "at": at}
    await context.tell("charger-status", facts)
