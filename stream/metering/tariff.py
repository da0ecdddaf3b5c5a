"""A meter's tariff, and its definition as JSON (`meter_tariffs.definition`); for `stream.metering.rating`.

    {"energy": {"kind": "flat", "price_minor": "234.5"},
     "fixed_minor_per_day": "150", "minimum_minor_per_day": "200",
     "tax": {"name": "VAT", "basis_points": 1500, "is_included": false}}

    {"energy": {"kind": "block", "per": "month",
                "blocks": [{"up_to": "50", "price_minor": "110"}, {"price_minor": "240.75"}]}}

    {"energy": {"kind": "time_of_use", "holidays": ["2026-12-25"],
                "seasons": [{"name": "high", "from": "06-01", "to": "08-31",
                             "days": {"weekday": [{"from": "00:00", "name": "night", "price_minor": "90"},
                                                  {"from": "06:00", "name": "peak", "price_minor": "410"}],
                                      "weekend": [{"from": "00:00", "price_minor": "90"}]}}, ...]}}

Prices are decimal text (or integers) in minor units of the tariff's currency, per kWh or m3, as are limits of
blocks. `docs/metering.md` says what each field means; no other field is taken.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from fractions import Fraction

import msgspec

from stream.errors import StreamError

FINE_PER_UNIT = 1_000_000  # mWh in a kWh, ml in a m3
BASIS_POINTS = 10_000
BLOCKS_MAX = 50
SEASONS_MAX = 20
PERIODS_MAX = 48  # of a day
HOLIDAYS_MAX = 1_000
# Which list of periods a day has: the first of these that the season names.
_DAYS: Mapping[str, tuple[str, ...]] = {
    "weekday": ("weekday",),
    "saturday": ("saturday", "weekend", "weekday"),
    "sunday": ("sunday", "weekend", "weekday"),
    "holiday": ("holiday", "sunday", "weekend", "weekday"),
}
_DECIMAL = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)
_LEAP_YEAR = 2024
_CENTURY = (date(2000, 1, 1), date(2099, 12, 31))


class TariffError(StreamError):
    """A definition that is no tariff: `field` says where, the message what is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"tariff definition, {field}: {message}")
        self.field = field


@dataclass(frozen=True, slots=True)
class Flat:
    """One price for all, in minor units per kWh or m3."""

    price_minor: Fraction


@dataclass(frozen=True, slots=True)
class Block:
    """`up_to_fine`: where it ends, counted from the start of the month or day; None: never."""

    up_to_fine: int | None
    price_minor: Fraction


@dataclass(frozen=True, slots=True)
class Blocks:
    """Inclining (or other) blocks of what was consumed since the local month or day began."""

    blocks: tuple[Block, ...]
    is_daily: bool = False


@dataclass(frozen=True, slots=True)
class Period:
    """A price from a local time of day on, to the next period's or the day's end."""

    starts_at: time
    name: str
    price_minor: Fraction


@dataclass(frozen=True, slots=True)
class Season:
    """From one (month, day) to another, both included; `days` holds periods by weekday, ..., holiday."""

    name: str
    first: tuple[int, int]
    last: tuple[int, int]
    days: tuple[tuple[str, tuple[Period, ...]], ...]

    def holds(self, month_day: tuple[int, int]) -> bool:
        """Whether a day of the year is of this season, which may go over the year's end."""
        if self.first <= self.last:
            return self.first <= month_day <= self.last
        return month_day >= self.first or month_day <= self.last


@dataclass(frozen=True, slots=True)
class TimeOfUse:
    """Prices by season, kind of day and local time."""

    seasons: tuple[Season, ...]
    holidays: frozenset[date] = frozenset()

    def periods(self, day: date) -> tuple[Period, ...]:
        """Return the periods of a day, the first from 00:00 on."""
        season = next(each for each in self.seasons if each.holds((day.month, day.day)))
        return dict(season.days)[self._kind(day)]

    def _kind(self, day: date) -> str:
        if day in self.holidays:
            return "holiday"
        return {5: "saturday", 6: "sunday"}.get(day.weekday(), "weekday")


@dataclass(frozen=True, slots=True)
class Tax:
    """1500 basis points are 15 %. `is_included`: prices, fixed charge and minimum contain it."""

    name: str
    basis_points: int
    is_included: bool


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a day costs: energy and fixed charge, at least the minimum, and the tax on it."""

    energy: Flat | Blocks | TimeOfUse
    fixed_minor_per_day: Fraction = Fraction(0)
    minimum_minor_per_day: Fraction = Fraction(0)
    tax: Tax | None = None

    @property
    def is_by_month(self) -> bool:
        """Whether a day's cost depends on the days of its month before it."""
        return isinstance(self.energy, Blocks) and not self.energy.is_daily


class _Flat(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="flat"):
    price_minor: int | str


class _Block(msgspec.Struct, forbid_unknown_fields=True):
    price_minor: int | str
    up_to: int | str | None = None


class _Blocks(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="block"):
    blocks: list[_Block]
    per: str = "month"


class _Period(msgspec.Struct, forbid_unknown_fields=True, rename={"start": "from"}):
    start: str
    price_minor: int | str
    name: str = ""


class _Season(msgspec.Struct, forbid_unknown_fields=True, rename={"first": "from", "last": "to"}):
    days: dict[str, list[_Period]]
    name: str = ""
    first: str = "01-01"
    last: str = "12-31"


class _TimeOfUse(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="time_of_use"):
    seasons: list[_Season]
    holidays: list[str] = []


class _Tax(msgspec.Struct, forbid_unknown_fields=True):
    basis_points: int
    is_included: bool
    name: str = "VAT"


class _Definition(msgspec.Struct, forbid_unknown_fields=True):
    energy: _Flat | _Blocks | _TimeOfUse
    fixed_minor_per_day: int | str = 0
    minimum_minor_per_day: int | str = 0
    tax: _Tax | None = None


def tariff_of(definition: Mapping[str, object]) -> Tariff:
    """Read a definition. Raises `TariffError` that names the field."""
    try:
        read = msgspec.convert(definition, _Definition)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at ")
        raise TariffError(where.strip("`").removeprefix("$.") or "definition", message) from error
    return Tariff(
        _energy(read.energy),
        _decimal(read.fixed_minor_per_day, "fixed_minor_per_day"),
        _decimal(read.minimum_minor_per_day, "minimum_minor_per_day"),
        None if read.tax is None else _tax(read.tax),
    )


def _energy(read: _Flat | _Blocks | _TimeOfUse) -> Flat | Blocks | TimeOfUse:
    if isinstance(read, _Flat):
        return Flat(_decimal(read.price_minor, "energy.price_minor"))
    return _blocks(read) if isinstance(read, _Blocks) else _time_of_use(read)


def _blocks(read: _Blocks) -> Blocks:
    if read.per not in {"month", "day"}:
        raise TariffError("energy.per", f"{read.per!r:.40} is neither 'month' nor 'day'")
    _bounded(read.blocks, 1, BLOCKS_MAX, "energy.blocks")
    blocks: list[Block] = []
    for index, block in enumerate(read.blocks):
        where = f"energy.blocks[{index}]"
        up_to_fine = _limit(block.up_to, f"{where}.up_to", is_last=index == len(read.blocks) - 1)
        if blocks and up_to_fine is not None and up_to_fine <= (blocks[-1].up_to_fine or 0):
            raise TariffError(f"{where}.up_to", f"{block.up_to} is not above the block's before it")
        blocks.append(Block(up_to_fine, _decimal(block.price_minor, f"{where}.price_minor")))
    return Blocks(tuple(blocks), is_daily=read.per == "day")


def _limit(up_to: int | str | None, where: str, *, is_last: bool) -> int | None:
    if is_last:
        if up_to is not None:
            raise TariffError(where, "the last block has no end: leave it out")
        return None
    if up_to is None:
        raise TariffError(where, "only the last block may be without an end")
    fine = _decimal(up_to, where) * FINE_PER_UNIT
    if fine.denominator != 1 or fine == 0:
        raise TariffError(where, f"{up_to} is not above 0, or has more than 6 decimals")
    return fine.numerator


def _time_of_use(read: _TimeOfUse) -> TimeOfUse:
    _bounded(read.seasons, 1, SEASONS_MAX, "energy.seasons")
    _bounded(read.holidays, 0, HOLIDAYS_MAX, "energy.holidays")
    seasons = tuple(_season(each, f"energy.seasons[{i}]") for i, each in enumerate(read.seasons))
    day = date(_LEAP_YEAR, 1, 1)
    while day.year == _LEAP_YEAR:
        named = [season.name for season in seasons if season.holds((day.month, day.day))]
        if len(named) != 1:
            raise TariffError("energy.seasons", f"{day:%m-%d} is in {len(named)} seasons, not in one")
        day += timedelta(days=1)
    holidays = (_date(text, f"energy.holidays[{i}]") for i, text in enumerate(read.holidays))
    return TimeOfUse(seasons, frozenset(holidays))


def _season(read: _Season, where: str) -> Season:
    unknown = sorted(set(read.days) - {"weekend", *_DAYS})
    if unknown:
        raise TariffError(f"{where}.days", f"{unknown} are none of {['weekend', *_DAYS]}")
    if "weekday" not in read.days:
        raise TariffError(f"{where}.days", "'weekday' is missing: the other days may fall back on it")
    named = {name: _periods(each, f"{where}.days.{name}") for name, each in read.days.items()}
    days = tuple(
        (kind, next(named[name] for name in names if name in named)) for kind, names in _DAYS.items()
    )
    return Season(
        read.name, _month_day(read.first, f"{where}.from"), _month_day(read.last, f"{where}.to"), days
    )


def _periods(read: Sequence[_Period], where: str) -> tuple[Period, ...]:
    _bounded(read, 1, PERIODS_MAX, where)
    periods: list[Period] = []
    for index, each in enumerate(read):
        field = f"{where}[{index}]"
        starts_at = _time(each.start, f"{field}.from")
        if index == 0 and starts_at != time.min:
            raise TariffError(f"{field}.from", f"{each.start} is not 00:00, where a day begins")
        if periods and starts_at <= periods[-1].starts_at:
            raise TariffError(f"{field}.from", f"{each.start} is not after the period before it")
        periods.append(Period(starts_at, each.name, _decimal(each.price_minor, f"{field}.price_minor")))
    return tuple(periods)


def _tax(read: _Tax) -> Tax:
    if not 0 <= read.basis_points <= BASIS_POINTS:
        raise TariffError("tax.basis_points", f"{read.basis_points} is not 0 to {BASIS_POINTS}")
    return Tax(read.name, read.basis_points, read.is_included)


def _decimal(value: int | str, where: str) -> Fraction:
    if not _DECIMAL.fullmatch(str(value)):
        raise TariffError(where, f"{value!r:.40} is no decimal number of 0 or more")
    return Fraction(str(value))


def _time(text: str, where: str) -> time:
    try:
        read = time.fromisoformat(text)
    except ValueError as error:
        raise TariffError(where, f"{text!r:.40} is no time of day such as 06:30") from error
    if read.tzinfo is not None:
        raise TariffError(where, f"{text!r:.40} has a zone: times are of the estate's wall clock")
    return read


def _month_day(text: str, where: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d\d)-(\d\d)", text, re.ASCII)
    try:
        day = date(_LEAP_YEAR, int(found[1]), int(found[2])) if found else None
    except ValueError:
        day = None
    if day is None:
        raise TariffError(where, f"{text!r:.40} is no month and day such as 06-01")
    return day.month, day.day


def _date(text: str, where: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise TariffError(where, f"{text!r:.40} is no date such as 2026-12-25") from error
    if not _CENTURY[0] <= day <= _CENTURY[1]:
        raise TariffError(where, f"{text} is not of this century")
    return day


def _bounded(items: Sequence[object], low: int, high: int, where: str) -> None:
    if not low <= len(items) <= high:
        raise TariffError(where, f"{len(items)} items, not {low} to {high}")
