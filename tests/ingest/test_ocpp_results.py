"""What follows from the answers to our calls, and what chargers tell of work: over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from nats.aio.client import Client
from structlog.testing import capture_logs

from ingest.ocpp.results import RESULTS
from protocols.ocpp.surface import TO_CHARGER, Version
from storage.database import Connection, Pool
from storage.queries.charger_jobs import list_jobs
from storage.queries.charging_profiles import list_profiles
from storage.queries.device_model import list_variables
from storage.queries.devices import Device
from storage.queries.display_messages import list_messages
from storage.queries.local_lists import get_local_list, list_entries
from storage.queries.reservations import list_reservations
from storage.queries.variable_monitors import list_monitors
from stream.bus import call_charger
from tests.ingest.ocpp_examples import example_answer, full_request, least_request
from tests.ingest.ocpp_gateway import (
    RawCharger,
    add_charger,
    add_driver,
    events,
    raw_charger,
    running_gateway,
)
from tests.storage.people import NOON

ACCEPTED = {"status": "Accepted"}
TOKEN = {"idToken": "CARD", "type": "ISO14443"}
POWER = {"component": {"name": "EVSE", "evse": {"id": 1}}, "variable": {"name": "Power"}}


# An answer to one of these may be rows and no event. All others leave one.
TABLED = {
    *("CertificateSigned", "DeleteCertificate", "GetInstalledCertificateIds", "InstallCertificate"),
    *("ChangeConfiguration", "GetConfiguration", "GetVariables", "SetVariables", "SetVariableMonitoring"),
    *("GetLocalListVersion", "SendLocalList", "ReserveNow", "SetChargingProfile", "SetDisplayMessage"),
    *("CustomerInformation", "GetBaseReport", "GetChargingProfiles", "GetDisplayMessages", "GetDiagnostics"),
    *("GetLog", "GetMonitoringReport", "GetReport", "PublishFirmware", "SignedUpdateFirmware"),
    "UpdateFirmware",
}


@dataclass
class Line:
    """A charger on a socket, and the bus on which it is called."""

    pool: Pool
    bus: Client
    device: Device
    charger: RawCharger

    async def ask(self, action: str, request: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Have the charger called, and answer for it."""
        calling = asyncio.create_task(call_charger(self.bus, self.device.id, action, request, 5))
        frame = await asyncio.wait_for(self.charger.receive(), 5)
        assert frame[2:] == [action, request]
        await self.charger.send([3, frame[1], answer])
        outcome = await calling
        assert (outcome.outcome, outcome.payload) == ("result", answer), outcome

    async def answers(self) -> list[tuple[str, Any]]:
        """The device events of answers that changed no table."""
        return [(each["action"], each["answer"]) for each in await events(self.bus, "call_answered")]


@asynccontextmanager
async def line(pool: Pool, bus: Client, version: Version) -> AsyncIterator[Line]:
    device = await add_charger(pool, "CP1")
    async with (
        running_gateway(pool, bus) as running,
        raw_charger(f"{running.url}/CP1", subprotocols=[version.subprotocol]) as charger,
    ):
        await charger.call("Heartbeat", {})
        yield Line(pool, bus, device, charger)


@pytest.fixture
async def v16(pool: Pool, bus: Client) -> AsyncIterator[Line]:
    async with line(pool, bus, Version.V16) as on_line:
        yield on_line


@pytest.fixture(params=[Version.V201, Version.V21])
async def v2(pool: Pool, bus: Client, request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    async with line(pool, bus, request.param) as on_line:
        yield on_line


async def variables(connection: Connection, device: Device) -> dict[str, tuple[str | None, str | None]]:
    page, _ = await list_variables(connection, device.id, limit=100)
    return {f"{each.variable}.{each.attribute}": (each.value, each.mutability) for each in page}


# --- OCPP 1.6 --------------------------------------------------------------------------------------


async def test_configuration_keys_are_kept(v16: Line) -> None:
    keys = [
        {"key": "HeartbeatInterval", "readonly": False, "value": "300"},
        {"key": "NumberOfConnectors", "readonly": True, "value": "2"},
        {"key": "AuthorizationKey", "readonly": False, "value": "hunter2"},
        {"key": "Old", "readonly": False},
    ]
    await v16.ask("GetConfiguration", {}, {"configurationKey": keys})
    change = {"key": "heartbeatinterval", "value": "60"}
    await v16.ask("ChangeConfiguration", change, ACCEPTED)
    secret = {"key": "AuthorizationKey", "value": "hunter3"}
    await v16.ask("ChangeConfiguration", secret, {"status": "RebootRequired"})
    await v16.ask("ChangeConfiguration", {"key": "X", "value": "1"}, {"status": "Rejected"})
    await v16.ask("ChangeConfiguration", {"key": "Name", "value": "a\0b"}, ACCEPTED)
    await v16.ask("GetConfiguration", {"key": ["Old"]}, {"unknownKey": ["Old"]})
    await v16.ask("GetConfiguration", {"key": ["A"]}, {})
    async with v16.pool.connection() as connection:
        assert await variables(connection, v16.device) == {
            "AuthorizationKey.Actual": ("***", "ReadWrite"),
            "Name.Actual": ("a\ufffdb", None),
            "HeartbeatInterval.Actual": ("60", "ReadWrite"),
            "NumberOfConnectors.Actual": ("2", "ReadOnly"),
        }
    assert await v16.answers() == [
        ("ChangeConfiguration", {"status": "RebootRequired"}),
        ("ChangeConfiguration", {"status": "Rejected"}),
        ("GetConfiguration", {}),
    ]
    assert "hunter" not in json.dumps(await events(v16.bus, "call_answered"))


async def test_a_local_list_of_1_6(v16: Line) -> None:
    entries = [{"idTag": "A", "idTagInfo": ACCEPTED}, {"idTag": "B", "idTagInfo": ACCEPTED}]
    full = {"listVersion": 3, "updateType": "Full", "localAuthorizationList": entries}
    await v16.ask("SendLocalList", full, ACCEPTED)
    update = {"listVersion": 4, "updateType": "Differential", "localAuthorizationList": [{"idTag": "a"}]}
    await v16.ask("SendLocalList", update, ACCEPTED)
    await v16.ask("SendLocalList", update, {"status": "VersionMismatch"})
    async with v16.pool.connection() as connection:
        stored = await get_local_list(connection, v16.device.id)
        assert stored is not None
        assert (stored.version, stored.is_in_doubt, stored.entries) == (4, True, 1)
        (entry,), _ = await list_entries(connection, v16.device.id, limit=10)
        assert (entry.id_token, entry.info) == ("B", ACCEPTED)
    await v16.ask("GetLocalListVersion", {}, {"listVersion": 4})
    async with v16.pool.connection() as connection:
        stored = await get_local_list(connection, v16.device.id)
        assert stored is not None
        assert (stored.reported_version, stored.is_in_doubt) == (4, False)
    assert await v16.answers() == [("SendLocalList", {"status": "VersionMismatch"})]


async def test_reservations_of_1_6(v16: Line) -> None:
    await add_driver(v16.pool, "CARD")
    asked = {"connectorId": 1, "expiryDate": "2126-01-01T00:00:00Z", "idTag": "CARD", "reservationId": 1}
    for number in (1, 2, 3):
        await v16.ask("ReserveNow", {**asked, "reservationId": number}, ACCEPTED)
    await v16.ask("ReserveNow", {**asked, "reservationId": 4}, {"status": "Occupied"})
    await v16.ask("CancelReservation", {"reservationId": 2}, ACCEPTED)
    await v16.ask("CancelReservation", {"reservationId": 3}, {"status": "Rejected"})
    start = {"connectorId": 1, "idTag": "CARD", "meterStart": 0, "timestamp": "2026-01-02T03:04:05Z"}
    await v16.charger.call("StartTransaction", {**start, "reservationId": 1})
    async with v16.pool.connection() as connection:
        page, _ = await list_reservations(connection, v16.device.id, now=NOON, limit=10)
    states = {each.reservation_id: each.status for each in page}
    assert states == {1: "used", 2: "cancelled", 3: "removed"}
    assert {each.id_token for each in page} == {"CARD"}
    assert [action for action, _ in await v16.answers()] == ["ReserveNow", "CancelReservation"]


def profile_16(number: int, purpose: str = "TxDefaultProfile", stack_level: int = 0) -> dict[str, Any]:
    return {
        "chargingProfileId": number,
        "stackLevel": stack_level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Relative",
        "chargingSchedule": {
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 6}],
        },
    }


async def held(on_line: Line) -> list[tuple[int, int, str]]:
    async with on_line.pool.connection() as connection:
        page, _ = await list_profiles(connection, on_line.device.id, limit=100)
    return [(each.profile_id, each.evse_id, each.purpose) for each in page]


async def test_profiles_of_1_6(v16: Line) -> None:
    async def install(connector_id: int, profile: Any, status: str = "Accepted") -> None:
        request = {"connectorId": connector_id, "csChargingProfiles": profile}
        await v16.ask("SetChargingProfile", request, {"status": status})

    await install(1, profile_16(1))
    await install(1, profile_16(2))
    assert await held(v16) == [(2, 1, "TxDefaultProfile")], "the same place in the stack"
    await install(1, profile_16(3, stack_level=1))
    await install(2, profile_16(4))
    await install(0, profile_16(5), "Rejected")
    await v16.ask("ClearChargingProfile", {"connectorId": 1, "stackLevel": 1}, ACCEPTED)
    assert [number for number, _, _ in await held(v16)] == [2, 4]
    await v16.ask("ClearChargingProfile", {"id": 4}, {"status": "Unknown"})
    await v16.ask("ClearChargingProfile", {"id": 2**40}, ACCEPTED)
    assert [number for number, _, _ in await held(v16)] == [2]
    start = {"idTag": "CARD", "connectorId": 1, "chargingProfile": profile_16(6, "TxProfile")}
    await v16.ask("RemoteStartTransaction", start, ACCEPTED)
    assert await held(v16) == [(2, 1, "TxDefaultProfile"), (6, 1, "TxProfile")]
    begun = {"connectorId": 1, "idTag": "CARD", "meterStart": 0, "timestamp": "2026-01-02T03:04:05Z"}
    number = (await v16.charger.call("StartTransaction", begun))["transactionId"]
    ended = {"transactionId": number, "meterStop": 5, "timestamp": "2026-01-02T04:04:05Z"}
    await v16.charger.call("StopTransaction", ended)
    assert await held(v16) == [(2, 1, "TxDefaultProfile")], "a TxProfile ends with its transaction"
    assert [action for action, _ in await v16.answers()] == [
        "SetChargingProfile",
        "ClearChargingProfile",
        "ClearChargingProfile",
        "RemoteStartTransaction",
    ]


async def jobs(on_line: Line) -> list[tuple[str, int | None, str, bool, bool]]:
    async with on_line.pool.connection() as connection:
        page, _ = await list_jobs(connection, on_line.device.id, limit=100)
    return [(each.kind, each.request_id, each.status, each.is_finished, each.is_failed) for each in page]


async def test_firmware_and_diagnostics_of_1_6(v16: Line) -> None:
    live = await v16.bus.subscribe("gridwire.live.charger-job")
    location = "ftp://user:hunter2@example.org/files"
    await v16.ask("UpdateFirmware", {"location": location, "retrieveDate": "2026-01-01T00:00:00Z"}, {})
    await v16.ask("GetDiagnostics", {"location": location}, {"fileName": "log.zip"})
    for action, statuses in {
        "FirmwareStatusNotification": ("Downloading", "DownloadFailed", "Idle", "Downloading", "Installed"),
        "DiagnosticsStatusNotification": ("Uploading", "UploadFailed"),
    }.items():
        for status in statuses:
            assert await v16.charger.call(action, {"status": status}) == {}
    assert await jobs(v16) == [
        ("diagnostics", None, "UploadFailed", True, True),
        ("firmware", None, "Installed", True, False),
    ]
    await v16.ask("GetDiagnostics", {"location": location}, {})
    assert (await jobs(v16))[0] == ("diagnostics", None, "NoDiagnostics", True, False)
    async with v16.pool.connection() as connection:
        page, _ = await list_jobs(connection, v16.device.id, limit=100)
    assert page[1].request == {"action": "GetDiagnostics", "location": "ftp://***@example.org/files"}
    assert [each["status"] for each in await events(v16.bus, "firmware_status")] == [
        "Downloading",
        "DownloadFailed",
        "Idle",
        "Downloading",
        "Installed",
    ]
    told = [json.loads((await live.next_msg(2)).data) for _ in range(10)]
    assert {(each["kind"], each["status"]) for each in told} >= {
        ("firmware", "Accepted"),
        ("firmware", "Installed"),
        ("diagnostics", "UploadFailed"),
    }
    assert all(each["charger"] == "CP1" for each in told)


async def test_the_security_extension_of_1_6(v16: Line) -> None:
    live = await v16.bus.subscribe("gridwire.live.security-event")
    about = {"remoteLocation": "https://example.org/"}
    request = {"log": about, "logType": "SecurityLog"}
    await v16.ask("GetLog", {**request, "requestId": 4}, {"status": "Accepted", "filename": "a.log"})
    await v16.ask("GetLog", {**request, "requestId": 5}, {"status": "AcceptedCanceled"})
    for status in ("Uploading", "Uploaded"):
        assert await v16.charger.call("LogStatusNotification", {"status": status, "requestId": 5}) == {}
    firmware = {
        "location": "https://example.org/f",
        "retrieveDateTime": "2026-01-01T00:00:00Z",
        "signingCertificate": "PEM",
        "signature": "AA==",
    }
    signed = {"requestId": 6, "firmware": firmware}
    await v16.ask("SignedUpdateFirmware", signed, {"status": "InvalidCertificate"})
    unknown = {"status": "InvalidSignature", "requestId": 7}
    assert await v16.charger.call("SignedFirmwareStatusNotification", unknown) == {}
    assert await jobs(v16) == [
        ("firmware", 7, "InvalidSignature", True, True),
        ("firmware", 6, "InvalidCertificate", True, True),
        ("log", 5, "Uploaded", True, False),
        ("log", 4, "Canceled", True, True),
    ]
    event = {"type": "TamperDetectionActivated", "timestamp": "2026-01-01T00:00:00Z", "techInfo": "lid"}
    assert await v16.charger.call("SecurityEventNotification", event) == {}
    assert await events(v16.bus, "security_event") == [event]
    told = json.loads((await live.next_msg(2)).data)
    assert (told["charger"], told["type"]) == ("CP1", "TamperDetectionActivated")


@pytest.mark.parametrize("payload", [{"status": "Resting", "requestId": 2**40}, {"status": "x" * 999}])
async def test_odd_words_of_work_are_kept(v16: Line, payload: dict[str, Any]) -> None:
    assert await v16.charger.call("LogStatusNotification", payload) == {}
    (job,) = await jobs(v16)
    assert job == ("log", None, payload["status"][:50], False, False)


# --- OCPP 2.0.1 and 2.1 ----------------------------------------------------------------------------


async def test_values_of_variables_are_kept(v2: Line) -> None:
    given = [
        {**POWER, "attributeStatus": "Accepted", "attributeType": "MaxSet", "attributeValue": "22"},
        {**POWER, "attributeStatus": "Accepted", "attributeValue": "11"},
    ]
    asked = [{**POWER, "attributeType": "MaxSet"}, POWER]
    await v2.ask("GetVariables", {"getVariableData": asked}, {"getVariableResult": given})
    secret = {"component": {"name": "SecurityCtrlr"}, "variable": {"name": "BasicAuthPassword"}}
    foreign = {"component": {"name": "Other"}, "variable": {"name": "X"}}
    await v2.ask(
        "SetVariables",
        {
            "setVariableData": [
                {**POWER, "attributeType": "MaxSet", "attributeValue": "7"},
                {**POWER, "attributeValue": "9"},
                {**secret, "attributeValue": "hunter2"},
                {**foreign, "attributeValue": "1"},
            ]
        },
        {
            "setVariableResult": [
                {**secret, "attributeStatus": "RebootRequired"},
                {**foreign, "attributeStatus": "UnknownComponent"},
                {**POWER, "attributeStatus": "Rejected"},
                {**POWER, "attributeStatus": "Accepted", "attributeType": "MaxSet"},
            ]
        },
    )
    async with v2.pool.connection() as connection:
        assert await variables(connection, v2.device) == {
            "BasicAuthPassword.Actual": ("***", None),
            "Power.Actual": ("11", None),
            "Power.MaxSet": ("7", None),
        }
    missing = {**POWER, "attributeStatus": "UnknownVariable"}
    await v2.ask("GetVariables", {"getVariableData": [POWER]}, {"getVariableResult": [missing]})
    async with v2.pool.connection() as connection:
        assert "Power.Actual" not in await variables(connection, v2.device)
    assert [action for action, _ in await v2.answers()] == ["SetVariables", "GetVariables"]
    assert "hunter" not in json.dumps(await events(v2.bus, "call_answered"))


async def test_what_2_x_holds(v2: Line) -> None:
    entry = {"idToken": TOKEN, "idTokenInfo": ACCEPTED}
    update = {"versionNumber": 2, "updateType": "Full", "localAuthorizationList": [entry]}
    await v2.ask("SendLocalList", update, ACCEPTED)
    await v2.ask("GetLocalListVersion", {}, {"versionNumber": 5})
    reservation = {"id": 8, "expiryDateTime": "2126-01-01T00:00:00Z", "idToken": TOKEN, "evseId": 1}
    await v2.ask("ReserveNow", reservation, ACCEPTED)
    message = {"id": 3, "priority": "InFront", "message": {"format": "UTF8", "content": "Hello"}}
    for number in (3, 4):
        await v2.ask("SetDisplayMessage", {"message": {**message, "id": number}}, ACCEPTED)
    await v2.ask("SetDisplayMessage", {"message": {**message, "id": 5}}, {"status": "NotSupportedPriority"})
    await v2.ask("ClearDisplayMessage", {"id": 4}, ACCEPTED)
    async with v2.pool.connection() as connection:
        stored = await get_local_list(connection, v2.device.id)
        assert stored is not None
        assert (stored.version, stored.reported_version, stored.is_in_doubt, stored.entries) == (
            2,
            5,
            True,
            1,
        )
        (kept,), _ = await list_reservations(connection, v2.device.id, now=NOON, limit=10)
        assert (kept.reservation_id, kept.evse_id, kept.token_type, kept.status) == (
            8,
            1,
            "ISO14443",
            "active",
        )
        (shown,), _ = await list_messages(connection, v2.device.id, limit=10)
        assert (shown.message_id, shown.message["message"]) == (3, message["message"])
    assert await v2.answers() == [("SetDisplayMessage", {"status": "NotSupportedPriority"})]


def profile_2(number: int, purpose: str) -> dict[str, Any]:
    period = {"startPeriod": 0, "limit": 6}
    schedule = {"id": 1, "chargingRateUnit": "A", "chargingSchedulePeriod": [period]}
    return {
        "id": number,
        "stackLevel": 0,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Relative",
        "chargingSchedule": [schedule],
    }


async def test_profiles_of_2_x(v2: Line) -> None:
    for number, evse_id, purpose in (
        (1, 1, "TxDefaultProfile"),
        (2, 2, "TxDefaultProfile"),
        (3, 0, "ChargingStationMaxProfile"),
    ):
        request = {"evseId": evse_id, "chargingProfile": profile_2(number, purpose)}
        await v2.ask("SetChargingProfile", request, ACCEPTED)
    criteria = {"evseId": 1, "chargingProfilePurpose": "TxDefaultProfile"}
    await v2.ask("ClearChargingProfile", {"chargingProfileCriteria": criteria}, ACCEPTED)
    await v2.ask("ClearChargingProfile", {"chargingProfileId": 3}, ACCEPTED)
    assert await held(v2) == [(2, 2, "TxDefaultProfile")]
    await v2.ask("GetChargingProfiles", {"requestId": 9, "chargingProfile": {}}, {"status": "NoProfiles"})
    assert await jobs(v2) == [("charging_profiles", 9, "NoProfiles", True, False)]


async def test_monitors_have_the_ids_that_the_charger_gave(v2: Line) -> None:
    def wanted(kind: str, value: float) -> dict[str, Any]:
        return {**POWER, "type": kind, "severity": 5, "value": value}

    def result(kind: str, status: str, **more: int) -> dict[str, Any]:
        return {**POWER, "type": kind, "severity": 5, "status": status, **more}

    await v2.ask(
        "SetVariableMonitoring",
        {"setMonitoringData": [wanted("UpperThreshold", 22.5), wanted("Delta", 1), wanted("Periodic", 60)]},
        {
            "setMonitoringResult": [
                result("Delta", "Accepted", id=12),
                result("UpperThreshold", "Accepted", id=11),
                result("Periodic", "UnsupportedMonitorType"),
            ]
        },
    )
    async with v2.pool.connection() as connection:
        page, _ = await list_monitors(connection, v2.device.id, limit=10)
    assert [(each.monitor_id, each.value, each.evse_id) for each in page] == [(11, 22.5, 1), (12, 1.0, 1)]
    cleared = [{"id": 11, "status": "Accepted"}, {"id": 12, "status": "Rejected"}]
    await v2.ask("ClearVariableMonitoring", {"id": [11, 12]}, {"clearMonitoringResult": cleared})
    async with v2.pool.connection() as connection:
        (left,), _ = await list_monitors(connection, v2.device.id, limit=10)
    assert left.monitor_id == 12
    await v2.ask("SetMonitoringBase", {"monitoringBase": "FactoryDefault"}, ACCEPTED)
    async with v2.pool.connection() as connection:
        assert await list_monitors(connection, v2.device.id, limit=10) == ([], 0)
    assert [action for action, _ in await v2.answers()] == [
        "SetVariableMonitoring",
        "ClearVariableMonitoring",
        "SetMonitoringBase",
    ]


async def test_reports_and_uploads_begin_jobs(v2: Line) -> None:
    report = {"requestId": 1, "reportBase": "FullInventory"}
    await v2.ask("GetBaseReport", report, ACCEPTED)
    await v2.ask("GetReport", {"requestId": 2}, {"status": "EmptyResultSet"})
    customer = {"requestId": 3, "report": True, "clear": False, "idToken": TOKEN}
    await v2.ask("CustomerInformation", customer, {"status": "Invalid"})
    publish = {"requestId": 4, "location": "https://example.org", "checksum": "0" * 32}
    await v2.ask("PublishFirmware", publish, ACCEPTED)
    status = {"status": "Published", "location": ["https://10.0.0.1"], "requestId": 4}
    assert await v2.charger.call("PublishFirmwareStatusNotification", status) == {}
    assert await jobs(v2) == [
        ("publish_firmware", 4, "Published", True, False),
        ("customer_information", 3, "Invalid", True, True),
        ("report", 2, "EmptyResultSet", True, False),
        ("report", 1, "Accepted", False, False),
    ]


async def test_what_changes_no_table_is_an_event_without_secrets(v2: Line) -> None:
    apn = {"apn": "internet", "apnPassword": "hunter2", "apnAuthentication": "AUTO"}
    data = {
        "ocppVersion": "OCPP20",
        "ocppTransport": "JSON",
        "ocppCsmsUrl": "wss://example.org",
        "messageTimeout": 30,
        "securityProfile": 1,
        "ocppInterface": "Wired0",
        "apn": apn,
    }
    await v2.ask("SetNetworkProfile", {"configurationSlot": 1, "connectionData": data}, ACCEPTED)
    status = {"ongoingIndicator": True, "messagesInQueue": False}
    await v2.ask("GetTransactionStatus", {"transactionId": "tx"}, status)
    assert await v2.answers() == [("SetNetworkProfile", ACCEPTED), ("GetTransactionStatus", status)]
    (network, transaction) = await events(v2.bus, "call_answered")
    assert "hunter" not in json.dumps(network)
    assert transaction["request"] == {"transactionId": "tx"}


@pytest.mark.parametrize("version", Version)
@pytest.mark.parametrize("is_full", [False, True])
async def test_every_answer_is_stored(pool: Pool, bus: Client, version: Version, is_full: bool) -> None:
    request = full_request if is_full else least_request
    with capture_logs() as logs:
        async with line(pool, bus, version) as on_line:
            for action in TO_CHARGER[version]:
                answer = example_answer(version, action, is_full=is_full)
                await on_line.ask(action, request(version, action), answer)
            recorded = [action for action, _ in await on_line.answers()]
    assert [each for each in logs if each["event"] == "ocpp_result_not_stored"] == []
    assert set(TO_CHARGER[version]) - set(recorded) <= TABLED


def test_every_call_of_ours_has_a_consequence() -> None:
    assert {version: set(table) for version, table in RESULTS.items()} == {
        version: set(TO_CHARGER[version]) for version in Version
    }
