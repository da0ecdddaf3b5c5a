"""What a charging station may say before it was accepted (OCPP 2.0.1 part 2, B02 and B03); one a link."""

from collections.abc import Mapping
from typing import Any

# Calls of ours, and what a station sends because of them.
_FOLLOWS: Mapping[str, str] = {
    "CustomerInformation": "NotifyCustomerInformation",
    "GetBaseReport": "NotifyReport",
    "GetChargingProfiles": "ReportChargingProfiles",
    "GetDisplayMessages": "NotifyDisplayMessages",
    "GetLog": "LogStatusNotification",
    "GetMonitoringReport": "NotifyMonitoringReport",
    "GetReport": "NotifyReport",
    "UpdateFirmware": "FirmwareStatusNotification",
}


class Registration:
    """A station that has not booted on this connection was accepted before (field note R14)."""

    __slots__ = ("_asked_for", "_status")

    def __init__(self) -> None:
        self._status = "Accepted"
        self._asked_for: frozenset[str] = frozenset()

    def answered(self, action: str, answer: Mapping[str, Any]) -> None:
        """Note the answer to a BootNotification; others say nothing here."""
        if action == "BootNotification":
            self._status = str(answer.get("status"))

    def asked(self, action: str, payload: Mapping[str, Any]) -> None:
        """Note a call of ours: what follows from it may be said (B02.FR.02)."""
        wanted = payload.get("requestedMessage") if action == "TriggerMessage" else _FOLLOWS.get(action)
        if isinstance(wanted, str):
            self._asked_for |= {wanted}

    def may_say(self, action: str) -> bool:
        """Whether a request is to be handled; any other gets SecurityError (B02.FR.09, B03.FR.07)."""
        if self._status == "Accepted" or action == "BootNotification":
            return True
        return self._status == "Pending" and action in self._asked_for
