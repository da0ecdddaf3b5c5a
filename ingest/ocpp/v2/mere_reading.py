"""A TransactionEvent that says no more than a newer register reading, in one statement; most are such.

What this gateway remembers of the transaction is compared with what the database has, in the statement that
keeps the event: with another gateway, a rule or a rating in between they differ, nothing is changed, and the
event goes the long way of `transaction_event`.
"""

from dataclasses import replace

from ingest.ocpp.context import Context
from ingest.ocpp.under_way import Known
from ingest.ocpp.v2.cost import is_due
from protocols.ocpp.transactions import EventType, Progress, TransactionEvent
from storage.database import one_statement
from storage.queries.transactions import read_on


async def read_further(context: Context, uid: str, event: TransactionEvent) -> Known | None:
    """Keep an event that is a mere reading, committed on return; None for any other: nothing is changed."""
    memory, device_id = context.services.under_way, context.device.id
    known = memory.take(device_id, uid)
    if known is None or not _is_plain(event, known.progress) or is_due(event, known.progress):
        return None
    progress = known.progress.take(event)
    if not progress.only_reads_on_from(known.progress):
        return None
    async with one_statement(context.services.pool) as connection:
        is_kept = await read_on(
            connection,
            device_id,
            uid,
            known.session_id,
            known=known.progress,
            progress=progress,
            at=context.received_at,
        )
    if not is_kept:
        return None
    now_known = replace(known, progress=progress)
    memory.keep(device_id, uid, now_known)
    return now_known


def _is_plain(event: TransactionEvent, known: Progress) -> bool:
    """Whether it asks for nothing but to be kept: no token to judge, no reservation to end, no new state.

    The number of a remote start stands for its token; the first token counts, so a later one is no news.
    """
    token = known.facts.get("token")
    is_driver_known = event.remote_start_id is None or (token is not None and token.seq_no < event.seq_no)
    asks_nothing = event.id_token is None and event.reservation_id is None and is_driver_known
    is_same_state = event.charging_state in (None, known.text("charging_state"))
    return event.type is EventType.UPDATED and asks_nothing and is_same_state
