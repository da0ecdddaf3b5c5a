import asyncio
from pathlib import Path

import pytest

from simulators import ledger
from simulators.ledger import Ledger
from simulators.records import (
    BatteryRow,
    ChargerRow,
    Counted,
    MeterRow,
    SessionStarted,
    SessionStopped,
)

BATTERY = BatteryRow("BAT-1", 1_000, 3, "single", b'{"soc_pct":1.5}')
CHARGER = ChargerRow("CP-1", 1, 2_000, "Voltage", "L1-N", "Outlet", "Sample.Periodic", 230.1)
STARTED = SessionStarted("CP-1", 1, 7, "TAG", 1_000, 100)
STOPPED = SessionStopped("CP-1", 7, 9_000, 350, "Local")


async def test_what_was_recorded_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "fleet.sqlite"
    async with Ledger.open(path) as one:
        await one.record([BATTERY, CHARGER, STARTED, STOPPED, STOPPED, Counted("x", 2), Counted("x")])
    assert ledger.battery_rows(path) == [BATTERY]
    assert ledger.charger_rows(path) == [CHARGER]
    assert ledger.sessions(path) == [ledger.Session("CP-1", 1, 7, "TAG", 1_000, 100, 9_000, 350, "Local", 2)]
    assert ledger.counts(path) == {
        "battery_rows": 1, "charger_rows": 1, "sessions_started": 1, "session_stops": 2, "x": 3,
    }  # fmt: skip
    assert ledger.registers_wh(path) == {"CP-1": 350}


async def test_a_second_run_goes_on_in_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "fleet.sqlite"
    for _ in range(2):
        async with Ledger.open(path) as one:
            await one.record([STARTED, BATTERY])
    assert len(ledger.battery_rows(path)) == 2
    assert len(ledger.sessions(path)) == 1


async def test_a_reading_that_travelled_twice_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "fleet.sqlite"
    older = MeterRow("70b3", 1_000_000, "water_m3", 0.5, 500_100, 900, True)
    newer = MeterRow("70b3", 2_000_000, "water_m3", 0.6, 600_000, 100_800, False)
    other = MeterRow("3569", 1_000_000, "gas_m3", 0.5, 500_000, 0, True)
    async with Ledger.open(path) as one:
        await one.record([newer, other, older])
        await one.record([older, newer])
    assert ledger.meter_rows(path) == [other, older, newer]
    assert ledger.last_meter_rows(path) == {"70b3": newer, "3569": other}


async def test_it_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "fleet.sqlite"
    async with Ledger.open(path) as one:
        await one.record([BATTERY])
        while not ledger.battery_rows(path):
            await asyncio.sleep(0.01)
        assert one.totals["battery_rows"] == 1


async def test_many_records_are_all_kept_up_to_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "fleet.sqlite"
    async with Ledger.open(path, rows_max=1_000) as one:
        for number in range(1_500):
            await one.record([BatteryRow("BAT-1", number, 1, "single", b"{}")])
    assert [row.ts_us for row in ledger.battery_rows(path)] == list(range(500, 1_500))
    assert ledger.counts(path)["battery_rows"] == 1_500


async def test_a_path_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"fleet's ledger .* cannot be opened"):
        Ledger.open(tmp_path)
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"no database" * 100)
    with pytest.raises(OSError, match=r"broken.sqlite cannot be opened"):
        Ledger.open(broken)


async def test_a_writer_that_failed_says_so_to_those_who_record(tmp_path: Path) -> None:
    bad = BatteryRow("BAT-1", 1 << 70, 1, "single", b"{}")  # no SQLite integer
    one = Ledger.open(tmp_path / "fleet.sqlite")
    await one.__aenter__()
    await one.record([bad])
    await asyncio.sleep(0.5)
    with pytest.raises(OverflowError):
        await one.record([BATTERY])
    with pytest.raises(OverflowError):
        await one.__aexit__(None, None, None)
