"""Gaps in counters as they are noticed: what is one, and what only looks like one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.lorawan import gaps
from ingest.lorawan.gaps import BACKWARD_MAX, Gap, Gaps


@pytest.mark.parametrize(
    ("counters", "found"),
    [
        ([500], []),  # what came before we listened is not known
        ([5, 6, 7], []),
        ([5, 8], [2]),
        ([5, 8, 6, 7, 9], [2]),  # late ones open no gap
        ([5, 5, 6], []),
        ([70_000, 0, 1, 3], [1]),  # a new session
        ([BACKWARD_MAX + 1, 0, 2], [1]),
    ],
)
def test_what_is_a_gap(counters: list[int], found: list[int]) -> None:
    watch = Gaps()
    noticed = [watch.heard(1, counter, at) for at, counter in enumerate(counters)]
    assert [gap.missing for gap in noticed if gap is not None] == found


def test_a_gap_says_since_when() -> None:
    watch = Gaps()
    assert watch.heard(1, 5, 100) is None
    assert watch.heard(2, 9, 150) is None  # another device
    assert watch.heard(1, 9, 200) == Gap(3, 100)


def test_a_join_begins_anew() -> None:
    watch = Gaps()
    watch.heard(1, 5, 100)
    watch.joined(1)
    assert watch.heard(1, 40, 200) is None


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaps, "DEVICES_MAX", 2)
    watch = Gaps()
    for device_id in (1, 2, 3):
        watch.heard(device_id, 5, 0)
    assert watch.heard(1, 9, 1) is None  # forgotten
    assert watch.heard(3, 9, 1) == Gap(3, 0)


@given(st.sets(st.integers(0, 300), min_size=1))
def test_in_order_all_that_is_missing_is_noticed(counters: set[int]) -> None:
    watch, ordered = Gaps(), sorted(counters)
    noticed = [watch.heard(1, counter, counter) for counter in ordered]
    missing = sum(gap.missing for gap in noticed if gap is not None)
    assert missing == ordered[-1] - ordered[0] + 1 - len(ordered)
