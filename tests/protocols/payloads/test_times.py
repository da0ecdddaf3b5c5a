from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.payloads.times import Clock, clock_of, place, series_options, trusted
from protocols.samples import DecodeError
from protocols.timestamps import from_datetime
from tests.protocols.payloads.strategies import HEARD_AT_US

HOUR_US = 3_600_000_000


def test_clocks() -> None:
    noon = datetime(2026, 7, 1, 12)  # noqa: DTZ001
    assert clock_of({}).wall_us(noon) == from_datetime(datetime(2026, 7, 1, 12, tzinfo=UTC))
    assert clock_of({"clock": "local:Africa/Johannesburg"}).wall_us(noon) == from_datetime(
        datetime(2026, 7, 1, 10, tzinfo=UTC)
    )
    assert clock_of({"time_zone": "Africa/Johannesburg"}) == clock_of({"clock": "local:Africa/Johannesburg"})
    assert clock_of({"clock": "none"}).wall_us(noon) is None
    for wrong in ("gmt", "local:", "local:../etc/passwd", "local:Nowhere/At_All", 3):
        with pytest.raises(DecodeError):
            clock_of({"clock": wrong})


def test_epochs() -> None:
    assert Clock().epoch_us(1_780_000_000) == Clock().epoch_us(1_780_000_000_000) == 1_780_000_000_000_000
    assert Clock().epoch_us(1_780_000_000_000, is_seconds=True) is None
    assert Clock().epoch_us(-1) is None
    local = clock_of({"clock": "local:Africa/Johannesburg"})
    assert local.epoch_us(1_780_000_000) == 1_780_000_000_000_000 - 2 * HOUR_US


@pytest.mark.parametrize(
    ("us", "is_believed"),
    [
        (0, False),
        (1_420_070_399_000_000, False),
        (1_420_070_400_000_000, True),
        (HEARD_AT_US + 600_000_000, True),
        (HEARD_AT_US + 600_000_001, False),
    ],
)
def test_what_a_clock_can_show(us: int, is_believed: bool) -> None:
    warnings: list[str] = []
    assert (trusted(us, HEARD_AT_US, warnings) == us) is is_believed
    assert bool(warnings) is not is_believed


def test_place() -> None:
    warnings: list[str] = []
    good = [HEARD_AT_US - HOUR_US, HEARD_AT_US]
    assert place(good, HEARD_AT_US, step_s=None, newest_first=False, warnings=warnings) == good
    assert place([None, None], HEARD_AT_US, step_s=60, newest_first=False, warnings=warnings) == [
        HEARD_AT_US - 60_000_000,
        HEARD_AT_US,
    ]
    assert place([None, None], HEARD_AT_US, step_s=None, newest_first=True, warnings=warnings) == [
        HEARD_AT_US,
        None,
    ]
    assert warnings == [
        "readings without a time were dated back from when they were heard",
        "1 readings have no time and the step between them is not known: left out",
    ]


@given(
    st.lists(st.none() | st.integers(-(2**62), 2**62), max_size=50),
    st.none() | st.floats(1, 86_400),
    st.booleans(),
)
def test_no_time_ahead_or_before_clocks_were_set(
    times: list[int | None], step_s: float | None, newest_first: bool
) -> None:
    warnings: list[str] = []
    placed = place(times, HEARD_AT_US, step_s=step_s, newest_first=newest_first, warnings=warnings)
    assert len(placed) == len(times)
    assert all(each is None or each <= HEARD_AT_US + 600_000_000 for each in placed)
    assert step_s is None or None not in placed
    assert len(warnings) <= 21


@pytest.mark.parametrize("options", [{"step_s": 0}, {"step_s": "1"}, {"step_s": True}, {"newest_first": 1}])
def test_series_options(options: dict[str, object]) -> None:
    with pytest.raises(DecodeError):
        series_options(options)
