import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.payloads import DECODERS
from protocols.payloads.checksums import CRC16
from protocols.payloads.layouts import LAYOUTS
from protocols.samples import DecodeError
from tests.protocols.payloads.strategies import HEARD_AT_US, decodes_or_refuses, mutated, payload, values

decode = DECODERS["binary"]
HOUR_US = 3_600_000_000
NOW_S = HEARD_AT_US // 1_000_000
IMEI = "868411056754138"


def sw3l(samples: list[tuple[int, int]], *, has_imsi: bool = False) -> bytes:
    """As github.com/dragino/dragino-end-node-decoder reads it (SW3L-NB)."""
    (pulses, time_s), *log = samples
    imsi = bytes.fromhex("f460111111111111") if has_imsi else b""
    head = bytes.fromhex("f" + IMEI) + imsi + bytes.fromhex("0e64")
    head += struct.pack(">HBBBBBH", 3_612, 20, 0, 0, 1, 0, 450)
    return head + struct.pack(">II", pulses, time_s) + b"".join(struct.pack(">II", *each) for each in log)


DAY = [(10_000 - 10 * age, NOW_S - 3_600 * age) for age in range(24)]
DELTAS: dict[str, Any] = {
    "identity": {"at": 0, "type": "ascii", "bytes": 8},
    "time": {"at": 8, "type": "u32", "epoch_s": 946_684_800},
    "checksum": {"type": "crc16_modbus", "at": -2, "end": -2, "endian": "little"},
    "fields": [
        {"name": "register", "at": 12, "type": "u32", "scale": 0.001, "quantity": "water_m3"},
        {"name": "leak", "at": 16, "type": "u8", "bit": 3, "quantity": "leak_alarm"},
        {"name": "battery", "at": 16, "type": "u8", "bit": 4, "bits": 4, "scale": 0.1, "offset": 2.5},
    ],
    "groups": [
        {
            "at": 17,
            "size": 2,
            "tail": 2,
            "step_s": 3600,
            "newest_first": True,
            "first_age": 1,
            "fields": [
                {
                    "name": "register",
                    "at": 0,
                    "type": "u16",
                    "scale": 0.001,
                    "quantity": "water_m3",
                    "delta_of": "register",
                    "invalid": [65535],
                }
            ],
        }
    ],
}


def deltas(register: int, differences: list[int], *, time_s: int = NOW_S) -> bytes:
    body = b"WM-00042" + struct.pack(">IIB", time_s - 946_684_800, register, 0x58)
    body += b"".join(struct.pack(">H", each) for each in differences)
    return body + CRC16["crc16_modbus"](body).to_bytes(2, "little")


def test_dragino_flow_sensor_with_a_day_of_samples() -> None:
    decoded = decode(payload(sw3l(DAY), layout="dragino_sw3l_nb"))
    assert decoded.identity == IMEI
    pulses = [(each.value, each.ts_us) for each in decoded.measurements if each.quantity == "pulses"]
    assert pulses == [(count, time_s * 1_000_000) for count, time_s in DAY]
    found = values(decoded)
    assert found["battery_v", 0] == 3.612
    assert found["rssi_dbm", 0] == -73
    assert found["leak_alarm", 0] == 1
    with_imsi = decode(payload(sw3l(DAY, has_imsi=True), layout="dragino_sw3l_nb_imsi"))
    assert with_imsi.measurements == decoded.measurements


def test_dragino_clock_that_was_never_set() -> None:
    decoded = decode(payload(sw3l([(5, 100), (4, 90)]), layout="dragino_sw3l_nb", step_s=1_200))
    pulses = [(each.value, each.ts_us) for each in decoded.measurements if each.quantity == "pulses"]
    # the log's order is not said by the maker: the last is taken for the newest
    assert pulses == [(5, None), (4, HEARD_AT_US)]
    assert any("clock_not_set" in each for each in decoded.warnings)


def test_samples_that_are_not_there_yet_are_zero() -> None:
    decoded = decode(payload(sw3l([DAY[0], DAY[1], (0, 0)]), layout="dragino_sw3l_nb"))
    assert len([each for each in decoded.measurements if each.quantity == "pulses"]) == 2


def test_differences_back_from_a_register() -> None:
    decoded = decode(payload(deltas(100_000, [10, 0, 65535, 7]), layout=DELTAS))
    assert decoded.identity == "WM-00042"
    water = [(each.value, each.ts_us) for each in decoded.measurements if each.quantity == "water_m3"]
    # after a difference that is missing nothing older is known
    assert water == [
        (100.0, HEARD_AT_US),
        (99.99, HEARD_AT_US - HOUR_US),
        (99.99, HEARD_AT_US - 2 * HOUR_US),
    ]
    assert values(decoded)["leak_alarm", 0] == 1
    assert decoded.data["fields"]["battery"] == 3.0


def test_without_a_clock_the_series_is_dated_back_from_when_it_was_heard() -> None:
    decoded = decode(payload(deltas(100, [1, 1], time_s=946_684_900), layout=DELTAS))
    assert [each.ts_us for each in decoded.measurements if each.quantity == "water_m3"] == [
        None,
        HEARD_AT_US - HOUR_US,
        HEARD_AT_US - 2 * HOUR_US,
    ]


def test_checksum() -> None:
    raw = bytearray(deltas(1, [1]))
    raw[13] ^= 1
    with pytest.raises(DecodeError, match="checksum"):
        decode(payload(bytes(raw), layout=DELTAS))


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("crc16_x25", 0x906E),
        ("crc16_en13757", 0xC2B7),
        ("crc16_modbus", 0x4B37),
        ("crc16_arc", 0xBB3D),
        ("crc16_ccitt_false", 0x29B1),
        ("crc16_xmodem", 0x31C3),
        ("crc16_kermit", 0x2189),
    ],
)
def test_checksums_of_the_crc_catalogue(name: str, check: int) -> None:
    assert CRC16[name](b"123456789") == check


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        ({"type": "u24", "endian": "little"}, "010200", 513),
        ({"type": "i16"}, "fffe", -2),
        ({"type": "f32", "endian": "little"}, "0000c841", 25),
        ({"type": "f64"}, "4039000000000000", 25),
        ({"type": "bcd", "bytes": 4}, "12345678", 12_345_678),
        ({"type": "bcd", "bytes": 2, "endian": "little"}, "3412", 1_234),
        ({"type": "bcd", "bytes": 1}, "1f", None),
        ({"type": "hex", "bytes": 2}, "abcd", "abcd"),
        ({"type": "ascii", "bytes": 4}, "41420000", "AB"),
        ({"type": "u16", "invalid": [65535]}, "ffff", None),
        ({"type": "u16", "scale": 0.1}, "007b", 12.3),
        ({"type": "f32"}, "7fc00000", None),
    ],
)
def test_types(kind: dict[str, object], raw: str, expected: object) -> None:
    decoded = decode(payload(raw, layout={"fields": [{"name": "x", "at": 0, **kind}]}))
    assert decoded.data["fields"]["x"] == expected


def test_calendar_times() -> None:
    layout = {
        "time": {"at": 0, "type": "ymdhms_bcd"},
        "fields": [{"name": "x", "at": 6, "type": "u8", "quantity": "pulses"}],
    }
    decoded = decode(payload("26070112000005", layout=layout, clock="local:Africa/Johannesburg"))
    assert [each.ts_us for each in decoded.measurements] == [1_782_900_000_000_000]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [("464000000005 00000006", [(0, 5), (1, 6)]), ("5a4000000005 0006", [(0, 5), (0, -1)]), ("304000", [])],
)
def test_adeunis_pulse(raw: str, expected: list[tuple[int, float]]) -> None:
    decoded = decode(payload(raw.replace(" ", ""), layout="adeunis_pulse"))
    pulses = [(each.channel, each.value) for each in decoded.measurements if each.quantity == "pulses"]
    assert pulses == expected


FIELD = {"name": "x", "at": 0, "type": "u8"}
GROUP = {"at": 0, "size": 4, "step_s": 60, "fields": [FIELD]}


@pytest.mark.parametrize(
    ("layout", "field"),
    [
        (None, "layout"),
        ({}, "fields"),
        ("dragino_of_the_future", "layout"),
        ({"fields": [{**FIELD, "type": "u7"}]}, "fields[0].type"),
        ({"fields": [FIELD, {**FIELD, "at": "3"}]}, "fields[1].at"),
        ({"fields": [{**FIELD, "name": 3}]}, "fields[0].name"),
        ({"fields": [{**FIELD, "quantity": "joy"}]}, "fields[0].quantity"),
        ({"fields": [{**FIELD, "colour": 1}]}, "fields[0].colour"),
        ({"fields": [{**FIELD, "scale": "2"}]}, "fields[0].scale"),
        ({"fields": [{**FIELD, "bit": 8}]}, "fields[0].bit"),
        ({"fields": [{**FIELD, "endian": "middle"}]}, "fields[0].endian"),
        ({"fields": [{**FIELD, "channel": -1}]}, "fields[0].channel"),
        ({"fields": [{**FIELD, "type": "bcd"}]}, "fields[0].bytes"),
        ({"fields": FIELD}, "fields"),
        ({"groups": [{**GROUP, "size": 0}]}, "groups[0].size"),
        ({"groups": [{**GROUP, "step_s": None}]}, "groups[0].time"),
        ({"groups": [{**GROUP, "count": "many"}]}, "groups[0].count"),
        ({"groups": [{**GROUP, "fields": [{**FIELD, "at": 4}]}]}, "groups[0].fields[0].at"),
        ({"groups": [{**GROUP, "fields": [{**FIELD, "delta_of": "y"}]}]}, "groups[0].fields[0].delta_of"),
        ({"fields": [FIELD], "checksum": {"type": "crc99", "at": 0}}, "checksum.type"),
        ({"fields": [FIELD], "time": {"at": 0, "type": "u32", "unit_s": 0}}, "time.unit_s"),
        ({"fields": [FIELD], "identity": {"at": 0, "type": "f32"}}, "identity.type"),
        ({"cases": [{"fields": [FIELD]}]}, "cases[0].when"),
        ({"cases": [{"when": {"at": 0, "type": "u8"}}]}, "cases[0].when.equals"),
        ({"fields": [FIELD], "more": 1}, "more"),
    ],
)
def test_the_wrong_field_is_named(layout: object, field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(payload("00" * 8, layout=layout))
    assert (caught.value.reason, caught.value.field) == ("layout", field)


def test_too_short_for_the_layout() -> None:
    with pytest.raises(DecodeError) as caught:
        decode(payload(sw3l(DAY)[:20], layout="dragino_sw3l_nb"))
    assert caught.value.reason == "truncated"
    with pytest.raises(DecodeError, match="items of"):
        decode(payload("ff00", layout={"groups": [{**GROUP, "count": {"at": 0, "type": "u8"}}]}))


LAYOUT_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-300, 300)
    | st.sampled_from(["u8", "u32", "end", "big", "pulses", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "fields",
                    "groups",
                    "cases",
                    "time",
                    "identity",
                    "checksum",
                    "name",
                    "at",
                    "type",
                    "size",
                    "count",
                    "step_s",
                    "when",
                    "equals",
                    "bytes",
                    "scale",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(LAYOUT_VALUES, st.binary(max_size=40))
def test_any_layout(layout: object, raw: bytes) -> None:
    decodes_or_refuses(decode, payload(raw, layout=layout))


@given(
    st.binary(max_size=120) | mutated([sw3l(DAY), deltas(5, [1, 2])]),
    st.sampled_from([*LAYOUTS, DELTAS]),
    st.none() | st.just(900),
)
def test_any_bytes(raw: bytes, layout: object, step_s: int | None) -> None:
    options = {} if step_s is None else {"step_s": step_s}
    decodes_or_refuses(decode, payload(raw, layout=layout, **options))


@given(st.lists(st.integers(0, 1_000), max_size=30), st.integers(30_000, 2**32 - 1))
def test_round_trip_of_differences(differences: list[int], register: int) -> None:
    decoded = decode(payload(deltas(register, differences), layout=DELTAS))
    water = [each.value for each in decoded.measurements if each.quantity == "water_m3"]
    expected = [register - sum(differences[:count]) for count in range(len(differences) + 1)]
    assert water == [pytest.approx(each / 1000) for each in expected]
