"""What Ienerzy says of a battery's health and alarms (extensions beside the contract)."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel

from api.ienerzy.schemas import Time, plain
from storage.queries.batteries import Battery
from storage.queries.battery_health import BatteryAlarm, BatteryHealth

Source = Literal["measured", "entered"]


class HealthPart(BaseModel):
    """One part of the score: `value` of 0 to 100, `weight` as it counted, `text` what it rests on."""

    name: str
    value: float
    confidence: float
    weight: float
    text: str


class Measured(BaseModel):
    """The figures behind the parts; None where the samples did not show them."""

    capacity_ah: float | None
    soh_capacity_pct: float | None
    resistance_milliohm: float | None
    soh_resistance_pct: float | None
    reported_soh_pct: float | None
    imbalance_mv: float | None
    weakest_cell: int | None
    full_cycles: float
    cycles_by_depth: list[float]
    anomaly_score: float | None


class Day(BaseModel):
    """The score of a day; None where too little was known."""

    day: str
    health_score: int | float | None


class AlarmOut(BaseModel):
    """An alarm; `closed_at` is None while it is open, `cell` counts from 1."""

    id: int
    kind: str
    severity: Literal["warning", "critical"]
    opened_at: Time
    closed_at: Time | None
    worst: float
    cell: int | None

    @classmethod
    def of(cls, alarm: BatteryAlarm) -> "AlarmOut":
        """Show `alarm`."""
        return cls.model_validate(
            {
                "id": alarm.id,
                "kind": alarm.kind,
                "severity": alarm.severity,
                "opened_at": alarm.opened_at,
                "closed_at": alarm.closed_at,
                "worst": _rounded(alarm.worst, 3),
                "cell": alarm.cell,
            }
        )


class BatteryHealthOut(BaseModel):
    """Where a battery's `health_score` comes from.

    `source` is `entered` while the samples do not show enough for a score; `explanation` says why.
    """

    serial_number: str
    health_score: int | float
    source: Source
    explanation: str
    assessed_at: Time | None
    samples: int
    since: Time | None
    until: Time | None
    alarm_penalty: float
    parts: list[HealthPart]
    measured: Measured | None
    open_alarms: list[AlarmOut]
    history: list[Day]

    @classmethod
    def of(
        cls, battery: Battery, days: Sequence[BatteryHealth], alarms: Sequence[BatteryAlarm]
    ) -> "BatteryHealthOut":
        """Show the latest of `days`, newest first, and those before it."""
        latest = days[0] if days else None
        is_measured = any(day.health_score is not None for day in days)
        return cls(
            serial_number=battery.serial_number,
            health_score=plain(battery.health_score),
            source="measured" if is_measured else "entered",
            explanation=_explain(latest, is_measured),
            assessed_at=None if latest is None else latest.assessed_at,
            samples=0 if latest is None else latest.samples,
            since=None if latest is None else latest.since,
            until=None if latest is None else latest.until,
            alarm_penalty=0.0 if latest is None else latest.penalty,
            parts=[] if latest is None else [HealthPart.model_validate(part) for part in latest.parts],
            measured=None if latest is None else _measured(latest),
            open_alarms=[AlarmOut.of(alarm) for alarm in alarms],
            history=[
                Day(
                    day=day.day.isoformat(),
                    health_score=None if day.health_score is None else plain(day.health_score),
                )
                for day in days
            ],
        )


def _explain(latest: BatteryHealth | None, is_measured: bool) -> str:
    if latest is None:
        return "No samples of this battery were assessed yet: the score is the one that was entered."
    if latest.health_score is not None:
        return "The weighted mean of the parts, by weight and confidence, less the penalty for open alarms."
    if is_measured:
        return "The latest samples show too little for a score: it is the last one that was measured."
    return "The samples show too little for a score: it is the one that was entered."


def _measured(health: BatteryHealth) -> Measured:
    ohm = health.resistance_ohm
    return Measured(
        capacity_ah=_rounded(health.capacity_ah, 2),
        soh_capacity_pct=_rounded(health.soh_capacity_pct, 1),
        resistance_milliohm=None if ohm is None else round(1000 * ohm, 3),
        soh_resistance_pct=_rounded(health.soh_resistance_pct, 1),
        reported_soh_pct=_rounded(health.reported_soh_pct, 1),
        imbalance_mv=_rounded(health.imbalance_mv, 1),
        weakest_cell=health.weakest_cell,
        full_cycles=round(health.full_cycles, 2),
        cycles_by_depth=health.cycle_depths,
        anomaly_score=_rounded(health.anomaly_score, 3),
    )


def _rounded(number: float | None, digits: int) -> float | None:
    """Stored as 32-bit floats: more digits would be noise."""
    return None if number is None else round(number, digits)
