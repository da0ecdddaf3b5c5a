"""SetDisplayMessage and ClearDisplayMessage (OCPP 2.0.1 part 2, O01 and O05)."""

from ingest.ocpp.context import Context
from ingest.ocpp.results.recording import ACCEPTED, Fields, record
from ingest.ocpp.variables import int4
from storage.queries.display_messages import DisplayMessage, put_message, remove_message


async def set_display_message(context: Context, request: Fields, answer: Fields) -> None:
    """Keep a message that the charger took."""
    message = message_of(request["message"])
    if answer["status"] != ACCEPTED or message is None:
        await record(context, "SetDisplayMessage", request, answer)
        return
    async with context.services.pool.connection() as connection:
        await put_message(connection, context.device.id, message, context.received_at)


async def clear_display_message(context: Context, request: Fields, answer: Fields) -> None:
    """Forget the message: cleared, or (Unknown) not there; Rejected (2.1) keeps it."""
    message_id, is_removed = int4(request["id"]), False
    if message_id is not None and answer["status"] in {ACCEPTED, "Unknown"}:
        async with context.services.pool.connection() as connection:
            is_removed = await remove_message(connection, context.device.id, message_id)
    if answer["status"] != ACCEPTED or not is_removed:
        await record(context, "ClearDisplayMessage", request, answer)


def message_of(data: Fields) -> DisplayMessage | None:
    """A MessageInfoType as a row; None if its id does not fit one. Also for NotifyDisplayMessages."""
    message_id = int4(data["id"])
    if message_id is None:
        return None
    return DisplayMessage(
        message_id, data["priority"], data.get("state"), data.get("transactionId"), message=data
    )
