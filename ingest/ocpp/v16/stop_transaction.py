"""StopTransaction (OCPP 1.6, section 4.10): a session ends, its rating in the outbox, then the answer."""

from ingest.ocpp.context import INT8_MAX, Context, Payload, integer
from ingest.ocpp.v16.authorize import judge
from ingest.ocpp.v16.meter_values import store
from protocols.ocpp.meter_values import decode_sampled
from protocols.timestamps import to_datetime
from storage.database import Connection
from storage.queries.outbox import enqueue
from storage.queries.sessions import Session, active_sessions, stop_session


async def handle(context: Context, payload: Payload) -> Payload:
    """Always acknowledged: a charger repeats a refused stop for ever and gets nothing else done.

    A stop of a transaction that is not ours is kept as a device event.
    """
    info: Payload | None = None
    async with context.services.pool.connection() as connection:
        session, is_new = await _stop(context, connection, payload)
        if session is not None and is_new:
            await enqueue(connection, "rate_session", {"session_id": session.id})
        if "idTag" in payload:
            _, info = await judge(context, connection, str(payload["idTag"]))
    if session is None:
        await context.record("stop_of_unknown_transaction", payload, context.device_time_us(payload))
    if payload.get("transactionData"):
        connector_id = 0 if session is None else session.connector_id
        transaction_id = payload["transactionId"] if session is None else session.transaction_id
        data = decode_sampled(payload["transactionData"], connector_id, transaction_id, "transactionData")
        await store(context, data)
    return {} if info is None else {"idTagInfo": info}


async def _stop(context: Context, connection: Connection, payload: Payload) -> tuple[Session | None, bool]:
    transaction_id = integer(payload, "transactionId", -INT8_MAX, 2 * INT8_MAX)
    if transaction_id <= 0:
        transaction_id = await _only_open(context, connection, payload.get("idTag"))
    reason = payload.get("reason")
    return await stop_session(
        connection,
        device_id=context.device.id,
        transaction_id=min(transaction_id, INT8_MAX),
        ended_at=to_datetime(context.device_time_us(payload)),
        received_at=context.received_at,
        meter_stop_wh=integer(payload, "meterStop", -INT8_MAX, INT8_MAX),
        reason=None if reason is None else str(reason)[:50],
    )


async def _only_open(context: Context, connection: Connection, id_tag: object) -> int:
    """The id of the one open session with this token; 0 where none or several could be meant.

    Some chargers that began a transaction offline end it with -1 or 0, having missed our id for it.
    """
    is_meant = [
        session.transaction_id
        for session in await active_sessions(connection, context.device.id)
        if isinstance(id_tag, str) and session.id_tag.lower() == id_tag.lower()
    ]
    return is_meant[0] if len(is_meant) == 1 else 0
