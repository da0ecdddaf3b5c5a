"""ReservationStatusUpdate (OCPP 2.0.1 part 2, H04): the charger has ended a reservation."""

from ingest.ocpp.context import Context, Payload
from ingest.ocpp.variables import int4
from storage.queries.reservations import Ended, end_reservation


async def handle(context: Context, payload: Payload) -> Payload:
    """Note that it expired or was removed; also an event, for the charger may have one that is not ours."""
    reservation_id = int4(payload["reservationId"])
    ended: Ended = "expired" if payload["reservationUpdateStatus"] == "Expired" else "removed"
    if reservation_id is not None:
        async with context.services.pool.connection() as connection:
            await end_reservation(connection, context.device.id, reservation_id, ended, context.received_at)
    await context.record("reservation_status_update", payload, context.received_at_us)
    return {}
