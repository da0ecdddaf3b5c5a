"""How far a battery's figures lie from its own past and from its peers, in robust standard deviations.

Used by `stream.health.assess`. Median and median absolute deviation instead of mean and standard deviation: a
few strange days do not hide the next one. `docs/battery-health.md` has the formulas.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stream.health.window import Floats

# The least deviation of each figure that counts as one: below it lies what sensors cannot tell.
FLOORS: Mapping[str, float] = {
    "resistance_share": 0.03,  # of the battery's own when new
    "capacity_share": 0.02,
    "imbalance_mv": 5.0,
    "temperature_c": 3.0,
}
# Which direction is bad; a battery that is better than its peers is no anomaly.
_BAD = {"resistance_share": 1, "capacity_share": -1, "imbalance_mv": 1, "temperature_c": 1}
REFERENCES_MIN = 5
QUIET = 3.0  # deviations that are nothing
LOUD = 10.0  # deviations that are a full anomaly
_TO_SIGMA = 1.4826  # of a normal distribution's median absolute deviation


@dataclass(frozen=True, slots=True)
class Anomaly:
    """`score` of 0 (nothing) to 1; `deviations`: robust z by figure and reference, bad is positive."""

    score: float
    deviations: Mapping[str, float]
    references: int


def anomaly(
    figures: Mapping[str, float], history: Sequence[Mapping[str, float]], peers: Sequence[Mapping[str, float]]
) -> Anomaly | None:
    """Compare `figures` with the battery's own `history` and with `peers`; None without enough of either."""
    deviations: dict[str, float] = {}
    references = 0
    for name, others in (("history", history), ("peers", peers)):
        for figure, value in figures.items():
            known = np.array([other[figure] for other in others if figure in other])
            known = known[np.isfinite(known)]
            if len(known) < REFERENCES_MIN or not np.isfinite(value):
                continue
            references = max(references, len(known))
            deviations[f"{figure}:{name}"] = _BAD[figure] * robust_z(value, known, FLOORS[figure])
    if not deviations:
        return None
    worst = max(deviations.values())
    return Anomaly(float(np.clip((worst - QUIET) / (LOUD - QUIET), 0, 1)), deviations, references)


def robust_z(value: float, others: Floats, floor: float) -> float:
    """(value - median) / max(1.4826 MAD, floor)."""
    middle = float(np.median(others))
    deviation = _TO_SIGMA * float(np.median(np.abs(others - middle)))
    return (value - middle) / max(deviation, floor)
