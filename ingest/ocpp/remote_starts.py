"""Whose the starts are that chargers of 2.x are asked for; used by `commands` and by TransactionEvent.

A charger says the number of such a start back (2.0.1 part 2, F01.FR.19). Some name no token with it, and the
session would be nobody's. In the database: the answer may come to another gateway than the one that asked.
"""

from collections.abc import Mapping
from typing import Any

from ingest.ocpp.context import Context, Services
from protocols.ocpp.transaction_event import NUMBER_MAX
from protocols.ocpp.transactions import TransactionEvent
from protocols.timestamps import to_datetime
from storage.database import Connection
from storage.queries.transactions import note_start, token_of_start


async def note(services: Services, device_id: int, request: Mapping[str, Any]) -> None:
    """Remember a RequestStartTransaction that is about to go out; committed on return."""
    number, at = request["remoteStartId"], to_datetime(services.config.clock())
    if not 0 <= number <= NUMBER_MAX:
        return  # an event with such a number is read as one without
    async with services.pool.connection() as connection:
        await note_start(connection, device_id, number, token=request["idToken"], at=at)


async def token_of(
    context: Context, connection: Connection, event: TransactionEvent
) -> dict[str, str] | None:
    """The IdTokenType of the start that the event follows; None if it names one itself, or none is known."""
    if event.id_token is not None or event.remote_start_id is None:
        return None
    return await token_of_start(connection, context.device.id, event.remote_start_id)
