"""Availability, reservations, unlocking and triggers of a simulated charger of 2.x (blocks F, G and H).

Used by `simulators.v2.commands`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from simulators.answers import Answer, Request, status, time_us
from simulators.connector import Reservation
from simulators.dialect_2 import CONNECTOR_ID
from simulators.statuses import Status

if TYPE_CHECKING:
    from simulators.charger import ChargePoint


def change_availability(charger: "ChargePoint", request: Request) -> Answer:
    """G03, G04: of one EVSE, or of all."""
    found = charger.chosen(request.get("evse", {}).get("id"))
    is_operative = request["operationalStatus"] == "Operative"
    answers = {connector.set_operative(is_operative=is_operative) for connector in found}
    return status("Scheduled" if "Scheduled" in answers else "Accepted" if found else "Rejected")


def unlock_connector(charger: "ChargePoint", request: Request) -> Answer:
    """F05: not while somebody charges who was authorised."""
    connector = charger.connectors.get(request["evseId"])
    if connector is None or request["connectorId"] != CONNECTOR_ID:
        return status("UnknownConnector")
    if connector.transaction is not None:
        return status("OngoingAuthorizedTransaction")
    return status(connector.unlock())


def reserve_now(charger: "ChargePoint", request: Request) -> Answer:
    """H01: of one EVSE, or of any that is free."""
    expires_us = time_us(request, "expiryDateTime")
    chosen = charger.chosen(request.get("evseId"))
    if expires_us is None or expires_us <= charger.timers.now_us or not chosen:
        return status("Rejected")
    tokens = {request[name]["idToken"] for name in ("idToken", "groupIdToken") if name in request}
    reservation = Reservation(request["id"], frozenset(tokens), expires_us)
    free = next((one for one in chosen if one.status is Status.AVAILABLE), chosen[0])
    return status(free.reserve(reservation))


def trigger_message(charger: "ChargePoint", request: Request) -> Answer:
    """F06. Whose BootNotification was accepted sends no other (F06.FR.17)."""
    wanted = request["requestedMessage"]
    number = request.get("evse", {}).get("id")
    if wanted not in _TRIGGERS:
        return status("NotImplemented")
    if number is not None and number not in {0, *charger.connectors}:
        return status("Rejected")
    if wanted == "BootNotification" and charger.has_booted:
        return status("Rejected")
    if wanted == "TransactionEvent" and not any(one.transaction for one in charger.chosen(number)):
        return status("Rejected")
    return status("Accepted", lambda: _TRIGGERS[wanted](charger, number))


def _say_transactions(charger: "ChargePoint", number: int | None) -> None:
    for connector in charger.chosen(number):
        if connector.transaction is not None:
            connector.sample("Trigger")


_TRIGGERS: Mapping[str, Callable[["ChargePoint", int | None], None]] = MappingProxyType(
    {
        "BootNotification": lambda charger, _: charger.boot("Triggered"),
        "FirmwareStatusNotification": lambda charger, _: charger.jobs.update.repeat(
            "FirmwareStatusNotification"
        ),
        "Heartbeat": lambda charger, _: charger.heartbeat(),
        "LogStatusNotification": lambda charger, _: charger.jobs.upload.repeat("LogStatusNotification"),
        "MeterValues": lambda charger, number: charger.say_values(number),
        "PublishFirmwareStatusNotification": lambda charger, _: charger.jobs.publication.repeat(
            "PublishFirmwareStatusNotification"
        ),
        "SignChargingStationCertificate": lambda charger, _: charger.sign_certificate(),
        "StatusNotification": lambda charger, number: charger.say_status(number),
        "TransactionEvent": _say_transactions,
    }
)
