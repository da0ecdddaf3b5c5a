"""What is known of a command by its action and payload alone: target, life, whether it may be said twice.

Used by the API when it stores a command, and by the gateway when it reads the answer.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType

Payload = Mapping[str, object]

TTL_S_DEFAULT = 86_400
TTL_S_MAX = 30 * 86_400
# Somebody stands at the charger for these, and has walked away a little later.
TTL_S_AT_CHARGER = 120
_AT_CHARGER = frozenset({"RemoteStartTransaction", "RequestStartTransaction", "UnlockConnector"})

# Said twice, these do twice, or do again what somebody has undone meanwhile: at most once.
_ONCE = frozenset(
    {
        "AFRRSignal",
        "DataTransfer",
        "PublishFirmware",
        "RemoteStartTransaction",
        "RequestBatterySwap",
        "RequestStartTransaction",
        "Reset",
        "SignedUpdateFirmware",
        "UnlockConnector",
        "UpdateFirmware",
    }
)

_TRIGGERED = ("requestedMessage", "connectorId", "evse.id", "evse.connectorId")
# Fields (dotted) that name the target of an action, over all versions; one that a payload lacks is null.
# Of two commands to one target the newer is meant. Actions that are not here supersede nothing.
_TARGETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "CancelReservation": ("reservationId",),
        "ChangeAvailability": ("connectorId", "evse.id", "evse.connectorId"),
        "ChangeConfiguration": ("key",),
        "ClearCache": (),
        "CostUpdated": ("transactionId",),
        "ExtendedTriggerMessage": _TRIGGERED,
        "RemoteStopTransaction": ("transactionId",),
        "RequestStopTransaction": ("transactionId",),
        "ReserveNow": ("reservationId", "id"),
        "Reset": ("evseId",),
        "SetChargingProfile": (
            "connectorId",
            "evseId",
            *(
                f"{profile}.{field}"
                for profile in ("csChargingProfiles", "chargingProfile")
                for field in ("chargingProfilePurpose", "stackLevel", "transactionId")
            ),
        ),
        "SetDefaultTariff": ("evseId",),
        "SetDisplayMessage": ("message.id",),
        "SetMonitoringBase": (),
        "SetMonitoringLevel": (),
        "SetNetworkProfile": ("configurationSlot",),
        "SignedUpdateFirmware": (),
        "TriggerMessage": _TRIGGERED,
        "UnlockConnector": ("connectorId", "evseId"),
        "UpdateDynamicSchedule": ("chargingProfileId",),
        "UpdateFirmware": (),
        "UsePriorityCharging": ("transactionId",),
    }
)
# Two ways to ask for one thing.
_SAME_AS: Mapping[str, str] = MappingProxyType(
    {"SignedUpdateFirmware": "UpdateFirmware", "ExtendedTriggerMessage": "TriggerMessage"}
)

# Answers that take a command; everything else that a `status` says is a refusal.
_TAKEN = frozenset({"Accepted", "AcceptedCanceled", "RebootRequired", "Scheduled", "Unlocked", "Unpublished"})
# 2.x answers some calls item by item: the list, and the field of each item that says how it went.
_ITEMS: Mapping[str, str] = MappingProxyType(
    {
        "clearMonitoringResult": "status",
        "clearTariffsResult": "status",
        "setMonitoringResult": "status",
        "setVariableResult": "attributeStatus",
    }
)
STATUS_OF_NONE = "Accepted"


def ttl_s_default(action: str) -> int:
    """How long a command waits for its charger where nobody says."""
    return TTL_S_AT_CHARGER if action in _AT_CHARGER else TTL_S_DEFAULT


def is_repeatable(action: str) -> bool:
    """Whether a command may be sent again when nobody knows if the charger has carried it out."""
    return action not in _ONCE


def supersede_key(action: str, payload: Payload) -> str | None:
    """What a command is about: of two with one key the newer is meant. None: it stands for itself.

    Case is left out, for identifiers of OCPP are compared without it.
    """
    if action == "SetVariables":
        target: list[object] = _variables(payload)
    elif action == "SendLocalList":
        if payload.get("updateType") != "Full":
            return None  # each differential update builds on the one before
        target = []
    elif action in _TARGETS:
        target = [_at(payload, path) for path in _TARGETS[action]]
    else:
        return None
    text = json.dumps(target, separators=(",", ":"), sort_keys=True)
    return f"{_SAME_AS.get(action, action)}{text.lower()}"


def _at(payload: object, path: str) -> object:
    for name in path.split("."):
        payload = payload.get(name) if isinstance(payload, Mapping) else None
    return payload


def _variables(payload: Payload) -> list[object]:
    data = payload.get("setVariableData")
    items = data if isinstance(data, list) else []
    fields = ("component", "variable", "attributeType")
    named = [[_at(item, field) for field in fields] for item in items]
    return sorted(named, key=lambda each: json.dumps(each, sort_keys=True))


def status_of(answer: Payload) -> str:
    """The verdict of a charger's answer; the first bad one where it has one for each item.

    An answer without any (1.6 GetConfiguration, section 6.26) is its success: `Accepted`.
    """
    status = answer.get("status")
    if isinstance(status, str):
        return status
    verdicts = [
        str(_at(item, field))
        for name, field in _ITEMS.items()
        if isinstance(items := answer.get(name), list)
        for item in items
    ]
    return next((verdict for verdict in verdicts if verdict not in _TAKEN), STATUS_OF_NONE)


def is_taken(answer: Payload) -> bool:
    """Whether the charger has accepted the command."""
    return status_of(answer) in _TAKEN
