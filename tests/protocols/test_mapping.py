"""A codec's JSON becomes measurements by a profile's mapping, or by names that say enough."""

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.known_keys import KEYS, NORMALISED, spelled
from protocols.mapping import (
    ROWS_MAX,
    codec_measurements,
    measurements_of,
    read_mapping,
    time_of,
)
from protocols.measurements import MEASUREMENTS_MAX, Measurement, to_rows
from protocols.quantities import CODES
from protocols.samples import DecodeError

AT_US = 1_700_000_000_000_000
AT = "2023-11-14T22:13:20Z"
HISTORY = {"readings": [{"value": 5, "time": AT}, {"value": "6.5", "time": 1_700_003_600}, {"value": 7}]}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*KEYS, "a", "b", "time", "readings", "metering"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "path": st.sampled_from(["a", "a.b", "readings[].a", "a[0]", '["a.b"].b', "readings[][].b"]),
            "quantity": st.sampled_from(list(CODES)),
            "scale": st.floats(allow_nan=False, allow_infinity=False).filter(bool),
            "channel": st.integers(0, 32_767),
            "time_path": st.sampled_from(["time", "a.time"]),
        }
    ),
    max_size=3,
)


def row(path: str, quantity: str = "water_m3", **fields: Any) -> dict[str, Any]:
    return {"path": path, "quantity": quantity, **fields}


@pytest.mark.parametrize(
    ("data", "mapping", "expected"),
    [
        ({"total_m3": 5}, row("total_m3"), [(5.0, None, 0)]),
        ({"a": {"b": 5}}, row("a.b", scale=0.001), [(0.005, None, 0)]),
        ({"a": [1, {"b": 2}]}, row("a[1].b", offset=10, channel=3), [(12.0, None, 3)]),
        ({"a.b": {"c": 1}}, row('["a.b"].c'), [(1.0, None, 0)]),
        ({"t": "12.5", "f": True}, row("t"), [(12.5, None, 0)]),
        ({"open": True}, row("open", "valve_open"), [(1.0, None, 0)]),
        ([{"v": 3}], row("[0].v"), [(3.0, None, 0)]),
        ({"c": [4, 5]}, row("c[]", "pulses", channel="index"), [(4.0, None, 0), (5.0, None, 1)]),
        (
            HISTORY,
            row("readings[].value", time_path="readings[].time"),
            [(5.0, AT_US, 0), (6.5, AT_US + 3_600_000_000, 0)],
        ),
        (
            {"at": AT, "inputs": [{"n": 1}, {"n": 2}]},
            row("inputs[].n", "pulses", channel="index", time_path="at"),
            [(1.0, AT_US, 0), (2.0, AT_US, 1)],
        ),
        (
            {"days": [{"at": AT, "v": [1, 2]}, {"at": AT, "v": []}]},
            row("days[].v[]", channel="index", time_path="days[].at"),
            [(1.0, AT_US, 0), (2.0, AT_US, 1)],
        ),
        ({"a": "text", "b": None}, row("a"), []),
        ({"b": 1}, row("a.b"), []),
        ({"a": 5, "t": "no time"}, row("a", time_path="t"), []),
        ({"a": 10**400}, row("a"), []),
        ({"a": 1e300}, row("a", scale=1e300), []),
        ("text", row("a"), []),
    ],
)
def test_a_row_takes_what_its_path_says(
    data: Any, mapping: dict[str, Any], expected: list[tuple[float, int | None, int]]
) -> None:
    found = measurements_of(data, [mapping])
    assert [(each.value, each.ts_us, each.channel) for each in found] == expected
    assert {each.quantity for each in found} <= {mapping["quantity"]}


@pytest.mark.parametrize(
    ("mapping", "at", "text"),
    [
        ({}, "mapping", "not a list"),
        ([1], "mapping[0]", "not an object"),
        ([row("a")] * (ROWS_MAX + 1), "mapping", "at most"),
        ([{**row("a"), "unit": "l"}], "mapping[0].unit", "no field"),
        ([row("")], "mapping[0].path", "1 to"),
        ([{"quantity": "water_m3"}], "mapping[0].path", "1 to"),
        ([row("a..b")], "mapping[0].path", "cannot be read"),
        ([row(".a")], "mapping[0].path", "cannot be read"),
        ([row("a[")], "mapping[0].path", "cannot be read"),
        ([row("a"), row("a", "water_l")], "mapping[1].quantity", "'water_l'"),
        ([row("a", scale=0)], "mapping[0].scale", "0"),
        ([row("a", scale="2")], "mapping[0].scale", "not a number"),
        ([row("a", scale=math.inf)], "mapping[0].scale", "finite"),
        ([row("a", offset=True)], "mapping[0].offset", "not a number"),
        ([row("a", channel=-1)], "mapping[0].channel", "neither"),
        ([row("a", channel=1.0)], "mapping[0].channel", "neither"),
        ([row("a", channel="index")], "mapping[0].channel", "no []"),
        ([row("a[].b")], "mapping[0]", "time_path"),
        ([row("a[].b", time_path="c[].d[]")], "mapping[0].time_path", "more []"),
    ],
)
def test_a_wrong_mapping_is_named(mapping: Any, at: str, text: str) -> None:
    with pytest.raises(DecodeError) as refusal:
        read_mapping(mapping)
    assert (refusal.value.reason, refusal.value.field) == ("mapping", at)
    assert text in str(refusal.value)


def test_a_mapping_that_was_read_gives_the_same() -> None:
    rows = [row("readings[].value", time_path="readings[].time")]
    assert measurements_of(HISTORY, read_mapping(rows)) == measurements_of(HISTORY, rows)


def test_a_mapping_takes_nothing_by_name() -> None:
    assert measurements_of({"water_l": 5, "a": 1}, [row("a", "pulses")]) == (Measurement("pulses", 1.0),)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"metering": {"water": {"total": 1500}}}, {"water_m3": 1.5}),
        ({"air": {"temperature": 21.5}}, {"ambient_temperature_c": 21.5}),
        ({"air": {"relativeHumidity": 40, "co2": 600}}, {"humidity_pct": 40, "co2_ppm": 600}),
        ({"air": {"pressure": 1013}, "battery": 3.6}, {"pressure_pa": 101300, "battery_v": 3.6}),
        ({"battery": 98}, {}),
        ({"temperature": 20, "total": 5}, {}),
        ({"energy_kwh": 1.5}, {"energy_import_wh": 1500}),
        ({"energyKWh": 1.5}, {"energy_import_wh": 1500}),
        ({"batteryVoltageMv": 3600, "x": 1}, {"battery_v": 3.6}),
        ({"water_m3": "12.25"}, {"water_m3": 12.25}),
        ({"air": 5, "metering": [1], "position": None}, {}),
        ({"position": {"latitude": -33.9}}, {"latitude_deg": -33.9}),
        (12, {}),
    ],
)  # fmt: skip
def test_well_known_names(data: Any, expected: dict[str, float]) -> None:
    assert {each.quantity: each.value for each in measurements_of(data, [])} == pytest.approx(expected)


def test_a_list_has_a_time_each() -> None:
    data = [{"time": AT, "water_l": 1}, {"time": 1_700_000_060, "water_l": 2}, {"water_l": 3}]
    times = [each.ts_us for each in measurements_of(data, ())]
    assert times == [AT_US, AT_US + 60_000_000, None]


def test_what_was_normalised_goes_before_keys_and_behind_a_mapping() -> None:
    data, normal = {"water_l": 1, "n": 3}, [{"metering": {"water": {"total": 2000}}}]
    assert codec_measurements(data, normal, ()) == (Measurement("water_m3", 2.0),)
    assert codec_measurements(data, {}, ()) == (Measurement("water_m3", 0.001),)
    assert codec_measurements(data, normal, read_mapping([row("n")])) == (Measurement("water_m3", 3.0),)


def test_too_many_values_are_an_error() -> None:
    data = {"c": list(range(MEASUREMENTS_MAX + 1))}
    with pytest.raises(DecodeError, match="more than"):
        measurements_of(data, [row("c[]", channel="index")])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (AT, AT_US), (1_700_000_000, AT_US), (1_700_000_000_000, AT_US),
        (1_700_000_000.5, AT_US + 500_000),
        ("yesterday", None), (0, None), (-5, None), (True, None), (None, None),
        (math.nan, None), (1e300, None),
    ],
)  # fmt: skip
def test_times(value: Any, expected: int | None) -> None:
    assert time_of(value) == expected


def test_the_tables_name_quantities_that_are_stored() -> None:
    assert {quantity for quantity, _ in [*KEYS.values(), *NORMALISED.values()]} <= set(CODES)
    assert all(spelled(key) == key for key in KEYS)


@given(JSON, ROWS)
def test_any_json_gives_measurements_that_can_be_stored(data: Any, rows: list[dict[str, Any]]) -> None:
    found = measurements_of(data, rows)
    assert all(math.isfinite(each.value) for each in found)
    to_rows(found, AT_US)


@given(JSON)
def test_any_json_is_a_mapping_or_refused(value: Any) -> None:
    with contextlib.suppress(DecodeError):
        read_mapping(value)
    with contextlib.suppress(DecodeError):
        read_mapping([row("a", scale=value, channel=value)])


@given(st.floats(-1e9, 1e9), st.sampled_from([1, 0.001, 1000, 3.6e6]), st.floats(-1e6, 1e6))
def test_scale_and_offset(value: float, scale: float, offset: float) -> None:
    (found,) = measurements_of({"v": value}, [row("v", scale=scale, offset=offset)])
    assert found.value == pytest.approx(value * scale + offset, rel=1e-12, abs=1e-6)


@given(st.integers(0, 10**12))
def test_litres_are_the_nearest_cubic_metres(litres: int) -> None:
    (found,) = measurements_of({"v": litres}, [row("v", scale=0.001)])
    assert found.value == litres / 1000


def test_milliwatt_hours_are_not_taken_for_megawatt_hours() -> None:
    assert measurements_of({"energy_mWh": 5}, ()) == ()
    assert measurements_of({"energyMWh": 5}, ()) == (Measurement("energy_import_wh", 5e6),)


def test_a_long_array_under_many_rows_is_refused_before_it_takes_long() -> None:
    rows = [{"path": f"r[].a{n}", "quantity": "water_m3", "channel": "index"} for n in range(200)]
    with pytest.raises(DecodeError, match="items of arrays"):
        measurements_of({"r": [{}] * 40_000}, rows)
    assert len(measurements_of({"r": [{"a0": 1}] * 400}, rows)) == 400
