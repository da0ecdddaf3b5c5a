from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.samples import DecodeError
from protocols.timestamps import (
    CLOCK_AHEAD_US_MAX,
    TimestampError,
    clock_fault,
    format_utc_ms,
    from_datetime,
    parse_timestamp,
    to_datetime,
)

MOMENT_US = from_datetime(datetime(2023, 10, 19, 15, 28, 7, tzinfo=UTC))
instants = st.integers(from_datetime(datetime.min.replace(tzinfo=UTC)), 253_402_300_799_999_999)


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2023-10-19T15:28:07Z", 0),
        ("2023-10-19T15:28:07", 0),
        ("2023-10-19 15:28:07", 0),
        (" 2023-10-19t15:28:07z ", 0),
        ("2023-10-19T15:28:07.Z", 0),
        ("2023-10-19T15:28:07.5Z", 500_000),
        ("2023-10-19T15:28:07.123456Z", 123_456),
        ("2023-10-19T15:28:07.999999999Z", 999_999),
        ("2023-10-19T20:58:07+05:30", 0),
        ("2023-10-19T20:58:07+0530", 0),
        ("2023-10-19T13:28:07-02", 0),
        ("2023-10-19T15:27:60Z", -7_000_000),
    ],
)
def test_what_chargers_write_is_read(text: str, us: int) -> None:
    assert parse_timestamp(text) == MOMENT_US + us


@pytest.mark.parametrize(
    "text",
    ["", "now", "2023-10-19", "2023-02-29T00:00:00Z", "2023-10-19T24:00:00Z", "2023-10-19T15:60:00Z",
     "2023-10-19T15:28:61Z", "2023-10-19T15:28:07.1234567890Z", "2023-10-19T15:28:07+24:00",
     "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "٢023-10-19T15:28:07Z", "x" * 10_000,
     None, 5, ["2023-10-19T15:28:07Z"]],
)  # fmt: skip
def test_what_is_no_time_is_a_typed_error(text: object) -> None:
    with pytest.raises(TimestampError, match="start") as error:
        parse_timestamp(text, "start")
    assert (error.value.reason, error.value.field) == ("timestamp", "start")


@given(instants)
def test_iso_form_comes_back_exactly(us: int) -> None:
    moment = to_datetime(us)
    assert from_datetime(moment) == us
    assert parse_timestamp(moment.isoformat()) == us


@given(instants)
def test_our_form_is_cut_to_milliseconds_and_has_one_length(us: int) -> None:
    text = format_utc_ms(us)
    assert len(text) == len("YYYY-MM-DDTHH:MM:SS.mmmZ")
    assert parse_timestamp(text) == us // 1000 * 1000


@given(instants, st.integers(-23 * 60, 23 * 60))
def test_an_offset_names_the_same_instant(us: int, offset_min: int) -> None:
    second_us = us // 1_000_000 * 1_000_000
    try:
        local = to_datetime(second_us + offset_min * 60_000_000)
    except OverflowError:
        return
    sign = "-" if offset_min < 0 else "+"
    text = f"{local.isoformat()[:19]}{sign}{abs(offset_min) // 60:02}:{abs(offset_min) % 60:02}"
    assert parse_timestamp(text) == second_us


@given(
    st.text() | st.from_regex(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d*)?(Z|[+-]\d\d:\d\d)?", fullmatch=True)
)
def test_any_text_is_a_time_or_a_typed_error(text: str) -> None:
    try:
        us = parse_timestamp(text)
    except DecodeError:
        return
    to_datetime(us)


@pytest.mark.parametrize(
    ("device_us", "fault"),
    [
        (MOMENT_US, None),
        (MOMENT_US + CLOCK_AHEAD_US_MAX, None),
        (MOMENT_US + CLOCK_AHEAD_US_MAX + 1, "clock_ahead"),
        (MOMENT_US - 90 * 86_400_000_000, None),
        (parse_timestamp("1970-01-01T00:35:28Z"), "clock_not_set"),
        (parse_timestamp("2014-12-31T23:59:59Z"), "clock_not_set"),
    ],
)
def test_a_clock_is_wrong_when_it_is_ahead_or_was_never_set(device_us: int, fault: str | None) -> None:
    assert clock_fault(device_us, MOMENT_US) == fault
