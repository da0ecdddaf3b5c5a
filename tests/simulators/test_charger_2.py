"""A charger of OCPP 2.0.1 and 2.1: its transactions, its words, its faults."""

import random
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.ocpp.surface import Version
from protocols.timestamps import parse_timestamp
from simulators.charger import ChargePoint
from simulators.charger_settings import ChargerSettings
from simulators.faults import PRESETS, Faults
from simulators.records import ChargerRow, Counted, SessionStarted, SessionStopped
from simulators.statuses import Status
from tests.simulators.central import Bench, Central, CentralServer, until
from tests.simulators.test_charger_client import Recorded, running

NOW_US = 1_790_000_000_000_000
VERSIONS_2 = (Version.V201, Version.V21)
FOR_EVER: dict[str, Any] = {"first_plug_s": (0.0, 1.0), "session_s": (1e5, 1e5 + 1)}
FREE: dict[str, Any] = {"first_plug_s": (1e6, 2e6), "session_s": (1e5, 1e5 + 1)}


def bench(
    seed: int = 1, version: Version = Version.V201, central: Central | None = None, **more: Any
) -> Bench:
    chosen = ChargerSettings(
        **{"identity": "CP-1", "id_tags": ("TAG-1", "TAG-2"), "version": version, **more}
    )
    one = central or Central()
    one.version = version
    return Bench(ChargePoint(chosen, random.Random(seed), NOW_US), one, NOW_US)


def events(central: Central, kind: str | None = None) -> list[dict[str, Any]]:
    return [event for event in central.of("TransactionEvent") if kind in {None, event["eventType"]}]


def by_transaction(central: Central) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events(central):
        found[event["transactionInfo"]["transactionId"]].append(event)
    return found


def records(one: Bench, kind: type) -> list[Any]:
    return [record for record in one.charger.take_records() if isinstance(record, kind)]


# --- what it says -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS_2)
def test_a_whole_session_is_one_numbered_story(version: Version) -> None:
    one = bench(version=version, connectors=1, sessions_max=1)
    one.connect()
    one.run(400)
    (boot,) = one.central.of("BootNotification")
    assert boot["reason"] == "PowerUp"
    ((_, story),) = by_transaction(one.central).items()
    assert [event["seqNo"] for event in story] == list(range(len(story)))
    assert [event["eventType"] for event in story] == ["Started", *["Updated"] * (len(story) - 2), "Ended"]
    assert [event["triggerReason"] for event in story[:2]] == ["Authorized", "ChargingStateChanged"]
    assert story[0]["idToken"] == {"idToken": "TAG-1", "type": "ISO14443"}
    assert story[1]["transactionInfo"]["chargingState"] == "Charging"
    assert {event["triggerReason"] for event in story[2:-1]} <= {"MeterValuePeriodic", "ChargingStateChanged"}
    assert story[-1]["transactionInfo"]["stoppedReason"] == "Local"
    assert all("offline" not in event for event in story)
    statuses = [call["connectorStatus"] for call in one.central.of("StatusNotification")]
    assert statuses == ["Available", "Occupied", "Available"]
    assert one.charger.is_done


def test_begin_and_end_carry_the_register_that_the_ledger_has() -> None:
    one = bench(connectors=1, sessions_max=1)
    one.connect()
    one.run(400)
    kept = one.charger.take_records()
    (started,) = [record for record in kept if isinstance(record, SessionStarted)]
    (stopped,) = [record for record in kept if isinstance(record, SessionStopped)]
    register = {}
    for kind in ("Started", "Ended"):
        (event,) = events(one.central, kind)
        (value,) = event["meterValue"]
        assert value["timestamp"] == event["timestamp"]
        first = value["sampledValue"][0]
        assert first["context"] == f"Transaction.{'Begin' if kind == 'Started' else 'End'}"
        assert (first["measurand"], first["unitOfMeasure"]) == (
            "Energy.Active.Import.Register",
            {"unit": "Wh"},
        )
        register[kind] = first["value"]
    assert register == {"Started": started.meter_start_wh, "Ended": stopped.meter_stop_wh}
    assert register["Ended"] > register["Started"]
    assert (
        started.transaction_id
        == stopped.transaction_id
        == events(one.central)[0]["transactionInfo"]["transactionId"]
    )
    assert (started.connector_id, started.id_tag, stopped.reason) == (1, "TAG-1", "Local")
    assert started.started_us == parse_timestamp(events(one.central, "Started")[0]["timestamp"])


@pytest.mark.parametrize("version", VERSIONS_2)
@pytest.mark.parametrize("faults", ["none", "tsbs"])
def test_what_is_recorded_is_what_was_sent(version: Version, faults: str) -> None:
    one = bench(version=version, clock_aligned_s=30, faults=PRESETS[faults])
    one.connect()
    one.run(900)
    sent: dict[tuple[Any, ...], float] = {}
    calls = [(call["evseId"], call["meterValue"]) for call in one.central.of("MeterValues")]
    calls += [
        (event["evse"]["id"], event["meterValue"]) for event in events(one.central) if "meterValue" in event
    ]
    for evse_id, (meter_value,) in calls:
        for value in meter_value["sampledValue"]:
            key = (
                evse_id, parse_timestamp(meter_value["timestamp"]), value["measurand"],
                value.get("phase", ""),
                value.get("location", "Outlet"), value.get("context", "Sample.Periodic"),
            )  # fmt: skip
            assert key not in sent, "the platform's unique key would take two samples for one"
            sent[key] = value["value"]
    rows = records(one, ChargerRow)
    recorded = {(r.connector_id, r.ts_us, r.measurand, r.phase, r.location, r.context): r.value for r in rows}
    assert recorded == sent
    assert len(rows) == len(sent) > 100


@settings(deadline=None, max_examples=40)  # each runs a quarter of an hour of a charger's life
@given(st.integers(0, 2**32), st.sampled_from(Version), st.sampled_from([1.0, 20.0]))
def test_long_random_runs_keep_the_schema_and_the_story(seed: int, version: Version, speed: float) -> None:
    rng = random.Random(seed)
    faults = Faults(broken_connector=0.2, repeat_stop=0.3, batch_missing=0.1, zero_tag=0.1, zero_field=0.1)
    one = bench(seed, version, faults=faults, speed=speed, clock_aligned_s=60)
    one.connect()  # the central system asserts the strict schema of each message
    for _ in range(5):
        one.run(rng.uniform(50, 150), step_s=2.0)
        one.charger.disconnected(one.now_us)
        one.run(rng.uniform(0, 100), step_s=2.0)
        one.connect()
    one.charger.shut_down(one.now_us)
    one.run(60)
    assert one.charger.is_settled
    for story in by_transaction(one.central).values():
        numbers = list(dict.fromkeys(event["seqNo"] for event in story))
        assert numbers == list(range(len(numbers)))
        assert story[0]["eventType"] == "Started"
        assert {event["seqNo"] for event in story if event["eventType"] == "Ended"} == {numbers[-1]}


# --- bad links ----------------------------------------------------------------------------------------


def test_what_happened_offline_is_told_later_and_says_so() -> None:
    one = bench(connectors=1, sessions_max=1)
    one.connect()
    one.charger.disconnected(one.now_us)
    one.run(400)
    one.connect()
    one.run(10)
    ((_, story),) = by_transaction(one.central).items()
    assert all(event["offline"] for event in story)
    assert [event["seqNo"] for event in story] == list(range(len(story)))
    times = [parse_timestamp(event["timestamp"]) for event in story]
    assert times == sorted(times)
    assert times[-1] < NOW_US + 400_000_000
    assert one.charger.is_done


def test_an_event_without_an_answer_is_sent_again_as_it_was() -> None:
    one = bench(connectors=1, sessions_max=1, call_timeout_s=5.0)
    one.connect()
    one.is_deaf = True
    while "Started" not in "".join(one.sent):
        one.run(1)
    one.run(6)
    one.is_deaf = False
    one.run(400)
    starts = [text for text in one.sent if '"Started"' in text]
    assert len(starts) >= 2
    assert len({text.split('"TransactionEvent",')[1] for text in starts}) == 1
    assert len({text.split(",")[1] for text in starts}) == len(starts)
    assert len(records(one, SessionStarted)) == 1


def test_an_end_may_be_repeated_and_is_the_same_each_time() -> None:
    one = bench(connectors=1, sessions_max=1, faults=Faults(repeat_stop=1.0))
    one.connect()
    one.run(400)
    ends = events(one.central, "Ended")
    assert len(ends) >= 2
    assert all(end == ends[0] for end in ends)
    kept = one.charger.take_records()
    assert len([r for r in kept if isinstance(r, SessionStopped)]) == len(ends)
    rows = [r for r in kept if isinstance(r, ChargerRow)]
    assert len(rows) == len(set(rows))


def test_get_transaction_status_tells_what_is_queued_and_what_goes_on() -> None:
    one = bench(connectors=1, sessions_max=1)
    one.connect()
    one.run(40)
    (transaction_id,) = by_transaction(one.central)
    running = {"messagesInQueue": False, "ongoingIndicator": True}
    assert one.order("GetTransactionStatus", transactionId=transaction_id) == running
    one.central.fail = lambda action: action == "TransactionEvent"
    one.run(300)
    waiting = {"messagesInQueue": True, "ongoingIndicator": False}
    assert one.order("GetTransactionStatus", transactionId=transaction_id) == waiting
    assert one.order("GetTransactionStatus") == {"messagesInQueue": True}
    one.central.fail = lambda _action: False
    one.run(60)
    over = {"messagesInQueue": False, "ongoingIndicator": False}
    assert one.order("GetTransactionStatus", transactionId=transaction_id) == over


def test_a_session_refused_at_its_start_is_ended() -> None:
    one = bench(connectors=1, sessions_max=1)
    one.connect()
    one.charger.disconnected(one.now_us)
    one.run(40)
    one.central.id_tag_status = "Invalid"
    one.connect()
    one.run(30)
    (end,) = events(one.central, "Ended")
    assert (end["triggerReason"], end["transactionInfo"]["stoppedReason"]) == ("Deauthorized", "DeAuthorized")


@pytest.mark.parametrize("version", VERSIONS_2)
async def test_rough_links_lose_and_invent_nothing(version: Version) -> None:
    server, recorded = CentralServer(Central(is_lenient=True, version=version)), Recorded()
    faults = Faults(
        disconnect=0.1,
        duplicate=0.2,
        rubbish=0.2,
        truncated=0.1,
        out_of_range=0.1,
        clock_1970=0.1,
        repeat_stop=0.5,
    )
    async with (
        server.running(),
        running(server.url, recorded, faults=faults, sessions_max=4, version=version) as client,
    ):
        await until(lambda: client.model.is_done, timeout_s=60)
    assert set(server.subprotocols) == {version.subprotocol}
    assert recorded.total("charger_links_dropped") > 0
    assert len(by_transaction(server.central)) == 4
    assert len({record.transaction_id for record in recorded.of(SessionStopped)}) == 4
    sent = {
        (call["meterValue"][0]["timestamp"], value["measurand"], value.get("phase", ""), value["context"])
        for call in (*events(server.central), *server.central.of("MeterValues"))
        for value in call.get("meterValue", ({"sampledValue": ()},))[0]["sampledValue"]
        if value["value"] != "1e300" and not call["meterValue"][0]["timestamp"].startswith("1970")
    }
    assert len(recorded.of(ChargerRow)) == len(sent) > 20


# --- commands -----------------------------------------------------------------------------------------


def test_a_requested_start_names_its_request_and_a_requested_stop_ends_it() -> None:
    one = bench(**FREE)
    one.connect()
    token = {"idToken": "REMOTE", "type": "Central"}
    assert one.order("RequestStartTransaction", evseId=2, idToken=token, remoteStartId=77) == {
        "status": "Accepted"
    }
    one.run(30)
    (start,) = events(one.central, "Started")
    assert (start["triggerReason"], start["transactionInfo"]["remoteStartId"]) == ("RemoteStart", 77)
    assert (start["evse"]["id"], start["idToken"]) == (2, token)
    assert one.central.of("Authorize") == [{"idToken": token}]
    assert one.order("RequestStopTransaction", transactionId="x") == {"status": "Rejected"}
    transaction_id = start["transactionInfo"]["transactionId"]
    assert one.order("UnlockConnector", evseId=2, connectorId=1) == {"status": "OngoingAuthorizedTransaction"}
    assert one.order("RequestStopTransaction", transactionId=transaction_id) == {"status": "Accepted"}
    (end,) = events(one.central, "Ended")
    assert (end["triggerReason"], end["transactionInfo"]["stoppedReason"]) == ("RemoteStop", "Remote")


def profile(limit_a: float, **more: Any) -> dict[str, Any]:
    schedule = {
        "id": 1,
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit_a}],
    }
    return {
        "id": 5, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Absolute", "chargingSchedule": [schedule], **more,
    }  # fmt: skip


def current_a(one: Bench) -> float:
    return max(one.charger.connectors[1].outlet.read(one.now_us).currents_a)


def test_a_limit_of_zero_suspends_and_its_end_resumes() -> None:
    one = bench(connectors=1, **FOR_EVER)
    one.connect()
    one.run(20)
    assert current_a(one) > 10
    assert one.order("SetChargingProfile", evseId=1, chargingProfile=profile(8.0)) == {"status": "Accepted"}
    one.run(3)
    assert 7 < current_a(one) <= 8
    one.order("SetChargingProfile", evseId=1, chargingProfile=profile(0.0))
    one.run(3)
    assert current_a(one) == 0
    states = [event["transactionInfo"].get("chargingState") for event in events(one.central, "Updated")]
    assert [state for state in states if state] == ["Charging", "SuspendedEVSE"]
    assert one.order("GetChargingProfiles", requestId=3, chargingProfile={}) == {"status": "Accepted"}
    (report,) = one.central.of("ReportChargingProfiles")
    assert (report["evseId"], report["chargingProfile"][0]["id"]) == (1, 5)
    assert one.order("ClearChargingProfile", chargingProfileId=5) == {"status": "Accepted"}
    assert one.order("ClearChargingProfile", chargingProfileId=5) == {"status": "Unknown"}
    one.run(3)
    assert current_a(one) > 10
    assert events(one.central, "Updated")[-1]["transactionInfo"]["chargingState"] == "Charging"


def test_the_smallest_limit_counts_and_the_composite_says_when() -> None:
    one = bench(connectors=1, **FOR_EVER)
    one.connect()
    one.run(20)
    (transaction_id,) = by_transaction(one.central)
    station = profile(12.0, id=1, chargingProfilePurpose="ChargingStationMaxProfile")
    steps = [{"startPeriod": 0, "limit": 20.0}, {"startPeriod": 60, "limit": 10.0}]
    schedule = {"id": 1, "chargingRateUnit": "A", "chargingSchedulePeriod": steps, "duration": 120}
    own = profile(
        0, id=2, chargingProfilePurpose="TxProfile", chargingSchedule=[schedule], transactionId=transaction_id
    )
    assert one.order("SetChargingProfile", evseId=1, chargingProfile=station) == {"status": "Rejected"}
    assert one.order("SetChargingProfile", evseId=0, chargingProfile=station) == {"status": "Accepted"}
    wrong = {**own, "transactionId": "another"}
    assert one.order("SetChargingProfile", evseId=1, chargingProfile=wrong) == {"status": "Rejected"}
    assert one.order("SetChargingProfile", evseId=1, chargingProfile=own) == {"status": "Accepted"}
    began_us = one.charger.connectors[1].transaction.started_us  # type: ignore[union-attr]
    age_s = (one.now_us - began_us) // 1_000_000
    answer = one.order("GetCompositeSchedule", evseId=1, duration=600, chargingRateUnit="A")
    periods = [(p["startPeriod"], p["limit"]) for p in answer["schedule"]["chargingSchedulePeriod"]]
    assert [limit for _, limit in periods] == [12.0, 10.0, 12.0]
    assert [start for start, _ in periods] == [
        0,
        pytest.approx(60 - age_s, abs=1),
        pytest.approx(120 - age_s, abs=1),
    ]
    watts = one.order("GetCompositeSchedule", evseId=1, duration=10, chargingRateUnit="W")
    assert watts["schedule"]["chargingSchedulePeriod"][0]["limit"] == 12 * 230 * 3


def test_the_whole_device_model_comes_in_pages() -> None:
    one = bench()
    one.connect()
    assert one.order("GetBaseReport", requestId=9, reportBase="FullInventory") == {"status": "Accepted"}
    one.run(5)
    reports = one.central.of("NotifyReport")
    assert [report["seqNo"] for report in reports] == list(range(len(reports)))
    assert [report["tbc"] for report in reports] == [True] * (len(reports) - 1) + [False]
    assert {report["requestId"] for report in reports} == {9}
    entries = [entry for report in reports for entry in report["reportData"]]
    assert len(entries) > 60
    places = {(e["component"]["name"], e["component"].get("evse", {}).get("id")) for e in entries}
    assert {("EVSE", 1), ("EVSE", 2), ("ChargingStation", None)} <= places
    asked = [{"component": e["component"], "variable": e["variable"]} for e in entries]
    results = one.order("GetVariables", getVariableData=asked)["getVariableResult"]
    assert {r["attributeStatus"] for r in results if r["variable"]["name"] != "BasicAuthPassword"} == {
        "Accepted"
    }


def test_variables_are_set_read_and_obeyed() -> None:
    one = bench(connectors=1, **FOR_EVER)
    one.connect()
    one.run(20)
    interval = {"component": {"name": "SampledDataCtrlr"}, "variable": {"name": "TxUpdatedInterval"}}
    before = len(events(one.central))

    def put(value: str, place: dict[str, Any]) -> str:
        answer = one.order("SetVariables", setVariableData=[{"attributeValue": value, **place}])
        return str(answer["setVariableResult"][0]["attributeStatus"])

    assert put("1", interval) == "Accepted"
    one.run(10)
    assert len(events(one.central)) == before + 10
    (read,) = one.order("GetVariables", getVariableData=[interval])["getVariableResult"]
    assert (read["attributeStatus"], read["attributeValue"]) == ("Accepted", "1")
    model = {"component": {"name": "chargingstation"}, "variable": {"name": "MODEL"}}
    assert put("soon", interval) == "Rejected"
    assert put("x", model) == "Rejected"
    assert put("x", {**interval, "variable": {"name": "Nothing"}}) == "UnknownVariable"
    assert put("x", {**interval, "component": {"name": "Nothing"}}) == "UnknownComponent"
    assert put("x", {**interval, "attributeType": "Target"}) == "NotSupportedAttributeType"
    password = {"component": {"name": "SecurityCtrlr"}, "variable": {"name": "BasicAuthPassword"}}
    assert put("a new password 16", password) == "Accepted"
    assert one.charger.wants_close
    assert one.charger.configuration.password == "a new password 16"


def test_a_reservation_is_kept_for_its_driver_and_expires() -> None:
    one = bench(connectors=1, **FREE)
    one.connect()
    token = {"idToken": "VIP", "type": "ISO14443"}
    expiry = "2026-09-21T14:26:40.000Z"  # NOW_US and 13 minutes and 20 seconds
    assert parse_timestamp(expiry) > NOW_US
    assert one.order("ReserveNow", id=4, expiryDateTime=expiry, idToken=token, evseId=1) == {
        "status": "Accepted"
    }
    assert one.central.of("StatusNotification")[-1]["connectorStatus"] == "Reserved"
    other = {"idToken": "OTHER", "type": "ISO14443"}
    assert one.order("RequestStartTransaction", idToken=other, remoteStartId=1) == {"status": "Rejected"}
    assert one.order("ReserveNow", id=5, expiryDateTime=expiry, idToken=other) == {"status": "Occupied"}
    assert one.order("RequestStartTransaction", idToken=token, remoteStartId=2) == {"status": "Accepted"}
    one.run(30)
    assert events(one.central, "Started")[0]["reservationId"] == 4
    two = bench(connectors=1, **FREE)
    two.connect()
    two.order("ReserveNow", id=6, expiryDateTime=expiry, idToken=token)
    two.run(1_000, step_s=10)
    assert two.central.of("ReservationStatusUpdate") == [
        {"reservationId": 6, "reservationUpdateStatus": "Expired"}
    ]
    assert two.charger.connectors[1].status is Status.AVAILABLE
    assert two.order("CancelReservation", reservationId=6) == {"status": "Rejected"}


@pytest.mark.parametrize(
    ("fails", "last"), [(0.0, {"Installed"}), (1.0, {"DownloadFailed", "InstallationFailed"})]
)
def test_a_firmware_update_tells_its_steps_and_boots_with_the_new_one(fails: float, last: set[str]) -> None:
    one = bench(**FREE, faults=Faults(firmware_fails=fails))
    one.connect()
    firmware = {"location": "https://x/y.bin", "retrieveDateTime": "2020-01-01T00:00:00Z"}
    assert one.order("UpdateFirmware", requestId=8, firmware=firmware) == {"status": "Accepted"}
    again = one.order("UpdateFirmware", requestId=9, firmware=firmware)
    assert again == {"status": "AcceptedCanceled"}
    one.run(60)
    told = one.central.of("FirmwareStatusNotification")
    assert {call["requestId"] for call in told} == {9}
    assert told[0]["status"] == "Downloading"
    assert told[-1]["status"] in last
    boots = one.central.of("BootNotification")
    if fails:
        assert len(boots) == 1
    else:
        assert [call["status"] for call in told] == ["Downloading", "Downloaded", "Installing", "Installed"]
        assert boots[1]["reason"] == "FirmwareUpdate"
        assert (
            boots[1]["chargingStation"]["firmwareVersion"] != boots[0]["chargingStation"]["firmwareVersion"]
        )
        assert one.central.of("SecurityEventNotification")[0]["type"] == "FirmwareUpdated"


def test_a_log_goes_up_and_another_takes_its_place() -> None:
    one = bench(**FREE)
    one.connect()
    log = {"remoteLocation": "https://x/"}
    assert one.order("GetLog", logType="DiagnosticsLog", requestId=1, log=log)["status"] == "Accepted"
    assert one.order("GetLog", logType="SecurityLog", requestId=2, log=log)["status"] == "AcceptedCanceled"
    one.run(20)
    told = [(call["status"], call["requestId"]) for call in one.central.of("LogStatusNotification")]
    assert told == [("AcceptedCanceled", 1), ("Uploading", 2), ("Uploaded", 2)]


@pytest.mark.parametrize(("kind", "busy", "reason"), [
    ("Immediate", "Accepted", "RemoteReset"), ("OnIdle", "Scheduled", "ScheduledReset"),
])  # fmt: skip
def test_a_reset_is_now_or_when_nobody_charges(kind: str, busy: str, reason: str) -> None:
    one = bench(connectors=1, first_plug_s=(0.0, 1.0), session_s=(50.0, 60.0))
    one.connect()
    one.run(20)
    assert one.order("Reset", type=kind) == {"status": busy}
    one.run(10)
    assert len(one.central.of("BootNotification")) == (2 if kind == "Immediate" else 1)
    one.run(90)
    assert one.central.of("BootNotification")[1]["reason"] == reason
    stopped = events(one.central, "Ended")[0]["transactionInfo"]["stoppedReason"]
    assert stopped == ("ImmediateReset" if kind == "Immediate" else "Local")


def test_monitors_are_set_reported_and_raise_events() -> None:
    one = bench(connectors=1, first_plug_s=(20.0, 21.0))
    one.connect()
    place = {
        "component": {"name": "Connector", "evse": {"id": 1, "connectorId": 1}},
        "variable": {"name": "AvailabilityState"},
    }
    asked = [
        {"value": 1, "type": "Delta", "severity": 5, **place},
        {"value": 7, "type": "Periodic", "severity": 5, **place},
    ]
    results = one.order("SetVariableMonitoring", setMonitoringData=asked)["setMonitoringResult"]
    assert [(r["status"], r["id"]) for r in results] == [("Accepted", 1), ("Accepted", 2)]
    again = one.order("SetVariableMonitoring", setMonitoringData=asked[:1])["setMonitoringResult"]
    assert again[0]["status"] == "Duplicate"
    assert one.order("GetMonitoringReport", requestId=3) == {"status": "Accepted"}
    one.run(15)
    (report,) = one.central.of("NotifyMonitoringReport")
    assert [m["id"] for m in report["monitor"][0]["variableMonitoring"]] == [1, 2]
    periodic = [e["eventData"][0] for e in one.central.of("NotifyEvent")]
    assert [(e["trigger"], e["actualValue"]) for e in periodic] == [("Periodic", "Available")] * 2
    cleared = one.order("ClearVariableMonitoring", id=[2, 9])["clearMonitoringResult"]
    assert [r["status"] for r in cleared] == ["Accepted", "NotFound"]
    one.run(15)
    last = one.central.of("NotifyEvent")[-1]["eventData"][0]
    assert (last["trigger"], last["actualValue"]) == ("Delta", "Occupied")


def test_a_broken_connector_raises_an_event_nobody_asked_for() -> None:
    one = bench(connectors=1, faults=Faults(broken_connector=1.0))
    one.connect()
    one.run(300)
    first = one.central.of("NotifyEvent")[0]["eventData"][0]
    assert (first["eventNotificationType"], first["trigger"]) == ("HardWiredNotification", "Alerting")
    assert events(one.central, "Ended")[0]["triggerReason"] == "AbnormalCondition"
    assert "Faulted" in [call["connectorStatus"] for call in one.central.of("StatusNotification")]


def test_messages_are_shown_listed_and_cleared() -> None:
    one = bench()
    one.connect()
    message = {"id": 3, "priority": "InFront", "message": {"format": "UTF8", "content": "closed at ten"}}
    assert one.order("SetDisplayMessage", message=message) == {"status": "Accepted"}
    wrong = {**message, "transactionId": "x"}
    assert one.order("SetDisplayMessage", message=wrong) == {"status": "UnknownTransaction"}
    assert one.order("GetDisplayMessages", requestId=1) == {"status": "Accepted"}
    one.run(1)
    assert one.central.of("NotifyDisplayMessages")[0]["messageInfo"] == [message]
    assert one.order("ClearDisplayMessage", id=3) == {"status": "Accepted"}
    assert one.order("GetDisplayMessages", requestId=2) == {"status": "Unknown"}


def test_a_listed_card_is_judged_without_a_link() -> None:
    one = bench(connectors=1, id_tags=("BAD",))
    one.connect()
    entry = {"idToken": {"idToken": "BAD", "type": "ISO14443"}, "idTokenInfo": {"status": "Blocked"}}
    full = {"versionNumber": 4, "updateType": "Full", "localAuthorizationList": [entry]}
    assert one.order("SendLocalList", **full) == {"status": "Accepted"}
    assert one.order("GetLocalListVersion") == {"versionNumber": 4}
    older = {"versionNumber": 4, "updateType": "Differential"}
    assert one.order("SendLocalList", **older) == {"status": "VersionMismatch"}
    one.charger.disconnected(one.now_us)
    one.run(100)
    assert one.charger.connectors[1].transaction is None
    one.connect()
    one.run(5)
    assert not events(one.central)
    assert sum(r.times for r in records(one, Counted) if r.name == "authorize_refused") > 0


def test_a_boot_is_not_triggered_on_who_was_accepted_and_a_transaction_is() -> None:
    one = bench(connectors=1, **FOR_EVER)
    one.connect()
    one.run(20)
    assert one.order("TriggerMessage", requestedMessage="BootNotification") == {"status": "Rejected"}
    assert one.order("TriggerMessage", requestedMessage="TransactionEvent") == {"status": "Accepted"}
    assert events(one.central)[-1]["triggerReason"] == "Trigger"


@given(st.lists(st.binary(max_size=200) | st.text(max_size=200).map(str.encode), max_size=20))
def test_any_bytes_leave_the_charger_alive(frames: list[bytes]) -> None:
    one = bench()
    one.connect()
    for frame in frames:
        one.charger.receive(frame, one.now_us)
    one.exchange()
    assert one.order("ClearCache") == {"status": "Accepted"}


# --- faults -------------------------------------------------------------------------------------------


def test_a_clock_before_its_first_boot_is_in_1970_and_the_rows_are_not_in_the_ledger() -> None:
    one = bench(connectors=1, sessions_max=1, session_s=(30.0, 40.0), faults=Faults(clock_unset=1.0))
    one.run(200)
    one.connect()
    one.run(10)
    assert {event["timestamp"][:4] for event in events(one.central)} == {"1970"}
    assert one.central.of("StatusNotification")[0]["timestamp"].startswith("2026")
    kept = one.charger.take_records()
    assert not [r for r in kept if isinstance(r, ChargerRow)]
    assert len([r for r in kept if isinstance(r, SessionStopped)]) == 1


def test_times_without_zone_and_ids_that_begin_again() -> None:
    faults = Faults(no_zone=1.0, ids_restart=1.0)
    one = bench(central=Central(is_lenient=True), connectors=1, faults=faults)
    one.connect()
    one.run(100)
    first = one.central.message_ids.copy()
    assert first == [str(number) for number in range(1, len(first) + 1)]
    assert not any("Z" in event["timestamp"] for event in events(one.central))
    assert all(parse_timestamp(event["timestamp"]) > NOW_US for event in events(one.central))
    one.charger.disconnected(one.now_us)
    one.connect()
    assert one.central.message_ids[len(first)] == "1"


def test_a_charger_that_never_boots_goes_on_all_the_same() -> None:
    one = bench(connectors=1, sessions_max=1, faults=Faults(no_boot=1.0))
    one.connect()
    one.run(400)
    assert not one.central.of("BootNotification")
    assert one.charger.is_done
    assert one.order("TriggerMessage", requestedMessage="BootNotification") == {"status": "Accepted"}
    assert one.central.of("BootNotification")[0]["reason"] == "Triggered"


def test_an_id_lost_offline_is_minus_one_and_a_lone_value_is_no_list() -> None:
    central = Central(is_lenient=True)
    faults = Faults(offline_id_lost=1.0, one_value_object=1.0)
    one = bench(version=Version.V16, central=central, connectors=1, sessions_max=1, faults=faults)
    one.connect()
    one.charger.disconnected(one.now_us)
    one.run(400)
    one.connect()
    one.run(30)
    assert len(central.of("StartTransaction")) == 1
    assert {call["transactionId"] for call in central.of("StopTransaction")} == {-1}
    assert all(isinstance(call["meterValue"], dict) for call in central.of("MeterValues"))
    (stopped,) = records(one, SessionStopped)
    assert stopped.transaction_id == 1


def test_wrong_copies_of_a_session_s_values_belong_to_no_session() -> None:
    one = bench(connectors=1, faults=Faults(out_of_range=1.0), **FOR_EVER)
    one.charger.connected(one.now_us)
    copies = []
    for _ in range(40):
        one.now_us += 1_000_000
        one.charger.tick(one.now_us)
        for frame in one.charger.frames_to_send():
            copies += [] if frame.samples is None else [frame.samples]
            answer = one.central.hear(frame.text)
            if answer is not None:
                one.charger.receive(answer.encode(), one.now_us)
    assert copies
    assert all('"MeterValues"' in copy and "transactionInfo" not in copy for copy in copies)
