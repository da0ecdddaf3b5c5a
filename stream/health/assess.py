"""From a battery's window and what is remembered of it to its health.

Used by `stream.health.job`; pure. `State` is what a battery carries from run to run: as JSON in
`battery_health_states`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from stream.health import cycles
from stream.health.alarms import AlarmEvent, AlarmState, Limit, rules_of, watch
from stream.health.anomaly import Anomaly, anomaly
from stream.health.cells import Imbalance, imbalance
from stream.health.coulomb import Capacity, capacity, soh_capacity_pct
from stream.health.cycles import Rainflow
from stream.health.resistance import Resistance, resistance, soh_resistance_pct
from stream.health.score import Score, ScorePart, imbalance_value, score
from stream.health.window import Floats, Window, spread

BASELINE_CONFIDENCE_MIN = 0.5  # of a first measurement that later ones are held against
REPORTED_CONFIDENCE = 0.6
SAMPLES_MIN = 20


@dataclass(frozen=True, slots=True)
class State:
    """What a battery carries. `seen_us`: up to where cycles and alarms were counted, 0 for a new one.

    `capacity_new_ah` and `resistance_new_ohm`: of the battery when new, as rated or from its first
    measurement.
    """

    seen_us: int = 0
    rainflow: Rainflow = field(default_factory=Rainflow)
    alarms: Mapping[str, AlarmState] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)
    capacity_new_ah: float | None = None
    resistance_new_ohm: float | None = None


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a run found out; figures are None where the window does not show them."""

    score: Score
    state: State
    samples: int
    since_us: int
    until_us: int
    capacity: Capacity | None
    soh_capacity_pct: float | None
    resistance: Resistance | None
    soh_resistance_pct: float | None
    reported_soh_pct: float | None
    imbalance: Imbalance | None
    cycles: Rainflow
    anomaly: Anomaly | None
    figures: Mapping[str, float]


def follow(window: Window, state: State) -> tuple[State, tuple[AlarmEvent, ...]]:
    """Count cycles and watch alarms over what is new: the state to go on with, and what happened."""
    fresh = window.after(state.seen_us)
    if not fresh.count:
        return state, ()
    watched = watch(fresh, state.alarms, rules_of(state.limits), state.capacity_new_ah)
    after = replace(
        state,
        seen_us=int(fresh.ts_us[-1]),
        rainflow=cycles.feed(state.rainflow, fresh.soc_pct),
        alarms=watched.states,
    )
    return after, watched.events


def assess(
    window: Window, state: State, history: Sequence[Mapping[str, float]], peers: Sequence[Mapping[str, float]]
) -> Assessment:
    """Assess a window of one row at least, after `follow`; the state may have new baselines.

    `history` and `peers` are the figures of earlier days and of other batteries.
    """
    found_capacity, found_resistance, found_cells = capacity(window), resistance(window), imbalance(window)
    reported = _last(window.soh_pct)
    state = _with_baselines(state, found_capacity, found_resistance, reported)
    soh_c = _share(found_capacity, state.capacity_new_ah)
    soh_r = None
    if found_resistance is not None and state.resistance_new_ohm is not None:
        soh_r = soh_resistance_pct(found_resistance.resistance_ohm, state.resistance_new_ohm)
    figures = _figures(window, state, found_capacity, found_resistance, found_cells)
    strange = anomaly(figures, history, peers)
    parts = _parts(found_capacity, soh_c, found_resistance, soh_r, reported, found_cells, strange)
    return Assessment(
        score=score(parts if window.count >= SAMPLES_MIN else [], _open_severities(state)),
        state=state,
        samples=window.count,
        since_us=int(window.ts_us[0]),
        until_us=int(window.ts_us[-1]),
        capacity=found_capacity,
        soh_capacity_pct=soh_c,
        resistance=found_resistance,
        soh_resistance_pct=soh_r,
        reported_soh_pct=reported,
        imbalance=found_cells,
        cycles=cycles.total(state.rainflow),
        anomaly=strange,
        figures=figures,
    )


def _open_severities(state: State) -> list[str]:
    severities = {rule.kind: rule.limit.severity for rule in rules_of(state.limits)}
    return [severities[kind] for kind, alarm in state.alarms.items() if alarm.is_open and kind in severities]


def _last(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.clip(known[-1], 0, 100)) if len(known) else None


def _with_baselines(
    state: State, found: Capacity | None, ohms: Resistance | None, reported_pct: float | None
) -> State:
    """The first confident measurements become what later ones are held against.

    A battery that was not new then says so by its own state of health, where it has one.
    """
    when_new_ah, when_new_ohm = state.capacity_new_ah, state.resistance_new_ohm
    if when_new_ah is None and found is not None and found.confidence >= BASELINE_CONFIDENCE_MIN:
        when_new_ah = found.capacity_ah * 100 / reported_pct if reported_pct else found.capacity_ah
    if when_new_ohm is None and ohms is not None and ohms.confidence >= BASELINE_CONFIDENCE_MIN:
        when_new_ohm = ohms.resistance_ohm
    return replace(state, capacity_new_ah=when_new_ah, resistance_new_ohm=when_new_ohm)


def _share(found: Capacity | None, when_new_ah: float | None) -> float | None:
    return None if found is None or when_new_ah is None else soh_capacity_pct(found.capacity_ah, when_new_ah)


def _figures(
    window: Window, state: State, found: Capacity | None, ohms: Resistance | None, cells: Imbalance | None
) -> dict[str, float]:
    """What is compared with the past and with peers, as shares where batteries differ in size."""
    figures: dict[str, float] = {}
    if found is not None and state.capacity_new_ah is not None:
        figures["capacity_share"] = found.capacity_ah / state.capacity_new_ah
    if ohms is not None and state.resistance_new_ohm is not None:
        figures["resistance_share"] = ohms.resistance_ohm / state.resistance_new_ohm
    if cells is not None:
        figures["imbalance_mv"] = cells.imbalance_mv
    hottest = spread(window.temperatures_c)[1]
    if not np.isnan(hottest).all():
        figures["temperature_c"] = float(np.nanmedian(hottest))
    return figures


def _parts(
    found: Capacity | None,
    soh_c: float | None,
    ohms: Resistance | None,
    soh_r: float | None,
    reported_pct: float | None,
    cells: Imbalance | None,
    strange: Anomaly | None,
) -> list[ScorePart]:
    parts: list[ScorePart] = []
    if found is not None and soh_c is not None:
        text = f"{found.capacity_ah:.1f} Ah counted over {found.swing_pct:.0f} % of charge"
        parts.append(ScorePart("capacity", soh_c, found.confidence, text))
    if ohms is not None and soh_r is not None:
        warm = "at 25 degrees" if ohms.is_normalised else "at unknown temperature"
        text = f"{1000 * ohms.resistance_ohm:.1f} milliohm {warm} from {ohms.steps} current steps"
        parts.append(ScorePart("resistance", soh_r, ohms.confidence, text))
    if reported_pct is not None:
        parts.append(ScorePart("reported", reported_pct, REPORTED_CONFIDENCE, "said by the battery itself"))
    if cells is not None:
        rest = "at rest" if cells.is_at_rest else "under load"
        text = f"cells {cells.imbalance_mv:.0f} mV apart {rest}, cell {cells.weakest_cell} the weakest"
        parts.append(ScorePart("imbalance", imbalance_value(cells.imbalance_mv), cells.confidence, text))
    if strange is not None:
        name, worst = max(strange.deviations.items(), key=lambda item: item[1])
        text = f"{name.replace('_', ' ').replace(':', ' against ')}: {worst:.1f} deviations"
        parts.append(ScorePart("anomaly", 100 * (1 - strange.score), 1.0, text))
    return parts
