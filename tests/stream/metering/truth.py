"""What meters cost, worked out slowly: one interval after the other, in fractions, from a tariff's JSON.

Shares no code with `stream.metering`; the rules are those of `docs/metering.md`.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FINE = 1_000_000
Point = tuple[int, int]  # microseconds since 1970, consumption so far in mWh or ml
Bills = dict[date, tuple[int, int]]  # consumption in mWh or ml, cost in minor units


def us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def shown(at_us: int, zone: ZoneInfo) -> datetime:
    return (EPOCH + timedelta(microseconds=at_us)).astimezone(zone)


def bills(tariff: dict[str, Any], points: Sequence[Point], zone: ZoneInfo, since: date = date.min) -> Bills:
    """Cost each local day between the first and the last point; a day before `since` costs nothing."""
    amounts: dict[date, int] = defaultdict(int)
    energy: dict[date, Fraction] = defaultdict(Fraction)
    used: dict[Any, int] = defaultdict(int)
    for (start, low), (end, high) in pairwise(points):
        for cut_from, cut_to in cuts(tariff, start, end, zone):
            share = flowed(high - low, cut_to - start, end - start) - flowed(
                high - low, cut_from - start, end - start
            )
            day = shown(cut_from, zone).date()
            amounts[day] += share
            key = day if tariff["energy"].get("per") == "day" else (day.year, day.month)
            energy[day] += price(tariff["energy"], shown(cut_from, zone), used[key], share)
            used[key] += share
    return {day: (amounts[day], total(tariff, energy[day])) for day in sorted(amounts) if day >= since}


def flowed(amount: int, after: int, took: int) -> int:
    return math.floor(Fraction(amount * after, took))


def cuts(tariff: dict[str, Any], start: int, end: int, zone: ZoneInfo) -> list[tuple[int, int]]:
    times = {time.min}
    for season in tariff["energy"].get("seasons", []):
        for periods in season["days"].values():
            times |= {time.fromisoformat(period["from"]) for period in periods}
    edges = {start, end}
    day = shown(start, zone).date()
    while day <= shown(end, zone).date():
        edges |= {us(datetime.combine(day, at, zone)) for at in times}
        day += timedelta(days=1)
    inside = sorted(edge for edge in edges if start <= edge <= end)
    return list(pairwise(inside))


def price(energy: dict[str, Any], at: datetime, used: int, amount: int) -> Fraction:
    if energy["kind"] == "flat":
        return Fraction(str(energy["price_minor"])) * amount / FINE
    if energy["kind"] == "time_of_use":
        return Fraction(str(period_at(energy, at)["price_minor"])) * amount / FINE
    cost, low = Fraction(0), Fraction(0)
    for block in energy["blocks"]:
        high = Fraction(str(block["up_to"])) * FINE if "up_to" in block else Fraction(10**30)
        part = max(Fraction(0), min(high, Fraction(used + amount)) - max(low, Fraction(used)))
        cost += part * Fraction(str(block["price_minor"])) / FINE
        low = high
    return cost


def period_at(energy: dict[str, Any], at: datetime) -> dict[str, Any]:
    text = f"{at:%m-%d}"
    for season in energy["seasons"]:
        low, high = season.get("from", "01-01"), season.get("to", "12-31")
        if (low <= text <= high) if low <= high else (text >= low or text <= high):
            days = season["days"]
    kind = "weekday" if at.weekday() < 5 else "weekend"
    if f"{at:%Y-%m-%d}" in energy.get("holidays", []):
        kind = "holiday" if "holiday" in days else "weekend"
    periods: list[dict[str, Any]] = days.get(kind, days["weekday"])
    return [period for period in periods if time.fromisoformat(period["from"]) <= at.time()][-1]


def total(tariff: dict[str, Any], energy: Fraction) -> int:
    cost = max(
        energy + Fraction(str(tariff.get("fixed_minor_per_day", 0))),
        Fraction(str(tariff.get("minimum_minor_per_day", 0))),
    )
    tax = tariff.get("tax")
    if tax is not None and not tax["is_included"]:
        cost *= 1 + Fraction(tax["basis_points"], 10_000)
    return math.floor(cost + Fraction(1, 2))
