import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.samples import DecodeError, Reason, Rows
from storage.hypertables import SERIES, Hypertable
from stream.batcher import ROW_BYTES_MAX, YEAR_9999_US, Batcher, Limits, check_rows
from stream.frames import encode_frame
from tests.storage.batches import Value, rows_of

SHELL = {"device_id", "received_at"}


def rows_from(table: Hypertable, values: list[tuple[Value, ...]]) -> Rows:
    columns = {
        column.name: [row[i] for row in values]
        for i, column in enumerate(table.columns)
        if column.name not in SHELL
    }
    return Rows(table.name, columns, len(values), 0)


def add(batcher: Batcher, rows: Rows, device_id: int = 1, now_us: int = 0) -> list[int]:
    return batcher.add(
        check_rows(rows), device_id=device_id, received_at_us=5, reason=Reason.OK, now_us=now_us
    )


def event(ts: int = 1, kind: bytes = b"k", detail: bytes = b"{}", **others: object) -> Rows:
    columns: dict[str, list[object]] = {"ts": [ts], "kind": [kind], "digest": [1], "detail": [detail]}
    return Rows("device_events", {**columns, **{name: [value] for name, value in others.items()}}, 1, 0)


def battery(**values: object) -> Rows:
    return Rows("battery_samples", {"ts": [1], **{name: [value] for name, value in values.items()}}, 1, 0)


@given(st.data())
def test_nothing_is_lost_or_doubled_in_any_order(data: st.DataObject) -> None:
    limits = Limits(rows=data.draw(st.integers(1, 5)), bytes=data.draw(st.integers(50, 2000)), age_us=10)
    batcher = Batcher(3, limits)
    put: Counter[tuple[str, int, int]] = Counter()
    got: Counter[tuple[str, int, int]] = Counter()
    numbers: list[int] = []

    def take(partition: int) -> None:
        taken = batcher.take(partition)
        if taken is None:
            assert batcher.due_us(partition) is None
            return
        numbers.remove(taken.number)
        assert 0 < taken.batch.rows <= limits.rows
        encode_frame(taken.table, taken.batch)
        for device, ts in zip(taken.batch.integers("device_id"), taken.batch.integers("ts"), strict=True):
            assert device % 3 == partition
            got[taken.table.name, int(device), int(ts)] += 1

    for _ in range(data.draw(st.integers(0, 12))):
        if data.draw(st.booleans()):
            take(data.draw(st.integers(0, 2)))
            continue
        table = data.draw(st.sampled_from(SERIES))
        values = data.draw(rows_of(table, 7))
        device = data.draw(st.integers(1, 5))
        numbers += [
            number for number in add(batcher, rows_from(table, values), device) if number not in numbers
        ]
        put.update((table.name, device, int(row[0] or 0)) for row in values)  # type: ignore[arg-type]
    for partition in range(3):
        while batcher.due_us(partition) is not None:
            take(partition)
    assert got == put
    assert numbers == []


def test_columns_are_as_the_rows_were() -> None:
    batcher = Batcher(1, Limits())
    rows = Rows(
        "battery_samples",
        {
            "ts": [10, 20, 30],
            "soc_pct": [1.5, None, 2],
            "cycles": [None, 7, None],
            "temperatures_c": [[1.0, 2], None, []],
        },
        3,
        0,
    )
    checked = check_rows(rows)
    batcher.add(checked, device_id=4, received_at_us=99, reason=Reason.UNKNOWN_DEVICE, now_us=0)
    taken = batcher.take(0)
    assert taken is not None
    columns = taken.batch.columns
    assert columns["device_id"].values.tolist() == [4] * 3
    assert columns["received_at"].values.tolist() == [99] * 3
    assert columns["reason"].values.tolist() == [Reason.UNKNOWN_DEVICE] * 3
    assert columns["ts"].valid is None
    assert columns["soc_pct"].validity.tolist() == [True, False, True]
    assert columns["soc_pct"].values.tolist() == [1.5, 0, 2]
    assert columns["temperatures_c"].validity.tolist() == [True, False, True]
    assert columns["temperatures_c"].offsets is not None
    assert columns["temperatures_c"].offsets.tolist() == [0, 2, 2, 2]
    assert not columns["voltage_v"].validity.any()


@pytest.mark.parametrize(
    ("rows", "reason", "field"),
    [
        (Rows("nowhere", {}, 1, 0), "unknown_table", ""),
        (battery(colour=1), "unknown_column", "colour"),
        (battery(device_id=1), "unknown_column", "device_id"),
        (Rows("battery_samples", {"soc_pct": [1.0]}, 1, 0), "missing", "ts"),
        (battery(ts=None), "missing", "ts"),
        (Rows("battery_samples", {"ts": [1], "soc_pct": [1.0, 2.0]}, 1, 0), "wrong_count", "soc_pct"),
        (battery(cycles=2**31), "out_of_type", "cycles"),
        (battery(cycles=1.0), "wrong_type", "cycles"),
        (battery(cycles=True), "wrong_type", "cycles"),
        (battery(ts=YEAR_9999_US + 1), "out_of_type", "ts"),
        (battery(soc_pct="1"), "wrong_type", "soc_pct"),
        (battery(soc_pct=10**400), "out_of_type", "soc_pct"),
        (battery(temperatures_c=5), "wrong_type", "temperatures_c"),
        (battery(temperatures_c=[None]), "wrong_type", "temperatures_c"),
        (battery(temperatures_c=["1"]), "wrong_type", "temperatures_c"),
        (battery(temperatures_c=[0.0] * ROW_BYTES_MAX), "too_long", "temperatures_c"),
        (event(kind=b"\xff"), "not_utf8", "kind"),
        (event(kind=b"a\0"), "nul_character", "kind"),
        (event(detail=b"{"), "not_json", "detail"),
        (event(detail=b'"\\u0000"'), "nul_character", "detail"),
        (event(detail=b'"\\\\\\u0000"'), "nul_character", "detail"),
        (event(detail=b"[" * 100_000), "not_json", "detail"),
        (event(kind="text"), "wrong_type", "kind"),  # type: ignore[arg-type]
    ],
)
def test_what_a_column_cannot_hold_is_refused(rows: Rows, reason: str, field: str) -> None:
    with pytest.raises(DecodeError) as refused:
        check_rows(rows)
    assert (refused.value.reason, refused.value.field) == (reason, field)


def test_a_backslash_before_u0000_is_only_text() -> None:
    assert check_rows(event(detail=b'"\\\\u0000"')).rows.count == 1


@pytest.mark.parametrize("device_id", [2**31, -(2**31) - 1])
def test_a_device_id_that_no_column_holds_is_refused(device_id: int) -> None:
    batcher = Batcher(1, Limits())
    with pytest.raises(DecodeError, match="device_id"):
        add(batcher, battery(soc_pct=1.0), device_id)
    assert batcher.take(0) is None


def test_beyond_float4_becomes_infinite_without_a_warning() -> None:
    batcher = Batcher(1, Limits())
    add(batcher, battery(soc_pct=1e300, temperatures_c=[-1e300]))
    taken = batcher.take(0)
    assert taken is not None
    assert taken.batch.columns["soc_pct"].values.tolist() == [math.inf]
    assert taken.batch.columns["temperatures_c"].values.tolist() == [-math.inf]


def test_a_group_is_due_by_age_or_when_full() -> None:
    batcher = Batcher(2, Limits(rows=2, bytes=10_000, age_us=100))
    assert batcher.due_us(0) is None
    add(batcher, battery(soc_pct=1.0), device_id=2, now_us=1000)
    assert batcher.due_us(0) == 1100
    assert batcher.due_us(1) is None
    add(batcher, event(), device_id=2, now_us=1050)
    add(batcher, battery(soc_pct=1.0), device_id=2, now_us=1060)
    add(batcher, battery(soc_pct=1.0), device_id=2, now_us=1070)
    assert batcher.due_us(0) == 1000  # the first two batteries' group is full
    tables = [taken.table.name for taken in iter(lambda: batcher.take(0), None) if taken is not None]
    assert tables == ["battery_samples", "device_events", "battery_samples"]


def test_many_rows_are_cut_into_groups_within_the_bounds() -> None:
    batcher = Batcher(1, Limits(rows=1000, bytes=2000, age_us=0))
    rows = Rows("device_events", {
        "ts": list(range(100)), "kind": [b"k"] * 100, "digest": [1] * 100,
        "detail": [json.dumps("x" * 50).encode()] * 100,
    }, 100, 0)  # fmt: skip
    numbers = add(batcher, rows)
    assert len(set(numbers)) == len(numbers) > 3
    taken = [batcher.take(0) for _ in numbers]
    assert np.concatenate([group.batch.integers("ts") for group in taken if group]).tolist() == list(
        range(100)
    )
    assert all(len(encode_frame(g.table, g.batch)) < 2000 + 1500 for g in taken if g)
