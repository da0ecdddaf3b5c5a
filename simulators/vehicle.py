"""A car at a charging cable: its charging curve, and the meter between it and the grid.

Used by `simulators.connector`. Energy is integrated in integers (microjoules), so a register's rise is
exactly the sum of power times time.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from simulators.timers import US_PER_S

UJ_PER_WH = 3_600 * US_PER_S  # a watt for a microsecond is a microjoule
STEP_US = US_PER_S  # power is constant for this long at most
TAPER_FROM_PCT = 80.0
TAPER_TO_SHARE = 0.05  # of the full current, at 100 %
EFFICIENCY = 0.92
VOLTAGE_V = 230.0
AMBIENT_C = 24.0
HOT_C = 58.0


@dataclass(slots=True)
class Vehicle:
    """A battery behind a three-phase charger. `current_max_a` is of one phase."""

    capacity_wh: float
    soc_pct: float
    target_pct: float
    current_max_a: float

    @property
    def is_full(self) -> bool:
        """Whether it has what its driver asked for."""
        return self.soc_pct >= self.target_pct

    @property
    def current_a(self) -> float:
        """What it draws of one phase: constant, then tapering towards full."""
        if self.is_full:
            return 0.0
        over = max(0.0, self.soc_pct - TAPER_FROM_PCT) / (100.0 - TAPER_FROM_PCT)
        return self.current_max_a * (1.0 - over * (1.0 - TAPER_TO_SHARE))

    def charge(self, energy_wh: float) -> None:
        """Take in energy from the meter's side."""
        self.soc_pct = min(100.0, self.soc_pct + 100.0 * energy_wh * EFFICIENCY / self.capacity_wh)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the meter shows at one time; tuples hold the three phases. `soc_pct` is None without a car."""

    energy_wh: int
    power_w: int
    voltages_v: tuple[float, float, float]
    currents_a: tuple[float, float, float]
    soc_pct: int | None
    temperature_c: float


class Outlet:
    """The metered cable of one connector. `speed` makes the car fill faster than the meter runs.

    `limit_a` says what current of a phase the car may draw at a time, whatever it would take.
    """

    def __init__(self, rng: random.Random, now_us: int, register_wh: int, speed: float) -> None:
        self.vehicle: Vehicle | None = None
        self.is_on = False
        self.limit_a: Callable[[int], float] = lambda _at_us: inf
        self._rng = rng
        self._at_us = now_us
        self._energy_uj = register_wh * UJ_PER_WH
        self._speed = speed
        self._power_w = 0
        self._voltages_v = (VOLTAGE_V, VOLTAGE_V, VOLTAGE_V)
        self._currents_a = (0.0, 0.0, 0.0)
        self._temperature_c = AMBIENT_C

    @property
    def energy_wh(self) -> int:
        """The register, whole Wh as OCPP's meterStart and meterStop are."""
        return self._energy_uj // UJ_PER_WH

    def plug_in(self, vehicle: Vehicle) -> None:
        """Connect a car; it draws nothing before `switch`."""
        self.vehicle = vehicle

    def unplug(self) -> None:
        """Take the car away."""
        self.vehicle = None

    def switch(self, *, on: bool, now_us: int) -> None:
        """Close or open the contactor at `now_us`."""
        self.advance(now_us)
        self.is_on = on
        self._settle(0.0)

    def advance(self, now_us: int) -> None:
        """Let time pass up to `now_us`."""
        while self._at_us < now_us:
            step_us = min(STEP_US, now_us - self._at_us) if self.is_on else now_us - self._at_us
            self._energy_uj += self._power_w * step_us
            if self.vehicle is not None and self._power_w:
                self.vehicle.charge(self._power_w * step_us / UJ_PER_WH * self._speed)
            self._at_us += step_us
            self._settle(step_us / US_PER_S)

    def read(self, now_us: int) -> Reading:
        """The meter's face at `now_us`."""
        self.advance(now_us)
        soc = None if self.vehicle is None else int(self.vehicle.soc_pct)
        return Reading(
            self.energy_wh, self._power_w, self._voltages_v, self._currents_a, soc, self._temperature_c
        )

    def _settle(self, elapsed_s: float) -> None:
        """Voltages, currents and power for the time that follows."""
        wanted_a = 0.0
        if self.is_on and self.vehicle is not None:
            wanted_a = min(self.vehicle.current_a, max(0.0, self.limit_a(self._at_us)))
        first, second, third = (round(VOLTAGE_V + self._rng.gauss(0, 1.2), 1) for _ in range(3))
        self._voltages_v = (first, second, third)
        ripple = (self._rng.uniform(0.99, 1.0) for _ in range(3))
        first, second, third = (round(wanted_a * share, 2) for share in ripple)
        self._currents_a = (first, second, third)
        pairs = zip(self._voltages_v, self._currents_a, strict=True)
        self._power_w = round(sum(volts * amperes for volts, amperes in pairs))
        goal_c = HOT_C if self._power_w else AMBIENT_C
        share = min(1.0, elapsed_s / 600.0)
        self._temperature_c = round(self._temperature_c + (goal_c - self._temperature_c) * share, 1)
