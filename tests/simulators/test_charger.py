import random
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.timestamps import parse_timestamp
from simulators import charger_queue
from simulators.charger import ChargePoint
from simulators.charger_queue import CallQueue, Outgoing
from simulators.charger_settings import ChargerSettings
from simulators.faults import PRESETS, Faults
from simulators.records import ChargerRow, SessionStarted, SessionStopped
from simulators.statuses import TRANSITIONS, Event, Status
from tests.simulators.central import Bench, Central

NOW_US = 1_790_000_000_000_000


def bench(seed: int = 1, central: Central | None = None, **settings: Any) -> Bench:
    chosen = ChargerSettings(**{"identity": "CP-1", "id_tags": ("TAG-1", "TAG-2"), **settings})
    return Bench(ChargePoint(chosen, random.Random(seed), NOW_US), central or Central(), NOW_US)


def sampled(central: Central) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [
        (call, value) for call in central.of("MeterValues") for value in call["meterValue"][0]["sampledValue"]
    ]


# --- what it says -------------------------------------------------------------------------------------


def test_the_same_seed_says_the_same_bytes_and_another_seed_does_not() -> None:
    runs = []
    for seed in (7, 7, 8):
        one = bench(seed, clock_aligned_s=30, faults=PRESETS["tsbs"])
        one.connect()
        one.run(600)
        runs.append(one.sent)
    assert runs[0] == runs[1] != runs[2]
    assert len(runs[0]) > 50


def test_a_whole_session_in_order_with_the_energy_of_its_meter() -> None:
    one = bench(connectors=1, sessions_max=1)
    one.connect()
    one.run(400)
    actions = [action for action, _ in one.central.calls]
    assert actions[0] == "BootNotification"
    order = [actions.index(action) for action in ("Authorize", "StartTransaction", "StopTransaction")]
    assert order == sorted(order)
    statuses = [call["status"] for call in one.central.of("StatusNotification") if call["connectorId"] == 1]
    assert statuses == ["Available", "Preparing", "Charging", "Finishing", "Available"]
    (start,), (stop,) = one.central.of("StartTransaction"), one.central.of("StopTransaction")
    assert stop["transactionId"] == 1
    assert stop["meterStop"] > start["meterStart"]
    assert all(call["transactionId"] == 1 for call in one.central.of("MeterValues"))
    assert one.charger.is_done


@given(st.integers(0, 2**32), st.sampled_from([1.0, 20.0]))
def test_registers_never_fall_and_power_over_time_is_the_energy(seed: int, speed: float) -> None:
    one = bench(seed, connectors=1, sessions_max=1, sample_interval_s=1, speed=speed, session_s=(60.0, 90.0))
    outlet = one.charger.connectors[1].outlet
    one.connect()
    joules = 0.0
    registers = []
    for _ in range(150):
        one.run(1)
        registers.append(outlet.energy_wh)
        assert outlet.vehicle is None or 0 <= outlet.vehicle.soc_pct <= 100
    rows = [record for record in one.charger.take_records() if isinstance(record, ChargerRow)]
    power = {row.ts_us: row.value for row in rows if row.measurand == "Power.Active.Import"}
    times = sorted(power)
    for from_us, to_us in pairwise(times):
        joules += power[from_us] * (to_us - from_us) / 1e6
    assert registers == sorted(registers)
    (start,), (stop,) = one.central.of("StartTransaction"), one.central.of("StopTransaction")
    charged_wh = stop["meterStop"] - start["meterStart"]
    # power is constant between samples a second apart; the registers are cut to whole Wh
    assert charged_wh == pytest.approx(joules / 3600, abs=1.1)


def test_what_is_recorded_is_what_was_sent() -> None:
    one = bench(clock_aligned_s=30, faults=PRESETS["tsbs"])
    one.connect()
    one.run(900)
    sent: dict[tuple[int, int, str, str, str, str], float] = {}
    for call, value in sampled(one.central):
        key = (
            call["connectorId"], parse_timestamp(call["meterValue"][0]["timestamp"]),
            value.get("measurand", ""), value.get("phase", ""), value.get("location", "Outlet"),
            value.get("context", "Sample.Periodic"),
        )  # fmt: skip
        assert key not in sent, "the platform's unique key would take two samples for one"
        sent[key] = float(value["value"])
    rows = [record for record in one.charger.take_records() if isinstance(record, ChargerRow)]
    recorded = {(r.connector_id, r.ts_us, r.measurand, r.phase, r.location, r.context): r.value for r in rows}
    assert recorded == sent
    assert len(rows) == len(sent) > 100


def test_idle_meters_are_read_at_round_times() -> None:
    one = bench(clock_aligned_s=20, first_plug_s=(1e6, 2e6))
    one.connect()
    one.run(61)
    times = [parse_timestamp(call["meterValue"][0]["timestamp"]) for call in one.central.of("MeterValues")]
    assert len(times) == 6  # two connectors, three times
    assert all(ts_us % 20_000_000 == 0 for ts_us in times)
    assert all("transactionId" not in call for call in one.central.of("MeterValues"))


# --- boot and heartbeat -------------------------------------------------------------------------------


def test_boot_is_repeated_at_the_interval_until_it_is_accepted_and_nothing_else_is_said() -> None:
    one = bench(central=Central(["Pending", "Rejected"], boot_interval_s=10))
    one.connect()
    one.run(19)
    assert [action for action, _ in one.central.calls] == ["BootNotification"] * 2
    one.run(30)
    actions = [action for action, _ in one.central.calls]
    assert actions.count("BootNotification") == 3
    assert actions.count("Heartbeat") == 2


def test_a_second_link_needs_no_second_boot() -> None:
    one = bench()
    one.connect()
    one.charger.disconnected(one.now_us)
    one.connect()
    actions = [action for action, _ in one.central.calls]
    assert actions == ["BootNotification", *["StatusNotification"] * 3] + ["StatusNotification"] * 3


# --- bad links ----------------------------------------------------------------------------------------


def test_messages_of_a_session_held_offline_arrive_with_their_own_times_and_the_id_given_later() -> None:
    one = bench(connectors=1, sessions_max=1)
    one.connect()
    one.charger.disconnected(one.now_us)
    one.run(400)
    assert not one.central.of("StartTransaction")
    one.connect()
    one.run(10)
    (start,), (stop,) = one.central.of("StartTransaction"), one.central.of("StopTransaction")
    started_us, ended_us = parse_timestamp(start["timestamp"]), parse_timestamp(stop["timestamp"])
    assert NOW_US <= started_us < ended_us < NOW_US + 400_000_000
    assert {call["transactionId"] for call in one.central.of("MeterValues")} == {1}
    assert one.charger.is_done


def test_an_unanswered_message_is_sent_again_under_a_new_id_and_recorded_once() -> None:
    one = bench(connectors=1, sessions_max=1, call_timeout_s=5.0)
    one.connect()
    one.is_deaf = True
    while "StartTransaction" not in "".join(one.sent):
        one.run(1)
    one.run(6)
    one.is_deaf = False
    one.run(400)
    starts = [text for text in one.sent if "StartTransaction" in text]
    assert len(starts) >= 2
    assert len({text.split(",")[1] for text in starts}) == len(starts)
    assert len({text.split('"StartTransaction",')[1] for text in starts}) == 1
    started = [r for r in one.charger.take_records() if isinstance(r, SessionStarted)]
    assert [record.transaction_id for record in started] == [1]


def test_errors_are_retried_until_the_platform_can() -> None:
    one = bench(connectors=1, sessions_max=1)
    one.connect()
    one.central.fail = lambda action: action in {"StartTransaction", "StopTransaction", "MeterValues"}
    one.run(400)
    assert not one.charger.is_settled
    assert len(one.central.of("StartTransaction")) > 5
    assert not one.central.of("StopTransaction"), "their order is kept"
    one.central.fail = lambda _action: False
    one.run(60)
    assert one.charger.is_done


def test_a_link_that_never_answers_is_given_up() -> None:
    one = bench(call_timeout_s=2.0)
    one.is_deaf = True
    one.charger.connected(one.now_us)
    for _ in range(120):
        one.now_us += 1_000_000
        one.charger.tick(one.now_us)
        one.exchange()
    assert one.charger.wants_close


def test_a_stop_may_be_repeated_and_says_the_same_each_time() -> None:
    one = bench(connectors=1, sessions_max=1, faults=Faults(repeat_stop=1.0))
    one.connect()
    one.run(400)
    stops = one.central.of("StopTransaction")
    assert len(stops) >= 2
    assert all(stop == stops[0] for stop in stops)
    records = [r for r in one.charger.take_records() if isinstance(r, SessionStopped)]
    assert len(records) == len(stops)
    assert len(set(one.central.message_ids)) == len(one.central.message_ids)


def test_a_full_queue_ends_sampling_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charger_queue, "KEPT_MAX", 500)
    one = bench(connectors=1, sample_interval_s=1, session_s=(40_000.0, 40_001.0))
    one.connect()
    one.charger.disconnected(one.now_us)
    one.run(1_000, step_s=100)
    assert not one.charger.has_room
    one.connect()
    one.run(5)
    assert 500 - charger_queue.KEPT_RESERVE - 1 <= len(one.central.of("MeterValues")) < 500
    assert one.charger.has_room


def test_passing_calls_are_told_when_the_link_is_lost_and_kept_ones_are_not() -> None:
    told: list[str] = []
    queue = CallQueue()
    queue.push(Outgoing("Heartbeat", {}, on_failure=lambda: told.append("heartbeat")))
    queue.push(Outgoing("MeterValues", {}, on_failure=lambda: told.append("values"), is_kept=True))
    for _ in range(2):
        call = queue.take(0)
        assert call is not None
        queue.sent(call, "id")
        queue.link_lost()
    assert told == ["heartbeat"]
    assert queue.kept == 1


# --- commands -----------------------------------------------------------------------------------------


def test_a_remote_start_and_stop() -> None:
    one = bench(first_plug_s=(1e6, 2e6), session_s=(1e5, 1e5 + 1))
    one.connect()
    assert one.order("RemoteStartTransaction", idTag="REMOTE", connectorId=2) == {"status": "Accepted"}
    one.run(30)
    (start,) = one.central.of("StartTransaction")
    assert (start["connectorId"], start["idTag"]) == (2, "REMOTE")
    assert one.central.of("Authorize") == [{"idTag": "REMOTE"}]
    assert one.order("RemoteStartTransaction", idTag="X", connectorId=2) == {"status": "Rejected"}
    assert one.order("RemoteStopTransaction", transactionId=99) == {"status": "Rejected"}
    assert one.order("RemoteStopTransaction", transactionId=1) == {"status": "Accepted"}
    assert one.central.of("StopTransaction")[0]["reason"] == "Remote"


@pytest.mark.parametrize("kind", ["Soft", "Hard"])
def test_a_reset_stops_sessions_and_boots_again(kind: str) -> None:
    one = bench(first_plug_s=(0.0, 1.0), session_s=(1e5, 1e5 + 1))
    one.connect()
    one.run(30)
    assert len(one.charger.connectors) == len(one.central.of("StartTransaction"))
    assert one.order("Reset", type=kind) == {"status": "Accepted"}
    one.run(5)
    assert {stop["reason"] for stop in one.central.of("StopTransaction")} == {f"{kind}Reset"}
    assert len(one.central.of("BootNotification")) == 2


def test_unlock_ends_the_session() -> None:
    one = bench(connectors=1, first_plug_s=(0.0, 1.0), session_s=(1e5, 1e5 + 1))
    one.connect()
    one.run(30)
    assert one.order("UnlockConnector", connectorId=1) == {"status": "Unlocked"}
    assert one.central.of("StopTransaction")[0]["reason"] == "UnlockCommand"
    assert one.order("UnlockConnector", connectorId=7) == {"status": "NotSupported"}


def test_availability_is_changed_now_or_after_the_session() -> None:
    one = bench(connectors=1, first_plug_s=(20.0, 21.0), session_s=(30.0, 40.0))
    one.connect()
    charger = one.charger.connectors[1]
    assert one.order("ChangeAvailability", connectorId=0, type="Inoperative") == {"status": "Accepted"}
    assert charger.status is Status.UNAVAILABLE
    assert one.order("ChangeAvailability", connectorId=1, type="Operative") == {"status": "Accepted"}
    one.run(35)
    assert charger.transaction is not None
    assert one.order("ChangeAvailability", connectorId=1, type="Inoperative") == {"status": "Scheduled"}
    one.run(60)
    assert charger.status is Status.UNAVAILABLE
    assert one.order("ChangeAvailability", connectorId=5, type="Operative") == {"status": "Rejected"}


def test_configuration_is_read_changed_and_obeyed() -> None:
    one = bench(connectors=1, first_plug_s=(0.0, 1.0), session_s=(1e5, 1e5 + 1))
    one.connect()
    one.run(20)
    report = one.order("GetConfiguration", key=["MeterValueSampleInterval", "NoSuchKey"])
    assert report["configurationKey"] == [
        {"key": "MeterValueSampleInterval", "readonly": False, "value": "10"}
    ]
    assert report["unknownKey"] == ["NoSuchKey"]
    assert len(one.order("GetConfiguration")["configurationKey"]) > 10
    before = len(one.central.of("MeterValues"))
    assert one.order("ChangeConfiguration", key="MeterValueSampleInterval", value="1") == {
        "status": "Accepted"
    }
    one.run(10)
    assert len(one.central.of("MeterValues")) == before + 10
    one.order("ChangeConfiguration", key="HeartbeatInterval", value="2")
    one.run(10)
    assert len(one.central.of("Heartbeat")) == 5
    for key, value, status in (
        ("NumberOfConnectors", "3", "Rejected"),
        ("HeartbeatInterval", "soon", "Rejected"),
        ("AuthorizeRemoteTxRequests", "maybe", "Rejected"),
        ("NoSuchKey", "1", "NotSupported"),
    ):
        assert one.order("ChangeConfiguration", key=key, value=value) == {"status": status}


@pytest.mark.parametrize("message", ["BootNotification", "Heartbeat", "MeterValues", "StatusNotification"])
def test_a_triggered_message_follows_its_answer(message: str) -> None:
    one = bench(first_plug_s=(1e6, 2e6))
    one.connect()
    one.run(1)
    before = len(one.central.of(message))
    assert one.order("TriggerMessage", requestedMessage=message, connectorId=1) == {"status": "Accepted"}
    assert len(one.central.of(message)) > before
    assert one.order("TriggerMessage", requestedMessage=message, connectorId=9) == {"status": "Rejected"}


def test_the_other_commands() -> None:
    one = bench()
    one.connect()
    assert one.order("ClearCache") == {"status": "Accepted"}
    assert one.order("DataTransfer", vendorId="Other") == {"status": "UnknownVendorId"}
    assert one.order("DataTransfer", vendorId="Gridwire", messageId="Echo", data="x") == {
        "status": "Accepted",
        "data": "x",
    }
    trigger = one.order("TriggerMessage", requestedMessage="DiagnosticsStatusNotification")
    assert trigger == {"status": "Accepted"}
    assert one.central.of("DiagnosticsStatusNotification") == [{"status": "Idle"}]
    for frame, code in (
        (b'[2,"1","MakeCoffee",{}]', "NotImplemented"),
        (b'[2,"2","Reset",{"type":"Warm"}]', "PropertyConstraintViolation"),
    ):
        one.charger.receive(frame, one.now_us)
        one.exchange()
        assert one.central.errors[-1][2] == code


@given(st.lists(st.binary(max_size=200) | st.text(max_size=200).map(str.encode), max_size=20))
def test_any_bytes_leave_the_charger_alive(frames: list[bytes]) -> None:
    one = bench()
    one.connect()
    for frame in frames:
        one.charger.receive(frame, one.now_us)
    one.exchange()
    assert one.order("ClearCache") == {"status": "Accepted"}


# --- drivers and faults -------------------------------------------------------------------------------


def test_a_refused_card_starts_nothing_and_the_driver_leaves() -> None:
    one = bench(connectors=1, central=Central(id_tag_status="Blocked"))
    one.connect()
    one.run(100)
    assert one.central.of("Authorize")
    assert not one.central.of("StartTransaction")
    statuses = [call["status"] for call in one.central.of("StatusNotification") if call["connectorId"] == 1]
    assert statuses[:3] == ["Available", "Preparing", "Available"]


def test_a_session_refused_after_its_start_is_stopped() -> None:
    one = bench(connectors=1, sessions_max=1)
    one.connect()
    one.charger.disconnected(one.now_us)
    one.run(40)  # begun without the platform
    one.central.id_tag_status = "Invalid"
    one.connect()
    one.run(30)
    assert one.central.of("StopTransaction")[0]["reason"] == "DeAuthorized"


def test_a_broken_connector_stops_its_session_and_mends() -> None:
    one = bench(connectors=1, faults=Faults(broken_connector=1.0))
    one.connect()
    one.run(300)
    seen = [call for call in one.central.of("StatusNotification") if call["connectorId"] == 1]
    index = [call["status"] for call in seen].index("Faulted")
    assert seen[index]["errorCode"] != "NoError"
    assert seen[index + 1]["status"] == "Available"
    assert seen[index + 1]["errorCode"] == "NoError"
    assert one.central.of("StopTransaction")[0]["reason"] == "Other"


def test_shutting_down_ends_every_session_and_is_settled_when_all_is_acknowledged() -> None:
    one = bench(first_plug_s=(0.0, 1.0), session_s=(1e5, 1e5 + 1))
    one.connect()
    one.run(30)
    one.charger.shut_down(one.now_us)
    settled = [one.charger.is_settled]
    one.exchange()
    settled.append(one.charger.is_settled)
    assert settled == [False, True]
    assert len(one.central.of("StopTransaction")) == 2
    one.run(300)
    assert len(one.central.of("StartTransaction")) == 2


def test_values_out_of_order_overtake_and_all_arrive() -> None:
    one = bench(connectors=1, sessions_max=1, faults=Faults(batch_out_of_order=0.5))
    one.connect()
    one.charger.disconnected(one.now_us)
    one.run(400)
    one.connect()
    one.run(5)
    times: dict[int, list[int]] = defaultdict(list)
    for call in one.central.of("MeterValues"):
        times[call["transactionId"]].append(parse_timestamp(call["meterValue"][0]["timestamp"]))
    assert times[1] != sorted(times[1])
    assert one.charger.is_done


def test_every_status_can_be_left() -> None:
    assert {status for status, _ in TRANSITIONS} == set(Status)
    assert {event for _, event in TRANSITIONS} == set(Event)
