"""The physics of a simulated battery pack: charge counted in coulombs, cells that slowly drift apart.

Used by `simulators.battery`. A positive current charges, a negative one discharges.
"""

import random
from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum

# Open-circuit voltage of a lithium-ion (NMC) cell by state of charge.
OCV_SOC_PCT = (0.0, 5.0, 10.0, 20.0, 30.0, 50.0, 70.0, 80.0, 90.0, 100.0)
OCV_V = (3.00, 3.30, 3.45, 3.55, 3.62, 3.70, 3.85, 3.98, 4.08, 4.20)
CELL_RESISTANCE_OHM = 0.0015
DRIFT_V_MAX = 0.04
SENSORS = 4
AMBIENT_C = 29.0
EMPTY_PCT = 8.0
LOW_PCT = 15.0
FULL_PCT = 97.0
CYCLES_PER_SOH_PCT = 60.0
METRES_PER_DEGREE = 111_320.0
SPEED_M_PER_S = 8.0


class Mode(Enum):
    """What the pack is doing."""

    REST = "rest"
    DRIVE = "drive"
    CHARGE = "charge"


@dataclass(frozen=True, slots=True)
class PackSpec:
    """A pack of `cells` in series. `speed` makes it fill and empty faster than real."""

    cells: int = 14
    capacity_ah: float = 42.0
    latitude_deg: float = 12.9716
    longitude_deg: float = 77.5946
    speed: float = 1.0


class Pack:
    """State of one pack; `advance` moves it on, `is_active` is what the immobiliser allows."""

    def __init__(self, spec: PackSpec, rng: random.Random) -> None:
        self.spec = spec
        self.is_active = True
        self.mode = Mode.REST
        self.current_a = 0.0
        self.soc_pct = rng.uniform(25.0, 95.0)
        self.latitude_deg = spec.latitude_deg + rng.uniform(-0.1, 0.1)
        self.longitude_deg = spec.longitude_deg + rng.uniform(-0.1, 0.1)
        self.temperatures_c = [AMBIENT_C + rng.uniform(-1, 1) for _ in range(SENSORS)]
        self._rng = rng
        self._charged_pct = rng.uniform(0, 40_000)  # all that ever went in; 100 is one full cycle
        self._offsets_v = [rng.gauss(0, 0.004) for _ in range(spec.cells)]
        self._mode_left_s = rng.uniform(0, 60)

    @property
    def cycles(self) -> int:
        """Full charges it has had, counted by what went in."""
        return int(self._charged_pct / 100)

    @property
    def soh_pct(self) -> float:
        """Capacity left of what it had when new."""
        return max(60.0, 100.0 - self.cycles / CYCLES_PER_SOH_PCT)

    @property
    def cell_voltages_v(self) -> list[float]:
        """Terminal voltages, to the millivolt."""
        mean_v = open_circuit_v(self.soc_pct) + self.current_a * CELL_RESISTANCE_OHM
        return [round(mean_v + offset_v, 3) for offset_v in self._offsets_v]

    def advance(self, elapsed_s: float) -> None:
        """Let time pass under the present current, then choose the next one."""
        self._count(elapsed_s)
        self._warm(elapsed_s)
        self._move(elapsed_s)
        drifts = (offset_v + self._rng.gauss(0, 0.0002) for offset_v in self._offsets_v)
        self._offsets_v = [max(-DRIFT_V_MAX, min(DRIFT_V_MAX, drift)) for drift in drifts]
        self._mode_left_s -= elapsed_s * self.spec.speed
        if self._mode_left_s <= 0:
            self._choose_mode()
        self.settle()

    def settle(self) -> None:
        """Take up the current that mode, charge and immobiliser allow."""
        if self.mode is Mode.DRIVE and (not self.is_active or self.soc_pct <= EMPTY_PCT):
            self.mode = Mode.REST if not self.is_active else Mode.CHARGE
        if self.mode is Mode.CHARGE and self.soc_pct >= FULL_PCT:
            self.mode = Mode.REST
        self.current_a = {
            Mode.REST: lambda: 0.0,
            Mode.DRIVE: lambda: -round(self._rng.uniform(4.0, 55.0), 2),
            Mode.CHARGE: lambda: round(18.0 * self._taper(), 2),
        }[self.mode]()

    def _taper(self) -> float:
        return 1.0 if self.soc_pct < 85.0 else max(0.1, (100.0 - self.soc_pct) / 15.0)

    def _choose_mode(self) -> None:
        if self.soc_pct < LOW_PCT:
            self.mode = Mode.CHARGE
        else:
            self.mode = self._rng.choice((Mode.REST, Mode.DRIVE, Mode.DRIVE, Mode.CHARGE))
        self._mode_left_s = self._rng.uniform(120, 900)

    def _count(self, elapsed_s: float) -> None:
        coulombs = self.current_a * elapsed_s * self.spec.speed
        change_pct = 100.0 * coulombs / (self.spec.capacity_ah * 3600.0 * self.soh_pct / 100.0)
        before_pct = self.soc_pct
        self.soc_pct = max(0.0, min(100.0, before_pct + change_pct))
        self._charged_pct += max(0.0, self.soc_pct - before_pct)

    def _warm(self, elapsed_s: float) -> None:
        goal_c = AMBIENT_C + abs(self.current_a) * 0.25
        share = min(1.0, elapsed_s / 400.0)
        self.temperatures_c = [
            now_c + (goal_c - now_c) * share + self._rng.gauss(0, 0.02) for now_c in self.temperatures_c
        ]

    def _move(self, elapsed_s: float) -> None:
        if self.mode is Mode.DRIVE:
            reach_deg = SPEED_M_PER_S * elapsed_s / METRES_PER_DEGREE
            self.latitude_deg = max(
                -85.0, min(85.0, self.latitude_deg + self._rng.uniform(-1, 1) * reach_deg)
            )
            moved_deg = self.longitude_deg + self._rng.uniform(-1, 1) * reach_deg
            self.longitude_deg = (moved_deg + 180.0) % 360.0 - 180.0


def open_circuit_v(soc_pct: float) -> float:
    """A cell's resting voltage, between the points of the curve by straight lines."""
    right = min(max(1, bisect_right(OCV_SOC_PCT, soc_pct)), len(OCV_SOC_PCT) - 1)
    low, high = OCV_SOC_PCT[right - 1], OCV_SOC_PCT[right]
    share = (soc_pct - low) / (high - low)
    return OCV_V[right - 1] + share * (OCV_V[right] - OCV_V[right - 1])
