"""An operator's intents in the words of each version, and what a command is known to be by itself."""

from typing import Any

import pytest

from protocols.ocpp import remote
from protocols.ocpp.command_rules import (
    TTL_S_AT_CHARGER,
    TTL_S_DEFAULT,
    is_repeatable,
    is_taken,
    status_of,
    supersede_key,
    ttl_s_default,
)
from protocols.ocpp.remote import NUMBER_MAX, VARIABLES, IntentError, order
from protocols.ocpp.schemas import SchemaError, check_call
from protocols.ocpp.surface import TO_CHARGER, Version

VERSIONS = list(Version)
TWO = [Version.V201, Version.V21]
# An intent as a call of 1.6, and what goes to a 2.x charger.
INTENTS: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    (
        "RemoteStartTransaction",
        {"connectorId": 2, "idTag": "CARD"},
        "RequestStartTransaction",
        {"idToken": {"idToken": "CARD", "type": "Central"}, "remoteStartId": 7, "evseId": 2},
    ),
    (
        "RemoteStartTransaction",
        {"idTag": "CARD"},
        "RequestStartTransaction",
        {"idToken": {"idToken": "CARD", "type": "Central"}, "remoteStartId": 7},
    ),
    ("RemoteStopTransaction", {"transactionId": 9}, "RequestStopTransaction", {"transactionId": "9"}),
    ("Reset", {"type": "Soft"}, "Reset", {"type": "OnIdle"}),
    ("Reset", {"type": "Hard"}, "Reset", {"type": "Immediate"}),
    ("UnlockConnector", {"connectorId": 2}, "UnlockConnector", {"evseId": 2, "connectorId": 1}),
    (
        "ChangeAvailability",
        {"connectorId": 2, "type": "Inoperative"},
        "ChangeAvailability",
        {"operationalStatus": "Inoperative", "evse": {"id": 2}},
    ),
    (
        "ChangeAvailability",
        {"connectorId": 0, "type": "Operative"},
        "ChangeAvailability",
        {"operationalStatus": "Operative"},
    ),
    (
        "TriggerMessage",
        {"requestedMessage": "StatusNotification", "connectorId": 2},
        "TriggerMessage",
        {"requestedMessage": "StatusNotification", "evse": {"id": 2, "connectorId": 1}},
    ),
    (
        "TriggerMessage",
        {"requestedMessage": "MeterValues", "connectorId": 1},
        "TriggerMessage",
        {"requestedMessage": "MeterValues", "evse": {"id": 1}},
    ),
    (
        "TriggerMessage",
        {"requestedMessage": "DiagnosticsStatusNotification"},
        "TriggerMessage",
        {"requestedMessage": "LogStatusNotification"},
    ),
    (
        "ChangeConfiguration",
        {"key": "heartbeatinterval", "value": "60"},
        "SetVariables",
        {
            "setVariableData": [
                {
                    "component": {"name": "OCPPCommCtrlr"},
                    "variable": {"name": "HeartbeatInterval"},
                    "attributeValue": "60",
                }
            ]
        },
    ),
    (
        "GetConfiguration",
        {"key": ["TransactionMessageAttempts", "ChargingStation.Model"]},
        "GetVariables",
        {
            "getVariableData": [
                {
                    "component": {"name": "OCPPCommCtrlr"},
                    "variable": {"name": "MessageAttempts", "instance": "TransactionEvent"},
                },
                {"component": {"name": "ChargingStation"}, "variable": {"name": "Model"}},
            ]
        },
    ),
    ("GetConfiguration", {}, "GetBaseReport", {"requestId": 7, "reportBase": "FullInventory"}),
    ("ClearCache", {}, "ClearCache", {}),
    ("DataTransfer", {"vendorId": "acme"}, "DataTransfer", {"vendorId": "acme"}),
]


@pytest.mark.parametrize(("action", "intent", "to_action", "payload"), INTENTS)
def test_an_intent_in_every_version(
    action: str, intent: dict[str, Any], to_action: str, payload: dict[str, Any]
) -> None:
    old = order(Version.V16, action, intent, 7)
    assert (old.action, old.payload) == (action, intent)
    check_call(Version.V16, old.action, old.payload)
    for version in TWO:
        new = order(version, action, intent, 7)
        assert (new.action, new.payload) == (to_action, payload)
        check_call(version, new.action, new.payload)


@pytest.mark.parametrize("version", VERSIONS)
def test_start_and_stop(version: Version) -> None:
    started = remote.start(version, 1, "a" * 20, NUMBER_MAX)
    check_call(version, started.action, started.payload)
    stopped = remote.stop(version, "5f9a" if version.is_2 else 12)
    check_call(version, stopped.action, stopped.payload)
    assert stopped.payload == {"transactionId": "5f9a" if version.is_2 else 12}


def test_every_known_key_makes_a_call() -> None:
    for key in VARIABLES:
        made = order(Version.V201, "ChangeConfiguration", {"key": key, "value": "1"}, 1)
        check_call(Version.V201, made.action, made.payload)


@pytest.mark.parametrize(
    ("action", "intent"),
    [
        ("ChangeConfiguration", {"key": "BlinkRepeat", "value": "1"}),
        ("ChangeConfiguration", {"key": ".Enabled", "value": "1"}),
        ("GetConfiguration", {"key": ["Nothing."]}),
        ("RemoteStartTransaction", {"idTag": "A", "chargingProfile": {}}),
    ],
)
def test_an_intent_without_a_counterpart_is_named(action: str, intent: dict[str, Any]) -> None:
    with pytest.raises(IntentError, match=r"^(key|chargingProfile): "):
        order(Version.V201, action, intent, 1)


@pytest.mark.parametrize(
    ("action", "intent"),
    [("Reset", {"type": "Gently"}), ("UnlockConnector", {}), ("RemoteStartTransaction", {"connectorId": 1})],
)
def test_what_an_intent_lacks_the_schema_finds(action: str, intent: dict[str, Any]) -> None:
    for version in VERSIONS:
        made = order(version, action, intent, 1)
        with pytest.raises(SchemaError):
            check_call(version, made.action, made.payload)


def profile(**facts: Any) -> dict[str, Any]:
    return {"chargingProfilePurpose": "TxDefaultProfile", "stackLevel": 1, **facts}


SAME = [
    ("Reset", {"type": "Soft"}, "Reset", {"type": "Hard"}),
    ("ChangeConfiguration", {"key": "A", "value": "1"}, "ChangeConfiguration", {"key": "a", "value": "2"}),
    (
        "SetChargingProfile",
        {"connectorId": 1, "csChargingProfiles": profile(chargingProfileId=1)},
        "SetChargingProfile",
        {"connectorId": 1, "csChargingProfiles": profile(chargingProfileId=2)},
    ),
    (
        "SetVariables",
        {"setVariableData": [{"component": {"name": "A"}, "variable": {"name": v}} for v in "xy"]},
        "SetVariables",
        {"setVariableData": [{"component": {"name": "A"}, "variable": {"name": v}} for v in "yx"]},
    ),
    ("UpdateFirmware", {"location": "a"}, "SignedUpdateFirmware", {"requestId": 1}),
    (
        "TriggerMessage",
        {"requestedMessage": "Heartbeat"},
        "ExtendedTriggerMessage",
        {"requestedMessage": "Heartbeat"},
    ),
    ("SendLocalList", {"updateType": "Full", "listVersion": 1}, "SendLocalList", {"updateType": "Full"}),
]
OTHER = [
    (
        "ChangeAvailability",
        {"connectorId": 1, "type": "Operative"},
        "ChangeAvailability",
        {"connectorId": 2, "type": "Operative"},
    ),
    (
        "ChangeAvailability",
        {"operationalStatus": "Operative", "evse": {"id": 1}},
        "ChangeAvailability",
        {"operationalStatus": "Operative"},
    ),
    (
        "SetChargingProfile",
        {"evseId": 1, "chargingProfile": profile()},
        "SetChargingProfile",
        {"evseId": 1, "chargingProfile": profile(stackLevel=2)},
    ),
    ("Reset", {"type": "OnIdle", "evseId": 1}, "Reset", {"type": "OnIdle"}),
]


@pytest.mark.parametrize(("action", "payload", "other", "other_payload"), SAME)
def test_two_commands_to_one_target(action: str, payload: Any, other: str, other_payload: Any) -> None:
    key = supersede_key(action, payload)
    assert key is not None
    assert key == supersede_key(other, other_payload)


@pytest.mark.parametrize(("action", "payload", "other", "other_payload"), OTHER)
def test_two_commands_to_two_targets(action: str, payload: Any, other: str, other_payload: Any) -> None:
    assert supersede_key(action, payload) != supersede_key(other, other_payload)


def test_what_stands_for_itself() -> None:
    assert supersede_key("GetConfiguration", {}) is None
    assert supersede_key("RemoteStartTransaction", {"idTag": "A"}) is None
    assert supersede_key("SendLocalList", {"updateType": "Differential"}) is None


def test_a_key_of_any_payload() -> None:
    """It is asked before the schema is."""
    odd: list[dict[str, Any]] = [
        {},
        {"evse": 1},
        {"setVariableData": [1, {"component": None}]},
        {"message": []},
    ]
    for action in {action for version in Version for action in TO_CHARGER[version]}:
        for payload in odd:
            supersede_key(action, payload)


def test_what_may_be_said_twice_and_how_long_it_waits() -> None:
    at_most_once = (
        "RemoteStartTransaction",
        "RequestStartTransaction",
        "UnlockConnector",
        "Reset",
        "UpdateFirmware",
    )
    assert not any(is_repeatable(action) for action in at_most_once)
    assert is_repeatable("ChangeConfiguration")
    assert is_repeatable("SetChargingProfile")
    assert ttl_s_default("RequestStartTransaction") == TTL_S_AT_CHARGER
    assert ttl_s_default("Reset") == TTL_S_DEFAULT


@pytest.mark.parametrize(
    ("answer", "status", "taken"),
    [
        ({"status": "Accepted"}, "Accepted", True),
        ({"status": "RebootRequired"}, "RebootRequired", True),
        ({"status": "Scheduled"}, "Scheduled", True),
        ({"status": "Unlocked"}, "Unlocked", True),
        ({"status": "UnlockFailed"}, "UnlockFailed", False),
        ({"status": "NotSupported"}, "NotSupported", False),
        ({"configurationKey": []}, "Accepted", True),
        ({"setVariableResult": [{"attributeStatus": "Accepted"}]}, "Accepted", True),
        (
            {"setVariableResult": [{"attributeStatus": "Accepted"}, {"attributeStatus": "Rejected"}]},
            "Rejected",
            False,
        ),
        ({"setMonitoringResult": [{"status": "UnknownVariable"}]}, "UnknownVariable", False),
    ],
)
def test_the_verdict_of_an_answer(answer: dict[str, Any], status: str, taken: bool) -> None:
    assert status_of(answer) == status
    assert is_taken(answer) is taken
