import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from protocols.samples import Reason
from storage.columns import ColumnData
from storage.hypertables import BATTERY_SAMPLES, CHARGER_SAMPLES, DEVICE_EVENTS
from stream.checks import DAY_US, RANGES, ClockLimits, check
from tests.storage.batches import Value, batch_of, rows_of

NOW_US = 1_800_000_000_000_000
NAMES = [column.name for column in BATTERY_SAMPLES.columns]


def reasons(*rows: dict[str, Value], given_reason: int = 0) -> list[int]:
    base: dict[str, Value] = {**dict.fromkeys(NAMES), "ts": NOW_US, "device_id": 1, "received_at": NOW_US}
    batch = batch_of(BATTERY_SAMPLES, [tuple({**base, **row}.values()) for row in rows])
    given = np.full(len(rows), given_reason, np.int16)
    batch = batch.with_column("reason", ColumnData(given))
    return [int(reason) for reason in check(BATTERY_SAMPLES, batch, ClockLimits())]


def test_what_is_fine_stays_fine() -> None:
    fine: dict[str, Value] = {
        "voltage_v": 48.0, "current_a": -20.0, "soc_pct": 100.0, "soh_pct": 101.0, "cycles": 0,
        "latitude_deg": -90.0, "longitude_deg": 180.0, "temperatures_c": [-10.0, 60.0], "cell_voltages_v": [],
    }  # fmt: skip
    assert reasons({}, fine, {"ts": NOW_US - 400 * DAY_US}, {"ts": NOW_US + DAY_US}) == [0, 0, 0, 0]


def test_clocks() -> None:
    past, future = NOW_US - 400 * DAY_US - 1, NOW_US + DAY_US + 1
    assert reasons({"ts": 0}, {"ts": past}, {"ts": future}, {}) == [
        Reason.CLOCK_PAST, Reason.CLOCK_PAST, Reason.CLOCK_FUTURE, Reason.OK,
    ]  # fmt: skip


def test_every_range_ends_where_the_table_says() -> None:
    for rule in RANGES:
        if rule.table is not BATTERY_SAMPLES:
            continue
        kind = BATTERY_SAMPLES.by_name[rule.column].type
        step = 1 if kind.dtype.kind == "i" else 0.5
        values = [rule.low, rule.high, rule.low - step, rule.high + step]
        number = int if kind.dtype.kind == "i" else float
        cells: list[Value] = [[5.0, float(value)] if kind.is_variable else number(value) for value in values]
        expected = [Reason.OK, Reason.OK, Reason.OUT_OF_RANGE, Reason.OUT_OF_RANGE]
        assert reasons(*[{rule.column: cell} for cell in cells]) == expected, rule


def test_not_finite_comes_before_out_of_range_and_after_the_clock() -> None:
    nan, inf = float("nan"), float("inf")
    found = reasons(
        {"soc_pct": nan}, {"voltage_v": inf}, {"cell_voltages_v": [3.0, nan]},
        {"soc_pct": 500.0, "voltage_v": -inf}, {"ts": 0, "soc_pct": nan}, {"cell_voltages_v": [3.0]},
    )  # fmt: skip
    not_finite = Reason.NOT_FINITE
    assert found == [not_finite, not_finite, not_finite, not_finite, Reason.CLOCK_PAST, Reason.OK]


def test_a_reason_that_is_set_stays() -> None:
    found = reasons({"soc_pct": 500.0}, {}, given_reason=Reason.UNKNOWN_DEVICE)
    assert found == [Reason.UNKNOWN_DEVICE] * 2


def test_values_under_a_null_are_not_looked_at() -> None:
    base: dict[str, Value] = {**dict.fromkeys(NAMES), "ts": NOW_US, "device_id": 1, "received_at": NOW_US}
    batch = batch_of(BATTERY_SAMPLES, [tuple(base.values())]).with_column(
        "soc_pct", ColumnData(np.array([np.nan], np.float32), np.array([False]))
    )
    batch = batch.with_column("reason", ColumnData(np.zeros(1, np.int16)))
    assert check(BATTERY_SAMPLES, batch, ClockLimits()).tolist() == [0]


@given(st.data())
def test_any_rows_are_checked_one_by_one_alike(data: st.DataObject) -> None:
    """A row's reason does not depend on its neighbours."""
    table = data.draw(st.sampled_from([BATTERY_SAMPLES, CHARGER_SAMPLES, DEVICE_EVENTS]))
    batch = batch_of(table, data.draw(rows_of(table, 6)))
    batch = batch.with_column("reason", ColumnData(np.zeros(batch.rows, np.int16)))
    together = check(table, batch, ClockLimits()).tolist()
    alone = [check(table, batch.take(slice(i, i + 1)), ClockLimits())[0] for i in range(batch.rows)]
    assert together == alone
