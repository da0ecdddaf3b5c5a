"""What a simulated charger of 2.x knows of customers and shows them (part 2, N09, N10 and block O).

Used by `simulators.v2.commands`.
"""

from typing import TYPE_CHECKING

from protocols.timestamps import format_utc_ms
from simulators.answers import Answer, Request, accepted_if, pages, status
from simulators.charger_queue import Payload
from simulators.dialect import Message

if TYPE_CHECKING:
    from simulators.charger import ChargePoint

FORMATS = frozenset({"ASCII", "UTF8"})


def customer_information(charger: "ChargePoint", request: Request) -> Answer:
    """N09, N10: of a token it knows what the local list says, and forgets nothing else."""
    token = request.get("idToken", {}).get("idToken")
    has_customer = any(name in request for name in ("idToken", "customerIdentifier", "customerCertificate"))
    if not has_customer:
        return status("Invalid")

    def notify() -> None:
        known = None if token is None else charger.local_list.status(token)
        text = "" if known is None else f"local authorisation list: {known}"
        payload: Payload = {
            "data": text if request["report"] else "",
            "tbc": False,
            "seqNo": 0,
            "generatedAt": format_utc_ms(charger.wall_us),
            "requestId": request["requestId"],
        }
        charger.tell(Message("NotifyCustomerInformation", payload))
        if request["clear"] and token is not None:
            charger.local_list.forget(token)

    return status("Accepted", notify)


def set_display_message(charger: "ChargePoint", request: Request) -> Answer:
    """O01, O02 for a transaction, O06 instead of another."""
    message = request["message"]
    if message["message"]["format"] not in FORMATS:
        return status("NotSupportedMessageFormat")
    transaction_id = message.get("transactionId")
    if transaction_id is not None and charger.connector_of(transaction_id) is None:
        return status("UnknownTransaction")
    return accepted_if(charger.displays.put(message))


def get_display_messages(charger: "ChargePoint", request: Request) -> Answer:
    """O03, O04, and the NotifyDisplayMessages that follow."""
    ids = frozenset(request.get("id", ()))
    found = charger.displays.find(ids, request.get("priority"), request.get("state"))
    if not found:
        return status("Unknown")

    def notify() -> None:
        for _, some, has_more in pages(found):
            payload: Payload = {
                "messageInfo": list(some),
                "requestId": request["requestId"],
                "tbc": has_more,
            }
            charger.tell(Message("NotifyDisplayMessages", payload))

    return status("Accepted", notify)


def clear_display_message(charger: "ChargePoint", request: Request) -> Answer:
    """O05."""
    return accepted_if(charger.displays.remove(request["id"]), "Unknown")
