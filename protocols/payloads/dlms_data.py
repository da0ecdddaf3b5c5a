"""A-XDR coded data of DLMS/COSEM (IEC 62056-6-2 clause 4.1.5, IEC 61334-6) as a tree of values.

Used by `protocols.payloads.dlms_push`. Read here rather than by `dlms-cosem` (25.1), which knows no floats,
no compact arrays and no bound of depth, and forgets which type a value had.
"""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from protocols.payloads.times import Clock
from protocols.samples import DecodeError

DEPTH_MAX = 16
ITEMS_MAX = 50_000  # of one body
CLOCK_BYTES = 12

NULL, ARRAY, STRUCTURE, BOOLEAN, BIT_STRING = 0, 1, 2, 3, 4
OCTET_STRING, VISIBLE_STRING, UTF8_STRING, BCD, COMPACT_ARRAY = 9, 10, 12, 13, 19
INTEGER, LONG_UNSIGNED, ENUM, DATE_TIME, DONT_CARE = 15, 18, 22, 25, 255
# tag -> (bytes, is_signed)
_INTEGERS = {
    BOOLEAN: (1, False),
    BCD: (1, False),
    5: (4, True),
    6: (4, False),
    INTEGER: (1, True),
    16: (2, True),
    17: (1, False),
    LONG_UNSIGNED: (2, False),
    20: (8, True),
    21: (8, False),
    ENUM: (1, False),
}
_FLOATS = {23: ">f", 24: ">d"}
_FIXED_OCTETS = {DATE_TIME: CLOCK_BYTES, 26: 5, 27: 4}
_DEVIATION_NOT_SAID = -0x8000
_NOT_SAID = 0xFF


@dataclass(frozen=True, slots=True)
class Data:
    """One value with its tag; of arrays and structures `items`, of everything else `value`."""

    tag: int
    value: int | float | str | bytes | None = None
    items: tuple["Data", ...] = ()

    @property
    def is_list(self) -> bool:
        """Whether it is an array or a structure."""
        return self.tag in (ARRAY, STRUCTURE)


class Reader:
    """Takes bytes off one buffer; raises `DecodeError` where they end too early."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0
        self._items_left = ITEMS_MAX

    @property
    def left(self) -> int:
        """How many bytes have not been read."""
        return len(self._raw) - self._at

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > self.left:
            raise DecodeError(
                "truncated", f"byte {self._at}", f"{count} bytes expected, {self.left} are left"
            )
        part = self._raw[self._at : self._at + count]
        self._at += count
        return part

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def length(self) -> int:
        """A length: one byte, or 80 + n and n bytes."""
        first = self.byte()
        return first if first < 0x80 else int.from_bytes(self.take(first & 0x7F), "big")

    def octets(self) -> bytes:
        """An octet-string with its length."""
        return self.take(self.length())

    def data(self, depth: int = 0) -> Data:
        """One value of the CHOICE `Data`."""
        return self._value(self.byte(), depth)

    def _value(self, tag: int, depth: int) -> Data:
        self._items_left -= 1
        if depth > DEPTH_MAX or self._items_left < 0:
            raise DecodeError("too_large", f"byte {self._at}", "nested too deep or too many values")
        if tag in (ARRAY, STRUCTURE):
            return Data(tag, items=tuple(self.data(depth + 1) for _ in range(self._count(self.length()))))
        if tag == COMPACT_ARRAY:
            return self._compact_array(depth)
        return Data(tag, self._simple(tag))

    def _count(self, count: int) -> int:
        if count > self._items_left:
            raise DecodeError(
                "too_large", f"byte {self._at}", f"{count} values, at most {ITEMS_MAX} are read"
            )
        return count

    def _simple(self, tag: int) -> int | float | str | bytes | None:
        if tag in (NULL, DONT_CARE):
            return None
        if tag in _INTEGERS:
            size, is_signed = _INTEGERS[tag]
            return int.from_bytes(self.take(size), "big", signed=is_signed)
        if tag in _FLOATS:
            number: float = struct.unpack(_FLOATS[tag], self.take(struct.calcsize(_FLOATS[tag])))[0]
            return number
        if tag in (VISIBLE_STRING, UTF8_STRING):
            return self.octets().decode("utf-8", "replace")
        return self.take(self._size(tag))

    def _size(self, tag: int) -> int:
        if tag == OCTET_STRING:
            return self.length()
        if tag == BIT_STRING:
            return (self.length() + 7) // 8
        if tag in _FIXED_OCTETS:
            return _FIXED_OCTETS[tag]
        raise DecodeError("type", f"byte {self._at - 1}", f"{tag} is no type of COSEM data")

    def _compact_array(self, depth: int) -> Data:
        """A type description, then the values without their tags."""
        kind = self._description(depth)
        content = Reader(self.octets())
        content._items_left = self._items_left
        items: list[Data] = []
        while content.left:
            before = content.left
            items.append(content._described(kind, depth + 1))
            if content.left == before:
                raise DecodeError("type", f"byte {self._at}", "a compact array of values without length")
        self._items_left = content._items_left
        return Data(ARRAY, items=tuple(items))

    def _description(self, depth: int) -> tuple[int, int, tuple["_Kind", ...]]:
        if depth > DEPTH_MAX:
            raise DecodeError("too_large", f"byte {self._at}", "a type nested too deep")
        tag = self.byte()
        if tag == ARRAY:
            count = int.from_bytes(self.take(2), "big")
            return tag, count, (self._description(depth + 1),)
        if tag == STRUCTURE:
            return tag, 1, tuple(self._description(depth + 1) for _ in range(self.byte()))
        return tag, 1, ()

    def _described(self, kind: "_Kind", depth: int) -> Data:
        tag, count, parts = kind
        if tag not in (ARRAY, STRUCTURE):
            return self._value(tag, depth)
        self._items_left -= 1
        if depth > DEPTH_MAX or self._items_left < 0:
            raise DecodeError("too_large", f"byte {self._at}", "nested too deep or too many values")
        members = parts * self._count(count)
        return Data(tag, items=tuple(self._described(part, depth + 1) for part in members))


_Kind = tuple[int, int, tuple["_Kind", ...]]


def clock_us(raw: bytes, clock: Clock) -> int | None:
    """A date-time (IEC 62056-6-2 clause 4.1.6.1) as microseconds since 1970; None where it says no moment.

    The deviation is local time to UTC in minutes; where it is not said the device's clock is `clock`.
    """
    if len(raw) != CLOCK_BYTES or clock.zone is None:
        return None
    year, deviation = int.from_bytes(raw[:2], "big"), int.from_bytes(raw[9:11], "big", signed=True)
    hour, minute, second, hundredths = (0 if each == _NOT_SAID else each for each in raw[5:9])
    try:
        moment = datetime(year, raw[2], raw[3], hour, minute, second, min(hundredths, 99) * 10_000)  # noqa: DTZ001
        if deviation != _DEVIATION_NOT_SAID:
            moment = moment.replace(tzinfo=UTC if not deviation else timezone(-timedelta(minutes=deviation)))
    except ValueError:
        return None
    return clock.wall_us(moment)
