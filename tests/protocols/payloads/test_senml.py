import json

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.payloads import DECODERS
from protocols.payloads.senml import resolve
from protocols.samples import DecodeError
from tests.protocols.payloads.strategies import HEARD_AT_US, decodes_or_refuses, mutated, payload, values

decode, decode_cbor = DECODERS["senml_json"], DECODERS["senml_cbor"]

# RFC 8428 section 5.1.1, 5.1.2, 5.1.3 (shortened to its first series), 5.1.4
SINGLE = [{"n": "urn:dev:ow:10e2073a01080063", "u": "Cel", "v": 23.1}]
MULTIPLE = [
    {"bn": "urn:dev:ow:10e2073a01080063:", "n": "voltage", "u": "V", "v": 120.1},
    {"n": "current", "u": "A", "v": 1.2},
]
SERIES = [
    {
        "bn": "urn:dev:ow:10e2073a0108006:",
        "bt": 1.276020076001e09,
        "bu": "A",
        "bver": 5,
        "n": "voltage",
        "u": "V",
        "v": 120.1,
    },
    {"n": "current", "t": -5, "v": 1.2},
    {"n": "current", "t": -4, "v": 1.3},
    {"n": "current", "t": -3, "v": 1.4},
    {"n": "current", "t": -2, "v": 1.5},
    {"n": "current", "t": -1, "v": 1.6},
    {"n": "current", "v": 1.7},
]
# The same as RFC 8428 section 6 prints it in CBOR
SERIES_CBOR = (
    "87a721781b75726e3a6465763a6f773a3130653230373361303130383030363a22fb41d303a15b0010622361412005006776"
    "6f6c7461676501615602fb405e066666666666a3006763757272656e74062402fb3ff3333333333333a3006763757272656e"
    "74062302fb3ff4cccccccccccda3006763757272656e74062202fb3ff6666666666666a3006763757272656e74062102f93e"
    "00a3006763757272656e74062002fb3ff999999999999aa3006763757272656e74060002fb3ffb333333333333"
)
MIXED = [
    {"bn": "urn:dev:ow:10e2073a01080063:", "bt": 1.320067464e09, "bu": "%RH", "v": 20},
    {"u": "lon", "v": 24.30621},
    {"u": "lat", "v": 60.07965},
    {"t": 60, "v": 20.3},
    {"u": "lon", "t": 60, "v": 24.30622},
    {"u": "lat", "t": 60, "v": 60.07965},
    {"u": "%EL", "t": 150, "v": 98},
]


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def test_resolved_records_of_the_rfc() -> None:
    """RFC 8428 section 5.1.3 with the resolved form of section 5.1.4's rules."""
    records = resolve(SERIES, HEARD_AT_US)
    assert [(each.name.rsplit(":", 1)[1], each.unit, each.value) for each in records[:3]] == [
        ("voltage", "V", 120.1),
        ("current", "A", 1.2),
        ("current", "A", 1.3),
    ]
    assert [each.ts_us for each in records[:3]] == [
        1_276_020_076_001_000,
        1_276_020_071_001_000,
        1_276_020_072_001_000,
    ]


def test_units_become_quantities() -> None:
    single = decode(payload(as_json(SINGLE)))
    assert single.identity == "10e2073a01080063"
    assert values(single) == {("temperature_c", 0): 23.1}
    assert values(decode(payload(as_json(MULTIPLE)))) == {("voltage_v", 0): 120.1, ("current_a", 0): 1.2}
    mixed = decode(payload(as_json(MIXED), clock="none"))
    assert {each.quantity for each in mixed.measurements} == {
        "humidity_pct",
        "longitude_deg",
        "latitude_deg",
        "battery_pct",
    }


def test_cbor_of_the_rfc_says_the_same() -> None:
    ours = decode_cbor(payload(SERIES_CBOR))
    assert [each["v"] for each in ours.data] == [120.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]
    assert ours.identity == "10e2073a0108006"


def test_relative_times_are_of_now() -> None:
    pack = [{"bn": "urn:imei:867723030711443:", "bu": "m3", "n": "w", "t": -7200, "v": 1}, {"n": "w", "v": 2}]
    decoded = decode(payload(as_json(pack), units={"m3": "gas_m3"}))
    assert decoded.identity == "867723030711443"
    assert [(each.quantity, each.value, each.ts_us) for each in decoded.measurements] == [
        ("gas_m3", 1, HEARD_AT_US - 7_200_000_000),
        ("gas_m3", 2, HEARD_AT_US),
    ]


def test_base_value_and_sum() -> None:
    pack: list[dict[str, object]] = [
        {"bv": 1_000, "bs": 10, "bn": "meter-1/", "n": "a", "u": "l", "v": 5},
        {"n": "b", "u": "Wh", "s": 3},
    ]
    decoded = decode(payload(as_json(pack)))
    assert values(decoded) == pytest.approx({("water_m3", 0): 1.005, ("energy_import_wh", 0): 13})
    assert decoded.identity == "meter-1"


def test_names_of_the_profile() -> None:
    names = {"supply": {"quantity": "temperature_c", "channel": 1}, "return": "return_temperature_c"}
    pack = [{"bn": "h1:", "n": "supply", "u": "Cel", "v": 70}, {"n": "return", "u": "Cel", "v": 40}]
    assert values(decode(payload(as_json(pack), names=names))) == {
        ("temperature_c", 1): 70,
        ("return_temperature_c", 0): 40,
    }
    assert "give their names channels" in decode(payload(as_json(pack))).warnings[0]


def test_lwm2m_send() -> None:
    pack: list[dict[str, object]] = [
        {"-2": "/3424/0/", "0": "1", "2": 123.456, "-3": 1_780_000_000},
        {"0": "10", "4": True},
        {"-2": "/3424/1/", "0": "1", "2": 7},
        {"-2": "/3/0/", "0": "9", "2": 88},
        {"0": "2", "3": "SN-77"},
    ]
    decoded = decode_cbor(
        payload(cbor2.dumps([{int(key): value for key, value in each.items()} for each in pack]))
    )
    assert values(decoded) == {
        ("water_m3", 0): 123.456,
        ("leak_alarm", 0): 1,
        ("water_m3", 1): 7,
        ("battery_pct", 0): 88,
    }
    assert decoded.identity == "SN-77"
    assert {each.ts_us for each in decoded.measurements} == {1_780_000_000_000_000}


@pytest.mark.parametrize(
    ("pack", "field"),
    [
        ({}, ""),
        ([], ""),
        ([1], "[0]"),
        ([{"n": 1, "v": 1}], "[0].n"),
        ([{"n": "a", "v": "x"}], "[0].v"),
        ([{"n": "a", "v": True}], "[0].v"),
        ([{"n": "a", "v": 1, "new_": 1}], "[0].new_"),
        ([{"bver": 11, "n": "a", "v": 1}], "[0].bver"),
        ([{"n": "a b", "v": 1}], "[0].n"),
        ([{"n": "a", "v": 1, "t": 1e200}], "[0].t"),
    ],
)
def test_refused(pack: object, field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(payload(as_json(pack)))
    assert caught.value.field == field


RECORDS = st.lists(
    st.dictionaries(
        st.sampled_from(
            ["bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "s", "t", "ut", "vd"]
        ),
        st.floats(allow_nan=False, allow_infinity=False)
        | st.integers()
        | st.sampled_from(["m3", "a", "3424/0/1", "Cel"])
        | st.booleans(),
    ),
    max_size=6,
)


@given(RECORDS.map(as_json) | mutated([as_json(SERIES), as_json(MIXED)]) | st.binary(max_size=80))
def test_any_json(raw: bytes) -> None:
    decodes_or_refuses(decode, payload(raw))


@given(mutated([bytes.fromhex(SERIES_CBOR)]) | RECORDS.map(cbor2.dumps) | st.binary(max_size=80))
def test_any_cbor(raw: bytes) -> None:
    decodes_or_refuses(decode_cbor, payload(raw))


@pytest.mark.parametrize("options", [{"names": {"a": {"quantity": []}}}, {"units": {"V": []}}])
def test_a_quantity_that_is_no_text_is_an_option_that_is_wrong(options: dict[str, object]) -> None:
    pack = b'[{"n": "a", "u": "V", "v": 1}]'
    with pytest.raises(DecodeError, match="quantity"):
        DECODERS["senml_json"](payload(pack, **options))
