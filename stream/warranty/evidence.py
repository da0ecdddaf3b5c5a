"""What a battery's telemetry says of a claim: each limit of the terms, held against what was measured.

Used by `stream.warranty.claims`; pure. The result is a document that is kept in the claim as it is, so that
a claim's evidence and plots never change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from storage.queries.warranty_evidence import Stretch
from stream.warranty.terms import LIMITS

Verdict = Literal["within terms", "outside terms", "no telemetry"]

DAYS_MAX = 90  # before the claim
STRETCHES_MAX = 360  # of six hours in 90 days
SAMPLES_MAX = 300_000  # some seconds of the server
HELD_S_MAX = 300.0
DAY_S = 86_400.0
DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Measure:
    """What a limit is held against: a column of `Stretch`, and how its worst value is signed."""

    name: str
    column: str
    sign: int = 1


# By limit; cycles and silence have no samples that are beyond them.
MEASURES: Mapping[str, Measure] = {
    "max_temperature_c": Measure("over_temperature", "temperature_max_c"),
    "min_soc_pct": Measure("deep_discharge", "soc_min_pct"),
    "min_cell_voltage_v": Measure("deep_discharge_cell", "cell_min_v"),
    "min_pack_voltage_v": Measure("deep_discharge_pack", "voltage_min_v"),
    "max_charge_current_a": Measure("charge_over_current", "current_max_a"),
    "max_discharge_current_a": Measure("discharge_over_current", "current_min_a", -1),
    "max_cycles": Measure("cycles", "cycles"),
}
SERIES = (
    *("voltage_min_v", "voltage_max_v", "cell_min_v", "soc_min_pct", "soc_max_pct", "temperature_max_c"),
    *("current_min_a", "current_max_a"),
)


def window(now: datetime, started_at: datetime) -> tuple[datetime, datetime]:
    """From when until when the evidence of a claim is: of the warranty's time, and not too much."""
    return max(started_at, now - timedelta(days=DAYS_MAX)), now


def stretch_s(since: datetime, until: datetime) -> float:
    """How long a stretch is, so that there are no more than `STRETCHES_MAX`, and one for the last moment."""
    return max(1.0, (until - since).total_seconds() / (STRETCHES_MAX - 1))


def document(
    stretches: Sequence[Stretch],
    limits: Mapping[str, float],
    *,
    since: datetime,
    until: datetime,
    alarms: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Put together the evidence; `stretches` in order of time, `alarms` as they are to be kept.

    Where there were more samples than were read, it is of the time of those that were.
    """
    samples = sum(each.samples for each in stretches)
    is_cut = samples >= SAMPLES_MAX
    since = stretches[0].first_at if is_cut else since
    findings = [_finding(limit, stretches, limits.get(limit)) for limit in MEASURES]
    findings.append(_silence(stretches, limits.get("max_silence_days"), since, until))
    verdict: Verdict = "no telemetry"
    if samples:
        is_outside = any(each["verdict"] == "outside terms" for each in findings)
        verdict = "outside terms" if is_outside else "within terms"
    return {
        "since": _time(since),
        "until": _time(until),
        "samples": samples,
        "is_cut": is_cut,
        "first_at": _time(stretches[0].first_at) if stretches else None,
        "last_at": _time(stretches[-1].last_at) if stretches else None,
        "verdict": verdict,
        "text": _text(verdict, findings),
        "limits": dict(limits),
        "findings": findings,
        "alarms": list(alarms),
        "series": _series(stretches),
    }


def _finding(name: str, stretches: Sequence[Stretch], limit: float | None) -> dict[str, Any]:
    """One limit: how often, for how long and how badly it was passed, whether the terms have it or not."""
    measure, kind = MEASURES[name], LIMITS[name]
    values = [getattr(each, measure.column) for each in stretches]
    measured = [measure.sign * value for value in values if value is not None]
    worst = None if not measured else max(measured) if kind.is_most else min(measured)
    beyond = [each.beyond[name] for each in stretches if name in each.beyond]
    return {
        "name": measure.name,
        "limit_name": name,
        "limit": limit,
        "unit": kind.unit,
        "samples": int(sum(each[0] for each in beyond)),
        "seconds": round(sum(each[1] for each in beyond), 1),
        "worst": _rounded(worst),
        "first_at": _moment(min((each[2] for each in beyond), default=None)),
        "last_at": _moment(max((each[3] for each in beyond), default=None)),
        "verdict": _verdict(worst, limit, is_most=kind.is_most),
    }


def _silence(
    stretches: Sequence[Stretch], limit: float | None, since: datetime, until: datetime
) -> dict[str, Any]:
    """The longest time without a sample, also before the first and after the last one."""
    gaps_s = [each.gap_s for each in stretches]
    if stretches:
        gaps_s += [(stretches[0].first_at - since).total_seconds()]
        gaps_s += [(until - stretches[-1].last_at).total_seconds()]
    longest_s = max(gaps_s, default=(until - since).total_seconds())
    days = longest_s / DAY_S
    return {
        "name": "silence",
        "limit_name": "max_silence_days",
        "limit": limit,
        "unit": LIMITS["max_silence_days"].unit,
        "samples": 0,
        "seconds": round(longest_s, 1),
        "worst": _rounded(days),
        "first_at": None,
        "last_at": None,
        "verdict": _verdict(days, limit, is_most=True),
    }


def _verdict(worst: float | None, limit: float | None, *, is_most: bool) -> Verdict | None:
    """None where the terms have no such limit, or nothing was measured that it is of."""
    if worst is None or limit is None:
        return None
    is_outside = worst > limit if is_most else worst < limit
    return "outside terms" if is_outside else "within terms"


def _text(verdict: Verdict, findings: Sequence[Mapping[str, Any]]) -> str:
    if verdict == "no telemetry":
        return "There is no telemetry of this serial number in that time: nothing can be said of its use."
    outside = [each["name"].replace("_", " ") for each in findings if each["verdict"] == "outside terms"]
    if outside:
        return f"Outside the warranty's terms: {', '.join(outside)}."
    return "What was measured is within the warranty's terms."


def _series(stretches: Sequence[Stretch]) -> dict[str, list[Any]]:
    """Columns for the plots, a value a stretch; where one or more are missing, nothing is between."""
    rows: list[list[Any]] = []
    for number, each in enumerate(stretches):
        before = stretches[number - 1] if number else None
        if before is not None and each.number > before.number + 1:
            rows.append([round(before.last_at.timestamp()), *[None] * len(SERIES)])
        values = [_rounded(getattr(each, name)) for name in SERIES]
        rows.append([round(each.first_at.timestamp()), *values])
    return {name: [row[place] for row in rows] for place, name in enumerate(("at_s", *SERIES))}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else _time(datetime.fromtimestamp(seconds, UTC))


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
