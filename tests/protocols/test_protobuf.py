"""Our reader of protobuf against Google's runtime, on messages of every kind that we read."""

from contextlib import suppress
from typing import Any

import pytest
from chirpstack_api import integration  # type: ignore[import-untyped]
from google.protobuf.json_format import MessageToDict, ParseDict  # type: ignore[import-untyped]
from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from protocols.lorawan.chirpstack_protobuf import DOWNLINK_COMMAND, EVENTS
from protocols.protobuf import DEPTH_MAX, Field, Kind, decode, encode
from protocols.samples import DecodeError

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
UINT32 = st.integers(0, 2**32 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
RX = st.fixed_dictionaries(
    {},
    optional={
        "gatewayId": TEXT,
        "rssi": st.integers(-(2**31), 2**31 - 1),
        "snr": st.floats(-1e6, 1e6, width=32),
    },
)
UP = st.fixed_dictionaries(
    {},
    optional={
        "adr": st.booleans(),
        "dr": UINT32,
        "fCnt": UINT32,
        "fPort": UINT32,
        "confirmed": st.booleans(),
        "object": st.dictionaries(TEXT, JSON, max_size=3),
        "deviceInfo": st.fixed_dictionaries({}, optional={"devEui": TEXT, "tenantId": TEXT}),
        "rxInfo": st.lists(RX, max_size=3),
    },
)


def plain(value: Any) -> Any:
    """Return a value without what may be left out: zeros, empty texts, lists and messages."""
    if isinstance(value, dict):
        inner = {name: plain(each) for name, each in value.items()}
        return {name: each for name, each in inner.items() if each not in (0, "", b"", [], {})}
    return [plain(each) for each in value] if isinstance(value, list) else value


@given(UP, st.binary(max_size=50))
def test_an_uplink_reads_as_googles_runtime_wrote_it(fields: dict[str, Any], data: bytes) -> None:
    objects = fields.pop("object", {})
    message = ParseDict(fields, integration.UplinkEvent(data=data))
    message.object.update(objects)
    found = decode(message.SerializeToString(), EVENTS["up"])
    assert found.pop("object", {}) == objects
    assert plain(found) == plain({**fields, "data": data})


@given(st.dictionaries(TEXT, TEXT, max_size=3), st.sampled_from([0, 1, 2]), st.integers(0, 11))
def test_maps_and_enums(context: dict[str, str], level: int, code: int) -> None:
    message = integration.LogEvent(level=level, code=code, context=context)
    found = decode(message.SerializeToString(), EVENTS["log"])
    named = MessageToDict(message)
    assert found.get("context", {}) == context
    assert found.get("level", "INFO") == named.get("level", "INFO")
    assert found.get("code", "UNKNOWN") == named.get("code", "UNKNOWN")


@given(st.integers(-62_135_596_800, 253_402_300_799), st.integers(0, 999_999_999))
def test_timestamps_keep_nine_digits(seconds: int, nanos: int) -> None:
    message = integration.JoinEvent()
    message.time.seconds, message.time.nanos = seconds, nanos
    time = decode(message.SerializeToString(), EVENTS["join"])["time"]
    assert time.endswith(f".{nanos:09}Z")
    again = integration.JoinEvent()
    again.time.FromJsonString(time)
    assert again == message


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "id": TEXT,
            "devEui": TEXT,
            "confirmed": st.booleans(),
            "fPort": UINT32,
            "data": st.binary(),
        },
    )
)
def test_what_we_write_googles_runtime_reads(values: dict[str, Any]) -> None:
    parsed = integration.DownlinkCommand.FromString(encode(values, DOWNLINK_COMMAND))
    assert parsed == integration.DownlinkCommand(
        id=values.get("id", ""),
        dev_eui=values.get("devEui", ""),
        confirmed=values.get("confirmed", False),
        f_port=values.get("fPort", 0),
        data=values.get("data", b""),
    )


def test_messages_that_come_twice_are_merged_and_scalars_replaced() -> None:
    first = integration.JoinEvent(device_info=integration.DeviceInfo(dev_eui="a", tenant_id="t"))
    second = integration.JoinEvent(device_info=integration.DeviceInfo(dev_eui="b"))
    data = first.SerializeToString() + second.SerializeToString()
    assert decode(data, EVENTS["join"]) == {"deviceInfo": {"devEui": "b", "tenantId": "t"}}
    assert integration.JoinEvent.FromString(data).device_info.tenant_id == "t"


def test_fields_that_are_not_in_the_table_are_skipped() -> None:
    message = integration.UplinkEvent(dev_addr="00189440", region_config_id="eu868", f_cnt=3)
    assert decode(message.SerializeToString(), EVENTS["up"]) == {"fCnt": 3}


def test_nesting_has_an_end() -> None:
    deep: dict[str, Any] = {}
    for _ in range(DEPTH_MAX):
        deep = {"a": deep}
    wrapped = Struct()
    wrapped.update(deep)
    with pytest.raises(DecodeError, match="nested deeper"):
        decode(b"\x0a" + _length(wrapped.SerializeToString()), {1: Field("deep", Kind.STRUCT)})


def _length(data: bytes) -> bytes:
    assert len(data) < 1 << 14
    return bytes([len(data) & 0x7F | 0x80, len(data) >> 7]) + data


@pytest.mark.parametrize(
    "data",
    [
        b"\x38",  # ends behind the key
        b"\x38\x80",  # ends within an integer
        b"\x38" + b"\xff" * 10 + b"\x01",  # an integer of eleven bytes
        b"\x52\x05ab",  # fewer bytes than announced
        b"\x3b",  # a group
        b"\x00\x00",  # field number 0
        b"\x1a\x03\x42\x01\xff",  # a text that is not UTF-8
    ],
)
def test_bytes_that_are_no_message(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data, EVENTS["up"])


@given(st.sampled_from([*EVENTS]), st.binary(max_size=200))
def test_any_bytes_give_values_or_a_decode_error(event: str, data: bytes) -> None:
    with suppress(DecodeError):
        assert isinstance(decode(data, EVENTS[event]), dict)


def test_a_name_or_kind_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(ValueError, match="no field 'speed'"):
        encode({"speed": 1}, DOWNLINK_COMMAND)
    with pytest.raises(ValueError, match="is read, not written"):
        encode({"object": {"a": 1}}, EVENTS["up"])
