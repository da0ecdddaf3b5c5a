"""A simulated pack of known capacity and resistance, sampled as batteries sample; for the tests of health."""

from dataclasses import dataclass
from typing import Any

import numpy as np

SOC_POINTS = (0.0, 5.0, 10.0, 20.0, 30.0, 50.0, 70.0, 80.0, 90.0, 100.0)
OCV_POINTS_V = (3.00, 3.30, 3.45, 3.55, 3.62, 3.70, 3.85, 3.98, 4.08, 4.20)


@dataclass(frozen=True)
class Truth:
    """What the pack is: `resistance_ohm` of the whole pack at 25 degrees."""

    capacity_ah: float = 100.0
    resistance_ohm: float = 0.030
    cells: int = 14
    temperature_c: float = 25.0
    offsets_mv: tuple[float, ...] = ()
    noise_v: float = 0.002
    noise_a: float = 0.02


def cycle_currents(
    days: int, step_s: int, amplitude_a: float = 25.0
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Currents of daily use: drive, rest, charge, rest; drives are bursts, so that there are steps."""
    per_hour = 3600 // step_s
    burst = np.where(
        np.arange(3 * per_hour) // max(1, 120 // step_s) % 2 == 0, -amplitude_a, -amplitude_a / 4
    )
    charge_a = -burst.sum() / (4 * per_hour)
    day = np.concatenate(
        [
            np.zeros(per_hour),
            burst,
            np.zeros(per_hour),
            np.full(4 * per_hour, charge_a),
            np.zeros(15 * per_hour),
        ]
    )
    return np.tile(day, days)


def sample(
    truth: Truth, days: int = 3, step_s: int = 10, seed: int = 1, start_us: int = 1_767_225_600_000_000
) -> dict[str, list[Any]]:
    """Columns of `battery_samples` as the pack would report them, lists with None for nothing."""
    rng = np.random.default_rng(seed)
    current_a = cycle_currents(days, step_s)
    charge_ah = np.concatenate([[0.0], np.cumsum((current_a[1:] + current_a[:-1]) / 2 * step_s / 3600)])
    soc_pct = 95 + 100 * charge_ah / truth.capacity_ah
    warmth = np.exp(2_000 * (1 / (truth.temperature_c + 273.15) - 1 / 298.15))
    cell_v = (
        np.interp(soc_pct, SOC_POINTS, OCV_POINTS_V) + current_a * truth.resistance_ohm * warmth / truth.cells
    )
    offsets_v = np.zeros(truth.cells)
    offsets_v[: len(truth.offsets_mv)] = np.array(truth.offsets_mv) / 1000
    cells_v = cell_v[:, None] + offsets_v + rng.normal(0, truth.noise_v / 4, (len(cell_v), truth.cells))
    voltage_v = cell_v * truth.cells + offsets_v.sum() + rng.normal(0, truth.noise_v, len(cell_v))
    return {
        "ts": (start_us + np.arange(len(cell_v)) * step_s * 1_000_000).tolist(),
        "voltage_v": voltage_v.tolist(),
        "current_a": (current_a + rng.normal(0, truth.noise_a, len(cell_v))).tolist(),
        "soc_pct": np.round(soc_pct, 1).tolist(),
        "flags": [0] * len(cell_v),
        "temperatures_c": np.full((len(cell_v), 2), truth.temperature_c).tolist(),
        "cell_voltages_v": cells_v.tolist(),
    }
