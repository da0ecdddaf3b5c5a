"""StopTransaction (OCPP 1.6, section 4.10): a session ends, its rating in the outbox, then the answer."""

from ingest.ocpp.context import INT8_MAX, Context, Payload, integer
from ingest.ocpp.v16.authorize import judge
from ingest.ocpp.v16.late_stop import adopt
from ingest.ocpp.v16.meter_values import keep_signed, store
from protocols.ocpp.meter_values import decode_sampled
from protocols.timestamps import to_datetime
from storage.database import Connection
from storage.queries.charging_profiles import end_transaction_profiles
from storage.queries.outbox import enqueue
from storage.queries.sessions import Session, active_sessions, stop_session
from stream.reconciliation import Stop, late_stop


async def handle(context: Context, payload: Payload) -> Payload:
    """Always acknowledged: a charger repeats a refused stop for ever and gets nothing else done.

    A stop of a transaction that is not ours makes a session if it tells all of one; else it is kept as a
    device event.
    """
    info: Payload | None = None
    async with context.services.pool.connection() as connection:
        session, is_new = await _stop(context, connection, payload)
        if session is not None and is_new:
            await enqueue(connection, "rate_session", {"session_id": session.id})
            await end_transaction_profiles(
                connection,
                context.device.id,
                transaction_id=str(session.transaction_id),
                evse_id=session.connector_id,
            )
        if "idTag" in payload:
            _, info = await judge(context, connection, str(payload["idTag"]))
    if session is None:
        await context.record("stop_of_unknown_transaction", payload, context.device_time_us(payload))
    if payload.get("transactionData"):
        connector_id = 0 if session is None else session.connector_id
        transaction_id = payload["transactionId"] if session is None else session.transaction_id
        data = decode_sampled(payload["transactionData"], connector_id, transaction_id, "transactionData")
        await store(context, data)
        if data.refused:
            about = {"connectorId": connector_id, "transactionId": transaction_id}
            await keep_signed(context, payload["transactionData"], about)
    return {} if info is None else {"idTagInfo": info}


async def _stop(context: Context, connection: Connection, payload: Payload) -> tuple[Session | None, bool]:
    """The session that this ends, None where it is nobody's, and whether it was open until now."""
    transaction_id = integer(payload, "transactionId", -INT8_MAX, 2 * INT8_MAX)
    stop = Stop(
        ended_at=to_datetime(context.device_time_us(payload)),
        received_at=context.received_at,
        meter_stop_wh=integer(payload, "meterStop", -INT8_MAX, INT8_MAX),
        # left out, it is Local (OCPP 1.6 section 6.49)
        reason=str(payload.get("reason", "Local"))[:50],
    )
    session, is_new = await _end(context, connection, min(transaction_id, INT8_MAX), stop)
    if session is None:
        meant = await _only_open(context, connection, payload.get("idTag"), stop, is_ours=transaction_id <= 0)
        session, is_new = await _end(context, connection, meant, stop)
    if session is None:
        return await adopt(context, connection, payload, stop), False
    if not is_new:
        await late_stop(connection, session.id, stop)
    return session, is_new


async def _end(
    context: Context, connection: Connection, transaction_id: int, stop: Stop
) -> tuple[Session | None, bool]:
    if transaction_id <= 0:
        return None, False
    return await stop_session(
        connection,
        device_id=context.device.id,
        transaction_id=transaction_id,
        ended_at=stop.ended_at,
        received_at=stop.received_at,
        meter_stop_wh=stop.meter_stop_wh,
        reason=stop.reason,
    )


async def _only_open(
    context: Context, connection: Connection, id_tag: object, stop: Stop, *, is_ours: bool
) -> int:
    """The id of the one open session with this token; 0 where none or several could be meant.

    Some chargers that began a transaction offline end it with -1 or 0, having missed our id for it
    (`is_ours`), others with an id that they made up: then start and stop must fit together as well.
    """
    is_meant = [
        session.transaction_id
        for session in await active_sessions(connection, context.device.id)
        if isinstance(id_tag, str) and session.id_tag.lower() == id_tag.lower()
        if is_ours or (session.started_at <= stop.ended_at and session.meter_start_wh <= stop.meter_stop_wh)
    ]
    return is_meant[0] if len(is_meant) == 1 else 0
