"""EV-CMS messages: one OCPP frame as it was on the wire."""

from typing import Literal

from api.evcms.envelope import Out, Page, Time
from storage.queries.messages import VERSIONS, Direction, Message

DirectionName = Literal["fromCharger", "toCharger"]
TypeName = Literal["Unreadable", "Call", "CallResult", "CallError", "CallResultError", "Send"]

DIRECTIONS: dict[DirectionName, Direction] = {
    "fromCharger": Direction.FROM_CHARGER,
    "toCharger": Direction.TO_CHARGER,
}
_DIRECTION_NAMES = {direction: name for name, direction in DIRECTIONS.items()}
_TYPES: dict[int, TypeName] = {
    2: "Call",
    3: "CallResult",
    4: "CallError",
    5: "CallResultError",
    6: "Send",
}


class MessageOut(Out):
    """A frame. `connection` numbers the charger's sockets; `action` of an answer is that of its request.

    `frame` is the text as it was, passwords replaced; `cut_bytes` of it are left out at its end.
    """

    timestamp: Time
    connection: int
    direction: DirectionName
    version: str
    type: TypeName
    action: str | None
    message_id: str | None
    cut_bytes: int
    frame: str

    @classmethod
    def of(cls, message: Message) -> "MessageOut":
        """Show `message`."""
        return cls(
            timestamp=message.ts,
            connection=message.generation,
            direction=_DIRECTION_NAMES[Direction(message.direction)],
            version=VERSIONS[message.version].value,
            type=_TYPES.get(message.type, "Unreadable"),
            action=message.action,
            message_id=message.message_id,
            cut_bytes=message.cut_bytes,
            frame=message.frame,
        )


class MessagePage(Page[MessageOut]):
    """One page of frames, newest first."""

    messages: list[MessageOut]
