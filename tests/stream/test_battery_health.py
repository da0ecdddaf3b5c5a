"""Battery health against packs of known capacity, resistance and cells, and the properties of its parts."""

import random
from collections import defaultdict
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import rainflow  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.battery.flags import BIT
from stream.health import cycles
from stream.health.alarms import AlarmEvent, AlarmState, Limit, rules_of, watch
from stream.health.anomaly import anomaly
from stream.health.assess import State, assess, follow
from stream.health.cells import imbalance
from stream.health.coulomb import capacity, counted_ah, soh_capacity_pct
from stream.health.cycles import Rainflow
from stream.health.resistance import resistance, soh_resistance_pct
from stream.health.score import ScorePart, imbalance_value, score
from stream.health.window import Window, window_of
from tests.stream.battery_packs import Truth, sample

S = 1_000_000


def dirty(
    columns: dict[str, list[Any]], seed: int, missing: float = 0.1, blank: float = 0.1
) -> dict[str, list[Any]]:
    """The columns with rows lost, doubled and out of order, and fields blank."""
    rng = random.Random(seed)
    rows = [index for index in range(len(columns["ts"])) if rng.random() >= missing]
    rows += rng.sample(rows, len(rows) // 20)
    rng.shuffle(rows)
    return {
        name: [None if name != "ts" and rng.random() < blank else values[row] for row in rows]
        for name, values in columns.items()
    }


@pytest.mark.parametrize("left", [1.0, 0.9, 0.8, 0.65])
def test_capacity_is_measured_to_one_percent(left: float) -> None:
    found = capacity(window_of(sample(Truth(capacity_ah=100 * left))))
    assert found is not None
    assert found.capacity_ah == pytest.approx(100 * left, rel=0.01)
    assert found.confidence > 0.5
    assert soh_capacity_pct(found.capacity_ah, 100) == pytest.approx(100 * left, abs=1.0)


@pytest.mark.parametrize("seed", range(3))
def test_capacity_survives_loss_blanks_doubles_and_disorder(seed: int) -> None:
    found = capacity(window_of(dirty(sample(Truth(capacity_ah=80)), seed)))
    assert found is not None
    assert found.capacity_ah == pytest.approx(80, rel=0.03)


def test_capacity_needs_anchors_far_enough_apart() -> None:
    columns = sample(Truth(capacity_ah=5_000))  # the same use moves it by 1 %
    assert capacity(window_of(columns)) is None
    assert capacity(window_of({"ts": [], "soc_pct": []})) is None


def test_a_gap_ends_a_stretch_and_nothing_is_counted_over_it() -> None:
    window = window_of({"ts": [0, 60 * S, 4_000 * S, 4_060 * S], "current_a": [10.0] * 4})
    counted, stretch = counted_ah(window)
    assert counted.tolist() == pytest.approx([0, 1 / 6, 1 / 6, 1 / 3])
    assert stretch.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("ohm", [0.02, 0.03, 0.06])
@pytest.mark.parametrize("temperature_c", [-5.0, 25.0, 40.0])
def test_resistance_is_measured_to_three_percent_at_any_temperature(ohm: float, temperature_c: float) -> None:
    found = resistance(window_of(sample(Truth(resistance_ohm=ohm, temperature_c=temperature_c))))
    assert found is not None
    assert found.resistance_ohm == pytest.approx(ohm, rel=0.03)
    assert found.is_normalised
    assert found.confidence > 0.5


def test_resistance_health_is_full_when_new_and_gone_when_doubled() -> None:
    assert [soh_resistance_pct(ohm, 0.03) for ohm in (0.02, 0.03, 0.045, 0.06, 0.1)] == [100, 100, 50, 0, 0]


def test_the_weakest_cell_is_named_and_its_distance_measured() -> None:
    found = imbalance(window_of(sample(Truth(offsets_mv=(0, 0, 0, -40.0, 10.0)))))
    assert found is not None
    assert (found.weakest_cell, found.is_at_rest) == (4, True)
    assert found.imbalance_mv == pytest.approx(50, abs=2)
    assert found.drift_mv_per_day == pytest.approx(0, abs=0.5)
    assert imbalance(window_of({"ts": [0], "voltage_v": [50.0]})) is None


def test_cells_that_drift_are_seen() -> None:
    columns = sample(Truth(), days=4, step_s=60)
    days = np.arange(len(columns["ts"])) * 60 / 86_400
    cells = np.array(columns["cell_voltages_v"])
    cells[:, 2] -= days * 0.005
    found = imbalance(window_of({**columns, "cell_voltages_v": cells.tolist()}))
    assert found is not None
    assert found.drift_mv_per_day == pytest.approx(5, rel=0.1)
    assert found.weakest_cell == 3


# ASTM E1049-85 figure 6: ranges and counts of the history of table X (as in the standard's example).
ASTM = [-2.0, 1.0, -3.0, 5.0, -1.0, 3.0, -4.0, 4.0, -2.0]


def counts_of(values: list[float]) -> dict[float, float]:
    """Cycles by range of the whole history."""
    points, closed = cycles._close(cycles.reversals(np.array(values)))
    found: dict[float, float] = defaultdict(float)
    for size, count in [*closed, *((abs(b - a), 0.5) for a, b in pairwise(points))]:
        found[round(size, 6)] += count
    return found


def test_rainflow_counts_the_example_of_the_standard() -> None:
    assert counts_of(ASTM) == {3.0: 0.5, 4.0: 1.5, 6.0: 0.5, 8.0: 1.0, 9.0: 0.5}


@given(st.lists(st.integers(0, 100), min_size=3, max_size=80))
def test_rainflow_counts_what_the_rainflow_package_counts(values: list[int]) -> None:
    expected: dict[float, float] = defaultdict(float)
    for size, _, count, _, _ in rainflow.extract_cycles(values):
        expected[round(float(size), 6)] += count
    expected.pop(0.0, None)  # a flat end
    assert counts_of([float(value) for value in values]) == expected


@given(st.lists(st.floats(0, 100, width=16), max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_rainflow_in_pieces_is_rainflow_of_the_whole(values: list[float], cuts: list[int]) -> None:
    soc = np.array(values)
    whole = cycles.total(cycles.feed(Rainflow(), soc))
    state = Rainflow()
    for piece in np.split(soc, sorted(min(cut, len(soc)) for cut in cuts)):
        state = cycles.feed(state, piece)
    in_pieces = cycles.total(state)
    assert in_pieces.histogram == pytest.approx(whole.histogram)
    assert in_pieces.full_cycles == pytest.approx(whole.full_cycles)


def test_full_cycles_add_the_depths() -> None:
    state = cycles.total(cycles.feed(Rainflow(), np.array([100.0, 0.0, 100.0, 50.0, 100.0])))
    assert state.full_cycles == pytest.approx(1.5)
    assert sum(state.histogram) == pytest.approx(2.0)


def cells_of(values: list[float | None], step_s: int = 5) -> Window:
    """A window of two cells, the second of which has `values`."""
    rows = [None if value is None else [3.7, value] for value in values]
    return window_of({"ts": [index * step_s * S for index in range(len(values))], "cell_voltages_v": rows})


RULES = rules_of(
    {"cell_imbalance": Limit(10_000.0, 9_000.0), "cell_over_voltage": Limit(4.25, 4.20, hold_s=10)}
)


def test_an_alarm_opens_after_its_time_and_closes_below_its_hysteresis() -> None:
    values = [4.0, 4.26, 4.30, 4.22, 4.24, 4.21, 4.19, 4.26, 4.1, 4.26, 4.27, 4.28]
    found = watch(cells_of(list(values)), {}, RULES)
    assert [
        (event.kind, event.is_open, event.at_us // S, event.worst, event.cell) for event in found.events
    ] == [
        ("cell_over_voltage", True, 5, 4.30, 2),
        ("cell_over_voltage", False, 30, 4.30, None),
        ("cell_over_voltage", True, 45, 4.28, 2),  # the short one between them was never there
    ]
    assert found.states["cell_over_voltage"] == AlarmState(45 * S, 4.28, True)


def test_what_is_not_said_holds_an_alarm() -> None:
    values = [4.26, None, None, 4.26, None, 4.1]
    found = watch(cells_of(values), {}, RULES)
    assert [(event.is_open, event.at_us // S) for event in found.events] == [(True, 0), (False, 25)]


@given(
    st.lists(st.one_of(st.none(), st.sampled_from([2.4, 2.6, 2.9, 4.1, 4.22, 4.26, 4.3])), max_size=40),
    st.lists(st.integers(0, 40), max_size=4),
)
def test_alarms_in_pieces_are_alarms_of_the_whole(values: list[float | None], cuts: list[int]) -> None:
    window = cells_of(values)
    whole = watch(window, {}, RULES)
    states: dict[str, AlarmState] = {}
    events: list[AlarmEvent] = []
    bounds = [0, *sorted(min(cut, window.count) for cut in cuts), window.count]
    for first, last in pairwise(bounds):
        columns = {
            "ts": window.ts_us[first:last].tolist(),
            "cell_voltages_v": list(window.cells_v[first:last]),
        }
        part = watch(window_of(columns), states, RULES)
        states = dict(part.states)
        events += part.events
    assert {(event.kind, event.is_open, event.at_us) for event in events} == {
        (event.kind, event.is_open, event.at_us) for event in whole.events
    }
    assert states == dict(whole.states)


def test_temperature_current_and_reported_faults_have_alarms_too() -> None:
    count = 30
    columns: dict[str, list[Any]] = {
        "ts": [index * 10 * S for index in range(count)],
        "current_a": [200.0] * count,
        "temperatures_c": [[20.0, 61.0 if 5 <= index < 20 else 25.0] for index in range(count)],
        "flags": [1 << BIT["short_circuit"] if index == 3 else 0 for index in range(count)],
    }
    found = watch(window_of(columns), {}, rules_of(), capacity_ah=100.0)
    assert [(event.kind, event.is_open) for event in found.events] == [
        ("charge_over_current", True),
        ("short_circuit", True),
        ("short_circuit", False),
        ("over_temperature", True),
        ("over_temperature", False),
    ]
    cold = {**columns, "flags": [0] * count, "temperatures_c": [[-3.0]] * count}
    assert "charge_under_temperature" in {
        event.kind for event in watch(window_of(cold), {}, rules_of()).events
    }
    unplugged = {**cold, "current_a": [-5.0] * count}
    assert not watch(window_of(unplugged), {}, rules_of()).events


def test_what_is_not_measured_is_taken_from_the_battery_itself() -> None:
    said = [0, 1 << BIT["cell_over_voltage"], None, 1 << BIT["cell_over_voltage"], 0]
    columns: dict[str, list[Any]] = {"ts": [index * 60 * S for index in range(5)], "flags": said}
    found = watch(window_of(columns), {}, rules_of())
    assert [(event.kind, event.is_open, event.at_us // S) for event in found.events] == [
        ("cell_over_voltage", True, 60),
        ("cell_over_voltage", False, 240),
    ]
    with_cells = {**columns, "cell_voltages_v": [[3.7, 3.7]] * 5}
    assert watch(window_of(with_cells), {}, rules_of()).events == ()


def test_an_anomaly_is_far_from_the_past_or_from_peers_and_only_in_the_bad_direction() -> None:
    past = [{"resistance_share": 1.0 + index / 1000, "imbalance_mv": 10.0} for index in range(20)]
    assert anomaly({"resistance_share": 1.01}, past, []).score == 0  # type: ignore[union-attr]
    loud = anomaly({"resistance_share": 1.5, "imbalance_mv": 11.0}, past, [])
    assert loud is not None
    assert loud.score == 1
    assert anomaly({"resistance_share": 0.5}, past, []).score == 0  # type: ignore[union-attr]
    by_peers = anomaly({"imbalance_mv": 45.0}, [], past)
    assert by_peers is not None
    assert 0 < by_peers.score < 1
    assert anomaly({"imbalance_mv": 45.0}, past[:4], []) is None


def test_the_score_is_the_weighted_mean_less_open_alarms() -> None:
    parts = [ScorePart("capacity", 80.0, 1.0, ""), ScorePart("imbalance", 100.0, 1.0, "")]
    assert score(parts).value == pytest.approx(round((80 * 0.45 + 100 * 0.10) / 0.55, 1))
    assert score(parts, ["critical", "warning"]).value == pytest.approx(round(46 / 0.55, 1) - 20, abs=0.1)
    assert score(parts, ["critical"] * 9).penalty == 30
    assert score([ScorePart("imbalance", 100.0, 1.0, "")]).value is None
    assert [imbalance_value(mv) for mv in (0, 20, 110, 200, 900)] == [100, 100, 50, 0, 0]


parts_of = st.lists(
    st.builds(
        ScorePart,
        st.sampled_from(["capacity", "resistance", "reported", "imbalance", "anomaly"]),
        st.floats(0, 100),
        st.floats(0, 1),
        st.just(""),
    ),
    max_size=5,
    unique_by=lambda part: part.name,
)


@given(parts_of, st.lists(st.sampled_from(["critical", "warning"]), max_size=5))
def test_a_score_is_between_0_and_100_and_never_better_for_an_alarm(
    parts: list[ScorePart], alarms: list[str]
) -> None:
    without, with_alarms = score(parts).value, score(parts, alarms).value
    assert (without is None) == (with_alarms is None)
    if without is not None and with_alarms is not None:
        assert 0 <= with_alarms <= without <= 100


@pytest.mark.parametrize(("left", "ohm"), [(1.0, 0.030), (0.8, 0.040), (0.65, 0.055)])
def test_a_worn_pack_scores_less_and_says_why(left: float, ohm: float) -> None:
    state = State(capacity_new_ah=100.0, resistance_new_ohm=0.030)
    found = assess(window_of(sample(Truth(capacity_ah=100 * left, resistance_ohm=ohm))), state, [], [])
    assert found.soh_capacity_pct == pytest.approx(100 * left, abs=1.5)
    assert found.soh_resistance_pct == pytest.approx(100 * (2 - ohm / 0.030), abs=4)
    expected = 100 if left == 1 else None
    assert found.score.value == pytest.approx(expected, abs=2) if expected else found.score.value < 85  # type: ignore[operator]
    assert [part.name for part in found.score.parts] == ["capacity", "resistance", "imbalance"]
    assert "Ah counted over" in found.score.parts[0].text


def test_first_measurements_become_the_baseline() -> None:
    first = assess(window_of(sample(Truth(capacity_ah=90, resistance_ohm=0.04))), State(), [], [])
    assert first.state.capacity_new_ah == pytest.approx(90, rel=0.01)
    assert first.soh_capacity_pct == pytest.approx(100, abs=0.1)
    later = assess(window_of(sample(Truth(capacity_ah=72, resistance_ohm=0.06), seed=5)), first.state, [], [])
    assert later.soh_capacity_pct == pytest.approx(80, abs=1.5)
    assert later.soh_resistance_pct == pytest.approx(50, abs=6)


def test_a_second_look_at_the_same_window_counts_nothing_twice() -> None:
    window = window_of(sample(Truth()))
    state, _ = follow(window, State())
    assert follow(window, state) == (state, ())
    first = assess(window, state, [], [])
    assert first.cycles.full_cycles == pytest.approx(3 * 0.47, abs=0.05)


def test_too_few_samples_have_no_score() -> None:
    found = assess(window_of({"ts": [0], "voltage_v": [50.0], "soh_pct": [99.0]}), State(), [], [])
    assert found.score.value is None


numbers = st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(float("nan")))
rows = st.lists(
    st.tuples(
        st.integers(0, 10**9),
        numbers,
        numbers,
        numbers,
        st.one_of(st.none(), st.lists(numbers, max_size=4)),
        st.one_of(st.none(), st.lists(numbers, max_size=3)),
        st.one_of(st.none(), st.integers(0, 2**20)),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=200)
@given(rows)
def test_any_samples_can_be_assessed(values: list[tuple[Any, ...]]) -> None:
    names = ("ts", "voltage_v", "current_a", "soc_pct", "cell_voltages_v", "temperatures_c", "flags")
    columns = {name: list(column) for name, column in zip(names, zip(*values, strict=True), strict=True)}
    columns["ts"] = [ts * 1000 for ts in columns["ts"]]
    window = window_of(columns)
    found = assess(window, follow(window, State())[0], [], [])
    assert found.score.value is None or 0 <= found.score.value <= 100
    shuffled = list(range(len(values)))
    random.Random(3).shuffle(shuffled)
    if len(set(columns["ts"])) == len(values):
        mixed = {name: [column[index] for index in shuffled] for name, column in columns.items()}
        again = window_of(mixed)
        assert assess(again, follow(again, State())[0], [], []).score == found.score
