"""OCPP 1.6, the other profiles: lists, firmware, reservation, trigger, smart charging (TC_042 to TC_067)."""

from typing import Any

import pytest

from storage.queries.id_tokens import put_token
from tests.conformance.cases_16 import TAG, authorize, boot, charge, only_session, start, status, stop
from tests.conformance.station import Station, add_driver, at, sessions
from tests.ingest.ocpp_gateway import events, eventually

LOCATION = "ftp://files.example.com/it"


@pytest.mark.parametrize(
    "version", [pytest.param(-1, id="TC_042_1_CSMS"), pytest.param(0, id="TC_042_2_CSMS")]
)
async def test_tc_042_csms_get_local_list_version(cp: Station, version: int) -> None:
    """-1: the charger has no local list; 0: it is empty."""
    outcome = await cp.ask("GetLocalListVersion", {}, {"listVersion": version})
    assert outcome.payload == {"listVersion": version}


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        pytest.param("Full", "NotSupported", id="TC_043_1_CSMS"),
        pytest.param("Full", "Failed", id="TC_043_3_CSMS"),
        pytest.param("Full", "Accepted", id="TC_043_4_CSMS"),
        pytest.param("Differential", "Accepted", id="TC_043_5_CSMS"),
    ],
)
async def test_tc_043_csms_send_local_list(cp: Station, kind: str, answer: str) -> None:
    entries = [{"idTag": TAG, "idTagInfo": {"status": "Accepted"}}]
    wanted = {"listVersion": 3, "localAuthorizationList": entries, "updateType": kind}
    outcome = await cp.ask("SendLocalList", wanted, {"status": answer})
    assert outcome.payload == {"status": answer}
    assert cp.last("SendLocalList") == wanted


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(("Downloading", "Downloaded", "Installing", "Installed"), id="TC_044_1_CSMS"),
        pytest.param(("Downloading", "DownloadFailed"), id="TC_044_2_CSMS"),
        pytest.param(("Downloading", "Downloaded", "Installing", "InstallationFailed"), id="TC_044_3_CSMS"),
    ],
)
async def test_tc_044_csms_firmware_update(cp: Station, said: tuple[str, ...]) -> None:
    await boot(cp)
    outcome = await cp.ask("UpdateFirmware", {"location": LOCATION, "retrieveDate": at()}, {})
    assert outcome.payload == {}
    for name in said:
        assert await cp.call("FirmwareStatusNotification", {"status": name}) == {}


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(("Uploading", "Uploaded"), id="TC_045_1_CSMS"),
        pytest.param(("Uploading", "UploadFailed"), id="TC_045_2_CSMS"),
    ],
)
async def test_tc_045_csms_get_diagnostics(cp: Station, said: tuple[str, ...]) -> None:
    outcome = await cp.ask("GetDiagnostics", {"location": LOCATION}, {"fileName": "log.txt"})
    assert outcome.payload == {"fileName": "log.txt"}
    for name in said:
        assert await cp.call("DiagnosticsStatusNotification", {"status": name}) == {}


async def reserve(cp: Station, answer: str, connector: int = 1, **more: Any) -> dict[str, Any]:
    wanted = {"connectorId": connector, "expiryDate": at(600), "idTag": TAG, "reservationId": 7, **more}
    outcome = await cp.ask("ReserveNow", wanted, {"status": answer})
    assert outcome.payload == {"status": answer}
    assert cp.last("ReserveNow") == wanted
    return wanted


async def start_reserved(cp: Station, tag: str) -> Any:
    payload = {"connectorId": 1, "idTag": tag, "meterStart": 5, "timestamp": at(), "reservationId": 7}
    return await cp.call("StartTransaction", payload)


async def test_tc_046_csms_a_reserved_connector_is_used(cp: Station) -> None:
    await boot(cp)
    await reserve(cp, "Accepted")
    await status(cp, "Reserved")
    assert await authorize(cp) == "Accepted"
    answer = await start_reserved(cp, TAG)
    assert answer["idTagInfo"]["status"] == "Accepted"
    await status(cp, "Charging")
    assert (await only_session(cp))["status"] == "active"


async def test_tc_047_csms_a_reservation_expires(cp: Station) -> None:
    await boot(cp)
    await reserve(cp, "Accepted", expiryDate=at(1))
    await status(cp, "Reserved")
    await status(cp, "Available")
    assert await sessions(cp.running, cp.device) == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("Faulted", id="TC_048_1_CSMS"),
        pytest.param("Occupied", id="TC_048_2_CSMS"),
        pytest.param("Unavailable", id="TC_048_3_CSMS"),
        pytest.param("Rejected", id="TC_048_4_CSMS"),
    ],
)
async def test_tc_048_csms_a_reservation_is_refused(cp: Station, answer: str) -> None:
    await boot(cp)
    await reserve(cp, answer)


async def test_tc_049_csms_the_charge_point_is_reserved(cp: Station) -> None:
    await boot(cp)
    await reserve(cp, "Accepted", connector=0)
    answer = await start_reserved(cp, TAG)
    await stop(cp, answer["transactionId"], 90, "Local")
    assert (await only_session(cp))["status"] == "completed"


@pytest.mark.parametrize(
    "answer", [pytest.param("Accepted", id="TC_051_CSMS"), pytest.param("Rejected", id="TC_052_CSMS")]
)
async def test_tc_051_052_csms_cancel_a_reservation(cp: Station, answer: str) -> None:
    await boot(cp)
    await reserve(cp, "Accepted")
    outcome = await cp.ask("CancelReservation", {"reservationId": 7}, {"status": answer})
    assert outcome.payload == {"status": answer}


async def test_tc_053_csms_a_reserved_connector_is_used_by_the_group(cp: Station) -> None:
    """Another token of the same parent uses what its parent reserved."""
    user_id = await add_driver(cp.running.pool, "SIBLING")
    async with cp.running.pool.connection() as connection:
        await put_token(connection, "SIBLING", user_id, group_id="PARENT")
    await boot(cp)
    await reserve(cp, "Accepted", parentIdTag="PARENT")
    answer = await cp.call("Authorize", {"idTag": "SIBLING"})
    assert answer["idTagInfo"] == {"status": "Accepted", "parentIdTag": "PARENT"}
    assert (await start_reserved(cp, "SIBLING"))["idTagInfo"]["status"] == "Accepted"


TRIGGERED: dict[str, dict[str, Any]] = {
    "MeterValues": {
        "connectorId": 1,
        "meterValue": [
            {"timestamp": at(), "sampledValue": [{"value": "7", "context": "Trigger", "unit": "Wh"}]}
        ],
    },
    "Heartbeat": {},
    "StatusNotification": {"connectorId": 1, "errorCode": "NoError", "status": "Available"},
    "DiagnosticsStatusNotification": {"status": "Idle"},
    "FirmwareStatusNotification": {"status": "Idle"},
    "BootNotification": {"chargePointVendor": "V", "chargePointModel": "M"},
}


async def test_tc_054_csms_trigger_message(cp: Station) -> None:
    await boot(cp)
    for action, payload in TRIGGERED.items():
        outcome = await cp.ask("TriggerMessage", {"requestedMessage": action}, {"status": "Accepted"})
        assert outcome.payload == {"status": "Accepted"}
        await cp.call(action, payload)


async def test_tc_055_csms_trigger_message_rejected(cp: Station) -> None:
    wanted = {"requestedMessage": "MeterValues", "connectorId": 9}
    outcome = await cp.ask("TriggerMessage", wanted, {"status": "Rejected"})
    assert outcome.payload == {"status": "Rejected"}
    assert cp.last("TriggerMessage") == wanted


def profile(purpose: str, **more: Any) -> dict[str, Any]:
    period = {"startPeriod": 0, "limit": 6.0, "numberPhases": 3}
    schedule = {"duration": 300, "chargingRateUnit": "A", "chargingSchedulePeriod": [period]}
    head = {"chargingProfileId": 1, "stackLevel": 1, "chargingProfilePurpose": purpose}
    return {**head, "chargingProfileKind": "Absolute", "chargingSchedule": schedule, **more}


async def set_profile(cp: Station, wanted: dict[str, Any]) -> None:
    request = {"connectorId": 1, "csChargingProfiles": wanted}
    outcome = await cp.ask("SetChargingProfile", request, {"status": "Accepted"})
    assert outcome.payload == {"status": "Accepted"}
    assert cp.last("SetChargingProfile") == request


async def test_tc_056_csms_tx_default_profile(cp: Station) -> None:
    await boot(cp)
    await set_profile(cp, profile("TxDefaultProfile"))
    await charge(cp)


async def test_tc_057_csms_tx_profile(cp: Station) -> None:
    await boot(cp)
    transaction = await charge(cp)
    await set_profile(cp, profile("TxProfile", transactionId=transaction))


async def test_tc_059_csms_remote_start_with_a_profile(cp: Station) -> None:
    await boot(cp)
    request = {"connectorId": 1, "idTag": TAG, "chargingProfile": profile("TxProfile")}
    outcome = await cp.ask("RemoteStartTransaction", request, {"status": "Accepted"})
    assert outcome.payload == {"status": "Accepted"}
    assert cp.last("RemoteStartTransaction") == request
    answer = await start(cp)
    assert answer["idTagInfo"]["status"] == "Accepted"


async def test_tc_066_csms_get_composite_schedule(cp: Station) -> None:
    await boot(cp)
    await set_profile(cp, profile("TxDefaultProfile"))
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 6.0}]}
    said = {"status": "Accepted", "connectorId": 1, "scheduleStart": at(), "chargingSchedule": schedule}
    outcome = await cp.ask("GetCompositeSchedule", {"connectorId": 1, "duration": 300}, said)
    assert outcome.payload == said

    async def is_kept() -> bool:
        kept = await events(cp.running.bus, "call_answered")
        return any(event["action"] == "GetCompositeSchedule" and event["answer"] == said for event in kept)

    await eventually(is_kept)


async def test_tc_067_csms_clear_charging_profile(cp: Station) -> None:
    await boot(cp)
    await set_profile(cp, profile("TxDefaultProfile"))
    outcome = await cp.ask("ClearChargingProfile", {"id": 1}, {"status": "Accepted"})
    assert outcome.payload == {"status": "Accepted"}
