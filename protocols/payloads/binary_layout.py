"""The declarative layout of a raw binary payload: its parts, and the reader that names what is wrong in one.

Used by `protocols.payloads.binary`; `docs/payloads.md` is the description for people who write layouts.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from protocols.measurements import CHANNEL_MAX
from protocols.payloads.checksums import CRC16
from protocols.payloads.times import STEP_S_MAX
from protocols.quantities import CODES
from protocols.samples import DecodeError

FIELDS_MAX = 200
GROUPS_MAX = 20
CASES_MAX = 50
ITEMS_MAX = 5_000
BYTES_MAX = 65_535
TEXT_MAX = 64
Endian = Literal["big", "little"]

# type -> (kind, bytes); 0 bytes: the layout says how many.
TYPES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        **{f"u{8 * size}": ("unsigned", size) for size in range(1, 9)},
        **{f"i{8 * size}": ("signed", size) for size in range(1, 9)},
        "f32": ("float", 4),
        "f64": ("float", 8),
        "bcd": ("bcd", 0),
        "ascii": ("ascii", 0),
        "hex": ("hex", 0),
        "imei_bcd": ("imei", 8),
        "ymdhms": ("calendar", 6),
        "ymdhms_bcd": ("calendar_bcd", 6),
    }
)
_NUMBERS = ("unsigned", "signed", "float", "bcd")
_NAMES = ("bcd", "ascii", "hex", "imei", "unsigned")
_CALENDARS = ("calendar", "calendar_bcd")
_Part = TypeVar("_Part")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value stands: `at` from the begin of the payload or item, below 0 from its end.

    `bits`: (lowest bit, count) of the unsigned value.
    """

    at: int
    kind: str
    size: int
    endian: Endian
    bits: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """stored = raw x scale + offset; a raw value in `invalid` is none.

    `delta_of`: the raw value is the difference to that field (then to the item before).
    """

    name: str
    source: Source
    scale: Decimal
    offset: Decimal
    quantity: str | None
    channel: int
    invalid: frozenset[int]
    delta_of: str | None


@dataclass(frozen=True, slots=True)
class TimeField:
    """`unit_s` seconds are one count, since `epoch_s` after 1970; of calendars neither counts."""

    source: Source
    unit_s: Decimal
    epoch_s: int


@dataclass(frozen=True, slots=True)
class Group:
    """Items one behind the other; `count` None: to the end less `tail` bytes."""

    at: int
    size: int
    count: int | Source | None
    tail: int
    fields: tuple[Field, ...]
    time: TimeField | None
    step_s: float | None
    newest_first: bool
    first_age: int
    empty_byte: int | None


@dataclass(frozen=True, slots=True)
class Case:
    """Fields and groups of payloads in which `source` has the value `equals`."""

    source: Source
    equals: int
    fields: tuple[Field, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Checksum:
    """Of the bytes `start` to `end` (slice rules), kept in the two bytes at `at`."""

    name: str
    source: Source
    start: int
    end: int | None


@dataclass(frozen=True, slots=True)
class Layout:
    """A whole layout."""

    identity: Source | None
    time: TimeField | None
    checksum: Checksum | None
    fields: tuple[Field, ...]
    groups: tuple[Group, ...]
    cases: tuple[Case, ...]


class _Reader:
    """One object of the layout: takes its keys, and says at the end which it did not know."""

    def __init__(self, value: Any, where: str, endian: Endian = "big") -> None:
        if not isinstance(value, Mapping):
            raise wrong(where, "is not an object")
        self._value, self.where = value, where
        self._taken: set[str] = set()
        self.endian: Endian = endian
        self.endian = self._endian()

    def has(self, key: str) -> bool:
        return self._value.get(key) is not None

    def get(self, key: str, default: Any = None) -> Any:
        self._taken.add(key)
        found = self._value.get(key)
        return default if found is None else found

    def at(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def integer(self, key: str, least: int, most: int, default: int | None = None) -> int:
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise wrong(self.at(key), f"is not a whole number of {least} to {most}")
        return value

    def number(self, key: str, default: int | float) -> Decimal:
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise wrong(self.at(key), "is not a finite number")
        return Decimal(str(value))

    def text(self, key: str, default: str | None = None) -> str:
        value = self.get(key, default)
        if not isinstance(value, str) or not 0 < len(value) <= TEXT_MAX:
            raise wrong(self.at(key), f"is not a text of 1 to {TEXT_MAX} characters")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise wrong(self.at(key), "is not true or false")
        return value

    def many(self, key: str, most: int, read: Callable[["_Reader"], _Part]) -> tuple[_Part, ...]:
        value = self.get(key, ())
        if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) > most:
            raise wrong(self.at(key), f"is not a list of at most {most}")
        found: list[_Part] = []
        for index, each in enumerate(value):
            reader = _Reader(each, f"{self.at(key)}[{index}]", self.endian)
            found.append(read(reader))
            reader.close()
        return tuple(found)

    def close(self) -> None:
        unknown = sorted(str(key) for key in self._value if key not in self._taken)
        if unknown:
            raise wrong(self.at(unknown[0][:TEXT_MAX]), "is no field of a layout here")

    def _endian(self) -> Endian:
        value = self.get("endian", self.endian)
        if value == "big":
            return "big"
        if value == "little":
            return "little"
        raise wrong(self.at("endian"), 'is not "big" or "little"')


def wrong(where: str, message: str) -> DecodeError:
    """The error of a layout; `field` is the way to what is wrong in it."""
    return DecodeError("layout", where or "layout", message)


def read_layout(value: Any) -> Layout:
    """Check a layout. Raises `DecodeError` (`layout`) that names the wrong field."""
    reader = _Reader(value, "")
    layout = Layout(
        _sub(reader, "identity", lambda each: _source(each, _NAMES)),
        _sub(reader, "time", _time),
        _sub(reader, "checksum", _checksum),
        reader.many("fields", FIELDS_MAX, _field),
        reader.many("groups", GROUPS_MAX, _group),
        reader.many("cases", CASES_MAX, _case),
    )
    reader.close()
    if not (layout.fields or layout.groups or layout.cases):
        raise wrong("fields", "a layout has fields, groups or cases")
    _check_deltas(layout.fields, layout.groups, "groups")
    for index, case in enumerate(layout.cases):
        _check_deltas((*layout.fields, *case.fields), case.groups, f"cases[{index}].groups")
    return layout


def _sub(reader: _Reader, key: str, read: Callable[[_Reader], _Part]) -> _Part | None:
    value = reader.get(key)
    if value is None:
        return None
    inner = _Reader(value, reader.at(key), reader.endian)
    found = read(inner)
    inner.close()
    return found


def _source(reader: _Reader, kinds: Sequence[str] = _NUMBERS) -> Source:
    at = reader.integer("at", -BYTES_MAX, BYTES_MAX)
    name = reader.text("type")
    kind, size = TYPES.get(name, ("", 0))
    if kind not in kinds:
        known = ", ".join(each for each, (of, _) in TYPES.items() if of in kinds)
        raise wrong(reader.at("type"), f"{name!r} is none of {known}")
    if size == 0:
        size = reader.integer("bytes", 1, TEXT_MAX)
    bits = None
    if reader.has("bit") or reader.has("bits"):
        if kind != "unsigned":
            raise wrong(reader.at("bit"), "bits are taken of unsigned values only")
        low = reader.integer("bit", 0, 8 * size - 1, 0)
        bits = (low, reader.integer("bits", 1, 8 * size - low, 1))
    return Source(at, kind, size, reader.endian, bits)


def _field(reader: _Reader) -> Field:
    quantity = reader.get("quantity")
    if quantity is not None and not (isinstance(quantity, str) and quantity in CODES):
        raise wrong(reader.at("quantity"), f"{str(quantity)[:TEXT_MAX]!r} is no quantity that is stored")
    kinds = (*_NUMBERS, "ascii", "hex") if quantity is None else _NUMBERS
    invalid = reader.get("invalid", ())
    if not isinstance(invalid, Sequence) or not all(type(each) is int for each in invalid):
        raise wrong(reader.at("invalid"), "is not a list of whole numbers")
    return Field(
        reader.text("name"),
        _source(reader, kinds),
        reader.number("scale", 1),
        reader.number("offset", 0),
        quantity,
        reader.integer("channel", 0, CHANNEL_MAX, 0),
        frozenset(invalid),
        reader.text("delta_of") if reader.has("delta_of") else None,
    )


def _time(reader: _Reader) -> TimeField:
    source = _source(reader, ("unsigned", "bcd", *_CALENDARS))
    unit_s = reader.number("unit_s", 1)
    if unit_s <= 0:
        raise wrong(reader.at("unit_s"), "is not above 0")
    return TimeField(source, unit_s, reader.integer("epoch_s", 0, 2**32, 0))


def _checksum(reader: _Reader) -> Checksum:
    name = reader.text("type")
    if name not in CRC16:
        raise wrong(reader.at("type"), f"{name!r} is none of {', '.join(CRC16)}")
    source = Source(reader.integer("at", -BYTES_MAX, BYTES_MAX), "unsigned", 2, reader.endian)
    start = reader.integer("start", 0, BYTES_MAX, 0)
    end = reader.integer("end", -BYTES_MAX, BYTES_MAX) if reader.has("end") else None
    return Checksum(name, source, start, end)


def _group(reader: _Reader) -> Group:
    count: int | Source | None = None
    if isinstance(reader.get("count"), Mapping):
        count = _sub(reader, "count", lambda each: _source(each, ("unsigned", "bcd")))
    elif reader.get("count", "end") != "end":
        count = reader.integer("count", 1, ITEMS_MAX)
    step_s = float(reader.number("step_s", 0)) if reader.has("step_s") else None
    if step_s is not None and not 0 < step_s <= STEP_S_MAX:
        raise wrong(reader.at("step_s"), f"is not above 0 and at most {STEP_S_MAX}")
    group = Group(
        at=reader.integer("at", 0, BYTES_MAX),
        size=reader.integer("size", 1, BYTES_MAX),
        count=count,
        tail=reader.integer("tail", 0, BYTES_MAX, 0),
        fields=reader.many("fields", FIELDS_MAX, _field),
        time=_sub(reader, "time", _time),
        step_s=step_s,
        newest_first=reader.flag("newest_first", False),
        first_age=reader.integer("first_age", 0, ITEMS_MAX, 0),
        empty_byte=reader.integer("empty_byte", 0, 255) if reader.has("empty_byte") else None,
    )
    if group.time is None and group.step_s is None:
        raise wrong(reader.at("time"), "items need a time of their own or step_s")
    for index, each in enumerate(group.fields):
        if not 0 <= each.source.at <= group.size - each.source.size:
            raise wrong(
                f"{reader.where}.fields[{index}].at", f"does not lie in an item of {group.size} bytes"
            )
    return group


def _case(reader: _Reader) -> Case:
    when = _sub(
        reader, "when", lambda each: (_source(each, ("unsigned", "bcd")), each.integer("equals", 0, 2**64))
    )
    if when is None:
        raise wrong(reader.at("when"), "is missing")
    fields = reader.many("fields", FIELDS_MAX, _field)
    return Case(when[0], when[1], fields, reader.many("groups", GROUPS_MAX, _group))


def _check_deltas(fields: Sequence[Field], groups: Sequence[Group], where: str) -> None:
    names = {each.name for each in fields}
    for index, group in enumerate(groups):
        for number, each in enumerate(group.fields):
            if each.delta_of is not None and each.delta_of not in names:
                raise wrong(f"{where}[{index}].fields[{number}].delta_of", f"{each.delta_of!r} is no field")
