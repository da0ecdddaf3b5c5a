"""Transactions, remote control and the local list of a simulated charger of 2.x (part 2, blocks D to F).

Used by `simulators.v2.commands`.
"""

from typing import TYPE_CHECKING

from simulators.answers import Answer, Request, status
from simulators.charger_queue import IdToken
from simulators.connector import Wish
from simulators.local_list import entries_of

if TYPE_CHECKING:
    from simulators.charger import ChargePoint

NO_AUTHORIZATION = "NoAuthorization"


def request_start_transaction(charger: "ChargePoint", request: Request) -> Answer:
    """F01, F02. The id of the transaction comes with its Started, which names the request."""
    asks = charger.configuration.is_true("AuthorizeRemoteTxRequests")
    token = IdToken(request["idToken"]["idToken"], request["idToken"]["type"])
    wish = Wish(
        token,
        must_authorize=asks and token.kind != NO_AUTHORIZATION,
        remote_start_id=request["remoteStartId"],
        profile=request.get("chargingProfile"),
    )
    connector = charger.remote_start(wish, request.get("evseId"))
    return status("Rejected" if connector is None else "Accepted")


def request_stop_transaction(charger: "ChargePoint", request: Request) -> Answer:
    """F03."""
    connector = charger.connector_of(request["transactionId"])
    if connector is None:
        return status("Rejected")
    return status("Accepted", lambda: connector.stop("Remote"))


def get_transaction_status(charger: "ChargePoint", request: Request) -> Answer:
    """E14. Without an id it asks only for messages that wait, of any transaction."""
    transaction_id = request.get("transactionId")
    answer: dict[str, object] = {"messagesInQueue": charger.owes(transaction_id)}
    if transaction_id is not None:
        answer["ongoingIndicator"] = charger.connector_of(transaction_id) is not None
    return answer, None


def get_local_list_version(charger: "ChargePoint", _request: Request) -> Answer:
    """D02."""
    return {"versionNumber": charger.local_list.version}, None


def send_local_list(charger: "ChargePoint", request: Request) -> Answer:
    """D01."""
    entries = entries_of(request.get("localAuthorizationList", ()), "idToken", "idTokenInfo")
    is_full = request["updateType"] == "Full"
    return status(charger.local_list.update(request["versionNumber"], entries, is_full=is_full))
