"""StartTransaction (OCPP 1.6, section 4.8): a session begins, durably, before the charger hears of it."""

from ingest.ocpp.context import INT8_MAX, Context, Payload, integer
from ingest.ocpp.v16.authorize import judge
from ingest.ocpp.variables import int4
from protocols.ocpp.meter_values import CONNECTOR_ID_MAX
from protocols.timestamps import format_utc_ms, from_datetime, to_datetime
from storage.queries.reservations import end_reservation
from storage.queries.sessions import Session, start_session
from stream.records import fix_price
from stream.session_news import announce_start

# What a charger in quarantine gets for an id: no session of ours has it.
NO_TRANSACTION = 0


async def handle(context: Context, payload: Payload) -> Payload:
    """Keep it whatever the token: the charger may have delivered energy already (section 4.8, note).

    A repeat gets the transaction id of the first. A charger in quarantine gets Invalid and no session.
    """
    connector_id = integer(payload, "connectorId", 1, CONNECTOR_ID_MAX)
    meter_start_wh = integer(payload, "meterStart", -INT8_MAX, INT8_MAX)
    if not context.is_active:
        await context.record("start_refused", payload, context.device_time_us(payload))
        return {"idTagInfo": {"status": "Invalid"}, "transactionId": NO_TRANSACTION}
    id_tag = str(payload["idTag"])
    async with context.services.pool.connection() as connection:
        user_id, info = await judge(context, connection, id_tag)
        session, is_new = await start_session(
            connection,
            device_id=context.device.id,
            connector_id=connector_id,
            id_tag=id_tag,
            user_id=user_id,
            vehicle_id=None,
            started_at=to_datetime(context.device_time_us(payload)),
            received_at=context.received_at,
            meter_start_wh=meter_start_wh,
        )
        reservation_id = int4(payload.get("reservationId"))
        if is_new:
            await fix_price(connection, session)
            await announce_start(connection, session)
        if reservation_id is not None:
            await end_reservation(connection, context.device.id, reservation_id, "used", context.received_at)
    if is_new:
        await context.tell("session-started", session_facts(session))
    return {"idTagInfo": info, "transactionId": session.transaction_id}


def session_facts(session: Session) -> Payload:
    """What the live event `session-started` tells, in all versions."""
    return {
        "session_id": session.id,
        "user_id": session.user_id,
        "connector_id": session.connector_id,
        "transaction_id": session.transaction_id,
        "started_at": format_utc_ms(from_datetime(session.started_at)),
        "meter_start_wh": session.meter_start_wh,
    }
