"""Smart charging of a simulated charger of OCPP 1.6 (sections 5.5, 5.7 and 5.16).

Used by `simulators.v16.commands`.
"""

from typing import TYPE_CHECKING

from protocols.timestamps import format_utc_ms
from simulators.answers import Answer, Request, accepted_if, status
from simulators.smart_charging import STATION, TX, Profile, ProfileError, in_unit, profile_of

if TYPE_CHECKING:
    from simulators.charger import ChargePoint

DURATION_S_MAX = 31 * 86_400


def set_charging_profile(charger: "ChargePoint", request: Request) -> Answer:
    """A TxProfile needs its transaction; a limit of the whole charger is for connector 0."""
    raw, number = request["csChargingProfiles"], request["connectorId"]
    return install(charger, raw, number)


def install(charger: "ChargePoint", raw: Request, number: int) -> Answer:
    """Of 1.6 and 2.x (K01); `number` is a connector or an EVSE, 0 for all."""
    purpose = raw["chargingProfilePurpose"]
    connector = charger.connectors.get(number)
    running = None if connector is None else connector.transaction
    if number != 0 and (connector is None or purpose in STATION):
        return status("Rejected")
    if purpose == TX:
        meant = None if running is None else raw.get("transactionId", running.transaction_id)
        if running is None or running.transaction_id is None or meant != running.transaction_id:
            return status("Rejected")
    charger.meters_up_to_now()
    try:
        owner = running if purpose == TX else None
        charger.profiles.put(profile_of(raw, number, charger.timers.now_us, owner))
    except ProfileError:
        return status("Rejected")
    return status("Accepted", charger.limits_changed)


def clear_charging_profile(charger: "ChargePoint", request: Request) -> Answer:
    """Section 5.5: each field that is said must match."""

    def is_meant(profile: Profile) -> bool:
        own = {
            "id": profile.profile_id,
            "connectorId": profile.connector_id,
            "chargingProfilePurpose": profile.purpose,
            "stackLevel": profile.stack_level,
        }
        return request.items() <= own.items()

    charger.meters_up_to_now()
    is_cleared = charger.profiles.remove(is_meant)
    return accepted_if(is_cleared, "Unknown")[0], charger.limits_changed


def get_composite_schedule(charger: "ChargePoint", request: Request) -> Answer:
    """Section 5.7."""
    number, unit = request["connectorId"], request.get("chargingRateUnit", "A")
    if number not in {0, *charger.connectors} or not 0 < request["duration"] <= DURATION_S_MAX:
        return status("Rejected")
    start = format_utc_ms(charger.wall_us)
    schedule = {
        "duration": request["duration"],
        "startSchedule": start,
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": composite_periods(charger, number, request["duration"], unit),
    }
    return {
        "status": "Accepted",
        "connectorId": number,
        "scheduleStart": start,
        "chargingSchedule": schedule,
    }, None


def composite_periods(
    charger: "ChargePoint", number: int, duration_s: int, unit: str
) -> list[dict[str, object]]:
    """The periods of a composite schedule, of 1.6 and 2.x (K08)."""
    connector = charger.connectors.get(number)
    session = None if connector is None else connector.transaction
    periods = charger.profiles.composite(number, session, charger.timers.now_us, duration_s)
    return [{"startPeriod": start_s, "limit": in_unit(limit_a, unit)} for start_s, limit_a in periods]
