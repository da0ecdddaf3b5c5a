import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.payloads import DECODERS
from protocols.samples import DecodeError
from tests.protocols.payloads.strategies import decodes_or_refuses, mutated, payload, values

decode = DECODERS["lwm2m_tlv"]

# OMA TS-LightweightM2M 1.1, clause 7.4.3.2: the response to a read of the device object
DEVICE = bytes.fromhex(
    "C800144F70656E204D6F62696C6520416C6C69616E6365"
    "C801164C696768747765696768742 04D324D20436C69656E74".replace(" ", "")
    + "C80209333435303030313233C303312E30"
    + "8606410001410105"
    + "88070842000ED842011388"
    + "870841007D42010384"
    + "C10964C10A0F83 0B4100 00".replace(" ", "")
    + "C40D5182428FC60E2B30323A3030C11055"
)


def resource(identifier: int, value: bytes) -> bytes:
    head = 0b1100_0000 | (0x20 if identifier > 255 else 0)
    size = 2 if identifier > 255 else 1
    if len(value) < 8:
        return bytes([head | len(value)]) + identifier.to_bytes(size, "big") + value
    return bytes([head | 0x08]) + identifier.to_bytes(size, "big") + bytes([len(value)]) + value


def f64(value: float) -> bytes:
    return struct.pack(">d", value)


WATER = (
    resource(1, f64(123.456))
    + resource(4, (1234).to_bytes(4, "big"))
    + resource(8, struct.pack(">f", 0.001))
    + resource(10, b"\x01")
    + resource(13, b"\x00")
    + resource(5518, (1_780_000_000).to_bytes(4, "big"))
)


def test_device_of_the_specification() -> None:
    decoded = decode(payload(DEVICE, path="/3/0"))
    assert decoded.identity == "345000123"
    found = decoded.data["3"]["0"]
    assert found["manufacturer"] == "Open Mobile Alliance"
    assert found["power_source_voltage"] == 3800
    assert found["power_source_voltage[1]"] == 5000
    assert found["current_time"] == 1_367_491_215
    assert values(decoded) == pytest.approx({("battery_v", 0): 3.8, ("battery_pct", 0): 100})


def test_water_meter() -> None:
    decoded = decode(payload(WATER, path="/3424/0"))
    assert values(decoded) == {
        ("water_m3", 0): 123.456,
        ("pulses", 0): 1234,
        ("flow_m3_per_h", 0): pytest.approx(3.6),
        ("leak_alarm", 0): 1,
        ("tamper_alarm", 0): 0,
    }
    assert {each.ts_us for each in decoded.measurements} == {1_780_000_000_000_000}


def test_object_instances_are_channels() -> None:
    raw = b"".join(
        bytes([0x08, index, len(body)]) + body for index, body in enumerate((WATER, resource(1, f64(2))))
    )
    found = values(decode(payload(raw)))
    assert (found["water_m3", 0], found["water_m3", 1]) == (123.456, 2)


def test_clock_that_was_never_set() -> None:
    decoded = decode(payload(resource(1, f64(1)) + resource(5518, b"\x00\x00\x00\x10")))
    assert [each.ts_us for each in decoded.measurements] == [None]
    assert "clock_not_set" in decoded.warnings[0]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "empty"),
        ("C1", "truncated"),
        ("C40100", "truncated"),
        ("C101FF", "tlv"),
        ("4100FF", "tlv"),
        ("080008080004C1090A", "truncated"),
    ],
)
def test_refused(raw: str, reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(payload(raw))
    assert caught.value.reason == reason


def test_path_is_checked() -> None:
    with pytest.raises(DecodeError) as caught:
        decode(payload(WATER, path="3424"))
    assert caught.value.field == "path"


@given(
    st.binary(max_size=100) | mutated([WATER, DEVICE]),
    st.sampled_from(["/3424/0", "/3/0", "/3331", "/9/9/9"]),
)
def test_any_bytes(raw: bytes, path: str) -> None:
    decodes_or_refuses(decode, payload(raw, path=path))


@given(st.floats(0, 1e9), st.integers(0, 2**31 - 1), st.booleans())
def test_round_trip(volume: float, pulses: int, is_leaking: bool) -> None:
    raw = (
        resource(1, f64(volume)) + resource(4, pulses.to_bytes(4, "big")) + resource(10, bytes([is_leaking]))
    )
    assert values(decode(payload(raw))) == {
        ("water_m3", 0): volume,
        ("pulses", 0): pulses,
        ("leak_alarm", 0): is_leaking,
    }
