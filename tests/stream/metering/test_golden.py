"""Golden bills: a folder a case, worked out by hand as the note in its `bills.json` says.

A new case is a new folder under `golden/` with `tariff.json` (the form of `stream.metering.tariff`),
`readings.json` (registers of one or several installations in Wh or m3) and `bills.json`.
"""

import json
from datetime import date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from protocols.timestamps import from_datetime
from stream.metering.consumption import FOREVER_US, Readings, Span, Tag, consume
from stream.metering.course import in_display_unit
from stream.metering.days import local_day, month_start
from stream.metering.rating import Run, day_costs, rate
from stream.metering.tariff import tariff_of

FOLDER = Path(__file__).parent / "golden"
CASES = sorted(folder.name for folder in FOLDER.iterdir())
FINE = {"Wh": 1_000, "m3": 1_000_000}
RATE_MAX = 250_000_000


def read(case: str, name: str) -> Any:
    return json.loads((FOLDER / case / f"{name}.json").read_text())


def us(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text))


def readings_of(told: dict[str, Any]) -> Readings:
    spans, times, values, bounds = [], [], [], [0]
    for each in told["installations"]:
        modulus = each.get("register_modulus")
        spans.append(
            Span(
                us(each["since"]),
                us(each["until"]) if "until" in each else FOREVER_US,
                FINE[told["unit"]],
                RATE_MAX,
                Fraction(each.get("multiplier", "1")),
                None if modulus is None else Fraction(modulus),
            )
        )
        times += [us(at) for at, _ in each["readings"]]
        values += [float(value) for _, value in each["readings"]]
        bounds.append(len(times))
    return consume(np.array(times, np.int64), np.array(values), np.array(bounds, np.int64), spans)


@pytest.mark.parametrize("case", CASES)
def test_the_bills_are_as_worked_out_by_hand(case: str) -> None:
    told, expected = read(case, "readings"), read(case, "bills")
    zone = ZoneInfo(told["time_zone"])
    readings = readings_of(told)
    first = month_start(local_day(int(readings.times_us[0]), zone))
    end = local_day(int(readings.times_us[-1]), zone) + timedelta(days=1)
    parts = rate(readings, [Run(tariff_of(read(case, "tariff")), first, end)], zone)
    costs = np.zeros(len(readings.times_us), np.int64)
    np.add.at(costs, parts.rows, parts.costs_minor)
    bills = {
        day.isoformat(): [f"{in_display_unit(cost.amount).normalize():f}", cost.cost_minor]
        for day, cost in day_costs(parts).items()
    }
    assert expected["note"]
    assert bills == expected["days"]
    assert [Tag(tag).name.lower() for tag in readings.tags.tolist()] == expected["tags"]
    assert costs.tolist() == expected["costs_minor"]
    assert sum(costs.tolist()) == sum(cost for _, cost in expected["days"].values())


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 20
    assert all(date.fromisoformat(day) for case in CASES for day in read(case, "bills")["days"])
