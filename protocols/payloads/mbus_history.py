"""When an M-Bus meter's stored values were taken: dates of storages, storage intervals, compact profiles.

Used by `protocols.payloads.mbus_records`. EN 13757-3: storage 0 is now, the others are historic; a profile
(annex F) is one record of variable length that holds the values after or before a base value.
"""

import calendar
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from protocols.payloads.times import Clock, trusted

Record = Mapping[str, Any]
_PROFILE_DIRECTION = {
    "Compact profile": 1,
    "Compact profile with register numbers": 1,
    "Inverse compact profile": -1,
}
_TIME_POINTS = ("Time point (date)", "Time point (date and time)")
_INSTANTANEOUS = "Instantaneous value"
_INTERVAL_S = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_MONTHS = {"mo": 1, "a": 12}
# Annex F.2.2: the unit of the spacing, bits 5 and 4 of the spacing control field; 3 is days or months.
_SPACING_S = (1, 60, 3600, 86_400)
_SPACING_DAYS_OR_MONTHS = 3
_SPACING_COUNT_MAX = 250
_SPACING_HALF_MONTH = 253
_SPACING_MONTH = 254
_HALF_MONTH_DAYS = 15
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 6: 6, 7: 8}
_FLOAT = 5
STORAGE_STEPS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Step:
    """From one stored value to the next: so many months, or so many seconds."""

    months: int = 0
    seconds: int = 0

    def from_(self, moment: datetime, count: int) -> datetime | None:
        """`count` steps later, or earlier; None where no calendar goes. The last day of a month stays one."""
        try:
            if not self.months:
                return moment + timedelta(seconds=self.seconds * count)
            month = moment.year * 12 + moment.month - 1 + self.months * count
            year, month = month // 12, month % 12 + 1
            last = calendar.monthrange(year, month)[1]
            is_last = moment.day == calendar.monthrange(moment.year, moment.month)[1]
            return moment.replace(year=year, month=month, day=last if is_last else min(moment.day, last))
        except (OverflowError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class History:
    """The moments of the storage numbers as the meter's clock shows them; `days`: told by a date alone."""

    moments: Mapping[int, datetime]
    days: frozenset[int]
    step: Step | None
    step_from: int

    def moment(self, storage: int) -> tuple[datetime, bool] | None:
        """When `storage` was taken and whether only the day is known. Higher storage numbers are older.

        Storage 0 is now: a date alone says nothing about it.
        """
        if storage == 0 and 0 in self.days:
            return None
        if storage in self.moments:
            return self.moments[storage], storage in self.days
        base = self.moments.get(self.step_from)
        count = storage - self.step_from
        if base is None or self.step is None or not 0 < count <= STORAGE_STEPS_MAX:
            return None
        moment = self.step.from_(base, -count)
        return None if moment is None else (moment, self.step_from in self.days)


def history_of(records: Sequence[Record]) -> History:
    """Read the dates and the storage interval of a telegram."""
    moments: dict[int, datetime] = {}
    days: set[int] = set()
    step, step_from = None, 0
    for record in records:
        label = record["quantities"][0] if len(record["quantities"]) == 1 else ""
        value = record["value"].get("value")
        if record["function"] != _INSTANTANEOUS or record["tariff"] or record["subunit"]:
            continue
        if label in _TIME_POINTS and isinstance(value, str):
            moment = _moment(value)
            if moment is not None:
                moments[record["storage_number"]] = moment
                if record["value"]["kind"] == "date":
                    days.add(record["storage_number"])
        elif label == "Storage interval" and isinstance(value, str):
            step, step_from = _interval(value, record.get("unit")), record["storage_number"]
    return History(moments, frozenset(days), step, step_from)


def instant(
    moment: datetime, is_day: bool, clock: Clock, heard_at_us: int, warnings: list[str]
) -> int | None:
    """A moment as an instant that can be trusted, else None.

    A day alone is its end (OMS specification volume 2), but the first of a month is its beginning: so meters
    write the due date of the month before.
    """
    if is_day and moment.day != 1:
        try:
            moment = moment + timedelta(days=1)
        except OverflowError:
            return None
    return trusted(clock.wall_us(moment), heard_at_us, warnings)


def profile_values(record: Record, base: float | None, scale: float) -> list[tuple[int, Step, float]]:
    """The values of a compact profile: (position from the base, step, value); empty where it is none.

    The position is negative for values before the base. Increments need the base value; they end at the first
    value that is marked as not valid.
    """
    direction = _PROFILE_DIRECTION.get(record["quantities"][-1])
    raw = bytes.fromhex(record["data_hex"])[1:]
    if direction is None or len(raw) < 2:
        return []
    mode, unit, element = raw[0] >> 6, raw[0] >> 4 & 3, raw[0] & 0x0F
    step = _spacing(unit, raw[1])
    size = 4 if element == _FLOAT else _INTEGER_BYTES.get(element)
    if step is None or size is None or (mode and (base is None or element == _FLOAT)):
        return []
    found: list[tuple[int, Step, float]] = []
    value = base if base is not None else 0.0
    for index in range((len(raw) - 2) // size):
        part = raw[2 + index * size : 2 + (index + 1) * size]
        if mode == 0:
            number = (
                struct.unpack("<f", part)[0]
                if element == _FLOAT
                else int.from_bytes(part, "little", signed=True)
            )
            value = number * scale
        else:
            delta = _increment(part, mode)
            if delta is None:
                break
            value += direction * delta * scale
        found.append((direction * (index + 1), step, value))
    return found


def is_profile(record: Record) -> bool:
    """Whether the record is a compact profile."""
    return bool(record["quantities"]) and record["quantities"][-1] in _PROFILE_DIRECTION


def _increment(part: bytes, mode: int) -> int | None:
    """Annex F.2.2: 1 counts up, 2 counts down, 3 is a signed difference; all bits set or the least: none."""
    if mode == 3:
        signed = int.from_bytes(part, "little", signed=True)
        return None if signed == -(1 << (len(part) * 8 - 1)) else signed
    if part == b"\xff" * len(part):
        return None
    return int.from_bytes(part, "little") * (1 if mode == 1 else -1)


def _spacing(unit: int, value: int) -> Step | None:
    if 1 <= value <= _SPACING_COUNT_MAX:
        return Step(seconds=value * _SPACING_S[unit])
    if unit == _SPACING_DAYS_OR_MONTHS and value == _SPACING_MONTH:
        return Step(months=1)
    if unit == _SPACING_DAYS_OR_MONTHS and value == _SPACING_HALF_MONTH:
        return Step(seconds=_HALF_MONTH_DAYS * 86_400)
    return None


def _interval(value: str, unit: object) -> Step | None:
    try:
        count = int(float(value))
    except (ValueError, OverflowError):
        return None
    if not 0 < count <= STORAGE_STEPS_MAX * 1_000:
        return None
    if unit in _MONTHS:
        return Step(months=count * _MONTHS[str(unit)])
    return Step(seconds=count * _INTERVAL_S[str(unit)]) if unit in _INTERVAL_S else None


def _moment(text: str) -> datetime | None:
    try:
        if len(text) == len("2024-01-01"):
            return datetime.combine(date.fromisoformat(text), time())
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None
