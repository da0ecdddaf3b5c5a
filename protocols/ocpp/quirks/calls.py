"""Calls that a make of charger cannot bear; used by `ingest.ocpp.commands` before one is sent."""

from collections.abc import Mapping

from protocols.ocpp.frames import ErrorCode
from protocols.ocpp.quirks.registry import Behaviour
from protocols.ocpp.schemas import SchemaError
from protocols.ocpp.surface import Version


def check_suited(behaviour: Behaviour, version: Version, action: str, payload: Mapping[str, object]) -> None:
    """Raises `SchemaError` for a call that keeps the schema and that this charger is known to fail on.

    Better said at once than after a timeout, or never.
    """
    problem = None
    if action == "GetConfiguration":
        problem = _too_many_keys(behaviour, payload)
    elif action == "SetChargingProfile":
        problem = _idle_profile(behaviour, version, payload)
    if problem is not None:
        raise SchemaError(ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, f"{action}: {problem}")


def _too_many_keys(behaviour: Behaviour, payload: Mapping[str, object]) -> str | None:
    keys, keys_max = payload.get("key"), behaviour.configuration_keys_max
    asked = len(keys) if isinstance(keys, list) else 0
    if keys_max is None or 0 < asked <= keys_max:
        return None
    return f"this make answers no more than {keys_max} keys, and never all: ask for 1 to {keys_max} by name"


def _idle_profile(behaviour: Behaviour, version: Version, payload: Mapping[str, object]) -> str | None:
    if version in behaviour.profiles_refused_over:
        return f"this make refuses every profile over OCPP {version}: have it connect with 1.6"
    profile = payload.get("csChargingProfiles", payload.get("chargingProfile"))
    purpose = profile.get("chargingProfilePurpose") if isinstance(profile, dict) else None
    if purpose in behaviour.ignored_purposes:
        return f"this make accepts {purpose} and does not follow it: use TxDefaultProfile"
    return None
