"""OCPP 2.0.1, blocks D, H, I, K to P: lists, reservations, profiles, firmware, certificates, logs, messages.

Named by the ids of the OCA's cases for a CSMS (part 6 of the standard).
"""

from typing import Any

import pytest

from tests.conformance.cases_201 import EVSE, TOKEN, boot, charging, ended_with, status
from tests.conformance.station import Station, at

ACCEPTED = {"status": "Accepted"}
HASH = {
    "hashAlgorithm": "SHA256",
    "issuerNameHash": "aa" * 32,
    "issuerKeyHash": "bb" * 32,
    "serialNumber": "1f",
}


async def answered(cs: Station, action: str, wanted: dict[str, Any], said: dict[str, Any]) -> None:
    """The request goes out as it was given, and its answer comes back as it was said."""
    outcome = await cs.ask(action, wanted, said)
    assert outcome.payload == said
    assert cs.last(action) == wanted


async def one(cs: Station, query: str) -> tuple[Any, ...] | None:
    """The first row of `query`, whose one parameter is the charger."""
    async with cs.running.pool.connection() as connection:
        return await (await connection.execute(query, [cs.device.id])).fetchone()


# --- D: local authorisation list ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "entries"),
    [
        pytest.param("Full", [{"idToken": TOKEN, "idTokenInfo": ACCEPTED}], id="TC_D_01_CSMS"),
        pytest.param("Differential", [{"idToken": TOKEN, "idTokenInfo": ACCEPTED}], id="TC_D_02_CSMS"),
        pytest.param("Differential", [{"idToken": TOKEN}], id="TC_D_03_CSMS"),
        pytest.param("Full", None, id="TC_D_04_CSMS"),
    ],
)
async def test_tc_d_01_04_csms_send_local_list(cs: Station, kind: str, entries: list[Any] | None) -> None:
    wanted: dict[str, Any] = {"versionNumber": 2, "updateType": kind}
    if entries is not None:
        wanted["localAuthorizationList"] = entries
    await answered(cs, "SendLocalList", wanted, ACCEPTED)


@pytest.mark.parametrize("version", [pytest.param(2, id="TC_D_08_CSMS"), pytest.param(0, id="TC_D_09_CSMS")])
async def test_tc_d_08_09_csms_local_list_version(cs: Station, version: int) -> None:
    await answered(cs, "GetLocalListVersion", {}, {"versionNumber": version})


# --- H: reservation -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "answer"),
    [
        pytest.param({"evseId": 1}, "Accepted", id="TC_H_01_CSMS"),
        pytest.param({}, "Accepted", id="TC_H_08_CSMS"),
        pytest.param({"connectorType": "cType2"}, "Accepted", id="TC_H_15_CSMS"),
    ],
)
async def test_tc_h_01_15_csms_reserve(cs: Station, where: dict[str, Any], answer: str) -> None:
    await boot(cs)
    wanted = {"id": 3, "expiryDateTime": at(600), "idToken": TOKEN, **where}
    await answered(cs, "ReserveNow", wanted, {"status": answer})
    await status(cs, "Reserved")
    transaction = await charging(cs)
    await transaction.end("StopAuthorized", "Local")
    await ended_with(cs, "Local")


async def test_tc_h_17_csms_cancel_a_reservation(cs: Station) -> None:
    wanted = {"id": 3, "expiryDateTime": at(600), "idToken": TOKEN, "evseId": 1}
    await answered(cs, "ReserveNow", wanted, ACCEPTED)
    await answered(cs, "CancelReservation", {"reservationId": 3}, ACCEPTED)
    assert await one(cs, "SELECT status FROM reservations WHERE device_id = %s") == ("cancelled",)


@pytest.mark.parametrize("update", [pytest.param("Expired", id="TC_H_07_CSMS"), "Removed"])
async def test_tc_h_07_csms_the_station_ends_a_reservation(cs: Station, update: str) -> None:
    wanted = {"id": 3, "expiryDateTime": at(1), "idToken": TOKEN, "evseId": 1}
    await answered(cs, "ReserveNow", wanted, ACCEPTED)
    payload = {"reservationId": 3, "reservationUpdateStatus": update}
    assert await cs.call("ReservationStatusUpdate", payload) == {}
    assert await one(cs, "SELECT status FROM reservations WHERE device_id = %s") == (update.lower(),)


# --- K: smart charging --------------------------------------------------------------------------


def profile(purpose: str, **more: Any) -> dict[str, Any]:
    schedule = {
        "id": 1,
        "chargingRateUnit": "A",
        "duration": 300,
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 6.0, "numberPhases": 3}],
    }
    head = {"id": 9, "stackLevel": 0, "chargingProfilePurpose": purpose, "chargingProfileKind": "Absolute"}
    return {**head, "chargingSchedule": [schedule], **more}


@pytest.mark.parametrize(
    ("evse_id", "purpose"),
    [
        pytest.param(1, "TxDefaultProfile", id="TC_K_01_CSMS"),
        pytest.param(0, "ChargingStationMaxProfile", id="TC_K_03_CSMS"),
        pytest.param(0, "TxDefaultProfile", id="TC_K_15_CSMS"),
    ],
)
async def test_tc_k_01_15_csms_set_profile(cs: Station, evse_id: int, purpose: str) -> None:
    wanted = {"evseId": evse_id, "chargingProfile": profile(purpose)}
    await answered(cs, "SetChargingProfile", wanted, ACCEPTED)
    found = await one(cs, "SELECT profile_id, purpose FROM charging_profiles WHERE device_id = %s")
    assert found == (9, purpose)


async def test_tc_k_60_csms_set_a_profile_of_a_transaction(cs: Station) -> None:
    await boot(cs)
    transaction = await charging(cs)
    wanted = {"evseId": 1, "chargingProfile": profile("TxProfile", transactionId=transaction.id)}
    await answered(cs, "SetChargingProfile", wanted, ACCEPTED)


async def test_tc_k_37_csms_remote_start_with_a_profile(cs: Station) -> None:
    wanted = {
        "remoteStartId": 8,
        "idToken": TOKEN,
        "evseId": 1,
        "chargingProfile": profile("TxProfile"),
    }
    await answered(cs, "RequestStartTransaction", wanted, ACCEPTED)


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param({"chargingProfileId": 9}, id="TC_K_05_CSMS"),
        pytest.param({"chargingProfileCriteria": {"stackLevel": 0}}, id="TC_K_06_CSMS"),
    ],
)
async def test_tc_k_05_06_csms_clear_profiles(cs: Station, wanted: dict[str, Any]) -> None:
    await answered(
        cs,
        "SetChargingProfile",
        {"evseId": 1, "chargingProfile": profile("TxDefaultProfile")},
        ACCEPTED,
    )
    await answered(cs, "ClearChargingProfile", wanted, ACCEPTED)
    assert await one(cs, "SELECT count(*) FROM charging_profiles WHERE device_id = %s") == (0,)


@pytest.mark.parametrize("evse_id", [pytest.param(1, id="TC_K_43_CSMS"), pytest.param(0, id="TC_K_44_CSMS")])
async def test_tc_k_43_44_csms_composite_schedule(cs: Station, evse_id: int) -> None:
    schedule = {
        "evseId": evse_id,
        "duration": 300,
        "scheduleStart": at(),
        "chargingRateUnit": "W",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 7000.0}],
    }
    said = {"status": "Accepted", "schedule": schedule}
    await answered(cs, "GetCompositeSchedule", {"duration": 300, "evseId": evse_id}, said)


@pytest.mark.parametrize(
    ("criterion", "evse_id"),
    [
        pytest.param({}, 0, id="TC_K_29_CSMS"),
        pytest.param({"stackLevel": 0}, 1, id="TC_K_30_CSMS"),
        pytest.param({"chargingLimitSource": ["EMS"]}, 1, id="TC_K_31_CSMS"),
        pytest.param({"chargingProfilePurpose": "TxDefaultProfile"}, 1, id="TC_K_32_CSMS"),
        pytest.param({"chargingProfileId": [9]}, None, id="TC_K_33_CSMS"),
    ],
)
async def test_tc_k_29_33_csms_get_profiles(
    cs: Station, criterion: dict[str, Any], evse_id: int | None
) -> None:
    wanted: dict[str, Any] = {"requestId": 6, "chargingProfile": criterion}
    if evse_id is not None:
        wanted["evseId"] = evse_id
    await answered(cs, "GetChargingProfiles", wanted, ACCEPTED)
    report = {
        "requestId": 6,
        "chargingLimitSource": "CSO",
        "evseId": 1,
        "chargingProfile": [profile("TxDefaultProfile")],
        "tbc": False,
    }
    assert await cs.call("ReportChargingProfiles", report) == {}
    assert await one(cs, "SELECT profile_id FROM charging_profiles WHERE device_id = %s") == (9,)


async def test_tc_k_48_csms_an_outside_limit_is_told(cs: Station) -> None:
    limit = {"chargingLimitSource": "EMS", "isGridCritical": True}
    assert await cs.call("NotifyChargingLimit", {"evseId": 1, "chargingLimit": limit}) == {}
    cleared = {"evseId": 1, "chargingLimitSource": "EMS"}
    assert await cs.call("ClearedChargingLimit", cleared) == {}


async def test_tc_k_53_csms_charging_needs(cs: Station) -> None:
    needs = {"requestedEnergyTransfer": "AC_three_phase", "departureTime": at(7200)}
    answer = await cs.call("NotifyEVChargingNeeds", {"evseId": 1, "chargingNeeds": needs})
    assert answer["status"] in {"Accepted", "Processing", "Rejected"}


async def test_tc_k_58_csms_the_evs_schedule(cs: Station) -> None:
    schedule = profile("TxProfile")["chargingSchedule"][0]
    payload = {"timeBase": at(), "chargingSchedule": schedule, "evseId": 1}
    answer = await cs.call("NotifyEVChargingSchedule", payload)
    assert answer["status"] in {"Accepted", "Rejected"}


# --- L: firmware --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(
            "Accepted",
            ("Downloading", "Downloaded", "SignatureVerified", "Installing", "Installed"),
            id="TC_L_01_CSMS",
        ),
        pytest.param("Accepted", ("Downloaded", "InstallScheduled", "Installed"), id="TC_L_02_CSMS"),
        pytest.param("Accepted", ("DownloadScheduled", "Downloading", "Installed"), id="TC_L_03_CSMS"),
        pytest.param("RevokedCertificate", (), id="TC_L_04_CSMS"),
        pytest.param("InvalidCertificate", (), id="TC_L_05_CSMS"),
        pytest.param("Accepted", ("Downloading", "Downloaded", "InvalidSignature"), id="TC_L_06_CSMS"),
        pytest.param("Accepted", ("Downloading", "DownloadFailed"), id="TC_L_07_CSMS"),
        pytest.param("Accepted", ("Installing", "InstallVerificationFailed"), id="TC_L_08_CSMS"),
        pytest.param("Accepted", ("Installing", "InstallationFailed"), id="TC_L_09_CSMS"),
        pytest.param("AcceptedCanceled", ("Downloading", "Installed"), id="TC_L_10_CSMS"),
        pytest.param("Rejected", (), id="TC_L_11_CSMS"),
        pytest.param("Accepted", ("DownloadPaused", "Downloading", "Installed"), id="TC_L_13_CSMS"),
    ],
)
async def test_tc_l_01_13_csms_firmware_update(cs: Station, answer: str, said: tuple[str, ...]) -> None:
    firmware = {"location": "https://files.example.com/f.bin", "retrieveDateTime": at()}
    wanted = {"requestId": 21, "firmware": firmware}
    await answered(cs, "UpdateFirmware", wanted, {"status": answer})
    for name in said:
        assert await cs.call("FirmwareStatusNotification", {"status": name, "requestId": 21}) == {}
    if said:
        job = await one(cs, "SELECT status FROM charger_jobs WHERE device_id = %s ORDER BY request_id DESC")
        assert job == (said[-1],)


async def test_tc_l_18_csms_publish_firmware(cs: Station) -> None:
    wanted = {"location": "https://files.example.com/f.bin", "checksum": "c" * 32, "requestId": 4}
    await answered(cs, "PublishFirmware", wanted, ACCEPTED)
    for name in ("Downloading", "ChecksumVerified", "Published"):
        more = {"location": ["https://10.0.0.1/f.bin"]} if name == "Published" else {}
        payload = {"status": name, "requestId": 4, **more}
        assert await cs.call("PublishFirmwareStatusNotification", payload) == {}


async def test_tc_l_22_csms_unpublish_firmware(cs: Station) -> None:
    await answered(cs, "UnpublishFirmware", {"checksum": "c" * 32}, {"status": "Unpublished"})


# --- M: certificates ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        pytest.param("CSMSRootCertificate", "Accepted", id="TC_M_01_CSMS"),
        pytest.param("ManufacturerRootCertificate", "Accepted", id="TC_M_02_CSMS"),
        pytest.param("V2GRootCertificate", "Accepted", id="TC_M_03_CSMS"),
        pytest.param("MORootCertificate", "Accepted", id="TC_M_04_CSMS"),
        pytest.param("CSMSRootCertificate", "Failed", id="TC_M_05_CSMS"),
    ],
)
async def test_tc_m_01_05_csms_install_certificate(cs: Station, kind: str, answer: str) -> None:
    pem = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    wanted = {"certificateType": kind, "certificate": pem}
    await answered(cs, "InstallCertificate", wanted, {"status": answer})


@pytest.mark.parametrize(
    ("kinds", "found"),
    [
        pytest.param(["CSMSRootCertificate"], 1, id="TC_M_12_CSMS"),
        pytest.param(["ManufacturerRootCertificate"], 1, id="TC_M_13_CSMS"),
        pytest.param(["V2GRootCertificate"], 1, id="TC_M_14_CSMS"),
        pytest.param(["V2GCertificateChain"], 1, id="TC_M_15_CSMS"),
        pytest.param(["MORootCertificate"], 1, id="TC_M_16_CSMS"),
        pytest.param(["CSMSRootCertificate", "MORootCertificate"], 2, id="TC_M_17_CSMS"),
        pytest.param(None, 1, id="TC_M_18_CSMS"),
        pytest.param(["CSMSRootCertificate"], 0, id="TC_M_19_CSMS"),
    ],
)
async def test_tc_m_12_19_csms_installed_certificates(
    cs: Station, kinds: list[str] | None, found: int
) -> None:
    wanted = {} if kinds is None else {"certificateType": kinds}
    chain = [
        {"certificateType": kind, "certificateHashData": {**HASH, "serialNumber": f"{number}"}}
        for number, kind in enumerate((kinds or ["CSMSRootCertificate"])[:found])
    ]
    said: dict[str, Any] = {"status": "Accepted" if found else "NotFound"}
    if chain:
        said["certificateHashDataChain"] = chain
    await answered(cs, "GetInstalledCertificateIds", wanted, said)


@pytest.mark.parametrize(
    "answer", [pytest.param("Accepted", id="TC_M_20_CSMS"), pytest.param("Failed", id="TC_M_21_CSMS")]
)
async def test_tc_m_20_21_csms_delete_certificate(cs: Station, answer: str) -> None:
    await answered(cs, "DeleteCertificate", {"certificateHashData": HASH}, {"status": answer})


async def test_tc_m_24_csms_certificate_status(cs: Station) -> None:
    data = {**HASH, "responderURL": "https://ocsp.example.com"}
    answer = await cs.call("GetCertificateStatus", {"ocspRequestData": data})
    assert answer["status"] in {"Accepted", "Failed"}


async def test_tc_m_26_csms_contract_certificate(cs: Station) -> None:
    payload = {"iso15118SchemaVersion": "urn:iso:15118:2:2013:MsgDef", "action": "Install", "exiRequest": "A"}
    answer = await cs.call("Get15118EVCertificate", payload)
    assert answer["status"] in {"Accepted", "Failed"}


# --- N: diagnostics -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "answer", "said"),
    [
        pytest.param("DiagnosticsLog", "Accepted", ("Uploading", "Uploaded"), id="TC_N_25_CSMS"),
        pytest.param("DiagnosticsLog", "Rejected", (), id="TC_N_34_CSMS"),
        pytest.param("SecurityLog", "Accepted", ("Uploading", "Uploaded"), id="TC_N_35_CSMS"),
        pytest.param("DiagnosticsLog", "AcceptedCanceled", ("AcceptedCanceled",), id="TC_N_36_CSMS"),
    ],
)
async def test_tc_n_25_36_csms_get_log(cs: Station, kind: str, answer: str, said: tuple[str, ...]) -> None:
    wanted = {"logType": kind, "requestId": 2, "log": {"remoteLocation": "https://files.example.com/"}}
    await answered(cs, "GetLog", wanted, {"status": answer})
    for name in said:
        assert await cs.call("LogStatusNotification", {"status": name, "requestId": 2}) == {}


@pytest.mark.parametrize(
    ("report", "clear", "answer", "data"),
    [
        pytest.param(True, False, "Accepted", "Name: A", id="TC_N_27_CSMS"),
        pytest.param(True, False, "Accepted", "", id="TC_N_28_CSMS"),
        pytest.param(True, False, "Rejected", None, id="TC_N_29_CSMS"),
        pytest.param(True, True, "Accepted", "Name: A", id="TC_N_30_CSMS"),
        pytest.param(True, True, "Accepted", "", id="TC_N_31_CSMS"),
        pytest.param(False, True, "Accepted", None, id="TC_N_32_CSMS"),
        pytest.param(True, True, "Accepted", "Name: B", id="TC_N_62_CSMS"),
    ],
)
async def test_tc_n_27_62_csms_customer_information(
    cs: Station, report: bool, clear: bool, answer: str, data: str | None
) -> None:
    wanted = {"requestId": 7, "report": report, "clear": clear, "customerIdentifier": "A"}
    await answered(cs, "CustomerInformation", wanted, {"status": answer})
    if data is None:
        return
    page = {"requestId": 7, "generatedAt": at(), "seqNo": 0, "tbc": False, "data": data}
    assert await cs.call("NotifyCustomerInformation", page) == {}

    query = """
        SELECT is_finished, data FROM charger_jobs JOIN charger_job_parts ON job_id = charger_jobs.id
        WHERE device_id = %s"""
    assert await one(cs, query) == (True, data)


MONITOR = {
    "value": 230.0,
    "type": "UpperThreshold",
    "severity": 4,
    "component": {"name": "EVSE", "evse": {"id": 1}},
    "variable": {"name": "ACVoltage"},
}


async def test_tc_n_08_csms_set_monitoring(cs: Station) -> None:
    result = {key: MONITOR[key] for key in ("type", "severity", "component", "variable")}
    said = {"setMonitoringResult": [{**result, "status": "Accepted", "id": 31}]}
    await answered(cs, "SetVariableMonitoring", {"setMonitoringData": [MONITOR]}, said)
    assert await one(cs, "SELECT count(*) FROM variable_monitors WHERE device_id = %s") == (1,)


@pytest.mark.parametrize(
    ("action", "wanted"),
    [
        pytest.param("SetMonitoringBase", {"monitoringBase": "All"}, id="TC_N_05_CSMS"),
        pytest.param("SetMonitoringLevel", {"severity": 4}, id="TC_N_16_CSMS"),
        pytest.param("GetMonitoringReport", {"requestId": 3}, id="TC_N_01_CSMS"),
    ],
)
async def test_tc_n_01_16_csms_monitoring(cs: Station, action: str, wanted: dict[str, Any]) -> None:
    await answered(cs, action, wanted, ACCEPTED)


async def test_tc_n_18_csms_clear_monitoring(cs: Station) -> None:
    said = {"clearMonitoringResult": [{"id": 31, "status": "Accepted"}]}
    await answered(cs, "ClearVariableMonitoring", {"id": [31]}, said)


async def test_tc_n_21_csms_an_alert(cs: Station) -> None:
    event = {
        "eventId": 5,
        "timestamp": at(),
        "trigger": "Alerting",
        "actualValue": "251",
        "eventNotificationType": "CustomMonitor",
        "variableMonitoringId": 31,
        "component": MONITOR["component"],
        "variable": MONITOR["variable"],
    }
    page = {"generatedAt": at(), "seqNo": 0, "eventData": [event]}
    assert await cs.call("NotifyEvent", page) == {}


# --- O: display messages ------------------------------------------------------------------------


def message(number: int, **more: Any) -> dict[str, Any]:
    content = {"format": "UTF8", "content": "Closed from noon"}
    return {"id": number, "priority": "NormalCycle", "message": content, **more}


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="TC_O_01_CSMS"),
        pytest.param({"transactionId": "TX-1"}, id="TC_O_06_CSMS"),
        pytest.param({"state": "Charging"}, id="TC_O_13_CSMS"),
        pytest.param({"startDateTime": at(), "endDateTime": at(60)}, id="TC_O_14_CSMS"),
    ],
)
async def test_tc_o_01_14_csms_set_message(cs: Station, more: dict[str, Any]) -> None:
    await answered(cs, "SetDisplayMessage", {"message": message(1, **more)}, ACCEPTED)
    assert await one(cs, "SELECT message_id FROM display_messages WHERE device_id = %s") == (1,)


async def test_tc_o_02_csms_get_messages(cs: Station) -> None:
    await answered(cs, "GetDisplayMessages", {"requestId": 2}, ACCEPTED)
    page = {"requestId": 2, "tbc": False, "messageInfo": [message(4)]}
    assert await cs.call("NotifyDisplayMessages", page) == {}
    assert await one(cs, "SELECT message_id FROM display_messages WHERE device_id = %s") == (4,)


async def test_tc_o_04_csms_clear_a_message(cs: Station) -> None:
    await answered(cs, "SetDisplayMessage", {"message": message(1)}, ACCEPTED)
    await answered(cs, "ClearDisplayMessage", {"id": 1}, ACCEPTED)
    assert await one(cs, "SELECT count(*) FROM display_messages WHERE device_id = %s") == (0,)


# --- I and P: cost, data transfer ---------------------------------------------------------------


async def test_tc_i_01_csms_running_cost(cs: Station) -> None:
    await boot(cs)
    transaction = await charging(cs)
    await answered(cs, "CostUpdated", {"totalCost": 12.5, "transactionId": transaction.id}, {})


async def test_tc_i_02_csms_final_cost(cs: Station) -> None:
    await boot(cs)
    transaction = await charging(cs)
    answer = await transaction.end("StopAuthorized", "Local", wh=2_000)
    assert answer["totalCost"] > 0


async def test_tc_p_02_csms_data_transfer(cs: Station) -> None:
    answer = await cs.call("DataTransfer", {"vendorId": "com.example", "messageId": "a", "data": {"b": 1}})
    assert answer["status"] in {"UnknownVendorId", "UnknownMessageId", "Rejected"}


async def test_tc_p_03_csms_custom_data_is_taken(cs: Station) -> None:
    custom = {"vendorId": "com.example", "anything": [1, 2]}
    payload = {"timestamp": at(), "connectorStatus": "Available", "customData": custom}
    assert await cs.call("StatusNotification", {**payload, "evseId": EVSE["id"], "connectorId": 1}) == {}
