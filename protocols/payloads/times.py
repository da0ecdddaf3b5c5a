"""Clocks of devices: local or UTC, never set, or none, to microseconds since 1970 UTC.

Used by every payload decoder that meets a device's own time. The profile's option `clock` says how the
device tells the time: "utc" (default), "local:<zone>" (a name of the IANA database) or "none" (ignore it);
`time_zone` is another word for a local clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from protocols.measurements import Measurement
from protocols.samples import DecodeError
from protocols.timestamps import US_PER_SECOND, clock_fault, from_datetime, to_datetime

# Epoch seconds reach this in the year 5138, epoch milliseconds reached it in 1973.
_EPOCH_MS_MIN = 100_000_000_000
_EPOCH_MAX_MS = 253_402_300_799_999  # the end of the year 9999
_ZONE_NAME_MAX = 64
WARNINGS_MAX = 20  # of one payload
STEP_S_MAX = 366 * 86_400


@dataclass(frozen=True, slots=True)
class Clock:
    """How one device tells the time; `zone` None: what it tells is not to be used."""

    zone: tzinfo | None = UTC

    def wall_us(self, moment: datetime) -> int | None:
        """What the face of the device's clock shows (naive), or an aware moment, as an instant."""
        if self.zone is None:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self.zone)
        try:
            return from_datetime(moment)
        except OverflowError:
            return None

    def epoch_us(self, value: float, *, is_seconds: bool = False) -> int | None:
        """Seconds or milliseconds since 1970, told apart by size; counted in local time if the clock is."""
        if self.zone is None:
            return None
        if not 0 <= value <= (_EPOCH_MAX_MS // 1000 if is_seconds else _EPOCH_MAX_MS):
            return None
        is_milliseconds = value >= _EPOCH_MS_MIN and not is_seconds
        us = round(value * (1000 if is_milliseconds else US_PER_SECOND))
        return us if self.zone is UTC else self.wall_us(to_datetime(us).replace(tzinfo=None))


def clock_of(options: Mapping[str, Any]) -> Clock:
    """The clock that a profile's options describe. Raises `DecodeError` where they describe none."""
    word = options.get("clock")
    if word is None and "time_zone" in options:
        word = f"local:{options['time_zone']}"
    if word is None or word == "utc":
        return Clock()
    if word == "none":
        return Clock(None)
    if not isinstance(word, str) or not word.startswith("local:") or len(word) > _ZONE_NAME_MAX:
        raise DecodeError("options", "clock", 'is "utc", "none" or "local:<zone>"')
    try:
        return Clock(ZoneInfo(word.removeprefix("local:")))
    except (ValueError, OSError, LookupError) as error:
        raise DecodeError("options", "clock", f"{word[6:]!r} is no time zone") from error


def trusted(device_us: int | None, heard_at_us: int, warnings: list[str]) -> int | None:
    """The device's time, or None where no clock that was ever set can show it (before 2015, ahead of us)."""
    if device_us is None:
        return None
    fault = clock_fault(device_us, heard_at_us)
    if fault is None:
        return device_us
    warning = f"{fault}: {to_text(device_us)} is not used"
    if warning not in warnings and len(warnings) < WARNINGS_MAX:
        warnings.append(warning)
    return None


def place(
    times: Sequence[int | None],
    heard_at_us: int,
    *,
    step_s: float | None,
    newest_first: bool,
    warnings: list[str],
) -> list[int | None]:
    """Give every reading of a series its time; None: the reading cannot be placed and is left out.

    A reading without a time that can be trusted is dated back by its position from when the network heard
    the device, `step_s` apart; where the step is not known only the newest can be placed.
    """
    checked = [trusted(each, heard_at_us, warnings) for each in times]
    if None not in checked:
        return checked
    count = len(checked)
    placed: list[int | None] = []
    for index, us in enumerate(checked):
        age = index if newest_first else count - 1 - index
        if us is not None or (age and step_s is None):
            placed.append(us)
        else:
            placed.append(heard_at_us - int(age * (step_s or 0) * US_PER_SECOND))
    lost = placed.count(None)
    if lost:
        warnings.append(f"{lost} readings have no time and the step between them is not known: left out")
    elif step_s is not None and count > 1:
        warnings.append("readings without a time were dated back from when they were heard")
    return placed


def to_text(us: int) -> str:
    """RFC 3339 for people, also where `us` is no date that exists."""
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).isoformat()
    except OverflowError:
        return f"{us} us"


def settle(
    measurements: Sequence[Measurement],
    clock: Clock,
    heard_at_us: int,
    *,
    step_s: float | None,
    newest_first: bool,
    warnings: list[str],
) -> list[Measurement]:
    """Check the times of measurements that were read as UTC, and date back those that have none.

    Values of one quantity and channel are one series, in their order; a single value without a time is of
    now. Used where a mapping has found the values.
    """
    series: dict[tuple[str, int], list[int]] = {}
    for index, each in enumerate(measurements):
        series.setdefault((each.quantity, each.channel), []).append(index)
    settled: dict[int, Measurement] = {}
    for indices in series.values():
        times = [_as_clock(measurements[index].ts_us, clock) for index in indices]
        placed = place(times, heard_at_us, step_s=step_s, newest_first=newest_first, warnings=warnings)
        for index, us in zip(indices, placed, strict=True):
            if us is not None:
                settled[index] = replace(measurements[index], ts_us=us)
    return [settled[index] for index in sorted(settled)]


def _as_clock(us: int | None, clock: Clock) -> int | None:
    if us is None or clock.zone is None or clock.zone is UTC:
        return us if clock.zone is not None else None
    try:
        return clock.wall_us(to_datetime(us).replace(tzinfo=None))
    except OverflowError:
        return None


def series_options(options: Mapping[str, Any]) -> tuple[float | None, bool]:
    """The options `step_s` (between the readings of a series) and `newest_first`. Raises `DecodeError`."""
    step_s, newest_first = options.get("step_s"), options.get("newest_first", False)
    is_number = isinstance(step_s, int | float) and not isinstance(step_s, bool)
    if step_s is not None and not (is_number and 0 < step_s <= STEP_S_MAX):
        raise DecodeError("options", "step_s", f"is not above 0 and at most {STEP_S_MAX}")
    if not isinstance(newest_first, bool):
        raise DecodeError("options", "newest_first", "is true or false")
    return step_s, newest_first
