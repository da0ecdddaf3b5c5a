"""The form of a result's handler, and answers as device events; used by all of `ingest.ocpp.results`."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ingest.ocpp.context import Context, Payload
from protocols.ocpp.storable import shown

ResultHandler = Callable[[Context, Payload, Payload], Awaitable[None]]
Fields = Mapping[str, Any]
KIND = "call_answered"
ACCEPTED = "Accepted"


async def record(context: Context, action: str, request: Fields, answer: Fields) -> None:
    """Keep the answer, with the request less its secrets, as a device event."""
    detail = {"action": action, "request": shown(request), "answer": shown(answer)}
    await context.record(KIND, detail, context.received_at_us)


def recorded(action: str) -> ResultHandler:
    """The handler of an action whose answer is an event and nothing else."""

    async def handle(context: Context, request: Payload, answer: Payload) -> None:
        await record(context, action, request, answer)

    return handle
