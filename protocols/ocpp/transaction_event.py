"""A TransactionEvent request of OCPP 2.x (part 2, E) as the `TransactionEvent` that a `Progress` takes.

Used by the gateway. The payload kept its schema at least loosely: what it says beyond the vocabulary, or
in numbers that nobody can mean, is read as not said, so that no transaction is lost for a field.
"""

from collections.abc import Mapping
from typing import Any

from protocols.ocpp.meter_values import CONNECTOR_ID_MAX
from protocols.ocpp.meter_values_2 import Reading
from protocols.ocpp.storable import clipped
from protocols.ocpp.transactions import SEQ_NO_MAX, EventType, TransactionEvent

UID_CHARACTERS_MAX = 200
TOKEN_CHARACTERS_MAX = 255
WORD_CHARACTERS_MAX = 50
NUMBER_MAX = 2**63 - 1
NO_UID = "-"  # for a charger that leaves its id empty

_TYPES = {each.value.casefold(): each for each in EventType}


def transaction_uid(payload: Mapping[str, Any]) -> str:
    """The charger's own id of the transaction, never empty."""
    return clipped(str(payload["transactionInfo"]["transactionId"]), UID_CHARACTERS_MAX) or NO_UID


def read_event(
    payload: Mapping[str, Any], *, at_us: int, received_at_us: int, readings: tuple[Reading, ...]
) -> TransactionEvent:
    """The event; `at_us` is its timestamp, or when it came if that is not legible."""
    info = payload["transactionInfo"]
    evse, token = payload.get("evse") or {}, payload.get("idToken") or {}
    return TransactionEvent(
        type=_TYPES.get(str(payload["eventType"]).casefold(), EventType.UPDATED),
        seq_no=_number(payload["seqNo"], SEQ_NO_MAX) or 0,
        at_us=at_us,
        received_at_us=received_at_us,
        is_offline=payload.get("offline") is True,
        charging_state=_word(info.get("chargingState")),
        stopped_reason=_word(info.get("stoppedReason")),
        remote_start_id=_number(info.get("remoteStartId"), NUMBER_MAX),
        reservation_id=_number(payload.get("reservationId"), NUMBER_MAX),
        evse_id=_number(evse.get("id"), CONNECTOR_ID_MAX),
        connector_id=_number(evse.get("connectorId"), CONNECTOR_ID_MAX),
        id_token=clipped(token["idToken"], TOKEN_CHARACTERS_MAX) if token else None,
        id_token_type=_word(token.get("type")),
        readings=readings,
    )


def _number(value: object, high: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= high else None


def _word(value: object) -> str | None:
    return clipped(value, WORD_CHARACTERS_MAX) if isinstance(value, str) else None
