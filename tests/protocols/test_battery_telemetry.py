"""Battery telemetry: examples of the documented schema, refusals that name the field, properties."""

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.battery import telemetry
from protocols.battery.flags import BIT, names
from protocols.battery.telemetry import Position, Sample, decode, encode
from protocols.samples import DecodeError, Rows
from protocols.timestamps import parse_timestamp
from storage.hypertables import BATTERY_SAMPLES

NOW_US = 1_700_000_000_000_000


def one(payload: object) -> dict[str, object]:
    decoded = decode(json.dumps(payload).encode(), NOW_US)
    assert decoded.rows is not None
    assert decoded.rows.count == 1
    assert not decoded.refused
    return {name: values[0] for name, values in decoded.rows.columns.items()}


def test_a_full_sample_fills_every_column_and_counts_each_value() -> None:
    payload = {
        "ts": "2026-03-01T12:00:00.5+05:30", "voltage_v": 51.8, "current_a": -12.5, "soc_pct": 76,
        "soh_pct": 98.5,
        "cycles": 212, "flags": ["discharging", "balancing"], "temperatures_c": [31.5, 32],
        "cell_voltages_v": [3.7, 3.71, 3.69], "position": {"latitude_deg": 28.6139, "longitude_deg": 77.209},
        "vendor_extra": {"ignored": True},
    }  # fmt: skip
    decoded = decode(json.dumps(payload).encode(), NOW_US)
    assert decoded.rows == Rows(
        "battery_samples",
        {
            "voltage_v": [51.8], "current_a": [-12.5], "soc_pct": [76.0], "soh_pct": [98.5], "cycles": [212],
            "flags": [0b110], "temperatures_c": [[31.5, 32.0]], "cell_voltages_v": [[3.7, 3.71, 3.69]],
            "latitude_deg": [28.6139], "longitude_deg": [77.209], "ts": [1_772_346_600_500_000],
        },
        1,
        13,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ts", "ts_us"),
    [
        (1_772_346_600, 1_772_346_600_000_000),
        (1_772_346_600.25, 1_772_346_600_250_000),
        (1_772_346_600_250, 1_772_346_600_250_000),
        (0, 0),
        ("2026-03-01T06:30:00Z", 1_772_346_600_000_000),
        (None, NOW_US),
    ],
)
def test_times_are_seconds_milliseconds_or_text(ts: object, ts_us: int) -> None:
    assert one({"ts": ts, "soc_pct": 50})["ts"] == ts_us


def test_a_missing_time_is_the_time_of_arrival() -> None:
    assert one({"soc_pct": 50}) == {"soc_pct": 50.0, "ts": NOW_US}


def test_one_temperature_needs_no_array_and_an_empty_array_is_no_value() -> None:
    row = one({"temperatures_c": 21, "cell_voltages_v": [], "flags": 0})
    assert row == {"temperatures_c": [21.0], "flags": 0, "ts": NOW_US}


@pytest.mark.parametrize("wrap", [lambda samples: samples, lambda samples: {"samples": samples}])
def test_one_bad_sample_does_not_take_its_neighbours_with_it(wrap: object) -> None:
    assert callable(wrap)
    samples = [
        {"ts": 1, "soc_pct": 1},
        {"ts": 2, "soc_pct": "two"},
        {"ts": 3},
        {"ts": 4, "flags": ["no_such_flag"]},
        {"ts": "yesterday", "soc_pct": 5},
        {"ts": 6, "voltage_v": 48.5},
        {"soc_pct": 7},
        {"soc_pct": 8},
        9,
    ]
    payload = wrap(samples)
    decoded = decode(json.dumps(payload).encode(), NOW_US)
    array = "samples" if isinstance(payload, dict) else ""
    assert decoded.rows == Rows(
        "battery_samples",
        {"soc_pct": [1.0, None, 7.0], "ts": [1_000_000, 6_000_000, NOW_US], "voltage_v": [None, 48.5, None]},
        3,
        3,
    )
    assert [(error.reason, error.field) for error in decoded.refused] == [
        ("invalid", f"{array}[1].soc_pct"),
        ("empty", f"{array}[2]"),
        ("invalid", f"{array}[3].flags"),
        ("timestamp", f"{array}[4].ts"),
        ("timestamp", f"{array}[7].ts"),
        ("invalid", f"{array}[8]"),
    ]


@pytest.mark.parametrize(
    ("payload", "reason", "field"),
    [
        (b"", "malformed", ""),
        (b"\xff\xfe", "malformed", ""),
        (b'{"soc_pct":', "malformed", ""),
        (b'{"soc_pct":NaN}', "malformed", ""),
        (b'[{"ts":"\xff","soc_pct":1}]', "malformed", ""),
        (b'{"a":' * 5000, "malformed", ""),
        (b"5", "invalid", ""),
        (b"{}", "empty", ""),
        (b'{"ts":5}', "empty", ""),
        (b'{"unknown":5}', "empty", ""),
        (b"[]", "empty", "samples"),
        (b'{"samples":[]}', "empty", "samples"),
        (b'{"samples":5}', "invalid", "samples"),
        (b'{"soc_pct":true}', "invalid", "soc_pct"),
        (b'{"soc_pct":"81"}', "invalid", "soc_pct"),
        (b'{"voltage_v":1e39}', "invalid", "voltage_v"),
        (b'{"voltage_v":1e400}', "invalid", "voltage_v"),
        (b'{"cycles":2147483648}', "invalid", "cycles"),
        (b'{"flags":-2147483649}', "invalid", "flags"),
        (b'{"flags":["flying"]}', "invalid", "flags"),
        (b'{"temperatures_c":[1,null]}', "invalid", "temperatures_c[1]"),
        (b'{"cell_voltages_v":[' + b"1," * 512 + b"1]}", "invalid", "cell_voltages_v"),
        (b'{"position":{"latitude_deg":1}}', "invalid", "position.longitude_deg"),
        (b'{"soc_pct":1,"ts":-1}', "invalid", "ts"),
        (b'{"soc_pct":1,"ts":' + b"9" * 5000 + b"}", "invalid", "ts"),
        (b'{"soc_pct":1,"ts":253402300800000}', "invalid", "ts"),
        (b'{"soc_pct":1,"ts":"01/03/2026"}', "timestamp", "ts"),
        (b"[" + b'{"soc_pct":1},' * 1000 + b'{"soc_pct":1}]', "too_many", "samples"),
        (b" " * telemetry.MESSAGE_BYTES_MAX + b"1", "too_large", ""),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_refusal_names_the_field(payload: bytes, reason: str, field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(payload, NOW_US)
    assert (caught.value.reason, caught.value.field) == (reason, field)
    assert len(str(caught.value)) < 500


def test_every_column_belongs_to_the_hypertable_with_its_quantities_counted() -> None:
    row = one(msgspec.to_builtins(FULL))
    quantities = {column.name for column in BATTERY_SAMPLES.quantities}
    assert set(row) == quantities | {"ts"}


def test_flag_bits_are_distinct_and_fit_a_positive_integer() -> None:
    assert sorted(BIT.values()) == list(range(len(BIT)))
    assert max(BIT.values()) <= 30
    assert names(0b1001) == ["charging", "immobilised"]


FULL = Sample(
    ts=1, voltage_v=1.0, current_a=1.0, soc_pct=1.0, soh_pct=1.0, cycles=1,
    position=Position(1.0, 2.0), flags=3, temperatures_c=[1.0, 2.0], cell_voltages_v=[1.0],
)  # fmt: skip

reals = st.floats(-1e30, 1e30)
lists = st.lists(reals, min_size=1, max_size=5)
times = st.integers(0, 99_999_999_999) | st.just("2026-03-01T06:30:00.123456Z")
samples = st.builds(
    Sample,
    ts=times,
    voltage_v=st.none() | reals,
    current_a=st.none() | reals,
    soc_pct=reals,
    soh_pct=st.none() | reals,
    cycles=st.none() | st.integers(-(2**31), 2**31 - 1),
    position=st.none() | st.builds(Position, st.floats(-90, 90), st.floats(-180, 180)),
    flags=st.none() | st.integers(0, 2**31 - 1) | st.lists(st.sampled_from(list(BIT)), max_size=4),
    temperatures_c=st.none() | reals | lists,
    cell_voltages_v=st.none() | lists,
)


def expected(sample: Sample) -> dict[str, object]:
    flags, temperatures = sample.flags, sample.temperatures_c
    ts = sample.ts
    assert ts is not None
    return {
        "ts": parse_timestamp(ts) if isinstance(ts, str) else round(ts * 1_000_000),
        "voltage_v": sample.voltage_v,
        "current_a": sample.current_a,
        "soc_pct": sample.soc_pct,
        "soh_pct": sample.soh_pct,
        "cycles": sample.cycles,
        "flags": sum(1 << BIT[name] for name in set(flags)) if isinstance(flags, list) else flags,
        "temperatures_c": [temperatures] if isinstance(temperatures, float) else temperatures,
        "cell_voltages_v": sample.cell_voltages_v,
        "latitude_deg": sample.position.latitude_deg if sample.position else None,
        "longitude_deg": sample.position.longitude_deg if sample.position else None,
    }


@given(st.lists(samples, min_size=1, max_size=6))
def test_what_was_encoded_is_decoded_again(given_samples: list[Sample]) -> None:
    decoded = decode(encode(given_samples), NOW_US)
    assert not decoded.refused
    rows = decoded.rows
    assert rows is not None
    found = [
        {name: rows.columns[name][i] if name in rows.columns else None for name in expected(sample)}
        for i, sample in enumerate(given_samples)
    ]
    assert found == [expected(sample) for sample in given_samples]
    values = [value for row in found for name, value in row.items() if name != "ts" and value is not None]
    assert rows.samples == sum(len(value) if isinstance(value, list) else 1 for value in values)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*Sample.__struct_fields__, "samples", "latitude_deg"]), inner, max_size=5
        )
    ),
    max_leaves=20,
)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_give_rows_or_a_typed_error(payload: bytes) -> None:
    try:
        decoded = decode(payload, NOW_US)
    except DecodeError:
        return
    assert decoded.rows or decoded.refused
    if decoded.rows is not None:
        assert all(len(values) == decoded.rows.count for values in decoded.rows.columns.values())
        assert decoded.rows.samples >= decoded.rows.count >= 1
        numbers = (value for value in decoded.rows.columns.get("voltage_v", ()) if isinstance(value, float))
        assert all(map(math.isfinite, numbers))
