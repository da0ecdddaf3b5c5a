"""Heartbeat (OCPP 1.6, section 4.6): the time. Signs of life are written in batches by the server."""

from ingest.ocpp.context import Context, Payload
from protocols.timestamps import format_utc_ms


async def handle(context: Context, _payload: Payload) -> Payload:
    """Answer without the database: a charger keeps its clock even while that is away."""
    return {"currentTime": format_utc_ms(context.services.config.clock())}
