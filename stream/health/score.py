"""The health score: one number of 0 to 100 with its parts and reasons.

Used by `stream.health.assess`; `docs/battery-health.md` documents it for readers of the API. A part counts
by its weight times its confidence, so what is not known does not count, and what is open as an alarm is
taken off the mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WEIGHTS = {
    "capacity": 0.45,
    "resistance": 0.20,
    "reported": 0.15,  # what the BMS says of its own state of health
    "imbalance": 0.10,
    "anomaly": 0.10,
}
KNOWN_MIN = 0.15  # of weight times confidence; below it there is no score
IMBALANCE_GOOD_MV, IMBALANCE_BAD_MV = 20.0, 200.0
PENALTY = {"critical": 15.0, "warning": 5.0}
PENALTY_MAX = 30.0


@dataclass(frozen=True, slots=True)
class ScorePart:
    """`value` of 0 to 100 with a confidence of 0 to 1; `text` says what it rests on."""

    name: str
    value: float
    confidence: float
    text: str

    @property
    def weight(self) -> float:
        """How much it counts."""
        return WEIGHTS[self.name] * self.confidence


@dataclass(frozen=True, slots=True)
class Score:
    """`value` is None where too little is known; `known` is the weight times confidence of all parts."""

    value: float | None
    known: float
    penalty: float
    parts: tuple[ScorePart, ...]


def score(parts: Sequence[ScorePart], open_severities: Sequence[str] = ()) -> Score:
    """The mean of the parts by weight and confidence, less a penalty for each open alarm, one decimal."""
    known = sum(part.weight for part in parts)
    penalty = min(PENALTY_MAX, sum(PENALTY[severity] for severity in open_severities))
    if known < KNOWN_MIN:
        return Score(None, known, penalty, tuple(parts))
    mean = sum(part.value * part.weight for part in parts) / known
    return Score(round(float(np.clip(mean - penalty, 0, 100)), 1), known, penalty, tuple(parts))


def imbalance_value(imbalance_mv: float) -> float:
    """100 up to `IMBALANCE_GOOD_MV`, 0 from `IMBALANCE_BAD_MV` on, a straight line between."""
    share = (imbalance_mv - IMBALANCE_GOOD_MV) / (IMBALANCE_BAD_MV - IMBALANCE_GOOD_MV)
    return float(np.clip(100 * (1 - share), 0, 100))
