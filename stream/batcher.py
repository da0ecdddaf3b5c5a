"""Decoded rows of many devices, gathered into columns: one group a log partition and table at a time.

Used by `stream.log.Publisher`. Pure: no clock, no I/O. What a group cannot hold is refused when it comes
(`DecodeError`), so that one device's nonsense never spoils the batch it would have shared.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from protocols.samples import DecodeError, Reason, Rows
from storage.columns import Batch, ColumnData
from storage.hypertables import SERIES, Column, Hypertable, Type
from stream.frames import REASON

# \u0000 behind an even number of backslashes; behind an odd one it is only text
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
YEAR_1_US = -62_135_596_800_000_000
YEAR_9999_US = 253_402_300_799_999_999  # the last microsecond that Python's calendar can show
ROW_BYTES_MAX = 256 << 10  # of one row; a frame holds at least one

_SHELL_COLUMNS = {"device_id", "received_at"}
_OFFSET_BYTES = 4
_INTEGERS = {
    Type.TIMESTAMPTZ: (YEAR_1_US, YEAR_9999_US),
    Type.INT2: (-(2**15), 2**15 - 1),
    Type.INT4: (-(2**31), 2**31 - 1),
    Type.INT8: (-(2**63), 2**63 - 1),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a group: it closes at `rows` or `bytes`, and is due `age_us` after its first row."""

    rows: int = 8192
    bytes: int = 512 << 10
    age_us: int = 2000


class Checked(msgspec.Struct, frozen=True):
    """Rows that their table can hold; `bytes` is what they take in a frame, at most."""

    rows: Rows
    table: Hypertable
    bytes: int


def check_rows(rows: Rows) -> Checked:
    """Check every value against its column. Raises `DecodeError` that names the first wrong column."""
    form = _FORMS.get(rows.table)
    if form is None:
        raise DecodeError("unknown_table", "", f"no time series is called {rows.table!r}")
    unknown = rows.columns.keys() - form.names
    if unknown:
        raise DecodeError("unknown_column", min(unknown), f"{form.table.name} has no such column to fill")
    size = rows.count * _FIXED_BYTES
    for column, width, check in form.checks:
        size += width * rows.count + _check_column(column, check, rows)
    return Checked(rows, form.table, size)


_FIXED_BYTES = sum(kind.width for kind in (Type.INT4, Type.TIMESTAMPTZ, Type.INT2))  # the shell's columns


def _check_column(column: Column, check: "_Check", rows: Rows) -> int:
    """Check one column and return what it takes beyond its fixed width, in bytes."""
    values = rows.columns.get(column.name)
    if values is None:
        if not column.nullable:
            raise DecodeError("missing", column.name, "must be given")
        return 0
    if len(values) != rows.count:
        raise DecodeError("wrong_count", column.name, f"{len(values)} values for {rows.count} rows")
    if not column.nullable and None in values:
        raise DecodeError("missing", column.name, "must not be null")
    return check(column, values)


def _check_integers(column: Column, values: Sequence[Any]) -> int:
    low, high = _INTEGERS[column.type]
    for value in values:
        if value is None:
            continue
        if type(value) is not int:
            raise DecodeError("wrong_type", column.name, f"{type(value).__name__} is not an integer")
        if not low <= value <= high:
            raise DecodeError("out_of_type", column.name, f"must lie within {low} and {high}")
    return 0


def _check_floats(column: Column, values: Sequence[Any]) -> int:
    for value in values:
        if value is None or type(value) is float:
            continue
        if type(value) is not int:
            raise DecodeError("wrong_type", column.name, f"{type(value).__name__} is not a number")
        if not -(2**63) <= value < 2**63:
            raise DecodeError("out_of_type", column.name, "an integer of more than 64 bits")
    return 0


def _check_arrays(column: Column, values: Sequence[Any]) -> int:
    elements = 0
    for value in values:
        if value is None:
            continue
        if not isinstance(value, (list, tuple)) or None in value:
            raise DecodeError("wrong_type", column.name, "is not a list of numbers")
        _check_floats(column, value)
        elements += _bounded(column, len(value) * column.type.dtype.itemsize)
    return elements


def _check_text(column: Column, values: Sequence[Any]) -> int:
    size = 0
    for value in values:
        if value is None:
            continue
        size += _check_bytes(column, (value,))
        try:
            text = value.decode()
        except UnicodeDecodeError as error:
            raise DecodeError("not_utf8", column.name, str(error)) from error
        if "\0" in text:
            raise DecodeError("nul_character", column.name, "text cannot hold the character NUL")
        if column.type is Type.JSONB:
            _check_json(column, text)
    return size


def _check_bytes(column: Column, values: Sequence[Any]) -> int:
    size = 0
    for value in values:
        if value is None:
            continue
        if not isinstance(value, bytes):
            raise DecodeError("wrong_type", column.name, f"{type(value).__name__} is not bytes")
        size += _bounded(column, len(value))
    return size


def _check_json(column: Column, text: str) -> None:
    if _ESCAPED_NUL.search(text):
        raise DecodeError("nul_character", column.name, "jsonb cannot hold the character NUL")
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DecodeError("not_json", column.name, str(error)) from error


def _bounded(column: Column, size: int) -> int:
    if size > ROW_BYTES_MAX:
        raise DecodeError("too_long", column.name, f"{size} bytes in one row, at most {ROW_BYTES_MAX}")
    return size


_Check = Callable[[Column, Sequence[Any]], int]
_CHECKS: Mapping[Type, _Check] = {
    **dict.fromkeys(_INTEGERS, _check_integers),
    Type.FLOAT4: _check_floats,
    Type.FLOAT8: _check_floats,
    Type.FLOAT4_ARRAY: _check_arrays,
    Type.TEXT: _check_text,
    Type.JSONB: _check_text,
    Type.BYTEA: _check_bytes,
}


@dataclass(frozen=True, slots=True)
class _Form:
    """What a device may fill of a table, looked up once: names, and columns with their width and check."""

    table: Hypertable
    names: frozenset[str]
    checks: tuple[tuple[Column, int, _Check], ...]


def _form(table: Hypertable) -> _Form:
    columns = [column for column in table.columns if column.name not in _SHELL_COLUMNS]
    checks = (
        (column, (column.type.width or _OFFSET_BYTES) + column.nullable, _CHECKS[column.type])
        for column in columns
    )
    return _Form(table, frozenset(column.name for column in columns), tuple(checks))


_FORMS = {table.name: _form(table) for table in SERIES}


@dataclass(slots=True)
class _Group:
    """Rows of one table for one partition, as lists still."""

    number: int
    table: Hypertable
    first_us: int
    columns: dict[str, list[Any]]
    rows: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """One group as columns, with `reason` among them; `number` is what `Batcher.add` called it."""

    number: int
    table: Hypertable
    batch: Batch


@dataclass(slots=True)
class _Partition:
    closed: deque[_Group] = field(default_factory=deque)
    open: dict[str, _Group] = field(default_factory=dict)


class Batcher:
    """Gathers rows by partition (`device_id % partitions`) and table; its caller bounds how many it holds."""

    def __init__(self, partitions: int, limits: Limits) -> None:
        self._partitions = [_Partition() for _ in range(partitions)]
        self._limits = limits
        self._count = 0

    def partition_of(self, device_id: int) -> int:
        """Return the partition that all rows of a device go to, in their order."""
        return device_id % len(self._partitions)

    def add(
        self, checked: Checked, *, device_id: int, received_at_us: int, reason: Reason, now_us: int
    ) -> list[int]:
        """Add rows of one device and return the numbers of the groups that hold them: several if many.

        Raises `DecodeError` for a device id or arrival time that no column can hold.
        """
        _check_integers(checked.table.by_name["device_id"], (device_id,))
        _check_integers(checked.table.by_name["received_at"], (received_at_us,))
        partition = self._partitions[self.partition_of(device_id)]
        constants = {"device_id": device_id, "received_at": received_at_us, "reason": int(reason)}
        rows, step, numbers = checked.rows, self._rows_of_piece(checked), []
        for start in range(0, rows.count, step):
            count = min(step, rows.count - start)
            size = -(-checked.bytes * count // rows.count)
            group = self._group_for(partition, checked.table, count, size, now_us)
            for name, values in group.columns.items():
                given = rows.columns.get(name)
                if given is None:  # the shell's, or a nullable one that was left out
                    values.extend([constants.get(name)] * count)
                else:
                    values.extend(given if count == rows.count else given[start : start + count])
            group.rows += count
            group.bytes += size
            numbers.append(group.number)
        return numbers

    def _rows_of_piece(self, checked: Checked) -> int:
        """Return how many rows go into one group at most; by bytes on average, a row may be longer."""
        if checked.bytes <= self._limits.bytes:
            return self._limits.rows
        return max(1, min(self._limits.rows, checked.rows.count * self._limits.bytes // checked.bytes))

    def _group_for(
        self, partition: _Partition, table: Hypertable, rows: int, size: int, now_us: int
    ) -> _Group:
        group = partition.open.get(table.name)
        if group is not None and (
            group.rows + rows > self._limits.rows or group.bytes + size > self._limits.bytes
        ):
            partition.closed.append(partition.open.pop(table.name))
            group = None
        if group is None:
            self._count += 1
            names = (*table.by_name, REASON.name)
            group = _Group(self._count, table, now_us, {name: [] for name in names})
            partition.open[table.name] = group
        return group

    def due_us(self, partition: int) -> int | None:
        """Return when (clock of `now_us`) the partition's next group should go; None: it holds none."""
        state = self._partitions[partition]
        groups = state.closed or state.open.values()
        if not groups:
            return None
        first_us = min(group.first_us for group in groups)
        return first_us if state.closed else first_us + self._limits.age_us

    def take(self, partition: int) -> Taken | None:
        """Return the partition's oldest group in columns, full ones first; None: it holds none."""
        state = self._partitions[partition]
        if state.closed:
            group = state.closed.popleft()
        elif state.open:
            oldest = min(state.open.values(), key=lambda group: group.number)
            group = state.open.pop(oldest.table.name)
        else:
            return None
        return Taken(group.number, group.table, to_batch(group.table, group.columns, group.rows))


def to_batch(table: Hypertable, columns: Mapping[str, Sequence[Any]], rows: int) -> Batch:
    """Return lists of values, those of `table` and `reason`, as columns; unchecked, see `check_rows`."""
    declared = (*table.columns, REASON)
    with np.errstate(over="ignore"):  # beyond float4 is infinite, and `stream.checks` finds that
        return Batch({column.name: _column(column, columns[column.name]) for column in declared}, rows)


def _column(column: Column, values: Sequence[Any]) -> ColumnData:
    valid = None
    if column.nullable and None in values:
        valid = np.array([value is not None for value in values], np.bool_)
        filler: object = b"" if column.type.is_variable else 0
        values = [filler if value is None else value for value in values]
    dtype = column.type.dtype
    if not column.type.is_variable:
        return ColumnData(np.array(values, dtype), valid)
    offsets = np.zeros(len(values) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, values), np.int64, len(values)), out=offsets[1:])
    if column.type is Type.FLOAT4_ARRAY:
        return ColumnData(np.array(list(chain.from_iterable(values)), dtype), valid, offsets)
    return ColumnData(np.frombuffer(b"".join(values), dtype), valid, offsets)
