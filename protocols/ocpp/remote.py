"""What an operator means, in the words of a charger's version; used by the API.

An intent is written as a call of OCPP 1.6, which is what the API's contract speaks. A 1.6 charger gets it as
it is; for 2.x each has its counterpart here. A connector of our API is an EVSE of 2.x with its connector 1;
connector 0 is the whole station (1.6 section 4.9).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from protocols.ocpp.surface import Version

Payload = Mapping[str, object]

NUMBER_MAX = 2**31 - 1
# What a token is that this system made itself (OCPP 2.0.1 part 2, IdTokenEnumType).
_OWN_TOKEN = "Central"  # noqa: S105 - a kind of token


class IntentError(ValueError):
    """An intent that has no counterpart in the charger's version; the message names the field."""


@dataclass(frozen=True, slots=True)
class Order:
    """A call as it goes to the charger."""

    action: str
    payload: dict[str, object]


def order(version: Version, action: str, payload: Payload, number: int) -> Order:
    """Translate a call of 1.6 for a charger of `version`. `number` is a fresh one, for
    `remoteStartId` or `requestId`, at most `NUMBER_MAX`.

    Raises `IntentError`. What the payload lacks is left to the schema of the version to find.
    """
    translate = _TO_2.get(action) if version.is_2 else None
    if translate is None:
        return Order(action, dict(payload))
    return translate(payload, number)


def start(version: Version, connector_id: int, id_token: str, number: int) -> Order:
    """Start a transaction (1.6 section 5.11; 2.0.1 part 2, F01 and F02)."""
    intent = {"connectorId": connector_id, "idTag": id_token}
    return order(version, "RemoteStartTransaction", intent, number)


def stop(version: Version, transaction_id: int | str) -> Order:
    """Stop a transaction by the id that the charger knows (1.6 section 5.12; 2.0.1 part 2, F03)."""
    return order(version, "RemoteStopTransaction", {"transactionId": transaction_id}, 0)


def reserve(
    version: Version,
    connector_id: int,
    id_token: str,
    number: int,
    expires_at: str,
    *,
    group: str | None = None,
) -> Order:
    """Hold a connector for a token, and others of its group, until an RFC 3339 date-time.

    1.6 section 5.13; 2.0.1 part 2, H01.
    """
    intent = {
        "connectorId": connector_id,
        "expiryDate": expires_at,
        "idTag": id_token,
        "reservationId": number,
    }
    if group is not None:
        intent["parentIdTag"] = group
    return order(version, "ReserveNow", intent, number)


def _start(payload: Payload, number: int) -> Order:
    call: dict[str, object] = {
        "idToken": {"idToken": payload.get("idTag"), "type": _OWN_TOKEN},
        "remoteStartId": number,
    }
    if payload.get("connectorId"):
        call["evseId"] = payload["connectorId"]
    if "chargingProfile" in payload:
        raise IntentError(
            "chargingProfile: its form differs in OCPP 2.x, send RequestStartTransaction itself"
        )
    return Order("RequestStartTransaction", call)


def _stop(payload: Payload, _number: int) -> Order:
    return Order("RequestStopTransaction", {"transactionId": str(payload.get("transactionId"))})


def _reserve(payload: Payload, _number: int) -> Order:
    call: dict[str, object] = {
        "id": payload.get("reservationId"),
        "expiryDateTime": payload.get("expiryDate"),
        "idToken": {"idToken": payload.get("idTag"), "type": _OWN_TOKEN},
    }
    if payload.get("connectorId"):
        call["evseId"] = payload["connectorId"]
    if "parentIdTag" in payload:
        call["groupIdToken"] = {"idToken": payload["parentIdTag"], "type": _OWN_TOKEN}
    return Order("ReserveNow", call)


_RESETS = {"Soft": "OnIdle", "Hard": "Immediate"}


def _reset(payload: Payload, _number: int) -> Order:
    """2.0.1 part 2, B11 and B12: OnIdle waits for transactions to end, Immediate ends them."""
    return Order("Reset", {"type": _RESETS.get(str(payload.get("type")), payload.get("type"))})


def _unlock(payload: Payload, _number: int) -> Order:
    return Order("UnlockConnector", {"evseId": payload.get("connectorId"), "connectorId": 1})


def _availability(payload: Payload, _number: int) -> Order:
    """2.0.1 part 2, G03 and G04: without an EVSE the whole station is meant."""
    return Order("ChangeAvailability", {"operationalStatus": payload.get("type"), **_evse(payload)})


def _evse(payload: Payload) -> dict[str, object]:
    connector_id = payload.get("connectorId")
    return {"evse": {"id": connector_id}} if connector_id else {}


_TRIGGERS = {
    "DiagnosticsStatusNotification": "LogStatusNotification",
    "SignChargePointCertificate": "SignChargingStationCertificate",
}


def _trigger(payload: Payload, _number: int) -> Order:
    """2.0.1 part 2, F06: a StatusNotification is asked of a connector, all else of an EVSE or the station."""
    message = str(payload.get("requestedMessage"))
    where = _evse(payload)
    if message == "StatusNotification" and where:
        where = {"evse": {"id": payload["connectorId"], "connectorId": 1}}
    return Order("TriggerMessage", {"requestedMessage": _TRIGGERS.get(message, message), **where})


# Configuration keys of 1.6 (section 9, and the security whitepaper) as component, variable and the variable's
# instance of 2.x (2.0.1 part 2, "Referenced Components and Variables").
VARIABLES: Mapping[str, tuple[str, str, str | None]] = MappingProxyType(
    {
        key.lower(): (component, variable, instance)
        for key, component, variable, instance in (
            ("AllowOfflineTxForUnknownId", "AuthCtrlr", "OfflineTxForUnknownIdEnabled", None),
            ("AuthorizationCacheEnabled", "AuthCacheCtrlr", "Enabled", None),
            ("AuthorizationKey", "SecurityCtrlr", "BasicAuthPassword", None),
            ("AuthorizeRemoteTxRequests", "AuthCtrlr", "AuthorizeRemoteStart", None),
            ("ChargingScheduleMaxPeriods", "SmartChargingCtrlr", "PeriodsPerSchedule", None),
            ("ClockAlignedDataInterval", "AlignedDataCtrlr", "Interval", None),
            ("ConnectionTimeOut", "TxCtrlr", "EVConnectionTimeOut", None),
            ("CpoName", "SecurityCtrlr", "OrganizationName", None),
            ("HeartbeatInterval", "OCPPCommCtrlr", "HeartbeatInterval", None),
            ("LocalAuthListEnabled", "LocalAuthListCtrlr", "Enabled", None),
            ("LocalAuthorizeOffline", "AuthCtrlr", "LocalAuthorizeOffline", None),
            ("LocalPreAuthorize", "AuthCtrlr", "LocalPreAuthorize", None),
            ("MaxEnergyOnInvalidId", "TxCtrlr", "MaxEnergyOnInvalidId", None),
            ("MeterValueSampleInterval", "SampledDataCtrlr", "TxUpdatedInterval", None),
            ("MeterValuesAlignedData", "AlignedDataCtrlr", "Measurands", None),
            ("MeterValuesSampledData", "SampledDataCtrlr", "TxUpdatedMeasurands", None),
            ("ResetRetries", "OCPPCommCtrlr", "ResetRetries", None),
            ("SecurityProfile", "SecurityCtrlr", "SecurityProfile", None),
            ("StopTransactionOnEVSideDisconnect", "TxCtrlr", "StopTxOnEVSideDisconnect", None),
            ("StopTransactionOnInvalidId", "TxCtrlr", "StopTxOnInvalidId", None),
            ("StopTxnAlignedData", "AlignedDataCtrlr", "TxEndedMeasurands", None),
            ("StopTxnSampledData", "SampledDataCtrlr", "TxEndedMeasurands", None),
            ("TransactionMessageAttempts", "OCPPCommCtrlr", "MessageAttempts", "TransactionEvent"),
            (
                "TransactionMessageRetryInterval",
                "OCPPCommCtrlr",
                "MessageAttemptInterval",
                "TransactionEvent",
            ),
            ("UnlockConnectorOnEVSideDisconnect", "OCPPCommCtrlr", "UnlockOnEVSideDisconnect", None),
            ("WebSocketPingInterval", "OCPPCommCtrlr", "WebSocketPingInterval", None),
        )
    }
)


def _variable(key: object) -> dict[str, object]:
    """A configuration key of 1.6, or `Component.Variable`, as 2.x names it. Raises `IntentError`."""
    component, dot, name = str(key).partition(".")
    known = VARIABLES.get(str(key).lower(), (component, name, None) if dot and component and name else None)
    if known is None:
        raise IntentError(
            f"key: {key!s:.60} has no counterpart in OCPP 2.x here; name it as Component.Variable"
        )
    component, name, instance = known
    variable = {"name": name} if instance is None else {"name": name, "instance": instance}
    return {"component": {"name": component}, "variable": variable}


def _set_configuration(payload: Payload, _number: int) -> Order:
    """2.0.1 part 2, B05."""
    item = {**_variable(payload.get("key")), "attributeValue": payload.get("value")}
    return Order("SetVariables", {"setVariableData": [item]})


def _get_configuration(payload: Payload, number: int) -> Order:
    """2.0.1 part 2, B06; without keys the whole report is asked for (B07), which comes as NotifyReport."""
    keys = payload.get("key")
    if not isinstance(keys, list) or not keys:
        return Order("GetBaseReport", {"requestId": number, "reportBase": "FullInventory"})
    return Order("GetVariables", {"getVariableData": [_variable(key) for key in keys]})


_TO_2: Mapping[str, Callable[[Payload, int], Order]] = MappingProxyType(
    {
        "ChangeAvailability": _availability,
        "ChangeConfiguration": _set_configuration,
        "GetConfiguration": _get_configuration,
        "RemoteStartTransaction": _start,
        "RemoteStopTransaction": _stop,
        "ReserveNow": _reserve,
        "Reset": _reset,
        "TriggerMessage": _trigger,
        "UnlockConnector": _unlock,
    }
)
