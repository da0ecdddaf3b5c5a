"""Golden charge detail records: a folder a case, worked out by hand as the note in its `cdr.json` says.

A new case is a new folder under `golden/` with `tariff.json` (the form of `stream.rating.definition`),
`session.json` (periods, or readings of the register) and `cdr.json`.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from protocols.timestamps import from_datetime
from stream.rating import Kind, Period, Reading, Usage, periods_of, rate, tariff_of

FOLDER = Path(__file__).parent / "golden"
CASES = sorted(folder.name for folder in FOLDER.iterdir())


def read(case: str, name: str) -> Any:
    return json.loads((FOLDER / case / f"{name}.json").read_text())


def us(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text))


def usage_of(session: dict[str, Any]) -> Usage:
    if "readings" in session:
        readings = [Reading(us(at), register_wh) for at, register_wh in session["readings"]]
        return Usage(readings[0].at_us, periods_of(readings))
    periods = tuple(
        Period(us(each["start"]), us(each["end"]), each["energy_wh"], Kind(each["kind"]))
        for each in session["periods"]
    )
    return Usage(us(session["start"]), periods)


@pytest.mark.parametrize("case", CASES)
def test_the_record_is_as_worked_out_by_hand(case: str) -> None:
    session, expected = read(case, "session"), read(case, "cdr")
    tariff = tariff_of("EUR", read(case, "tariff"), gst_basis_points=0)
    charges = rate(usage_of(session), tariff, ZoneInfo(session["time_zone"]))
    lines = [line.as_json() for line in charges.lines]
    assert expected["note"]
    assert [{name: line[name] for name in expected["lines"][0]} for line in lines] == expected["lines"]
    assert (charges.net_minor, charges.gst_minor) == (expected["net_minor"], expected["tax_minor"])
    assert charges.total_minor == expected["total_minor"]


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 25
