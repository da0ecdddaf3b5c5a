"""OCPP 2.0.1, blocks B to J: provisioning, authorisation, transactions, remote control, availability, meters.

Named by the ids of the OCA's cases for a CSMS (part 6 of the standard).
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from protocols.ocpp.surface import Version
from storage.queries.id_tokens import put_token
from tests.conformance.cases_201 import (
    EVSE,
    TOKEN,
    Transaction,
    authorize,
    boot,
    charging,
    ended_with,
    only_session,
    reading,
    status,
)
from tests.conformance.station import RefusedError, Station, add_driver, at, sessions, station
from tests.ingest.ocpp_gateway import Running, log_rows

ACCEPTED = {"status": "Accepted"}


# --- B: provisioning ----------------------------------------------------------------------------


async def test_tc_b_01_csms_cold_boot_accepted(cs: Station) -> None:
    answer = await boot(cs)
    assert answer["status"] == "Accepted"
    assert answer["interval"] > 0
    assert "currentTime" in await cs.call("Heartbeat", {})


async def set_registration(cs: Station, name: str) -> None:
    query = "UPDATE chargers SET registration = %s WHERE device_id = %s"
    async with cs.running.pool.connection() as connection:
        await connection.execute(query, [name, cs.device.id])


async def test_tc_b_02_csms_cold_boot_pending(cs: Station) -> None:
    await set_registration(cs, "Pending")
    about = {"vendorName": "V", "model": "M"}
    answer = await cs.call("BootNotification", {"chargingStation": about, "reason": "PowerUp"})
    assert answer["status"] == "Pending"
    await set_registration(cs, "Accepted")
    assert (await boot(cs))["status"] == "Accepted"


@pytest.mark.parametrize("registration", ["Pending", "Rejected"])
async def test_tc_b_30_csms_not_accepted_yet_means_security_error(cs: Station, registration: str) -> None:
    """What a station sends although it was not accepted is refused with SecurityError (B02, B03)."""
    await set_registration(cs, registration)
    about = {"vendorName": "V", "model": "M"}
    answer = await cs.call("BootNotification", {"chargingStation": about, "reason": "PowerUp"})
    assert answer["status"] == registration
    with pytest.raises(RefusedError, match="SecurityError"):
        await authorize(cs)


async def test_tc_b_31_csms_pending_but_asked_by_trigger(cs: Station) -> None:
    await set_registration(cs, "Pending")
    about = {"vendorName": "V", "model": "M"}
    await cs.call("BootNotification", {"chargingStation": about, "reason": "PowerUp"})
    outcome = await cs.ask("TriggerMessage", {"requestedMessage": "BootNotification"}, ACCEPTED)
    assert outcome.payload == ACCEPTED
    answer = await cs.call("BootNotification", {"chargingStation": about, "reason": "Triggered"})
    assert answer["status"] == "Pending"


def variable(name: str, component: str = "OCPPCommCtrlr") -> dict[str, Any]:
    return {"component": {"name": component}, "variable": {"name": name}}


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["OfflineThreshold"], id="TC_B_06_CSMS"),
        pytest.param(["OfflineThreshold", "HeartbeatInterval"], id="TC_B_07_CSMS"),
    ],
)
async def test_tc_b_06_07_csms_get_variables(cs: Station, names: list[str]) -> None:
    wanted = {"getVariableData": [variable(name) for name in names]}
    said = [{**variable(name), "attributeStatus": "Accepted", "attributeValue": "60"} for name in names]
    outcome = await cs.ask("GetVariables", wanted, {"getVariableResult": said})
    assert outcome.payload == {"getVariableResult": said}
    assert cs.last("GetVariables") == wanted


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["OfflineThreshold"], id="TC_B_09_CSMS"),
        pytest.param(["OfflineThreshold", "HeartbeatInterval"], id="TC_B_10_CSMS"),
    ],
)
async def test_tc_b_09_10_csms_set_variables(cs: Station, names: list[str]) -> None:
    wanted = {"setVariableData": [{**variable(name), "attributeValue": "90"} for name in names]}
    said = [{**variable(name), "attributeStatus": "Accepted"} for name in names]
    outcome = await cs.ask("SetVariables", wanted, {"setVariableResult": said})
    assert outcome.payload == {"setVariableResult": said}
    assert cs.last("SetVariables") == wanted


@pytest.mark.parametrize(
    "base",
    [
        pytest.param("ConfigurationInventory", id="TC_B_12_CSMS"),
        pytest.param("FullInventory", id="TC_B_13_CSMS"),
    ],
)
async def test_tc_b_12_13_csms_get_base_report(cs: Station, base: str) -> None:
    wanted = {"requestId": 4, "reportBase": base}
    assert (await cs.ask("GetBaseReport", wanted, ACCEPTED)).payload == ACCEPTED
    for number in range(2):
        data = [
            {
                **variable(f"Variable{number}"),
                "variableAttribute": [{"value": "1", "mutability": "ReadWrite"}],
                "variableCharacteristics": {"dataType": "integer", "supportsMonitoring": False},
            }
        ]
        page = {"requestId": 4, "generatedAt": at(), "seqNo": number, "tbc": number == 0, "reportData": data}
        assert await cs.call("NotifyReport", page) == {}
    query = "SELECT count(*) FROM charger_variables WHERE device_id = %s"
    async with cs.running.pool.connection() as connection:
        row = await (await connection.execute(query, [cs.device.id])).fetchone()
    assert row == (2,)


@pytest.mark.parametrize(
    ("request_", "answer", "reason"),
    [
        pytest.param({"type": "OnIdle"}, "Accepted", None, id="TC_B_20_CSMS"),
        pytest.param({"type": "OnIdle"}, "Scheduled", "Local", id="TC_B_21_CSMS"),
        pytest.param({"type": "Immediate"}, "Accepted", "ImmediateReset", id="TC_B_22_CSMS"),
        pytest.param({"type": "OnIdle", "evseId": 1}, "Accepted", None, id="TC_B_25_CSMS"),
        pytest.param({"type": "OnIdle", "evseId": 1}, "Scheduled", "Local", id="TC_B_26_CSMS"),
        pytest.param({"type": "Immediate", "evseId": 1}, "Accepted", "ImmediateReset", id="TC_B_27_CSMS"),
    ],
)
async def test_tc_b_20_27_csms_reset(
    running: Running, request_: dict[str, Any], answer: str, reason: str | None
) -> None:
    async with station(running, version=Version.V201) as cs:
        await boot(cs)
        transaction = await charging(cs) if reason else None
        assert (await cs.ask("Reset", request_, {"status": answer})).payload == {"status": answer}
        assert cs.last("Reset") == request_
        if transaction is not None and reason is not None:
            await transaction.end("ResetCommand" if reason == "ImmediateReset" else "StopAuthorized", reason)
    async with station(running, device=cs.device, version=Version.V201) as again:
        assert (await boot(again, "RemoteReset"))["status"] == "Accepted"
        if reason:
            await ended_with(again, reason)


@pytest.mark.parametrize(
    "answer", [pytest.param("Accepted", id="TC_B_42_CSMS"), pytest.param("Failed", id="TC_B_44_CSMS")]
)
async def test_tc_b_42_44_csms_set_network_profile(cs: Station, answer: str) -> None:
    data = {
        "ocppVersion": "OCPP20",
        "ocppTransport": "JSON",
        "ocppCsmsUrl": "wss://csms.example.com",
        "messageTimeout": 30,
        "securityProfile": 2,
        "ocppInterface": "Wired0",
    }
    wanted = {"configurationSlot": 1, "connectionData": data}
    outcome = await cs.ask("SetNetworkProfile", wanted, {"status": answer})
    assert outcome.payload == {"status": answer}


# --- C: authorisation ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "verdicts"),
    [
        pytest.param("NOBODY", {"Invalid", "Unknown"}, id="TC_C_02_CSMS"),
        pytest.param("BLOCKED", {"Blocked"}, id="TC_C_06_CSMS"),
        pytest.param("EXPIRED", {"Expired"}, id="TC_C_07_CSMS"),
    ],
)
async def test_tc_c_02_06_07_csms_not_authorised(cs: Station, tag: str, verdicts: set[str]) -> None:
    user_id = await add_driver(cs.running.pool, "OTHER")
    past = datetime.now(UTC) - timedelta(hours=1)
    async with cs.running.pool.connection() as connection:
        await put_token(connection, "EXPIRED", user_id, expires_at=past)
        await put_token(connection, "BLOCKED", user_id, status="Blocked")
    info = await authorize(cs, {"idToken": tag, "type": "ISO14443"})
    assert info["status"] in verdicts


async def test_tc_c_08_csms_authorised_by_the_cache(cs: Station) -> None:
    """The station starts by its cache; the event carries the token all the same."""
    transaction = Transaction(cs)
    answer = await transaction.start()
    assert answer["idTokenInfo"]["status"] == "Accepted"


async def test_tc_c_20_csms_cached_but_invalid_meanwhile(cs: Station) -> None:
    transaction = Transaction(cs)
    answer = await transaction.start(idToken={"idToken": "NOBODY", "type": "ISO14443"})
    assert answer["idTokenInfo"]["status"] in {"Invalid", "Unknown"}
    await transaction.end("Deauthorized", "DeAuthorized")
    await ended_with(cs, "DeAuthorized")


@pytest.mark.parametrize(
    "answer", [pytest.param("Accepted", id="TC_C_37_CSMS"), pytest.param("Rejected", id="TC_C_38_CSMS")]
)
async def test_tc_c_37_38_csms_clear_cache(cs: Station, answer: str) -> None:
    assert (await cs.ask("ClearCache", {}, {"status": answer})).payload == {"status": answer}


async def test_tc_c_39_csms_authorised_by_group(cs: Station) -> None:
    user_id = await add_driver(cs.running.pool, "SIBLING")
    async with cs.running.pool.connection() as connection:
        for tag in ("TAG-1", "SIBLING"):
            await put_token(connection, tag, user_id, group_id="GROUP-1")
    groups = [
        (await authorize(cs, {"idToken": tag, "type": "ISO14443"}))["groupIdToken"]["idToken"]
        for tag in ("TAG-1", "SIBLING")
    ]
    assert groups == ["GROUP-1", "GROUP-1"]


# --- E: transactions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trigger", "state"),
    [
        pytest.param("Authorized", "EVConnected", id="TC_E_01_CSMS"),
        pytest.param("ChargingStateChanged", "Charging", id="TC_E_02_CSMS"),
        pytest.param("CablePluggedIn", "EVConnected", id="TC_E_09_CSMS"),
        pytest.param("Authorized", None, id="TC_E_10_CSMS"),
        pytest.param("SignedDataReceived", "EVConnected", id="TC_E_11_CSMS"),
        pytest.param("EVDetected", None, id="TC_E_12_CSMS"),
    ],
)
async def test_tc_e_01_12_csms_start_options(cs: Station, trigger: str, state: str | None) -> None:
    await boot(cs)
    assert (await authorize(cs))["status"] == "Accepted"
    answer = await Transaction(cs).start(trigger, state)
    assert answer["idTokenInfo"]["status"] == "Accepted"
    assert (await only_session(cs))["status"] == "active"


async def test_tc_e_03_csms_local_start_cable_first(cs: Station) -> None:
    await boot(cs)
    await status(cs, "Occupied")
    transaction = Transaction(cs)
    await transaction.start("CablePluggedIn", idToken=None)
    assert (await authorize(cs))["status"] == "Accepted"
    answer = await transaction.update("Authorized", "EVConnected", idToken=TOKEN)
    assert answer["idTokenInfo"]["status"] == "Accepted"
    await transaction.update("ChargingStateChanged", "Charging")
    session = await only_session(cs)
    assert (session["id_tag"], session["user_id"] is not None) == ("TAG-1", True)


async def test_tc_e_04_csms_local_start_authorisation_first(cs: Station) -> None:
    await boot(cs)
    await charging(cs)
    assert (await only_session(cs))["id_tag"] == "TAG-1"


@pytest.mark.parametrize(
    ("trigger", "reason", "state"),
    [
        pytest.param("StopAuthorized", "Local", "EVConnected", id="TC_E_07_CSMS"),
        pytest.param("StopAuthorized", "Local", "SuspendedEVSE", id="TC_E_08_CSMS"),
        pytest.param("EVCommunicationLost", "EVDisconnected", "Idle", id="TC_E_14_CSMS"),
        pytest.param("StopAuthorized", "Local", "Idle", id="TC_E_15_CSMS"),
        pytest.param("Deauthorized", "DeAuthorized", "EVConnected", id="TC_E_16_CSMS"),
        pytest.param("EVCommunicationLost", "DeAuthorized", "Idle", id="TC_E_17_CSMS"),
        pytest.param("EVDeparted", "EVDisconnected", "Idle", id="TC_E_19_CSMS"),
        pytest.param("EVCommunicationLost", "EVDisconnected", "EVConnected", id="TC_E_20_CSMS"),
        pytest.param("RemoteStop", "Remote", "Idle", id="TC_E_21_CSMS"),
        pytest.param("ChargingStateChanged", "StoppedByEV", "SuspendedEV", id="TC_E_22_CSMS"),
        pytest.param("EVConnectTimeout", "Timeout", "Idle", id="TC_E_39_CSMS"),
    ],
)
async def test_tc_e_07_39_csms_stop_options(cs: Station, trigger: str, reason: str, state: str) -> None:
    await boot(cs)
    transaction = await charging(cs)
    await transaction.end(trigger, reason, state=state)
    await status(cs, "Available")
    await ended_with(cs, reason)


async def test_tc_e_26_csms_cable_out_suspends(cs: Station) -> None:
    await boot(cs)
    transaction = await charging(cs)
    await transaction.update("EVCommunicationLost", "Idle")
    assert (await only_session(cs))["status"] == "active"
    await transaction.update("CablePluggedIn", "Charging")
    await transaction.end("StopAuthorized", "Local")
    await ended_with(cs, "Local")


@pytest.mark.parametrize(
    ("is_named", "answer"),
    [
        pytest.param(True, {"ongoingIndicator": True, "messagesInQueue": True}, id="TC_E_29_CSMS"),
        pytest.param(True, {"ongoingIndicator": True, "messagesInQueue": False}, id="TC_E_30_CSMS"),
        pytest.param(True, {"ongoingIndicator": False, "messagesInQueue": True}, id="TC_E_31_CSMS"),
        pytest.param(False, {"messagesInQueue": True}, id="TC_E_33_CSMS"),
        pytest.param(False, {"messagesInQueue": False}, id="TC_E_34_CSMS"),
    ],
)
async def test_tc_e_29_34_csms_transaction_status(
    cs: Station, is_named: bool, answer: dict[str, bool]
) -> None:
    await boot(cs)
    transaction = await charging(cs)
    wanted = {"transactionId": transaction.id} if is_named else {}
    outcome = await cs.ask("GetTransactionStatus", wanted, answer)
    assert outcome.payload == answer
    assert cs.last("GetTransactionStatus") == wanted
    if answer["messagesInQueue"]:
        await transaction.end("StopAuthorized", "Local", offline=True, timestamp=at(-30))
        await ended_with(cs, "Local")


async def test_tc_e_31_csms_updates_that_arrive_after_the_end(cs: Station) -> None:
    """The queue was emptied out of order: the session ends once, and no event is refused."""
    await boot(cs)
    transaction = await charging(cs)
    await transaction.end("StopAuthorized", "Local", seq_no=5, offline=True)
    for number in (2, 3, 4):
        value = reading(number * 100)
        await transaction.update("MeterValuePeriodic", seq_no=number, offline=True, meterValue=value)
    await ended_with(cs, "Local")


async def test_tc_e_38_csms_the_ev_is_not_ready(cs: Station) -> None:
    await boot(cs)
    transaction = Transaction(cs)
    await transaction.start()
    await transaction.update("ChargingStateChanged", "SuspendedEV")
    assert (await only_session(cs))["status"] == "active"


async def test_tc_e_53_csms_sequence_numbers_begin_again(cs: Station) -> None:
    """Each transaction may count from 0."""
    await boot(cs)
    for name in ("TX-1", "TX-2"):
        transaction = await charging(cs, name)
        await transaction.end("StopAuthorized", "Local")
    found = await sessions(cs.running, cs.device)
    assert [session["status"] for session in found] == ["completed", "completed"]


# --- F: remote control --------------------------------------------------------------------------


async def remote_start(cs: Station, remote_id: int = 5) -> None:
    wanted = {"remoteStartId": remote_id, "idToken": TOKEN, "evseId": 1}
    assert (await cs.ask("RequestStartTransaction", wanted, ACCEPTED)).payload == ACCEPTED
    assert cs.last("RequestStartTransaction") == wanted


@pytest.mark.parametrize(
    ("cable_first", "asks"),
    [
        pytest.param(True, True, id="TC_F_01_CSMS"),
        pytest.param(False, True, id="TC_F_02_CSMS"),
        pytest.param(False, False, id="TC_F_03_CSMS"),
    ],
)
async def test_tc_f_01_03_csms_remote_start(cs: Station, cable_first: bool, asks: bool) -> None:
    await boot(cs)
    if cable_first:
        await status(cs, "Occupied")
    await remote_start(cs)
    if asks:
        assert (await authorize(cs))["status"] == "Accepted"
    answer = await Transaction(cs).start("RemoteStart", info={"remoteStartId": 5})
    assert answer["idTokenInfo"]["status"] == "Accepted"
    assert (await only_session(cs))["status"] == "active"


async def test_tc_f_04_csms_remote_start_cable_timeout(cs: Station) -> None:
    await boot(cs)
    await remote_start(cs)
    transaction = Transaction(cs)
    await transaction.start("RemoteStart", None, info={"remoteStartId": 5})
    await transaction.end("EVConnectTimeout", "Timeout", wh=0)
    await ended_with(cs, "Timeout", 0)


async def test_tc_f_06_csms_unlock(cs: Station) -> None:
    wanted = {"evseId": 1, "connectorId": 1}
    said = {"status": "Unlocked"}
    assert (await cs.ask("UnlockConnector", wanted, said)).payload == said


@pytest.mark.parametrize(
    ("message", "evse"),
    [
        pytest.param("MeterValues", {"id": 1}, id="TC_F_11_CSMS"),
        pytest.param("MeterValues", None, id="TC_F_12_CSMS"),
        pytest.param("TransactionEvent", {"id": 1}, id="TC_F_13_CSMS"),
        pytest.param("TransactionEvent", None, id="TC_F_14_CSMS"),
        pytest.param("LogStatusNotification", None, id="TC_F_15_CSMS"),
        pytest.param("FirmwareStatusNotification", None, id="TC_F_18_CSMS"),
        pytest.param("Heartbeat", None, id="TC_F_20_CSMS"),
        pytest.param("StatusNotification", {"id": 1, "connectorId": 1}, id="TC_F_23_CSMS"),
        pytest.param("StatusNotification", {"id": 1, "connectorId": 1}, id="TC_F_24_CSMS"),
    ],
)
async def test_tc_f_11_24_csms_trigger(cs: Station, message: str, evse: dict[str, int] | None) -> None:
    await boot(cs)
    wanted: dict[str, Any] = {"requestedMessage": message, **({"evse": evse} if evse else {})}
    assert (await cs.ask("TriggerMessage", wanted, ACCEPTED)).payload == ACCEPTED
    assert cs.last("TriggerMessage") == wanted
    payloads: dict[str, dict[str, Any]] = {
        "MeterValues": {"evseId": 1, "meterValue": reading(5, "Trigger")},
        "LogStatusNotification": {"status": "Idle"},
        "FirmwareStatusNotification": {"status": "Idle"},
        "Heartbeat": {},
    }
    if message == "TransactionEvent":
        transaction = await charging(cs)
        await transaction.update("Trigger", meterValue=reading(7, "Trigger"))
    elif message == "StatusNotification":
        await status(cs, "Occupied")
    else:
        await cs.call(message, payloads[message])


async def test_tc_f_27_csms_trigger_not_implemented(cs: Station) -> None:
    said = {"status": "NotImplemented"}
    wanted = {"requestedMessage": "SignV2GCertificate"}
    assert (await cs.ask("TriggerMessage", wanted, said)).payload == said


# --- G: availability ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "operational", "answer"),
    [
        pytest.param({"id": 1}, "Inoperative", "Accepted", id="TC_G_03_CSMS"),
        pytest.param({"id": 1}, "Operative", "Accepted", id="TC_G_04_CSMS"),
        pytest.param(None, "Inoperative", "Accepted", id="TC_G_05_CSMS"),
        pytest.param(None, "Operative", "Accepted", id="TC_G_06_CSMS"),
        pytest.param(EVSE, "Inoperative", "Accepted", id="TC_G_07_CSMS"),
        pytest.param(EVSE, "Operative", "Accepted", id="TC_G_08_CSMS"),
        pytest.param({"id": 1}, "Inoperative", "Scheduled", id="TC_G_11_CSMS"),
        pytest.param(None, "Inoperative", "Scheduled", id="TC_G_14_CSMS"),
        pytest.param(EVSE, "Inoperative", "Scheduled", id="TC_G_17_CSMS"),
    ],
)
async def test_tc_g_03_17_csms_change_availability(
    cs: Station, target: dict[str, int] | None, operational: str, answer: str
) -> None:
    await boot(cs)
    transaction = await charging(cs) if answer == "Scheduled" else None
    wanted: dict[str, Any] = {"operationalStatus": operational, **({"evse": target} if target else {})}
    outcome = await cs.ask("ChangeAvailability", wanted, {"status": answer})
    assert outcome.payload == {"status": answer}
    if transaction is not None:
        await transaction.end("StopAuthorized", "Local")
        await ended_with(cs, "Local")
    await status(cs, "Available" if operational == "Operative" else "Unavailable")
    query = "SELECT status FROM connectors WHERE device_id = %s AND connector_id = 1"
    async with cs.running.pool.connection() as connection:
        row = await (await connection.execute(query, [cs.device.id])).fetchone()
    assert row == ("Available" if operational == "Operative" else "Unavailable",)


async def test_tc_g_20_csms_lock_failure(cs: Station) -> None:
    await boot(cs)
    event = {
        "eventId": 1,
        "timestamp": at(),
        "trigger": "Delta",
        "actualValue": "true",
        "eventNotificationType": "HardWiredNotification",
        "component": {"name": "ConnectorPlugRetentionLock", "evse": EVSE},
        "variable": {"name": "Problem"},
    }
    page = {"generatedAt": at(), "seqNo": 0, "eventData": [event]}
    assert await cs.call("NotifyEvent", page) == {}


# --- J: meter values ----------------------------------------------------------------------------


async def values_of(cs: Station) -> list[float]:
    return [float(value) for value in (await log_rows(cs.running.bus, "charger_samples")).get("value", [])]


async def test_tc_j_01_csms_clock_aligned_without_a_transaction(cs: Station) -> None:
    await boot(cs)
    payload = {"evseId": 1, "meterValue": reading(1234, "Sample.Clock")}
    assert await cs.call("MeterValues", payload) == {}
    assert await values_of(cs) == [1234.0]


@pytest.mark.parametrize(
    ("context", "kind"),
    [
        pytest.param("Sample.Clock", "Updated", id="TC_J_02_CSMS"),
        pytest.param("Sample.Clock", "Ended", id="TC_J_03_CSMS"),
        pytest.param("Sample.Periodic", "Updated", id="TC_J_09_CSMS"),
        pytest.param("Sample.Periodic", "Ended", id="TC_J_10_CSMS"),
    ],
)
async def test_tc_j_02_10_csms_values_in_a_transaction(cs: Station, context: str, kind: str) -> None:
    await boot(cs)
    transaction = await charging(cs)
    if kind == "Updated":
        await transaction.update("MeterValueClock", meterValue=reading(777, context))
    else:
        values = reading(777, context) + reading(1_000, "Transaction.End")
        await transaction.end("StopAuthorized", "Local", meterValue=values)
    assert 777.0 in await values_of(cs)


@pytest.mark.parametrize(
    "context",
    [pytest.param("Sample.Clock", id="TC_J_04_CSMS"), pytest.param("Sample.Periodic", id="TC_J_11_CSMS")],
)
async def test_tc_j_04_11_csms_signed_values(cs: Station, context: str) -> None:
    await boot(cs)
    transaction = await charging(cs)
    signed = {
        "signedMeterData": "T0NNRnx7fQ==",
        "signingMethod": "ECDSA",
        "encodingMethod": "OCMF",
        "publicKey": "",
    }
    await transaction.update("MeterValuePeriodic", meterValue=reading(888, context, signedMeterValue=signed))
    assert 888.0 in await values_of(cs)


async def test_tc_j_07_csms_sampled_at_the_start(cs: Station) -> None:
    await boot(cs)
    await Transaction(cs).start(meterValue=reading(55, "Transaction.Begin"))
    assert (await only_session(cs))["meter_start_wh"] == 55


async def test_tc_j_08_csms_sampled_before_the_evse_is_known(cs: Station) -> None:
    await boot(cs)
    transaction = Transaction(cs)
    await transaction.start("Authorized", None, evse=None, meterValue=None)
    begin = reading(60, "Transaction.Begin")
    await transaction.update("CablePluggedIn", "EVConnected", evse=EVSE, meterValue=begin)
    await transaction.end("StopAuthorized", "Local", wh=1_060)
    session = await only_session(cs)
    assert (session["connector_id"], session["meter_start_wh"]) == (1, 60)
    await ended_with(cs, "Local")
