"""Alarms of a battery with hysteresis and minimum duration, a piece at a time.

Used by `stream.health.assess`, which keeps the `AlarmStates` with each battery. An alarm's condition begins
when its quantity reaches `raise_at` and holds until it is back at `clear_at`; it is opened once it held for
`hold_s` and closed when it ends. What is not said holds the state. Pieces give what the whole gives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from protocols.battery.flags import BIT
from stream.health.window import US_PER_S, Floats, Ints, Window, spread

Severity = Literal["warning", "critical"]
CURRENT_A_MIN = 0.5  # less is neither charging nor discharging


@dataclass(frozen=True, slots=True)
class Limit:
    """`raise_at` above `clear_at`: too much is the alarm; below: too little."""

    raise_at: float
    clear_at: float
    hold_s: float = 10.0
    severity: Severity = "critical"


@dataclass(frozen=True, slots=True)
class Rule:
    """A limit on a quantity of `_quantities`."""

    kind: str
    quantity: str
    limit: Limit


# For lithium-ion cells of any common chemistry; a battery's own limits take their place.
DEFAULT_LIMITS: Mapping[str, Limit] = {
    "cell_over_voltage": Limit(4.25, 4.20),
    "cell_under_voltage": Limit(2.50, 2.80),
    "pack_over_voltage": Limit(4.25, 4.20),
    "pack_under_voltage": Limit(2.50, 2.80),
    "over_temperature": Limit(60.0, 55.0),
    "under_temperature": Limit(-20.0, -15.0, severity="warning"),
    "charge_under_temperature": Limit(0.0, 2.0, hold_s=60.0),
    "charge_over_current": Limit(1.5, 1.2, hold_s=30.0),
    "discharge_over_current": Limit(4.0, 3.0, hold_s=30.0),
    "cell_imbalance": Limit(150.0, 100.0, hold_s=60.0, severity="warning"),
}
# Pack voltage by cell, current as C rate, spread of cells in mV.
_QUANTITY = {
    "cell_over_voltage": "cell_max_v",
    "cell_under_voltage": "cell_min_v",
    "pack_over_voltage": "mean_cell_v",
    "pack_under_voltage": "mean_cell_v",
    "over_temperature": "temperature_max_c",
    "under_temperature": "temperature_min_c",
    "charge_under_temperature": "charging_min_c",
    "charge_over_current": "charge_c_rate",
    "discharge_over_current": "discharge_c_rate",
    "cell_imbalance": "cell_spread_mv",
}
# What a BMS alone can tell. Kinds with a rule above are taken from it where their quantity is not measured.
REPORTED = ("short_circuit", "insulation_fault", "sensor_fault", "tamper")
_REPORTED_LIMIT = Limit(1.0, 0.0, hold_s=0.0)


@dataclass(frozen=True, slots=True)
class AlarmState:
    """Of one kind: since when its condition holds, the worst value so far, whether it is open.

    `since_us` is None where the condition does not hold.
    """

    since_us: int | None = None
    worst: float | None = None
    is_open: bool = False


AlarmStates = Mapping[str, AlarmState]


@dataclass(frozen=True, slots=True)
class AlarmEvent:
    """An alarm that opened (`is_open`) or closed.

    `at_us` is when its condition began or ended, `worst` the worst value so far.
    """

    kind: str
    severity: Severity
    is_open: bool
    at_us: int
    worst: float
    cell: int | None = None


@dataclass(frozen=True, slots=True)
class Watched:
    """Events in order of time, and the states to go on with."""

    events: tuple[AlarmEvent, ...] = ()
    states: AlarmStates = field(default_factory=dict)


def rules_of(limits: Mapping[str, Limit] | None = None) -> tuple[Rule, ...]:
    """The rules, with `limits` in place of the default ones of their kinds."""
    own = {**DEFAULT_LIMITS, **(limits or {})}
    measured = tuple(Rule(kind, _QUANTITY[kind], own[kind]) for kind in _QUANTITY)
    return measured + tuple(Rule(kind, kind, _REPORTED_LIMIT) for kind in REPORTED)


def watch(
    window: Window, states: AlarmStates, rules: Sequence[Rule], capacity_ah: float | None = None
) -> Watched:
    """Go over the rows of `window`, which lie behind all that `states` have seen.

    `capacity_ah` turns currents into C rates; without it over-current is not watched.
    """
    quantities = _quantities(window, capacity_ah)
    has_flags = not np.isnan(window.flags).all()
    events: list[AlarmEvent] = []
    after: dict[str, AlarmState] = {}
    for each in rules:
        rule = each
        state = states.get(rule.kind, AlarmState())
        values = quantities[rule.quantity]
        if rule.kind in BIT and has_flags and np.isnan(values).all():  # what the battery says of it
            values = _reported(window, rule.kind)
            rule = replace(rule, limit=replace(rule.limit, raise_at=1.0, clear_at=0.0))
        found, after[rule.kind] = _watch_one(rule, window.ts_us, values, state)
        events += found
    with_cells = [_name_cell(event, window) for event in events]
    return Watched(tuple(sorted(with_cells, key=lambda event: (event.at_us, event.kind))), after)


def _quantities(window: Window, capacity_ah: float | None) -> dict[str, Floats]:
    cell_min, cell_max = spread(window.cells_v)
    coldest, hottest = spread(window.temperatures_c)
    cell_count = window.cells_v.shape[1]
    nothing = np.full(window.count, np.nan)
    is_charging = np.nan_to_num(window.current_a) > CURRENT_A_MIN
    rates = window.current_a / capacity_ah if capacity_ah else nothing
    return {
        **{kind: _reported(window, kind) for kind in REPORTED},
        "cell_max_v": cell_max,
        "cell_min_v": cell_min,
        "mean_cell_v": window.voltage_v / cell_count if cell_count else nothing,
        "temperature_max_c": hottest,
        "temperature_min_c": coldest,
        "charging_min_c": np.where(
            is_charging, coldest, np.where(np.isnan(window.current_a), np.nan, np.inf)
        ),
        "charge_c_rate": np.maximum(rates, 0),
        "discharge_c_rate": np.maximum(-rates, 0),
        "cell_spread_mv": 1000 * (cell_max - cell_min),
    }


def _reported(window: Window, kind: str) -> Floats:
    """1 where the battery says so, 0 where it says it is not, NaN where it says nothing."""
    said = np.nan_to_num(window.flags).astype(np.int64) >> BIT[kind] & 1
    return np.where(np.isnan(window.flags), np.nan, said)


def _watch_one(
    rule: Rule, ts_us: Ints, values: Floats, state: AlarmState
) -> tuple[list[AlarmEvent], AlarmState]:
    sign = 1.0 if rule.limit.raise_at >= rule.limit.clear_at else -1.0
    signed = sign * values
    marks = np.where(
        signed >= sign * rule.limit.raise_at, 1, np.where(signed <= sign * rule.limit.clear_at, -1, 0)
    )
    marks[np.isnan(values)] = 0
    latest = np.maximum.accumulate(np.where(marks != 0, np.arange(len(marks)), -1))
    before = state.since_us is not None
    holds = np.where(latest >= 0, marks[latest] > 0, before) if len(marks) else np.zeros(0, dtype=bool)
    turns = np.flatnonzero(np.diff(np.concatenate([[before], holds]).astype(np.int8)))
    edges = [0, *turns.tolist(), len(holds)]
    events: list[AlarmEvent] = []
    now = state
    for first, last in pairwise(edges):
        if first == last:
            continue
        if not holds[first]:
            events += _closed(rule, now, int(ts_us[first]))
            now = AlarmState()
            continue
        now = _held(rule, now, ts_us[first:last], values[first:last], sign)
        events += [_opened(rule, now)] if now.is_open and not _was_open(events, state) else []
    return events, now


def _was_open(events: Sequence[AlarmEvent], state: AlarmState) -> bool:
    return events[-1].is_open if events else state.is_open


def _held(rule: Rule, state: AlarmState, ts_us: Ints, values: Floats, sign: float) -> AlarmState:
    since_us = int(ts_us[0]) if state.since_us is None else state.since_us
    known = values[np.isfinite(values)]
    worst = state.worst
    if len(known):
        here = float(sign * np.max(sign * known))
        worst = here if worst is None else float(sign * max(sign * here, sign * worst))
    is_open = state.is_open or int(ts_us[-1]) - since_us >= rule.limit.hold_s * US_PER_S
    return AlarmState(since_us, worst, is_open)


def _opened(rule: Rule, state: AlarmState) -> AlarmEvent:
    assert state.since_us is not None
    worst = rule.limit.raise_at if state.worst is None else state.worst
    return AlarmEvent(rule.kind, rule.limit.severity, True, state.since_us, worst)


def _closed(rule: Rule, state: AlarmState, at_us: int) -> list[AlarmEvent]:
    """The end of an open alarm; one that held for too short a time was never there."""
    if not state.is_open:
        return []
    worst = rule.limit.raise_at if state.worst is None else state.worst
    return [AlarmEvent(rule.kind, rule.limit.severity, False, at_us, worst)]


def _name_cell(event: AlarmEvent, window: Window) -> AlarmEvent:
    """With the cell (from 1) that was the worst when the alarm began, where it is a cell's."""
    row = int(np.searchsorted(window.ts_us, event.at_us))
    is_of_cell = event.is_open and event.kind in {"cell_over_voltage", "cell_under_voltage"}
    if not is_of_cell or row >= window.count:
        return event
    cells = window.cells_v[row]
    if np.isnan(cells).all():
        return event
    cell = int(np.nanargmax(cells) if event.kind == "cell_over_voltage" else np.nanargmin(cells)) + 1
    return replace(event, cell=cell)
