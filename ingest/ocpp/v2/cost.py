"""What a transaction costs, for the display of its charger (OCPP 2.0.1 part 2, I02 and I03)."""

import structlog

from protocols.ocpp.transactions import Progress, TransactionEvent
from storage.database import Connection
from storage.queries.sessions import Session
from stream.errors import StreamError
from stream.settlement import cost_so_far

log = structlog.get_logger()

MINOR_PER_MAJOR = 100
# The running cost is read off all samples of the session, which takes longer than all else that an event
# asks for: once in so long is enough for a display.
RUNNING_EVERY_US = 300_000_000


async def total_cost(
    connection: Connection, session: Session, event: TransactionEvent, known: Progress
) -> float | None:
    """The price with tax in whole currency units: at the end, and now and then with a new reading.

    None where there is nothing new to tell, or no price: that is settlement's business, not the charger's.
    """
    if session.ended_at is None and not is_due(event, known):
        return None
    try:
        minor = await cost_so_far(connection, session.id, event.at_us, session.meter_last_wh)
    except StreamError as error:
        log.info("ocpp_cost_unknown", session=session.id, error=str(error))
        return None
    return None if minor is None else minor / MINOR_PER_MAJOR


def is_due(event: TransactionEvent, known: Progress) -> bool:
    """Whether the running cost is to be told with this event; `known`: before it."""
    last_us = known.integer("meter_last", 1) or 0
    return bool(event.readings) and event.at_us // RUNNING_EVERY_US > last_us // RUNNING_EVERY_US
