"""From a codec's JSON to measurements: by the rows of a profile's mapping, or by names that say enough.

Used by the codec workers (`stream.codecs`), by decoders of JSON payloads and by the API, which checks
mappings by `read_mapping`. A row:

    {"path": "readings[].value", "quantity": "water_m3", "scale": 0.001, "offset": 0, "channel": 0,
     "time_path": "readings[].time"}

A path is keys joined by dots; `[3]` takes one item of an array, `[]` each, `["a.b"]` a key with other
letters. The `[]` of a time's path go with those of the value's; `"channel": "index"` numbers the items of
the last `[]`. Units are those of `protocols.quantities`: stored = value * scale + offset. Other keys stay
in the JSON only.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from protocols.known_keys import (
    KEYS,
    NORMALISED,
    NORMALISED_BATTERY,
    NORMALISED_ROOTS,
    TIME_KEYS,
    spelled,
)
from protocols.measurements import CHANNEL_MAX, MEASUREMENTS_MAX, Measurement
from protocols.quantities import CODES
from protocols.samples import DecodeError
from protocols.timestamps import US_PER_SECOND, parse_timestamp

ROWS_MAX = 200
PATH_CHARACTERS_MAX = 200
ITEMS_MAX = 100  # of an array without a mapping
LOOKS_MAX = 100_000  # at items of arrays, by all rows of a mapping together: a tenth of a second

_FIELDS = {"path", "quantity", "scale", "offset", "channel", "time_path"}
_STEP = re.compile(r"""\.?([^.\[\]"]+)|\[(\d{1,5})?\]|\["([^"\]]+)"\]""")
_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?\s*", re.ASCII)
# Numbers above are milliseconds since 1970: as seconds they lie after the year 5000.
_SECONDS_MAX = 100_000_000_000
_YEAR_9999_MS = 253_402_300_799_000

EACH = -1
Step = str | int  # a key, an index, or EACH
Path = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class MappingRow:
    """One checked row; `channel` None is the index of the last `[]`."""

    path: Path
    quantity: str
    scale: float
    offset: float
    channel: int | None
    time_path: Path | None


MeterMapping = tuple[MappingRow, ...]


def read_mapping(value: Any) -> MeterMapping:
    """Check a mapping's rows; raises `DecodeError` (`mapping`) with the row, the field and what is wrong."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise _wrong("mapping", "is not a list of rows")
    if len(value) > ROWS_MAX:
        raise _wrong("mapping", f"has {len(value)} rows, at most {ROWS_MAX} are taken")
    return tuple(_read_row(each, f"mapping[{index}]") for index, each in enumerate(value))


def _read_row(value: Any, at: str) -> MappingRow:
    if not isinstance(value, Mapping):
        raise _wrong(at, "is not an object")
    unknown = sorted(str(key) for key in value if key not in _FIELDS)
    if unknown:
        raise _wrong(f"{at}.{unknown[0]}", f"is no field of a row ({', '.join(sorted(_FIELDS))})")
    path = _read_path(value.get("path"), f"{at}.path")
    quantity = value.get("quantity")
    if not isinstance(quantity, str) or quantity not in CODES:
        raise _wrong(f"{at}.quantity", f"{str(quantity)[:80]!r} is no quantity that is stored")
    scale = _read_number(value.get("scale", 1), f"{at}.scale")
    if scale == 0:
        raise _wrong(f"{at}.scale", "is 0: every value would be")
    offset = _read_number(value.get("offset", 0), f"{at}.offset")
    channel = _read_channel(value.get("channel", 0), path, f"{at}.channel")
    time_path = _read_time_path(value.get("time_path"), path, f"{at}.time_path")
    if EACH in path and time_path is None and channel is not None:
        raise _wrong(at, 'maps each item of an array: it needs a time_path or "channel": "index"')
    return MappingRow(path, quantity, scale, offset, channel, time_path)


def _read_path(value: Any, at: str) -> Path:
    if not isinstance(value, str) or not 0 < len(value) <= PATH_CHARACTERS_MAX:
        raise _wrong(at, f"is not a text of 1 to {PATH_CHARACTERS_MAX} characters")
    steps: list[Step] = []
    position = 0
    while position < len(value):
        match = _STEP.match(value, position)
        if match is None or (position == 0 and value[0] == "."):
            raise _wrong(at, f"cannot be read at {value[position:][:20]!r}")
        key, index, quoted = match.groups()
        name = key if key is not None else quoted
        steps.append(name if name is not None else EACH if index is None else int(index))
        position = match.end()
    return tuple(steps)


def _read_time_path(value: Any, path: Path, at: str) -> Path | None:
    if value is None:
        return None
    found = _read_path(value, at)
    if found.count(EACH) > path.count(EACH):
        raise _wrong(at, "has more [] than the path of the value")
    return found


def _read_number(value: Any, at: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(at, "is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _wrong(at, "is not a finite number")
    return number


def _read_channel(value: Any, path: Path, at: str) -> int | None:
    if value == "index":
        if EACH not in path:
            raise _wrong(at, 'is "index", but the path has no []')
        return None
    if type(value) is not int or not 0 <= value <= CHANNEL_MAX:
        raise _wrong(at, f'is neither 0 to {CHANNEL_MAX} nor "index"')
    return value


def _wrong(at: str, message: str) -> DecodeError:
    return DecodeError("mapping", at, message)


def measurements_of(
    data: Any, mapping: Sequence[Mapping[str, Any]] | MeterMapping
) -> tuple[Measurement, ...]:
    """Return what of a codec's JSON is stored. Without rows: the normalised payload and well-known keys.

    `mapping` is a profile's rows, or what `read_mapping` made of them (once, where many payloads come).
    What is not there, is no number or has no readable time is left out; numbers as text and booleans count.
    Raises `DecodeError` where the mapping is wrong (`mapping`) or there are too many values (`too_many`).
    """
    rows = mapping if _is_read(mapping) else read_mapping(mapping)
    found = _mapped(data, rows) if rows else _known(data)
    taken: list[Measurement] = []
    for each in found:
        taken.append(each)
        if len(taken) > MEASUREMENTS_MAX:
            raise DecodeError("too_many", "", f"more than {MEASUREMENTS_MAX} values")
    return tuple(taken)


def codec_measurements(data: Any, normalised: Any, mapping: MeterMapping) -> tuple[Measurement, ...]:
    """Return what of a codec's output is stored: of its data by the mapping, or where there is none of what
    it was normalised to, or where that has nothing, of its data by well-known keys. Raises `DecodeError`.
    """
    found = () if mapping or normalised is None else measurements_of(normalised, ())
    return found or measurements_of(data, mapping)


def _is_read(mapping: Any) -> bool:
    return isinstance(mapping, tuple) and all(isinstance(row, MappingRow) for row in mapping)


@dataclass(slots=True)
class _Looks:
    """How many items of arrays may still be looked at."""

    left: int = LOOKS_MAX

    def take(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise DecodeError("too_many", "", f"more than {LOOKS_MAX} items of arrays for its mapping")


def _mapped(data: Any, rows: Any) -> Iterator[Measurement]:
    looks = _Looks()
    for row in rows:
        for indices, raw in _values(data, row.path, looks):
            value = _number_of(raw)
            ts_us = None if row.time_path is None else _time_at(data, row.time_path, indices)
            if value is None or (row.time_path is not None and ts_us is None):
                continue
            stored = _scaled(value, row.scale, row.offset)
            channel = indices[-1] if row.channel is None else row.channel
            if stored is not None and channel <= CHANNEL_MAX:
                yield Measurement(row.quantity, stored, ts_us, channel)


def _values(
    data: Any, path: Path, looks: _Looks, indices: tuple[int, ...] = ()
) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Yield each value at `path` with the indices that its `[]` stand for."""
    for position, step in enumerate(path):
        if step == EACH:
            items = data if isinstance(data, list) else []
            for index, item in enumerate(items):
                looks.take()
                yield from _values(item, path[position + 1 :], looks, (*indices, index))
            return
        data = _step(data, step)
    yield indices, data


def _step(data: Any, step: Step) -> Any:
    if isinstance(step, int):
        return data[step] if isinstance(data, list) and step < len(data) else None
    return data.get(step) if isinstance(data, dict) else None


def _time_at(data: Any, path: Path, indices: tuple[int, ...]) -> int | None:
    remaining = iter(indices)
    for step in path:
        data = _step(data, next(remaining) if step == EACH else step)
    return time_of(data)


def _scaled(value: float, scale: float, offset: float = 0.0) -> float | None:
    """Compute in decimals, as people and registers count: 9 l are 0.009 m3. None where it is not finite."""
    if not math.isfinite(value) or (scale == 1 and offset == 0):
        return value if math.isfinite(value) else None
    stored = float(Decimal(repr(value)) * Decimal(repr(scale)) + Decimal(repr(offset)))
    return stored if math.isfinite(stored) else None


def _number_of(value: Any) -> float | None:
    """Read a number, a boolean or a number as text; None for anything else."""
    if isinstance(value, str):
        value = float(value) if len(value) <= 40 and _NUMBER.fullmatch(value) else None
    if not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def time_of(value: Any) -> int | None:
    """Microseconds since 1970 of RFC 3339 text, or of seconds or milliseconds since then; None: no time."""
    if isinstance(value, str):
        try:
            return parse_timestamp(value)
        except DecodeError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _YEAR_9999_MS:
        return None
    return round(value * (US_PER_SECOND if value <= _SECONDS_MAX else 1000))


def _known(data: Any) -> Iterator[Measurement]:
    """Yield what names that speak for themselves say: of an object, or of each in an array of them."""
    items = data if isinstance(data, list) else [data]
    for item in items[:ITEMS_MAX]:
        if isinstance(item, dict):
            yield from _known_object(item)


def _known_object(item: dict[str, Any]) -> Iterator[Measurement]:
    ts_us = next((time for key in TIME_KEYS if (time := time_of(item.get(key))) is not None), None)
    if not NORMALISED_ROOTS.isdisjoint(item):
        yield from _normalised(item, ts_us)
    for key, raw in item.items():
        quantity, scale = KEYS.get(spelled(str(key)[:PATH_CHARACTERS_MAX]), ("", 0.0))
        if quantity:
            yield from _measured(raw, quantity, scale, ts_us)


def _normalised(item: dict[str, Any], ts_us: int | None) -> Iterator[Measurement]:
    is_found = False
    for path, (quantity, scale) in NORMALISED.items():
        value: Any = item
        for step in path.split("."):
            value = _step(value, step)
        for each in _measured(value, quantity, scale, ts_us):
            is_found = True
            yield each
    if is_found:
        yield from _measured(item.get("battery"), *NORMALISED_BATTERY, ts_us)


def _measured(raw: Any, quantity: str, scale: float, ts_us: int | None) -> Iterator[Measurement]:
    number = _number_of(raw)
    stored = None if number is None else _scaled(number, scale)
    if stored is not None:
        yield Measurement(quantity, stored, ts_us)
