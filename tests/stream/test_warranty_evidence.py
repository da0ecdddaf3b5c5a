"""Evidence of claims: what is counted is what was measured, however it is cut into stretches."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from storage.queries.warranty_evidence import Stretch
from stream.warranty.evidence import DAYS_MAX, SAMPLES_MAX, STRETCHES_MAX, document, stretch_s, window
from stream.warranty.plots import PLOTS, draw_plot

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=10)
LIMITS = {"max_temperature_c": 55.0, "min_soc_pct": 10.0, "max_cycles": 400.0, "max_silence_days": 3.0}

values = st.none() | st.floats(-100, 100, width=16)
samples = st.lists(
    st.tuples(st.integers(0, 10 * 86_400), values, values), max_size=60, unique_by=lambda each: each[0]
).map(sorted)


def stretch(number: int, rows: list[tuple[int, Any, Any]]) -> Stretch:
    """What the database makes of the rows (second, temperature, state of charge) of a stretch."""

    def known(place: int) -> list[Any]:
        return [row[place] for row in rows if row[place] is not None]

    beyond = {}
    hot = [row[0] for row in rows if row[1] is not None and row[1] > LIMITS["max_temperature_c"]]
    empty = [row[0] for row in rows if row[2] is not None and row[2] < LIMITS["min_soc_pct"]]
    start = SINCE.timestamp()
    for name, found in (("max_temperature_c", hot), ("min_soc_pct", empty)):
        if found:
            beyond[name] = [float(len(found)), 60.0 * len(found), start + found[0], start + found[-1]]
    gaps = [after[0] - before[0] for before, after in pairwise(rows)]
    return Stretch(
        number=number,
        samples=len(rows),
        first_at=SINCE + timedelta(seconds=rows[0][0]),
        last_at=SINCE + timedelta(seconds=rows[-1][0]),
        gap_s=float(max(gaps, default=0)),
        voltage_min_v=None,
        voltage_max_v=None,
        cell_min_v=None,
        soc_min_pct=min(known(2), default=None),
        soc_max_pct=max(known(2), default=None),
        temperature_max_c=max(known(1), default=None),
        current_min_a=None,
        current_max_a=None,
        cycles=None,
        beyond=beyond,
    )


def cut(rows: list[tuple[int, Any, Any]], length_s: int) -> list[Stretch]:
    grouped = groupby(rows, key=lambda row: row[0] // length_s)
    return [stretch(number, list(group)) for number, group in grouped]


def evidence_of(rows: list[tuple[int, Any, Any]], length_s: int = 6 * 3600) -> dict[str, Any]:
    return document(cut(rows, length_s), LIMITS, since=SINCE, until=UNTIL)


@given(samples, st.integers(3_600, 10 * 86_400))
def test_what_is_found_does_not_depend_on_the_stretches(rows: list[Any], length_s: int) -> None:
    whole, parts = evidence_of(rows, 11 * 86_400), evidence_of(rows, length_s)
    for one, other in zip(whole["findings"], parts["findings"], strict=True):
        if one["name"] != "silence":  # a gap between two stretches is the database's to see
            assert one == other
    assert (whole["samples"], whole["verdict"] == "no telemetry") == (len(rows), not rows)
    found = {each["name"]: each for each in parts["findings"]}
    hot = [row[1] for row in rows if row[1] is not None]
    assert found["over_temperature"]["worst"] == (round(max(hot), 3) if hot else None)
    assert found["over_temperature"]["samples"] == sum(each > 55 for each in hot)
    is_hot = any(each > 55 for each in hot)
    verdict = None if not hot else "outside terms" if is_hot else "within terms"
    assert found["over_temperature"]["verdict"] == verdict
    outside = any(each["verdict"] == "outside terms" for each in parts["findings"])
    assert parts["verdict"] == (
        "no telemetry" if not rows else "outside terms" if outside else "within terms"
    )
    assert json.loads(json.dumps(parts)) == parts
    lengths = {len(column) for column in parts["series"].values()}
    assert len(lengths) == 1


def test_silence_counts_from_the_beginning_and_to_the_end() -> None:
    for second, days in ((5 * 86_400, 5.0), (86_400, 9.0), (9 * 86_400, 9.0)):
        (silence,) = [
            each for each in evidence_of([(second, 20.0, 50.0)])["findings"] if each["name"] == "silence"
        ]
        assert (silence["worst"], silence["verdict"]) == (days, "outside terms")
    nothing = evidence_of([])
    assert nothing["findings"][-1]["worst"] == 10
    assert (nothing["verdict"], nothing["first_at"]) == ("no telemetry", None)


def test_what_was_not_read_is_no_silence() -> None:
    recent = [(9 * 86_400 + second, 20.0, 50.0) for second in (0, 3_600, 80_000)]
    (only,) = cut(recent, 86_400)
    for read, verdict, since in (
        (3, "outside terms", "2026-01-01"),
        (SAMPLES_MAX, "within terms", "2026-01-10"),
    ):
        found = document([replace(only, samples=read)], LIMITS, since=SINCE, until=UNTIL)
        assert (found["verdict"], found["since"][:10]) == (verdict, since)
        assert found["is_cut"] is (read == SAMPLES_MAX)


def test_nothing_is_drawn_where_nothing_was_measured() -> None:
    series = evidence_of([(0, 20.0, 50.0), (21_600, 21.0, 49.0), (400_000, 22.0, 48.0)])["series"]
    assert series["temperature_max_c"] == [20.0, 21.0, None, 22.0]
    assert series["at_s"] == sorted(series["at_s"])


@given(st.integers(0, 10**9), st.integers(0, 4_000))
def test_the_window_is_the_warrantys_and_bounded(second: int, days: int) -> None:
    started = SINCE + timedelta(seconds=second)
    now = started + timedelta(days=days)
    since, until = window(now, started)
    assert started <= since <= until == now
    assert until - since <= timedelta(days=DAYS_MAX)
    assert (until - since).total_seconds() // stretch_s(since, until) < STRETCHES_MAX


async def test_every_plot_is_a_picture_also_of_what_was_not_measured() -> None:
    evidence = evidence_of([(0, 20.0, None), (86_400, 70.0, None)])
    for name in PLOTS:
        assert (await draw_plot(evidence, name, "png")).startswith(b"\x89PNG")
    assert await draw_plot(evidence, "soc", "svg") == await draw_plot(evidence, "soc", "svg")
