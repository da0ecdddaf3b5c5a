"""Whose the starts are that chargers of 2.x are asked for; used by `commands` and by TransactionEvent.

A charger says the number of such a start back (2.0.1 part 2, F01.FR.19). Some name no token with it, and the
session would be nobody's. In memory: after a restart it is as if the charger had told too little.
"""

from collections.abc import Mapping
from typing import Any

STARTS_MAX = 10_000  # of all chargers; beyond them the oldest is forgotten


class RemoteStarts:
    """The tokens of the latest starts, by charger and number."""

    def __init__(self) -> None:
        self._tokens: dict[tuple[int, object], object] = {}

    def note(self, device_id: int, request: Mapping[str, Any]) -> None:
        """Remember a RequestStartTransaction that is about to go out."""
        key = (device_id, request["remoteStartId"])
        self._tokens.pop(key, None)
        self._tokens[key] = request["idToken"]
        if len(self._tokens) > STARTS_MAX:
            del self._tokens[next(iter(self._tokens))]

    def named(self, device_id: int, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """A TransactionEvent as it came, or with the token of the start that it follows."""
        number = event["transactionInfo"].get("remoteStartId")
        if not isinstance(number, int) or event.get("idToken"):
            return event
        token = self._tokens.get((device_id, number))
        return event if token is None else {**event, "idToken": token}
