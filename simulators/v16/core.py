"""Core, local list, reservation and triggers of a simulated charger of OCPP 1.6 (section 5).

Used by `simulators.v16.commands`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from simulators.answers import Answer, Request, accepted_if, status, time_us
from simulators.charger_queue import IdToken
from simulators.charger_settings import PASSWORD_KEY, VENDOR
from simulators.connector import Reservation, Wish
from simulators.local_list import entries_of
from simulators.statuses import Status

if TYPE_CHECKING:
    from simulators.charger import ChargePoint

Trigger = Callable[["ChargePoint", int | None], None]


def remote_start_transaction(charger: "ChargePoint", request: Request) -> Answer:
    """Section 5.11."""
    must_authorize = charger.configuration.is_true("AuthorizeRemoteTxRequests")
    profile = request.get("chargingProfile")
    wish = Wish(IdToken(request["idTag"]), must_authorize=must_authorize, profile=profile)
    return accepted_if(charger.remote_start(wish, request.get("connectorId")) is not None)


def remote_stop_transaction(charger: "ChargePoint", request: Request) -> Answer:
    """Section 5.12."""
    connector = charger.connector_of(request["transactionId"])
    if connector is None:
        return status("Rejected")
    return status("Accepted", lambda: connector.stop("Remote"))


def reset(charger: "ChargePoint", request: Request) -> Answer:
    """Section 5.14."""
    return status("Accepted", lambda: charger.reset(request["type"]))


def unlock_connector(charger: "ChargePoint", request: Request) -> Answer:
    """Section 5.18."""
    connector = charger.connectors.get(request["connectorId"])
    return status("NotSupported" if connector is None else connector.unlock())


def change_availability(charger: "ChargePoint", request: Request) -> Answer:
    """Section 5.2."""
    number = request["connectorId"]
    found = [connector for n, connector in charger.connectors.items() if number in {0, n}]
    answers = {one.set_operative(is_operative=request["type"] == "Operative") for one in found}
    return status("Scheduled" if "Scheduled" in answers else "Accepted" if found else "Rejected")


def get_configuration(charger: "ChargePoint", request: Request) -> Answer:
    """Section 5.8."""
    return charger.configuration.report(request.get("key", ())), None


def change_configuration(charger: "ChargePoint", request: Request) -> Answer:
    """Section 5.3. A new password holds from the next connection, which is made at once."""
    answer = charger.configuration.change(request["key"], request["value"])
    follows = charger.reconnect if request["key"] == PASSWORD_KEY else charger.configuration_changed
    return status(answer, follows if answer == "Accepted" else None)


def clear_cache(_charger: "ChargePoint", _request: Request) -> Answer:
    """Section 5.4: there is no cache."""
    return status("Accepted")


def data_transfer(_charger: "ChargePoint", request: Request) -> Answer:
    """Section 5.6: the only message of ours is an echo."""
    if request["vendorId"] != VENDOR:
        return status("UnknownVendorId")
    if request.get("messageId") != "Echo":
        return status("UnknownMessageId")
    return {"status": "Accepted", **({"data": request["data"]} if "data" in request else {})}, None


def get_local_list_version(charger: "ChargePoint", _request: Request) -> Answer:
    """Section 5.10."""
    return {"listVersion": charger.local_list.version}, None


def send_local_list(charger: "ChargePoint", request: Request) -> Answer:
    """Section 5.15."""
    entries = entries_of(request.get("localAuthorizationList", ()), "idTag", "idTagInfo")
    is_full = request["updateType"] == "Full"
    return status(charger.local_list.update(request["listVersion"], entries, is_full=is_full))


def reserve_now(charger: "ChargePoint", request: Request) -> Answer:
    """Section 5.13. Connector 0 is any that is free."""
    expires_us = time_us(request, "expiryDate")
    chosen = charger.chosen(request["connectorId"])
    if expires_us is None or expires_us <= charger.timers.now_us or not chosen:
        return status("Rejected")
    tokens = {request[name] for name in ("idTag", "parentIdTag") if name in request}
    reservation = Reservation(request["reservationId"], frozenset(tokens), expires_us)
    free = next((one for one in chosen if one.status is Status.AVAILABLE), chosen[0])
    return status(free.reserve(reservation))


def cancel_reservation(charger: "ChargePoint", request: Request) -> Answer:
    """Section 5.1, and H02 of 2.x."""
    for connector in charger.connectors.values():
        kept = connector.reservation
        if kept is not None and kept.reservation_id == request["reservationId"]:
            connector.release(None)
            return status("Accepted")
    return status("Rejected")


def trigger_message(charger: "ChargePoint", request: Request) -> Answer:
    """Section 5.17."""
    return _obey_trigger(charger, request, _TRIGGERS)


def extended_trigger_message(charger: "ChargePoint", request: Request) -> Answer:
    """Whitepaper section 4.3: what it triggers of firmware are the signed statuses."""
    return _obey_trigger(charger, request, _EXTENDED_TRIGGERS)


def _obey_trigger(charger: "ChargePoint", request: Request, triggers: Mapping[str, Trigger]) -> Answer:
    trigger = triggers.get(request["requestedMessage"])
    if trigger is None:
        return status("NotImplemented")
    number = request.get("connectorId")
    if number is not None and number not in {0, *charger.connectors}:
        return status("Rejected")
    return status("Accepted", lambda: trigger(charger, number))


_TRIGGERS: Mapping[str, Trigger] = MappingProxyType(
    {
        "BootNotification": lambda charger, _: charger.boot("Triggered"),
        "DiagnosticsStatusNotification": lambda charger, _: charger.jobs.upload.repeat(
            "DiagnosticsStatusNotification"
        ),
        "FirmwareStatusNotification": lambda charger, _: charger.jobs.update.repeat(
            "FirmwareStatusNotification"
        ),
        "Heartbeat": lambda charger, _: charger.heartbeat(),
        "MeterValues": lambda charger, number: charger.say_values(number),
        "StatusNotification": lambda charger, number: charger.say_status(number),
    }
)
_EXTENDED_TRIGGERS: Mapping[str, Trigger] = MappingProxyType(
    {
        **_TRIGGERS,
        "FirmwareStatusNotification": lambda charger, _: charger.jobs.update.repeat(
            "SignedFirmwareStatusNotification"
        ),
        "LogStatusNotification": lambda charger, _: charger.jobs.upload.repeat("LogStatusNotification"),
        "SignChargePointCertificate": lambda charger, _: charger.sign_certificate(),
    }
)
