"""What a warranty's terms are: how long it runs, and the limits of use that a claim is judged by.

A model's `warranty_terms` is an object of limits, by the names of `LIMITS`; null lifts a limit, and what it
does not name is as `DEFAULTS`. A warranty keeps what its model said when it began, as `Terms.document`.
Used by `stream.warranty`, the certificate and whoever checks a model's terms.
"""

import calendar
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

BACKDATED_DAYS_MAX = 60  # a purchase longer ago begins no warranty
DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Limit:
    """`is_most`: more than the limit is outside the terms; otherwise less is. `words` take the value."""

    unit: str
    lowest: float
    highest: float
    is_most: bool
    words: str


LIMITS: Mapping[str, Limit] = {
    "max_temperature_c": Limit("C", -40, 150, True, "no warmer than {} degrees Celsius"),
    "min_soc_pct": Limit("%", 0, 100, False, "not discharged below {} % of its charge"),
    "min_cell_voltage_v": Limit("V", 0, 5, False, "no cell below {} V"),
    "min_pack_voltage_v": Limit("V", 0, 2_000, False, "the pack not below {} V"),
    "max_charge_current_a": Limit("A", 0, 10_000, True, "not charged with more than {} A"),
    "max_discharge_current_a": Limit("A", 0, 10_000, True, "not discharged with more than {} A"),
    "max_cycles": Limit("cycles", 0, 1_000_000, True, "no more than {} full cycles"),
    "max_silence_days": Limit("days", 0, 3_650, True, "not without telemetry for more than {} days"),
}
# For lithium-ion cells of any common chemistry.
DEFAULTS: Mapping[str, float] = {"max_temperature_c": 60, "min_soc_pct": 5, "min_cell_voltage_v": 2.5}

Status = Literal["active", "expired", "void"]


@dataclass(frozen=True, slots=True)
class Terms:
    """`model`: its name when the warranty began. `limits` by the names of `LIMITS`."""

    model: str
    months: int
    limits: Mapping[str, float]

    def document(self) -> dict[str, Any]:
        """What is kept of them."""
        return {"model": self.model, "months": self.months, "limits": dict(self.limits)}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Terms":
        """Read what `document` wrote."""
        return cls(document["model"], document["months"], document["limits"])


def agreed(model: str, months: int, limits: Mapping[str, Any]) -> Terms:
    """The terms of a warranty that begins now; what is no limit in `limits` (see `check`) is left out."""
    named = {name: _value(name, value) for name, value in limits.items() if name in LIMITS}
    kept: dict[str, float | None] = {**DEFAULTS, **named}
    ordered = ((name, kept.get(name)) for name in LIMITS)
    return Terms(model, months, {name: value for name, value in ordered if value is not None})


def check(limits: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with a model's `warranty_terms`, each fault in a sentence; empty for none."""
    faults = [
        f"{name!r:.80} is no limit: there are {', '.join(LIMITS)}" for name in limits if name not in LIMITS
    ]
    for name, value in limits.items():
        limit = LIMITS.get(name)
        if limit is not None and value is not None and _value(name, value) is None:
            faults.append(f"{name} must be a number from {limit.lowest:g} to {limit.highest:g}, or null")
    return faults


def _value(name: str, value: object) -> float | None:
    limit = LIMITS[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return round(value, DECIMALS) if limit.lowest <= value <= limit.highest else None


def in_words(limits: Mapping[str, float]) -> list[str]:
    """The limits in words, in their order."""
    return [LIMITS[name].words.format(f"{limits[name]:g}") for name in LIMITS if name in limits]


def last_day(starts_on: date, months: int) -> date:
    """The day on which a warranty that begins on `starts_on` ends; it still runs on that day."""
    year, month = divmod(starts_on.year * 12 + starts_on.month - 1 + months, 12)
    days = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(starts_on.day, days))


def status_of(expires_on: date, today: date, *, is_void: bool) -> Status:
    """What a warranty is today."""
    if is_void:
        return "void"
    return "active" if today <= expires_on else "expired"
