"""OCPP 1.6, core profile: TC_001 to TC_040, TC_061 and TC_064 of the OCA's test case document (`_CSMS`)."""

from datetime import UTC, datetime, timedelta

import pytest

from protocols.timestamps import parse_timestamp
from storage.queries.id_tokens import put_token
from tests.conformance.cases_16 import (
    TAG,
    authorize,
    boot,
    charge,
    connector_status,
    only_session,
    start,
    status,
    stop,
)
from tests.conformance.station import Station, add_driver, at, sessions, station
from tests.ingest.ocpp_gateway import Running, events, eventually, now_us


async def test_tc_001_csms_cold_boot(cp: Station) -> None:
    await boot(cp)
    answer = await cp.call("Heartbeat", {})
    assert abs(parse_timestamp(answer["currentTime"]) - now_us()) < 5_000_000
    assert await connector_status(cp) == "Available"


async def test_tc_003_csms_plug_in_first(cp: Station) -> None:
    await boot(cp)
    await status(cp, "Preparing")
    assert await authorize(cp) == "Accepted"
    answer = await start(cp)
    await status(cp, "Charging")
    sample = {"timestamp": at(0.5), "sampledValue": [{"value": "120"}]}
    payload = {"connectorId": 1, "transactionId": answer["transactionId"], "meterValue": [sample]}
    assert await cp.call("MeterValues", payload) == {}
    assert (await stop(cp, answer["transactionId"], 500, "Local"))["idTagInfo"]["status"] == "Accepted"
    await status(cp, "Finishing")
    await status(cp, "Available")
    session = await only_session(cp)
    assert (session["status"], session["meter_stop_wh"]) == ("completed", 500)
    assert session["stop_reason"] == "Local"


async def test_tc_004_1_csms_identification_first(cp: Station) -> None:
    await boot(cp)
    transaction = await charge(cp)
    assert (await only_session(cp))["transaction_id"] == transaction


async def test_tc_004_2_csms_identification_first_connection_timeout(cp: Station) -> None:
    """The cable never comes: the connector is free again and nothing was begun."""
    await boot(cp)
    assert await authorize(cp) == "Accepted"
    await status(cp, "Preparing")
    await status(cp, "Available")
    assert await sessions(cp.running, cp.device) == []
    assert await connector_status(cp) == "Available"


async def test_tc_005_1_csms_ev_side_disconnected(cp: Station) -> None:
    await boot(cp)
    transaction = await charge(cp)
    await status(cp, "SuspendedEV")
    await stop(cp, transaction, 700, "EVDisconnected")
    await status(cp, "Finishing")
    await status(cp, "Available")
    assert (await only_session(cp))["stop_reason"] == "EVDisconnected"


async def test_tc_007_csms_start_with_a_cached_id(cp: Station) -> None:
    """The charger starts by its cache and asks nobody before."""
    await boot(cp)
    await status(cp, "Preparing")
    answer = await start(cp)
    assert answer["idTagInfo"]["status"] == "Accepted"
    assert (await only_session(cp))["user_id"] is not None


async def remote_start(cp: Station, status_answer: str = "Accepted") -> None:
    outcome = await cp.ask(
        "RemoteStartTransaction", {"connectorId": 1, "idTag": TAG}, {"status": status_answer}
    )
    assert outcome.payload == {"status": status_answer}
    assert cp.last("RemoteStartTransaction") == {"connectorId": 1, "idTag": TAG}


async def test_tc_010_csms_remote_start_cable_first(cp: Station) -> None:
    await boot(cp)
    await status(cp, "Preparing")
    await remote_start(cp)
    transaction = await charge(cp)
    assert (await only_session(cp))["transaction_id"] == transaction


async def test_tc_011_1_csms_remote_start_first(cp: Station) -> None:
    await boot(cp)
    await remote_start(cp)
    await charge(cp)
    assert (await only_session(cp))["status"] == "active"


async def test_tc_011_2_csms_remote_start_timeout(cp: Station) -> None:
    await boot(cp)
    await remote_start(cp)
    await status(cp, "Preparing")
    await status(cp, "Available")
    assert await sessions(cp.running, cp.device) == []


async def test_tc_012_csms_remote_stop(cp: Station) -> None:
    await boot(cp)
    transaction = await charge(cp)
    outcome = await cp.ask("RemoteStopTransaction", {"transactionId": transaction}, {"status": "Accepted"})
    assert outcome.payload == {"status": "Accepted"}
    await stop(cp, transaction, 900, "Remote")
    assert (await only_session(cp))["stop_reason"] == "Remote"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        pytest.param("Hard", "HardReset", id="TC_013_CSMS"),
        pytest.param("Soft", "SoftReset", id="TC_014_CSMS"),
    ],
)
async def test_tc_013_014_csms_reset(running: Running, kind: str, reason: str) -> None:
    async with station(running) as cp:
        await boot(cp)
        transaction = await charge(cp)
        outcome = await cp.ask("Reset", {"type": kind}, {"status": "Accepted"})
        assert outcome.payload == {"status": "Accepted"}
        await stop(cp, transaction, 100, reason)
    async with station(running, device=cp.device) as again:
        await boot(again)
        assert (await only_session(again))["stop_reason"] == reason


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("Unlocked", id="TC_017_1_CSMS"),
        pytest.param("NotSupported", id="TC_017_2_CSMS"),
        pytest.param("UnlockFailed", id="TC_030_CSMS"),
    ],
)
async def test_tc_017_030_csms_unlock_without_a_session(cp: Station, answer: str) -> None:
    await boot(cp)
    outcome = await cp.ask("UnlockConnector", {"connectorId": 1}, {"status": answer})
    assert outcome.payload == {"status": answer}


async def test_tc_018_1_csms_unlock_with_a_session(cp: Station) -> None:
    await boot(cp)
    transaction = await charge(cp)
    outcome = await cp.ask("UnlockConnector", {"connectorId": 1}, {"status": "Unlocked"})
    assert outcome.payload == {"status": "Unlocked"}
    await stop(cp, transaction, 50, "UnlockCommand")
    assert (await only_session(cp))["stop_reason"] == "UnlockCommand"


async def test_tc_019_1_csms_retrieve_all_configuration_keys(cp: Station) -> None:
    keys = [{"key": "HeartbeatInterval", "readonly": False, "value": "300"}]
    outcome = await cp.ask("GetConfiguration", {}, {"configurationKey": keys})
    assert outcome.payload == {"configurationKey": keys}
    assert cp.last("GetConfiguration") == {}


async def test_tc_019_2_csms_retrieve_a_specific_key(cp: Station) -> None:
    wanted = {"key": ["SupportedFeatureProfiles"]}
    keys = [{"key": "SupportedFeatureProfiles", "readonly": True, "value": "Core"}]
    outcome = await cp.ask("GetConfiguration", wanted, {"configurationKey": keys})
    assert outcome.payload == {"configurationKey": keys}
    assert cp.last("GetConfiguration") == wanted


async def test_tc_021_csms_change_configuration(cp: Station) -> None:
    change = {"key": "MeterValueSampleInterval", "value": "30"}
    outcome = await cp.ask("ChangeConfiguration", change, {"status": "Accepted"})
    assert outcome.payload == {"status": "Accepted"}
    assert cp.last("ChangeConfiguration") == change


@pytest.mark.parametrize(
    "verdict",
    [
        pytest.param("Invalid", id="TC_023_1_CSMS"),
        pytest.param("Expired", id="TC_023_2_CSMS"),
        pytest.param("Blocked", id="TC_023_3_CSMS"),
    ],
)
async def test_tc_023_csms_start_is_not_authorised(cp: Station, verdict: str) -> None:
    user_id = await add_driver(cp.running.pool, "OTHER")
    past = datetime.now(UTC) - timedelta(hours=1)
    async with cp.running.pool.connection() as connection:
        await put_token(connection, "EXPIRED", user_id, expires_at=past)
        await put_token(connection, "BLOCKED", user_id, status="Blocked")
    await boot(cp)
    assert await authorize(cp, verdict.upper()) == verdict


async def test_tc_024_csms_start_lock_failure(cp: Station) -> None:
    await boot(cp)
    assert await authorize(cp) == "Accepted"
    await status(cp, "Faulted", error="ConnectorLockFailure")
    assert await connector_status(cp) == "Faulted"
    assert await sessions(cp.running, cp.device) == []


async def test_tc_026_csms_remote_start_rejected(cp: Station) -> None:
    await boot(cp)
    await remote_start(cp, "Rejected")
    assert await sessions(cp.running, cp.device) == []


async def test_tc_028_csms_remote_stop_rejected(cp: Station) -> None:
    await boot(cp)
    await charge(cp)
    outcome = await cp.ask("RemoteStopTransaction", {"transactionId": 999_999}, {"status": "Rejected"})
    assert outcome.payload == {"status": "Rejected"}
    assert (await only_session(cp))["status"] == "active"


async def test_tc_031_csms_unlock_an_unknown_connector(cp: Station) -> None:
    outcome = await cp.ask("UnlockConnector", {"connectorId": 9}, {"status": "NotSupported"})
    assert outcome.payload == {"status": "NotSupported"}


async def test_tc_032_1_csms_power_failure_stops_the_transaction(running: Running) -> None:
    """The charger ends the transaction once it is up again."""
    async with station(running) as cp:
        await boot(cp)
        transaction = await charge(cp)
    async with station(running, device=cp.device) as again:
        await boot(again)
        await stop(again, transaction, 250, "PowerLoss")
        session = await only_session(again)
    assert (session["status"], session["stop_reason"], session["meter_stop_wh"]) == (
        "completed",
        "PowerLoss",
        250,
    )


async def test_tc_037_1_csms_offline_start_with_a_valid_tag(running: Running) -> None:
    async with station(running) as cp:
        await boot(cp)
    async with station(running, device=cp.device) as again:
        answer = await start(again, seconds=-120)
        assert answer["idTagInfo"]["status"] == "Accepted"
        await status(again, "Charging")
        session = await only_session(again)
    age_s = (session["start_received_at"] - session["started_at"]).total_seconds()
    assert 100 < age_s < 140


async def test_tc_037_3_csms_offline_start_with_an_invalid_tag(running: Running) -> None:
    """The energy flowed already: the session is kept, and the charger is told to end it."""
    async with station(running) as cp:
        answer = await start(cp, "NOBODY", seconds=-120)
        assert answer["idTagInfo"]["status"] == "Invalid"
        payload = {"transactionId": answer["transactionId"], "meterStop": 40, "timestamp": at()}
        await cp.call("StopTransaction", {**payload, "reason": "DeAuthorized"})
        session = await only_session(cp)
    assert (session["status"], session["stop_reason"]) == ("completed", "DeAuthorized")


async def test_tc_039_csms_offline_transaction(running: Running) -> None:
    """Begun and ended while the charger was offline; both messages come afterwards, in order."""
    async with station(running) as cp:
        await boot(cp)
    async with station(running, device=cp.device) as again:
        answer = await start(again, seconds=-600)
        await stop(again, answer["transactionId"], 3_000, "Local", seconds=-60)
        session = await only_session(again)
    assert session["meter_stop_wh"] == 3_000
    assert 530 < (session["ended_at"] - session["started_at"]).total_seconds() < 550


@pytest.mark.parametrize(
    ("key", "value", "answer"),
    [
        pytest.param("NoSuchKey", "1", "NotSupported", id="TC_040_1_CSMS"),
        pytest.param("HeartbeatInterval", "-1", "Rejected", id="TC_040_2_CSMS"),
    ],
)
async def test_tc_040_csms_configuration_keys_refused(cp: Station, key: str, value: str, answer: str) -> None:
    outcome = await cp.ask("ChangeConfiguration", {"key": key, "value": value}, {"status": answer})
    assert outcome.payload == {"status": answer}


async def test_tc_061_csms_clear_the_authorisation_cache(cp: Station) -> None:
    outcome = await cp.ask("ClearCache", {}, {"status": "Accepted"})
    assert outcome.payload == {"status": "Accepted"}


async def test_tc_064_csms_data_transfer(cp: Station) -> None:
    answer = await cp.call("DataTransfer", {"vendorId": "com.example", "messageId": "a", "data": "b"})
    assert answer["status"] in {"UnknownVendorId", "Accepted", "Rejected", "UnknownMessageId"}

    async def is_kept() -> bool:
        return [event["vendorId"] for event in await events(cp.running.bus, "data_transfer")] == [
            "com.example"
        ]

    await eventually(is_kept)
