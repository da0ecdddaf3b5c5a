"""Internal resistance from current steps, brought to 25 degrees, and the state of health it shows.

Used by `stream.health.assess`. `docs/battery-health.md` has the formulas.
"""

from dataclasses import dataclass

import numpy as np

from stream.health.window import US_PER_S, Window, median_by_weight, spread

STEP_S_MAX = 60.0  # between the two samples of a step; the voltage relaxes meanwhile
STEP_A_MIN = 2.0
SOC_STEP_PCT_MAX = 2.0
RESISTANCE_OHM_RANGE = (1e-5, 2.0)
ARRHENIUS_K = 2_000.0  # how the resistance of lithium-ion cells grows in the cold
REFERENCE_K = 298.15
KELVIN = 273.15
STEPS_HALF = 10  # so many steps give half of full confidence
SPREAD_MAX = 0.5  # of the median: no confidence beyond
END_OF_LIFE = 2.0  # times the resistance when new


@dataclass(frozen=True, slots=True)
class Resistance:
    """Of the whole pack at 25 degrees, with a confidence of 0 to 1; `steps` is what it rests on.

    `is_normalised`: temperatures were known, else it is as measured.
    """

    resistance_ohm: float
    confidence: float
    steps: int
    is_normalised: bool


def resistance(window: Window) -> Resistance | None:
    """The resistance that the window's current steps show; None where there are none."""
    if window.count < 2:
        return None
    elapsed_s = np.diff(window.ts_us) / US_PER_S
    step_a, step_v = np.diff(window.current_a), np.diff(window.voltage_v)
    step_pct = np.nan_to_num(np.abs(np.diff(window.soc_pct)))
    is_step = (elapsed_s <= STEP_S_MAX) & (np.abs(step_a) >= STEP_A_MIN) & (step_pct <= SOC_STEP_PCT_MAX)
    rows = np.flatnonzero(is_step & ~np.isnan(step_v))
    ohms = step_v[rows] / step_a[rows]
    least, most = spread(window.temperatures_c)
    kelvins = (least[rows + 1] + most[rows + 1]) / 2 + KELVIN
    is_possible = (ohms >= RESISTANCE_OHM_RANGE[0]) & (ohms <= RESISTANCE_OHM_RANGE[1])
    rows, ohms, kelvins = rows[is_possible], ohms[is_possible], kelvins[is_possible]
    if not len(rows):
        return None
    is_warm = kelvins > KELVIN - 60  # NaN is not
    if is_warm.any():
        ohms = ohms[is_warm] / np.exp(ARRHENIUS_K * (1 / kelvins[is_warm] - 1 / REFERENCE_K))
        rows = rows[is_warm]
    weights = np.abs(step_a[rows])
    middle = median_by_weight(ohms, weights)
    spread_share = median_by_weight(np.abs(ohms - middle), weights) / middle
    confidence = len(rows) / (len(rows) + STEPS_HALF) * max(0.0, 1 - spread_share / SPREAD_MAX)
    return Resistance(middle, confidence, len(rows), bool(is_warm.any()))


def soh_resistance_pct(resistance_ohm: float, when_new_ohm: float) -> float:
    """100 at the resistance when new, 0 at `END_OF_LIFE` times it, a straight line between."""
    used = (resistance_ohm / when_new_ohm - 1) / (END_OF_LIFE - 1)
    return float(np.clip(100 * (1 - used), 0, 100))
