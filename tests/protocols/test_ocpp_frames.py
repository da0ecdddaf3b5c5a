import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.ocpp.frames import (
    Call,
    CallError,
    CallResult,
    ErrorCode,
    FormationError,
    MessageType,
    parse_frame,
    serialise_call,
    serialise_error,
    serialise_result,
)
from protocols.ocpp.schemas import SchemaError, check_call, check_request, check_result
from protocols.ocpp.surface import Version

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=36)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | words
payloads = st.dictionaries(words, scalars | st.lists(scalars, max_size=3), max_size=4)


@given(words, words, payloads)
def test_what_was_written_is_read(message_id: str, action: str, payload: dict[str, object]) -> None:
    assert parse_frame(serialise_call(message_id, action, payload)) == Call(message_id, action, payload)
    assert parse_frame(serialise_result(message_id, payload)) == CallResult(message_id, payload)
    error = serialise_error(message_id, ErrorCode.GENERIC_ERROR, action)
    assert parse_frame(error) == CallError(message_id, "GenericError", action, {})


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.lists(scalars | payloads).map(lambda v: json.dumps(v).encode())
)
def test_any_bytes_are_a_frame_or_a_formation_error(data: bytes) -> None:
    with contextlib.suppress(FormationError):
        parse_frame(data)


@given(words, payloads, st.data())
def test_a_cut_frame_still_names_its_message(
    message_id: str, payload: dict[str, object], data: st.DataObject
) -> None:
    whole = serialise_call(message_id, "Heartbeat", payload)
    head = serialise_call(message_id, "", {}).removesuffix(b'"",{}]')
    cut = whole[: data.draw(st.integers(len(head), len(whole) - 1))]
    with pytest.raises(FormationError) as error:
        parse_frame(cut)
    assert error.value.message_id in (message_id, None)
    if message_id.isalnum():
        assert (error.value.message_id, error.value.type) == (message_id, MessageType.CALL)


def test_nested_beyond_measure_is_a_formation_error() -> None:
    with pytest.raises(FormationError):
        parse_frame(b'[2,"a","X",' + b'{"a":' * 100_000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rb"a\u0000b", "ab"),
        (rb"\u0000\u0000", ""),
        (rb"a\\u0000", "a\\u0000"),
        (rb"a\\\u0000", "a\\"),
    ],
)
def test_escaped_nuls_are_left_out(text: bytes, expected: str) -> None:
    frame = parse_frame(b'[2,"a","Authorize",{"idTag":"%b"}]' % text)
    assert isinstance(frame, Call)
    assert frame.payload == {"idTag": expected}


def test_a_call_error_may_be_short() -> None:
    assert parse_frame(b'[4,"a","InternalError"]') == CallError("a", "InternalError", "", {})
    assert parse_frame(b'[4,"a","InternalError",null,[]]') == CallError("a", "InternalError", "", {})


def test_answers_are_compact_and_keep_their_order() -> None:
    answer = {"status": "Accepted", "currentTime": "t", "interval": 5}
    expected = b'[3,"a",{"status":"Accepted","currentTime":"t","interval":5}]'
    assert serialise_result("a", answer) == expected


@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("Authorize", {}, ErrorCode.PROTOCOL_ERROR),
        ("Authorize", {"idTag": 1}, ErrorCode.TYPE_CONSTRAINT_VIOLATION),
        ("Authorize", {"idTag": "x" * 21}, ErrorCode.PROPERTY_CONSTRAINT_VIOLATION),
        ("Authorize", {"idTag": "x", "more": 1}, ErrorCode.FORMATION_VIOLATION),
        ("BootNotification", {"chargePointVendor": "x"}, ErrorCode.PROTOCOL_ERROR),
        ("StopTransaction", {"transactionId": "1", "meterStop": 1, "timestamp": ""},
         ErrorCode.TYPE_CONSTRAINT_VIOLATION),
    ],
)  # fmt: skip
def test_a_broken_request_names_its_fault(action: str, payload: dict[str, object], code: ErrorCode) -> None:
    with pytest.raises(SchemaError, match=action) as error:
        check_request(Version.V16, action, payload)
    assert error.value.code is code


@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("BootNotification", {"chargePointVendor": "x" * 30, "chargePointModel": "y", "extra": 1}),
        ("StatusNotification", {"connectorId": 1, "errorCode": "Error", "status": "Occupied"}),
        ("StopTransaction", {"transactionId": 1, "meterStop": 1, "timestamp": "", "reason": "Bored",
                             "transactionData": {}}),
        ("MeterValues", {}),
    ],
)  # fmt: skip
def test_what_is_only_out_of_form_is_kept(action: str, payload: dict[str, object]) -> None:
    assert not check_request(Version.V16, action, payload)


def test_our_own_calls_keep_the_schema() -> None:
    check_call(Version.V16, "Reset", {"type": "Soft"})
    check_result(Version.V16, "Reset", {"status": "Accepted"})
    with pytest.raises(SchemaError):
        check_call(Version.V16, "Reset", {"type": "Gently"})
    with pytest.raises(SchemaError):
        check_call(Version.V16, "RequestStartTransaction", {})
    with pytest.raises(SchemaError):
        check_result(Version.V16, "Reset", {"status": "Maybe"})
