"""NotifyEvent (OCPP 2.0.1 part 2, N07): what monitors saw, and in 2.1 the status of connectors (G01)."""

import asyncio
from typing import Any

from ingest.ocpp.context import Context, Payload
from ingest.ocpp.v2.status_notification import keep_status
from ingest.ocpp.variables import variable_name
from protocols.ocpp.connector_status import is_status
from protocols.ocpp.meter_values import CONNECTOR_ID_MAX
from protocols.ocpp.storable import storable


async def handle(context: Context, payload: Payload) -> Payload:
    """One device event for each, at its own time; an availability is kept as a status besides."""
    data: Any = payload["eventData"]
    for each in data:
        await _keep_availability(context, each)
    await asyncio.gather(
        *(context.record("notify_event", storable(each), context.device_time_us(each)) for each in data)
    )
    for each in data:
        facts = {
            name: each.get(name) for name in ("component", "variable", "actualValue", "trigger", "cleared")
        }
        await context.tell("charger-event", storable(facts))
    return {}


async def _keep_availability(context: Context, event: Any) -> None:
    name = variable_name(event)
    if (name.component.lower(), name.variable.lower()) != ("connector", "availabilitystate"):
        return
    is_connector = 0 < name.evse_id <= CONNECTOR_ID_MAX and 0 <= name.connector_id <= CONNECTOR_ID_MAX
    if is_connector and is_status(event["actualValue"]):
        await keep_status(context, name.evse_id, name.connector_id, event["actualValue"])
