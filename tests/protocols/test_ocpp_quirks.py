"""What real chargers do wrong, without a socket: each public case, and each repair for itself."""

import contextlib
import re
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.ocpp.connection import Answered, CallEnded, CallReceived, Connection, Event, Limits, Refused
from protocols.ocpp.frames import Call
from protocols.ocpp.mending import mended_json
from protocols.ocpp.meter_values import decode_meter_values, decode_sampled
from protocols.ocpp.meter_values_2 import decode_meter_values_2
from protocols.ocpp.quirks.calls import check_suited
from protocols.ocpp.quirks.normalise import Normalised, normalise, normalise_result
from protocols.ocpp.quirks.registry import RULES, Behaviour, quirks_for, release_of
from protocols.ocpp.schemas import DECISIONS, SchemaError, is_strict
from protocols.ocpp.surface import FROM_CHARGER, Version
from protocols.timestamps import format_utc_ms, is_rfc3339, parse_timestamp
from tests.protocols.ocpp_fixtures import Case, Step, load_cases

CASES = load_cases()
NOW = "2026-11-22T08:00:00Z"
NOW_US = parse_timestamp(NOW)
PLAIN = Behaviour()


def ask(version: Version, action: str, payload: Mapping[str, Any]) -> Normalised:
    return normalise(version, action, payload, PLAIN, NOW_US)


def test_the_cases_are_many_and_each_names_its_issue() -> None:
    assert len(CASES) >= 60
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", case.source) for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_public_case(case: Case) -> None:
    connection = Connection(Limits(), Version(case.version))
    if case.asked is not None:
        connection.call(case.asked["id"], case.asked["action"], {}, 0, 10**9)
    connection.data_to_send()
    for step in case.steps:
        events = connection.receive(step.data(7), 0)
        calls = [event.call for event in events if isinstance(event, CallReceived)]
        if calls:
            check_call(case, step, calls[0], connection)
        elif step.outcome is not None:
            assert outcome_of(events) == step.outcome
        else:
            answers = [orjson.loads(data) for data in connection.data_to_send()]
            expected = {"none": [], "error": [(4, step.code)], "result": [(3, None)]}[step.answer]
            found = [(answer[0], answer[2] if answer[0] == 4 else None) for answer in answers]
            assert found == expected


def outcome_of(events: list[Event]) -> str:
    ended = next(event for event in events if isinstance(event, CallEnded))
    if isinstance(ended.outcome, Answered):
        return "answered"
    assert isinstance(ended.outcome, Refused)
    return ended.outcome.code


def check_call(case: Case, step: Step, call: Call, connection: Connection) -> None:
    behaviour = quirks_for(case.vendor, case.model, case.firmware)
    received_at_us = parse_timestamp(case.received_at or NOW)
    if "invalid_utf8" in call.mended and call.action in DECISIONS:
        assert (step.answer, step.code) == ("error", "FormationViolation")
        return
    if step.answer == "error":
        with pytest.raises(SchemaError) as error:
            normalise(Version(case.version), call.action, call.payload, behaviour, received_at_us)
        assert error.value.code.value == step.code
        return
    request = normalise(Version(case.version), call.action, call.payload, behaviour, received_at_us)
    assert {*call.mended, *request.tags} == set(step.tags)
    if step.payload is not None:
        assert request.payload == step.payload
    assert (step.payload_has or {}).items() <= request.payload.items()
    if step.samples is not None:
        check_samples(Version(case.version), step, request.payload)
    connection.answer({}, 0)
    connection.data_to_send()


def check_samples(version: Version, step: Step, payload: Mapping[str, Any]) -> None:
    if version.is_2:
        decoded = decode_meter_values_2(payload["meterValue"], payload["evseId"])
    elif "transactionData" in payload:
        decoded = decode_sampled(payload["transactionData"], 1, 7, "transactionData")
    else:
        decoded = decode_meter_values(payload)
    assert tuple(decoded.rows.columns["value"]) == step.samples
    assert len(decoded.refused) == step.refused


STATUS = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
START = {"connectorId": 1, "idTag": "A", "meterStart": 1, "timestamp": NOW}
STOP = {"transactionId": 1, "meterStop": 1, "timestamp": NOW}


@pytest.mark.parametrize(
    ("action", "payload", "has", "tags"),
    [
        ("StatusNotification", {**STATUS, "status": "Occupied"},
         {"status": "Preparing", "info": "Occupied"}, ["status_unknown"]),
        ("StatusNotification", {**STATUS, "status": "SUSPENDED_EV"},
         {"status": "SuspendedEV"}, ["word_spelled_otherwise"]),
        ("StatusNotification", {**STATUS, "status": "Sleeping", "info": "kept"},
         {"status": "Unavailable", "info": "kept"}, ["status_unknown"]),
        ("StatusNotification", {"connectorId": "1", "status": "Available"},
         {"connectorId": 1, "errorCode": "NoError"}, ["number_as_text", "error_code_missing"]),
        ("StatusNotification", {**STATUS, "vendorId": 5, "info": True},
         {"vendorId": "5", "info": "true"}, ["text_as_number"]),
        ("StatusNotification", {**STATUS, "info": None}, STATUS, ["null_field"]),
        ("StartTransaction", {**START, "meterStart": 10.0}, {"meterStart": 10}, ["integer_as_float"]),
        ("StartTransaction", {**START, "meterStart": 10.4}, {"meterStart": 10}, ["integer_with_fraction"]),
        ("StartTransaction", {**START, "meterStart": "10.6"}, {"meterStart": 11}, ["number_as_text"]),
        ("StartTransaction", {**START, "timestamp": None}, {"timestamp": "2026-11-22T08:00:00.000000Z"},
         ["null_field", "timestamp_missing"]),
        ("StartTransaction", {**START, "idTag": "x" * 40}, {"idTag": "x" * 40}, ["text_too_long"]),
        ("StopTransaction", {**STOP, "transactionId": "none"}, {"transactionId": -1},
         ["transaction_id_unreadable", "transaction_id_not_ours"]),
        ("StopTransaction", {**STOP, "transactionId": 3.5}, {"transactionId": -1},
         ["transaction_id_unreadable", "transaction_id_not_ours"]),
        ("StopTransaction", {**STOP, "reason": "Bored"}, {"reason": "Other"}, ["reason_unknown"]),
        ("FirmwareStatusNotification", {"status": "Pondering"}, {"status": "Pondering"}, ["word_unknown"]),
        ("SecurityEventNotification", {"type": "Boot", "timestamp": "2026-11-22 08:00"},
         {"timestamp": "2026-11-22T08:00:00.000000Z"}, ["timestamp_unreadable"]),
        ("StatusNotification", {**STATUS, "timestamp": "2098-01-01T00:00:00Z"}, {}, ["clock_ahead"]),
        ("MeterValues", {"connectorId": 1, "meterValue": [{"timestamp": NOW, "sampledValue": {"value": ""}}]},
         {}, ["sampled_value_not_list", "empty_value"]),
        ("MeterValues", {"connectorId": 1, "meterValue": [
            {"timestamp": NOW, "sampledValue": [{"value": "1", "phase": "L", "location": "X", "unit": None}]},
        ]}, {}, ["null_field", "phase_unknown", "location_unknown"]),
    ],
)  # fmt: skip
def test_a_repair(action: str, payload: dict[str, Any], has: dict[str, Any], tags: list[str]) -> None:
    before = orjson.dumps(payload)
    request = ask(Version.V16, action, payload)
    assert set(request.tags) == set(tags)
    assert has.items() <= request.payload.items()
    assert orjson.dumps(payload) == before, "what came is left alone"


@pytest.mark.parametrize(
    ("version", "action", "payload"),
    [
        (Version.V16, "Authorize", {"idTag": 5}),
        (Version.V16, "Authorize", {"idTag": "x" * 21}),
        (Version.V16, "Authorize", {}),
        (Version.V16, "StartTransaction", {"connectorId": 1, "idTag": "A", "timestamp": NOW}),
        (Version.V16, "StartTransaction", {**START, "meterStart": 1e300}),
        (Version.V16, "StatusNotification", {"connectorId": 1}),
        (Version.V201, "Authorize", {"idToken": {"idToken": "A", "type": "Guess"}}),
        (Version.V201, "TransactionEvent",
         {"eventType": "Paused", "timestamp": NOW, "triggerReason": "Trigger", "seqNo": 1,
          "transactionInfo": {"transactionId": "x"}}),
    ],
)  # fmt: skip
def test_what_has_no_certain_meaning_is_refused(
    version: Version, action: str, payload: dict[str, Any]
) -> None:
    with pytest.raises(SchemaError):
        ask(version, action, payload)


def test_a_decision_is_mended_where_its_meaning_is_certain() -> None:
    token = {"idToken": "A", "type": "iso14443", "additionalInfo": None}
    request = ask(Version.V201, "Authorize", {"idToken": token, "evse": 1})
    assert request.payload == {"idToken": {"idToken": "A", "type": "ISO14443"}}
    assert set(request.tags) == {"word_spelled_otherwise", "null_field", "extra_field"}
    assert is_strict(Version.V201, "Authorize", request.payload)


@pytest.mark.parametrize(
    ("action", "answer", "mended", "tags"),
    [
        ("GetConfiguration", {"configurationKey": [{"key": "N", "readonly": "true", "value": 1}], "more": 1},
         {"configurationKey": [{"key": "N", "readonly": True, "value": "1"}], "more": 1},
         {"text_as_number", "boolean_as_text", "extra_field"}),  # mobilityhouse/ocpp#707
        ("GetConfiguration", {"configurationKey": [{"key": "N", "readonly": True, "value": "x" * 551}]},
         None, {"text_too_long"}),  # evcc-io/evcc#12901
        ("Reset", {"status": "accepted"}, {"status": "Accepted"}, {"word_spelled_otherwise"}),
    ],
)  # fmt: skip
def test_an_answer_is_mended(action: str, answer: Any, mended: Any, tags: set[str]) -> None:
    result = normalise_result(Version.V16, action, answer, PLAIN, NOW_US)
    assert result.payload == (mended or answer)
    assert set(result.tags) == tags


@pytest.mark.parametrize("answer", [{}, {"status": "Maybe"}, {"status": None}, {"status": []}])
def test_whether_it_did_as_told_is_not_guessed(answer: dict[str, Any]) -> None:
    with pytest.raises(SchemaError):
        normalise_result(Version.V16, "Reset", answer, PLAIN, NOW_US)


def test_a_strict_request_is_the_same_object() -> None:
    request = ask(Version.V16, "StatusNotification", STATUS)
    assert request.payload is STATUS
    assert (request.is_strict, request.tags) == (True, ())


@pytest.mark.parametrize(
    ("make", "changed"),
    [
        (("ABB", "CDT_TACW11::NET_WIFI", "TAC3Z9119006710273::V1.8.21"), {"may_probe": False}),
        (("ABB", "CDT_TACW11::NET_WIFI", "TAC3Z9119006710273::V1.8.32"), {}),
        (("ABB", None, None), {}),
        (("EN+", "AC7000-AE-25", None), {"answers_pings": False}),
        (("Growatt", "THOR", None), {"has_local_time": True}),
        (("FoxESS", "A022KP1", "1.10/1.06"), {"profiles_refused_over": frozenset({"2.0.1", "2.1"})}),
        (("MENNEKES", "AMTRON 4You", None), {"call_gap_ms": 1000, "heartbeat_s_max": 60}),
        (("United Chargers", "GRS-*", "05.43"), {"may_probe": False}),
        (("Nobody", "Nothing", "0"), {}),
        ((None, None, None), {}),
    ],
)
def test_the_registry(make: tuple[str | None, str | None, str | None], changed: dict[str, Any]) -> None:
    assert quirks_for(*make) == Behaviour(**changed)


def test_each_rule_changes_something_and_names_its_issue() -> None:
    for rule in RULES:
        assert Behaviour(**rule.changes) != PLAIN
        assert rule.vendor == rule.vendor.casefold()
        assert rule.model == rule.model.casefold()
        assert re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", rule.source)


@pytest.mark.parametrize(
    ("vendor", "version", "action", "payload", "is_suited"),
    [
        ("Entratek", Version.V16, "GetConfiguration", {}, False),
        ("Entratek", Version.V16, "GetConfiguration", {"key": ["a"] * 5}, False),
        ("Entratek", Version.V16, "GetConfiguration", {"key": ["a"] * 4}, True),
        ("Others", Version.V16, "GetConfiguration", {}, True),
        ("FoxESS", Version.V201, "SetChargingProfile", {"chargingProfile": {}}, False),
        ("FoxESS", Version.V16, "SetChargingProfile", {"csChargingProfiles": {}}, True),
        ("United Chargers", Version.V16, "SetChargingProfile",
         {"csChargingProfiles": {"chargingProfilePurpose": "ChargePointMaxProfile"}}, False),
        ("United Chargers", Version.V16, "SetChargingProfile",
         {"csChargingProfiles": {"chargingProfilePurpose": "TxProfile"}}, True),
        ("Entratek", Version.V16, "Reset", {"type": "Soft"}, True),
    ],
)  # fmt: skip
def test_calls_that_a_make_fails_on(
    vendor: str, version: Version, action: str, payload: dict[str, Any], is_suited: bool
) -> None:
    behaviour = quirks_for(vendor, None, "3.9")
    with contextlib.nullcontext() if is_suited else pytest.raises(SchemaError, match=action):
        check_suited(behaviour, version, action, payload)


def test_heartbeats_are_clamped() -> None:
    behaviour = Behaviour(heartbeat_s_min=30, heartbeat_s_max=60)
    assert [behaviour.heartbeat_s(wanted_s) for wanted_s in (0, 45, 300)] == [30, 45, 60]


@given(st.text(max_size=300))
def test_any_firmware_has_a_release_or_none(text: str) -> None:
    release_of(text)
    quirks_for(text, text, text)


@pytest.mark.parametrize(
    ("data", "mended", "tags"),
    [
        (b'{"a":"b\0"}\0', b'{"a":"b"}', ("control_characters",)),
        (b'{"a":"b\nc"}', b'{"a":"b c"}', ("control_characters",)),
        (b'\xef\xbb\xbf{"a":1}', b'{"a":1}', ("control_characters",)),
        (b'{"a":"\xe9"}', '{"a":"\ufffd"}'.encode(), ("invalid_utf8",)),
        (rb'{"a":"\ud83d\ude00\ud83d"}', rb'{"a":"\ud83d\ude00\ufffd"}', ("lone_surrogate",)),
        (b'{"a":[,1,,2,],}', b'{"a":[1,2]}', ("stray_comma",)),
        (b'{"a":,"b":}', b'{"a":null,"b":null}', ("value_missing",)),
        (b'{"a":",,[,","b":}', b'{"a":",,[,","b":null}', ("value_missing",)),
        (b'{"a":[1,2}', b'{"a":[1,2}', ()),
        (b'{"a":"b', b'{"a":"b', ()),
        (b"", b"", ()),
    ],
)
def test_json_is_mended_where_it_has_one_meaning(data: bytes, mended: bytes, tags: tuple[str, ...]) -> None:
    assert mended_json(data) == (mended, tags)


@pytest.mark.parametrize(
    "data", [b'"' + rb"\"" * 120_000, b"[" * 250_000, b"[ ," * 80_000, b'{"a":,' * 40_000]
)
@pytest.mark.timeout(5)
def test_mending_takes_time_in_proportion(data: bytes) -> None:
    assert mended_json(data) == (data, ())


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("2026-01-02T03:04:05Z", True),
        ("2026-01-02t03:04:05.123456789+05:30", True),
        ("2026-01-02T23:59:60Z", True),
        ("2026-01-02T03:04:05", False),
        ("2026-01-02 03:04:05Z", False),
        ("2026-01-02T03:04:05+02", False),
        ("2026-01-02T03:04:05.Z", False),
        ("2026-13-02T03:04:05Z", False),
        ("", False),
    ],
)
def test_the_letter_of_rfc3339(text: str, is_one: bool) -> None:
    assert is_rfc3339(text) is is_one
    assert is_strict_time(text) is is_one


def is_strict_time(text: str) -> bool:
    status = {"connectorId": 1, "errorCode": "NoError", "status": "Available", "timestamp": text}
    return is_strict(Version.V16, "StatusNotification", status)


@given(
    st.from_regex(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{0,10})?([Zz]|[+-]\d\d:?\d\d)?\s?", fullmatch=True)
    | st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
    | st.text(max_size=24)
)
def test_schemas_are_as_strict_with_times_as_we_are(text: str) -> None:
    assert is_strict_time(text) is is_rfc3339(text)


@given(st.integers(parse_timestamp("0001-01-01T00:00:00Z"), parse_timestamp("9999-12-31T23:59:59Z")))
def test_what_we_emit_is_utc_in_milliseconds(us: int) -> None:
    text = format_utc_ms(us)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert is_rfc3339(text)
    assert parse_timestamp(text) == us // 1000 * 1000


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(
    ["connectorId", "meterValue", "transactionId", "timestamp", "status", "idTag", "evseId", "idToken"]
)


@given(
    st.sampled_from([(version, action) for version in Version for action in FROM_CHARGER[version]]),
    st.dictionaries(names | st.text(max_size=5), anything, max_size=5),
)
def test_any_payload_is_mended_or_refused(what: tuple[Version, str], payload: dict[str, Any]) -> None:
    try:
        request = ask(*what, payload)
    except SchemaError:
        return
    assert request.is_strict or request.tags
    orjson.dumps(request.payload)
