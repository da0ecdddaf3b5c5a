"""Date and time as devices write them (RFC 3339, leniently) to microseconds since 1970 UTC, and back.

Used by the OCPP decoder and gateway, by the battery decoder, and wherever a timestamp goes out to a charger;
`clock_fault` by `protocols.ocpp.quirks`. Exact integers throughout: no float holds a time here.
"""

import re
from datetime import UTC, date, datetime, timedelta

from protocols.samples import DecodeError

US_PER_SECOND = 1_000_000
# Longest text that can be a timestamp: 9 digits of fraction and an offset make 35; the rest is slack.
LENGTH_MAX = 64

# A clock that is further ahead of ours than this is wrong. One that is behind may tell of an offline time.
CLOCK_AHEAD_US_MAX = 600 * US_PER_SECOND
# No OCPP 1.6 charger was made before: a stamp from earlier is of a clock that was never set.
CLOCK_SET_SINCE_US = 1_420_070_400 * US_PER_SECOND

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MARKS = ("-", "-", "T", ":", ":", "Z")
_PATTERN = re.compile(
    r"\s*(\d{4})-(\d\d)-(\d\d)"
    r"[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{0,9}))?"
    r"\s*(?:[Zz]|([+-])(\d\d):?(\d\d)?)?\s*",
    re.ASCII,
)
_STRICT = re.compile(
    r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
    r"[Tt](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d{1,9})?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
# What datetime and PostgreSQL can both hold, so that nothing behind the parser meets another range.
_MIN_US = (date.min.toordinal() - _EPOCH_DAY) * 86_400 * US_PER_SECOND
_MAX_US = (date.max.toordinal() + 1 - _EPOCH_DAY) * 86_400 * US_PER_SECOND - 1


class TimestampError(DecodeError):
    """A text that is no date and time; `field` names where it stood."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__("timestamp", field, message)


def parse_timestamp(text: object, field: str = "timestamp") -> int:
    """Microseconds since 1970 UTC of an RFC 3339 date-time.

    Beyond RFC 3339 it takes what chargers in the field send: no zone (read as UTC), a space for the T,
    offsets without colon or minutes, 0 to 9 digits of fraction (cut, not rounded, to microseconds).
    A leap second (`:60`) is the first instant of the next minute. Raises `TimestampError`.
    """
    if not isinstance(text, str):
        raise TimestampError(field, f"expected a text, got {type(text).__name__}")
    usual = _parse_usual(text)
    if usual is not None:
        return usual
    match = _PATTERN.fullmatch(text) if len(text) <= LENGTH_MAX else None
    if match is None:
        raise TimestampError(field, f"not an RFC 3339 date-time: {text[:LENGTH_MAX]!r}")
    year, month, day, hour, minute, second, fraction, sign, offset_h, offset_m = match.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError as error:
        raise TimestampError(field, f"no such date: {text!r}") from error
    if int(hour) > 23 or int(minute) > 59 or int(second) > 60:
        raise TimestampError(field, f"no such time of day: {text!r}")
    seconds = days * 86_400 + int(hour) * 3600 + int(minute) * 60 + int(second)
    if sign:
        seconds -= _offset_s(sign, offset_h, offset_m, field)
    us = seconds * US_PER_SECOND + (int(fraction[:6].ljust(6, "0")) if fraction else 0)
    if not _MIN_US <= us <= _MAX_US:
        raise TimestampError(field, f"outside the years 1 to 9999: {text!r}")
    return us


def _parse_usual(text: str) -> int | None:
    """`YYYY-MM-DDTHH:MM:SSZ`, or with `.mmm`, as nearly all devices write it: four times as fast.

    None for all else, and for what is no such time.
    """
    is_usual = len(text) == 20 or (len(text) == 24 and text[19] == ".")
    if not is_usual or (text[4], text[7], text[10], text[13], text[16], text[-1]) != _MARKS:
        return None
    try:
        return from_datetime(datetime.fromisoformat(text))
    except ValueError:
        return None


def is_rfc3339(text: str) -> bool:
    """Whether `text` has the form of RFC 3339 section 5.6 to the letter, zone included."""
    return _STRICT.fullmatch(text) is not None


def clock_fault(device_us: int, received_us: int) -> str | None:
    """What is wrong with the clock of a device whose message with `device_us` came at `received_us`.

    `clock_ahead` or `clock_not_set`; None also for any other time in the past: it may be a backlog's.
    """
    if device_us > received_us + CLOCK_AHEAD_US_MAX:
        return "clock_ahead"
    return "clock_not_set" if device_us < CLOCK_SET_SINCE_US else None


def _offset_s(sign: str, hours: str, minutes: str | None, field: str) -> int:
    if int(hours) > 23 or int(minutes or 0) > 59:
        raise TimestampError(field, f"no such offset: {sign}{hours}:{minutes or '00'}")
    seconds = int(hours) * 3600 + int(minutes or 0) * 60
    return -seconds if sign == "-" else seconds


def format_utc_ms(us: int) -> str:
    """`YYYY-MM-DDTHH:MM:SS.mmmZ`, cut to milliseconds: the one form that every charger met so far reads."""
    moment = to_datetime(us)
    return f"{moment.year:04}{moment:-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def to_datetime(us: int) -> datetime:
    """The same instant as an aware datetime, exactly."""
    return _EPOCH + timedelta(microseconds=us)


def from_datetime(moment: datetime) -> int:
    """Microseconds since 1970 UTC of an aware datetime, exactly."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * US_PER_SECOND + since.microseconds
