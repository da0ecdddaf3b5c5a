"""GetTransactionStatus (OCPP 2.0.1 part 2, E14): whether more of a transaction is to come."""

from ingest.ocpp.context import Context
from ingest.ocpp.results.recording import Fields, record
from protocols.ocpp.transaction_event import transaction_uid
from storage.queries.outbox import enqueue
from storage.queries.transactions import lock_transaction, save_progress


async def get_transaction_status(context: Context, request: Fields, answer: Fields) -> None:
    """Rate an ended session that waits for missing events as soon as its charger has none of them."""
    if "transactionId" in request and not answer["messagesInQueue"]:
        await _rate(context, transaction_uid({"transactionInfo": request}))
    await record(context, "GetTransactionStatus", request, answer)


async def _rate(context: Context, uid: str) -> None:
    async with context.services.pool.connection() as connection:
        found = await lock_transaction(connection, context.device.id, uid)
        if found is not None and found.rating == "waiting":
            await enqueue(connection, "rate_session", {"session_id": found.session_id})
            await save_progress(
                connection, found.session_id, found.progress, rating="due", at=context.received_at
            )
