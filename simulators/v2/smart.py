"""Smart charging of a simulated charger of 2.x (part 2, block K).

Used by `simulators.v2.commands`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from protocols.timestamps import format_utc_ms
from simulators.answers import Answer, Request, accepted_if, pages, status
from simulators.charger_queue import Payload
from simulators.dialect import Message
from simulators.smart_charging import Profile, ProfileError, profile_of
from simulators.v16.smart import DURATION_S_MAX, composite_periods, install

if TYPE_CHECKING:
    from simulators.charger import ChargePoint

CSO = "CSO"  # whose limits ours are: the operator's
EXTERNAL = "ChargingStationExternalConstraints"


def set_charging_profile(charger: "ChargePoint", request: Request) -> Answer:
    """K01: constraints from outside are not for a central system to set."""
    raw = request["chargingProfile"]
    if raw["chargingProfilePurpose"] == EXTERNAL:
        return status("Rejected")
    return install(charger, raw, request["evseId"])


def clear_charging_profile(charger: "ChargePoint", request: Request) -> Answer:
    """K10: an id counts alone, else each criterion that is said must match."""
    criteria = request.get("chargingProfileCriteria", {})

    def is_meant(profile: Profile) -> bool:
        if "chargingProfileId" in request:
            return bool(request["chargingProfileId"] == profile.profile_id)
        return _matches(profile, criteria, criteria.get("evseId"))

    charger.meters_up_to_now()
    is_cleared = charger.profiles.remove(is_meant)
    return accepted_if(is_cleared, "Unknown")[0], charger.limits_changed


def get_charging_profiles(charger: "ChargePoint", request: Request) -> Answer:
    """K09, and a ReportChargingProfiles for each EVSE that has some."""
    wanted = request["chargingProfile"]
    sources, ids = wanted.get("chargingLimitSource", (CSO,)), wanted.get("chargingProfileId")
    found = charger.profiles.find(
        lambda one: (
            CSO in sources
            and (ids is None or one.profile_id in ids)
            and _matches(one, wanted, request.get("evseId"))
        )
    )
    if not found:
        return status("NoProfiles")

    def notify() -> None:
        numbers = sorted({profile.connector_id for profile in found})
        for number in numbers:
            own = [dict(profile.raw) for profile in found if profile.connector_id == number]
            for _, some, has_more in pages(own):
                payload: Payload = {
                    "requestId": request["requestId"],
                    "chargingLimitSource": CSO,
                    "chargingProfile": list(some),
                    "tbc": has_more or number != numbers[-1],
                    "evseId": number,
                }
                charger.tell(Message("ReportChargingProfiles", payload))

    return status("Accepted", notify)


def _matches(profile: Profile, criteria: Mapping[str, Any], evse_id: int | None) -> bool:
    return (
        evse_id in {None, profile.connector_id}
        and criteria.get("chargingProfilePurpose", profile.purpose) == profile.purpose
        and criteria.get("stackLevel", profile.stack_level) == profile.stack_level
    )


def get_composite_schedule(charger: "ChargePoint", request: Request) -> Answer:
    """K08."""
    number, unit = request["evseId"], request.get("chargingRateUnit", "A")
    if number not in {0, *charger.connectors} or not 0 < request["duration"] <= DURATION_S_MAX:
        return status("Rejected")
    schedule = {
        "chargingSchedulePeriod": composite_periods(charger, number, request["duration"], unit),
        "evseId": number,
        "duration": request["duration"],
        "scheduleStart": format_utc_ms(charger.wall_us),
        "chargingRateUnit": unit,
    }
    return {"status": "Accepted", "schedule": schedule}, None


def update_dynamic_schedule(charger: "ChargePoint", request: Request) -> Answer:
    """K28 of 2.1: the limit of a profile's only period changes."""
    found = charger.profiles.find(lambda one: one.profile_id == request["chargingProfileId"])
    limit = request["scheduleUpdate"].get("limit")
    if not found or found[0].kind != "Dynamic":
        return status("Rejected")
    old = found[0]
    if limit is not None:
        schedule = old.raw["chargingSchedule"][0]
        period = {**schedule["chargingSchedulePeriod"][0], "limit": limit}
        raw = {**old.raw, "chargingSchedule": [{**schedule, "chargingSchedulePeriod": [period]}]}
        charger.meters_up_to_now()
        try:
            charger.profiles.put(profile_of(raw, old.connector_id, old.set_us, old.transaction))
        except ProfileError:
            return status("Rejected")
    return status("Accepted", charger.limits_changed)


def use_priority_charging(charger: "ChargePoint", request: Request) -> Answer:
    """K21 of 2.1: no profile for it is ever installed by the driver."""
    running = charger.connector_of(request["transactionId"])
    return status("Rejected" if running is None else "NoProfile")


def notify_allowed_energy_transfer(charger: "ChargePoint", request: Request) -> Answer:
    """Q01 of 2.1."""
    return accepted_if(charger.connector_of(request["transactionId"]) is not None)


def afrr_signal(_charger: "ChargePoint", _request: Request) -> Answer:
    """K29 of 2.1: this charger serves no frequency restoration."""
    return status("Rejected")
