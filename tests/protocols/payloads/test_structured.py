import json

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.payloads import DECODERS
from protocols.payloads.structured import read_cbor
from protocols.samples import DecodeError
from protocols.timestamps import parse_timestamp
from tests.protocols.payloads.strategies import HEARD_AT_US, decodes_or_refuses, payload, values

decode, decode_cbor = DECODERS["json"], DECODERS["cbor"]
HOUR_US = 3_600_000_000

MESSAGE = {"imei": "867723030711443", "water": {"litres": 1_234}, "bat": 3600}
MAPPING = [
    {"path": "water.litres", "quantity": "water_m3", "scale": 0.001},
    {"path": "bat", "quantity": "battery_v", "scale": 0.001},
]


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def test_by_mapping() -> None:
    decoded = decode(payload(as_json(MESSAGE) + b"\0\0", mapping=MAPPING))
    assert decoded.identity == "867723030711443"
    assert values(decoded) == {("water_m3", 0): pytest.approx(1.234), ("battery_v", 0): 3.6}
    assert decoded.data == MESSAGE
    assert values(decode_cbor(payload(cbor2.dumps(MESSAGE), mapping=MAPPING))) == values(decoded)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (1_780_000_000, 1_780_000_000_000_000),
        (1_780_000_000_123, 1_780_000_000_123_000),
        ("2026-05-28T20:26:40Z", 1_780_000_000_000_000),
    ],
)
def test_times_of_readings(time: object, expected: int) -> None:
    mapping = [{"path": "r[].v", "time_path": "r[].t", "quantity": "water_m3"}]
    decoded = decode(payload(as_json({"r": [{"v": 1, "t": time}]}), mapping=mapping))
    assert [each.ts_us for each in decoded.measurements] == [expected]


def test_a_day_of_readings_without_times_is_dated_back() -> None:
    readings = {"path": "log", "mapping": [{"path": "value", "quantity": "pulses"}]}
    message = as_json({"serial": "W-1", "log": list(range(24))})
    decoded = decode(payload(message, readings=readings, step_s=3600, newest_first=True))
    assert [each.value for each in decoded.measurements] == list(range(24))
    assert [each.ts_us for each in decoded.measurements] == [HEARD_AT_US - age * HOUR_US for age in range(24)]
    assert decoded.identity == "W-1"
    unknown_step = decode(payload(message, readings=readings, newest_first=True))
    assert [each.ts_us for each in unknown_step.measurements] == [HEARD_AT_US]
    assert "23 readings have no time" in unknown_step.warnings[0]


def test_a_clock_in_1970_is_not_believed() -> None:
    mapping = [{"path": "[].v", "time_path": "[].t", "quantity": "pulses"}]
    message = as_json([{"v": 1, "t": 100}, {"v": 2, "t": 1_000}, {"v": 3, "t": 1_900}])
    decoded = decode(payload(message, mapping=mapping, step_s=900))
    ages = [HEARD_AT_US - (each.ts_us or 0) for each in decoded.measurements]
    assert ages == [1_800_000_000, 900_000_000, 0]
    assert any("clock_not_set" in each for each in decoded.warnings)


def test_a_clock_in_local_time() -> None:
    mapping = [{"path": "v", "time_path": "t", "quantity": "pulses"}]
    message = as_json({"v": 1, "t": "2026-07-01T12:00:00"})
    decoded = decode(payload(message, mapping=mapping, clock="local:Africa/Johannesburg"))
    assert [each.ts_us for each in decoded.measurements] == [parse_timestamp("2026-07-01T10:00:00Z")]
    ignored = decode(payload(message, mapping=mapping, clock="none"))
    assert [each.ts_us for each in ignored.measurements] == [HEARD_AT_US]


def test_identity_by_path_and_in_depth() -> None:
    vega = {"Message": {"dev": "NB-11", "IMEI": "867723030711633", "num": 3}, "Telemetry": {"id": 7}}
    assert decode(payload(as_json(vega))).identity == "867723030711633"
    assert decode(payload(as_json({"who": {"tag": "M-9"}}), identity="who.tag")).identity == "M-9"
    assert (
        decode(payload(as_json({"id": 17, "device": {"imei": "867723030711633"}}))).identity
        == "867723030711633"
    )


def test_encoding_of_the_payload() -> None:
    raw = as_json(MESSAGE)
    assert decode(payload(raw.hex().encode(), encoding="hex")).data == MESSAGE
    with pytest.raises(DecodeError, match="no base64"):
        decode(payload(raw, encoding="base64"))
    with pytest.raises(DecodeError) as caught:
        decode(payload(raw, encoding="rot13"))
    assert caught.value.field == "encoding"


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 5_000, b'{"a":1e999}{'])
def test_no_json(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(payload(raw))


@pytest.mark.parametrize("raw", [b"", b"\x9f", b"\x81" * 5_000, b"\xd8\x1e\x82\x01\x00", b"\xff"])
def test_no_cbor(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_cbor(payload(raw))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)
READINGS = {"path": "a", "mapping": [{"path": "value", "quantity": "pulses"}]}


@given(st.binary(max_size=100) | JSON_VALUES.map(as_json))
def test_any_json(raw: bytes) -> None:
    decodes_or_refuses(decode, payload(raw, readings=READINGS, step_s=60))
    decodes_or_refuses(decode, payload(raw))


@given(st.binary(max_size=100) | JSON_VALUES.map(cbor2.dumps))
def test_any_cbor(raw: bytes) -> None:
    decodes_or_refuses(decode_cbor, payload(raw))


@pytest.mark.parametrize("sign", [b"\xc2", b"\xc3"])
def test_a_number_that_no_float_can_hold_is_none(sign: bytes) -> None:
    huge = sign + b"\x59\x01\x00" + b"\xff" * 256  # RFC 8949 section 3.4.3: a bignum of 2048 bits
    assert read_cbor(b"\x82\x01" + huge) == [1, None]


def test_a_long_series_under_a_long_mapping_is_refused_before_it_takes_long() -> None:
    rows = [{"path": f"a{n}", "quantity": "water_m3"} for n in range(200)]
    readings = {"path": "r", "mapping": rows}
    with pytest.raises(DecodeError, match="readings of 200 values"):
        decode(payload(as_json({"r": [{}] * 10_000}), readings=readings, step_s=60))
    found = decode(payload(as_json({"r": [{"a7": 1}] * 400}), readings=readings, step_s=60))
    assert len(found.measurements) == 400
