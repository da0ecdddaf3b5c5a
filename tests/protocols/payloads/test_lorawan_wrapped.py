import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.payloads import DECODERS
from protocols.payloads.lorawan_wrapped import unwrap
from protocols.samples import DecodeError
from tests.protocols.payloads.strategies import HEARD_AT_US, decodes_or_refuses, mutated, payload, values

decode = DECODERS["lorawan_wrapped"]
IMEI = "867723030711443"
SENT_S = HEARD_AT_US // 1_000_000 - 7_200
PULSE = bytes.fromhex("4600 0000 1234 0000 0001")


def wrapped(inside: bytes, *, time_s: int = SENT_S, signal: int = 20) -> bytes:
    return bytes.fromhex("0" + IMEI) + struct.pack(">BH", signal, 258) + inside + struct.pack(">I", time_s)


def test_pulse_frame() -> None:
    options = {"decoder": "binary", "options": {"layout": "adeunis_pulse"}}
    decoded = decode(payload(wrapped(PULSE), **options))
    assert decoded.identity == IMEI
    found = values(decoded)
    assert (found["pulses", 0], found["pulses", 1], found["rssi_dbm", 0]) == (0x1234, 1, -73)
    assert {each.ts_us for each in decoded.measurements} == {SENT_S * 1_000_000}
    assert decoded.data["fields"] == {"signal": -73, "frame_counter": 258}


def test_history_counts_back_from_when_the_frame_was_made() -> None:
    inside = bytes.fromhex("5A00 000003E8 0005 0007")
    options = {"decoder": "binary", "options": {"layout": "adeunis_pulse", "step_s": 600}}
    decoded = decode(payload(wrapped(inside), **options))
    pulses = [
        (each.value, SENT_S - (each.ts_us or 0) // 1_000_000)
        for each in decoded.measurements
        if each.quantity == "pulses"
    ]
    assert pulses == [(1000, 0), (995, 600), (988, 1200)]


def test_clock_that_was_never_set() -> None:
    decoded = decode(payload(wrapped(bytes.fromhex("03670110"), time_s=77), decoder="cayenne_lpp"))
    assert values(decoded)["temperature_c", 3] == 27.2
    assert {each.ts_us for each in decoded.measurements} == {None}


def test_wrapper_of_the_profile_and_the_port() -> None:
    wrapper = {
        "layout": {
            "identity": {"at": 0, "type": "ascii", "bytes": 15},
            "fields": [{"name": "csq", "at": 15, "type": "u8"}],
        },
        "start": 16,
    }
    one = payload(
        IMEI.encode() + b"\x14" + bytes.fromhex("03670110"), wrapper=wrapper, decoder="cayenne_lpp", port=2
    )
    assert decode(one).identity == IMEI
    unwrapped = unwrap(one)
    assert (unwrapped.inside.data.hex(), unwrapped.inside.port) == ("03670110", 2)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "decoder"),
        ({"decoder": "lorawan_wrapped"}, "decoder"),
        ({"decoder": "binary", "port": 300}, "port"),
        ({"decoder": "binary", "options": 3}, "options"),
        ({"decoder": "binary", "wrapper": {"start": -1}}, "wrapper.start"),
        ({"decoder": "binary", "wrapper": {"start": 0, "layout": {"fields": [{}]}}}, "fields[0].name"),
    ],
)
def test_options_name_the_wrong_field(options: dict[str, object], field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(payload(wrapped(PULSE), **options))
    assert caught.value.field == field


@given(st.binary(max_size=60) | mutated([wrapped(PULSE)]))
def test_any_bytes(raw: bytes) -> None:
    decodes_or_refuses(decode, payload(raw, decoder="binary", options={"layout": "adeunis_pulse"}))
    decodes_or_refuses(decode, payload(raw, decoder="cayenne_lpp"))
