"""SetChargingProfile, ClearChargingProfile and remote starts that carry a profile.

OCPP 1.6 sections 5.16, 5.5 and 5.11; OCPP 2.0.1 part 2, K01, K10 and F01.
"""

from typing import Any

from ingest.ocpp.context import Context
from ingest.ocpp.results.recording import ACCEPTED, Fields, record
from ingest.ocpp.variables import int4
from storage.queries.charging_profiles import OURS, ChargingProfile, put_profile, remove_profiles


async def set_charging_profile(context: Context, request: Fields, answer: Fields) -> None:
    """Keep a profile that the charger took."""
    if context.version.is_2:
        profile = profile_of(request["chargingProfile"], request["evseId"])
    else:
        profile = profile_of(request["csChargingProfiles"], request["connectorId"])
    if answer["status"] != ACCEPTED or profile is None:
        await record(context, "SetChargingProfile", request, answer)
        return
    await _keep(context, profile)


async def remote_start_transaction(context: Context, request: Fields, answer: Fields) -> None:
    """Keep the profile that came with the start; the answer is an event."""
    await _start(context, "RemoteStartTransaction", request, answer, request.get("connectorId"))


async def request_start_transaction(context: Context, request: Fields, answer: Fields) -> None:
    """The same in 2.x."""
    await _start(context, "RequestStartTransaction", request, answer, request.get("evseId"))


async def clear_charging_profile(context: Context, request: Fields, answer: Fields) -> None:
    """Forget the profiles that were meant: they are cleared, or (Unknown) not there."""
    where = _meant(request)
    removed: list[int] = []
    if all(isinstance(value, str) or int4(value) is not None for value in where.values()):
        async with context.services.pool.connection() as connection:
            removed = await remove_profiles(connection, context.device.id, **where)
    if answer["status"] != ACCEPTED or not removed:
        await record(context, "ClearChargingProfile", request, answer)


def _meant(request: Fields) -> dict[str, Any]:
    """What a ClearChargingProfile of any version names: by the id alone where there is one."""
    criteria = request.get("chargingProfileCriteria") or request
    profile_id = request.get("chargingProfileId", request.get("id"))
    if profile_id is not None:
        return {"profile_id": profile_id}
    named = {
        "evse_id": criteria.get("evseId", criteria.get("connectorId")),
        "purpose": criteria.get("chargingProfilePurpose"),
        "stack_level": criteria.get("stackLevel"),
    }
    return {name: value for name, value in named.items() if value is not None}


def profile_of(data: Fields, evse_id: object, source: str = OURS) -> ChargingProfile | None:
    """A ChargingProfile of any version as a row; None if its numbers do not fit one."""
    profile_id = int4(data.get("id", data.get("chargingProfileId")))
    stack_level, transaction_id = int4(data["stackLevel"]), data.get("transactionId")
    if profile_id is None or stack_level is None:
        return None
    return ChargingProfile(
        profile_id,
        evse_id=int4(evse_id) or 0,
        purpose=data["chargingProfilePurpose"],
        stack_level=stack_level,
        transaction_id=None if transaction_id is None else str(transaction_id),
        source=source,
        profile=data,
    )


async def _start(context: Context, action: str, request: Fields, answer: Fields, evse_id: object) -> None:
    data = request.get("chargingProfile")
    # without its connector nobody could tell whose transaction ends it
    profile = None if data is None or not evse_id else profile_of(data, evse_id)
    if profile is not None and answer["status"] == ACCEPTED:
        await _keep(context, profile)
    await record(context, action, request, answer)


async def _keep(context: Context, profile: ChargingProfile) -> None:
    async with context.services.pool.connection() as connection:
        if not context.version.is_2:
            # 1.6 replaces what has the same place in the stack too (section 5.16.2)
            await remove_profiles(
                connection,
                context.device.id,
                evse_id=profile.evse_id,
                purpose=profile.purpose,
                stack_level=profile.stack_level,
            )
        await put_profile(connection, context.device.id, profile, context.received_at)
