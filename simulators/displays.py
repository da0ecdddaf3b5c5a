"""The messages that a simulated charger of 2.x shows (OCPP 2.0.1 part 2, block O).

Used by the commands of 2.x.
"""

from collections.abc import Collection, Mapping
from typing import Any

MESSAGES_MAX = 50


class Displays:
    """Messages by id, as they came (MessageInfoType)."""

    def __init__(self) -> None:
        self._messages: dict[int, Mapping[str, Any]] = {}

    def put(self, message: Mapping[str, Any]) -> bool:
        """Show it, instead of one of the same id; whether there was room."""
        if len(self._messages) >= MESSAGES_MAX and message["id"] not in self._messages:
            return False
        self._messages[message["id"]] = message
        return True

    def remove(self, message_id: int) -> bool:
        """Whether it was there."""
        return self._messages.pop(message_id, None) is not None

    def find(self, ids: Collection[int], priority: str | None, state: str | None) -> list[Mapping[str, Any]]:
        """Those of these ids (none is all), of that priority and for that state."""
        return [
            message
            for _, message in sorted(self._messages.items())
            if (not ids or message["id"] in ids)
            and priority in {None, message["priority"]}
            and state in {None, message.get("state")}
        ]
