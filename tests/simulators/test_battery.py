import random
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.battery.commands import Action, Command, decode_answer, encode_command
from protocols.battery.flags import BIT
from protocols.battery.telemetry import decode
from simulators.battery import Battery, BatterySettings
from simulators.faults import PRESETS, Faults
from simulators.pack import Mode, Pack, PackSpec, open_circuit_v
from simulators.records import BatteryRow, Counted

NOW_US = 1_790_000_000_123_456
SECOND_US = 1_000_000


def battery(seed: int = 1, faults: Faults | None = None, **more: Any) -> Battery:
    chosen = BatterySettings("BAT-1", faults=faults or Faults(), **more)
    return Battery(chosen, random.Random(seed), NOW_US)


def drain(one: Battery) -> list[str]:
    texts = []
    while (batch := one.outgoing()) is not None:
        texts.append(batch.text)
        one.acknowledge()
    return texts


def command(action: Action, number: int = 1) -> bytes:
    return encode_command(Command(UUID(int=number), action, datetime(2026, 1, 1, tzinfo=UTC)))


def test_the_same_seed_says_the_same_bytes_and_another_seed_does_not() -> None:
    runs = []
    for seed in (3, 3, 4):
        one = battery(seed, PRESETS["tsbs"])
        texts = []
        for second in range(0, 600, 3):
            one.tick(NOW_US + second * SECOND_US)
            texts += drain(one)
        runs.append(texts)
    assert runs[0] == runs[1] != runs[2]
    assert len(runs[0]) > 100


@given(st.integers(0, 2**32), st.sampled_from([1.0, 500.0]))
@settings(max_examples=25)
def test_charge_is_bounded_and_counted_by_coulombs(seed: int, speed: float) -> None:
    pack = Pack(PackSpec(speed=speed), random.Random(seed))
    for _ in range(400):
        before_pct, current_a, usable_ah = pack.soc_pct, pack.current_a, 42.0 * pack.soh_pct / 100
        pack.advance(2.0)
        assert 0 <= pack.soc_pct <= 100
        if 0 < pack.soc_pct < 100:
            moved_ah = (pack.soc_pct - before_pct) / 100 * usable_ah
            assert moved_ah == pytest.approx(current_a * 2.0 * speed / 3600, abs=1e-9)
        assert all(2.5 < volts < 4.5 for volts in pack.cell_voltages_v)
        assert -90 <= pack.latitude_deg <= 90
        assert -180 <= pack.longitude_deg <= 180


def test_a_long_life_cycles_ages_and_drifts() -> None:
    pack = Pack(PackSpec(speed=200.0), random.Random(1))
    before = (pack.cycles, pack.soh_pct, max(pack.cell_voltages_v) - min(pack.cell_voltages_v))
    modes = set()
    for _ in range(20_000):
        pack.advance(2.0)
        modes.add(pack.mode)
    spread_v = max(pack.cell_voltages_v) - min(pack.cell_voltages_v)
    assert modes == set(Mode)
    assert pack.cycles > before[0] + 10
    assert pack.soh_pct < before[1]
    assert before[2] < spread_v < 0.1


def test_cells_have_more_voltage_the_fuller_they_are() -> None:
    volts = [open_circuit_v(soc / 10) for soc in range(1001)]
    assert volts == sorted(volts)
    assert (volts[0], volts[-1]) == (3.0, 4.2)


def test_every_sample_decodes_to_the_rows_that_are_recorded() -> None:
    one = battery(faults=PRESETS["tsbs"])
    decoded = []
    for second in range(0, 3_000, 7):
        one.tick(NOW_US + second * SECOND_US)
        for text in drain(one):
            result = decode(text.encode(), NOW_US)
            assert not result.refused
            assert result.rows is not None
            decoded.append((result.rows.columns["ts"], result.rows.samples))
    rows = [record for record in one.take_records() if isinstance(record, BatteryRow)]
    assert [row.ts_us for row in rows] == [ts for times, _ in decoded for ts in times]
    assert sum(row.samples for row in rows) == sum(samples for _, samples in decoded)
    assert {row.payload_kind for row in rows} == {"single", "array"}
    for row in rows:
        again = decode(row.sample, NOW_US).rows
        assert again is not None
        assert (again.columns["ts"], again.samples) == ([row.ts_us], row.samples)


def test_samples_taken_while_away_keep_their_times_and_go_out_as_an_array() -> None:
    one = battery(batch_max=10)
    one.tick(NOW_US + 60 * SECOND_US)
    batch = one.outgoing()
    assert batch is not None
    assert batch is one.outgoing(), "the same until it is acknowledged"
    assert len(batch.rows) == 10
    gaps = {after.ts_us - before.ts_us for before, after in zip(batch.rows, batch.rows[1:], strict=False)}
    assert gaps <= {1_999_000, 2_000_000, 2_001_000}
    assert len(drain(one)) == 3
    assert one.is_settled


def test_a_full_buffer_keeps_the_oldest_and_ends_sampling() -> None:
    one = battery(buffer_max=20)
    one.tick(NOW_US + 1_000 * SECOND_US)
    assert one.waiting == 20
    batch = one.outgoing()
    assert batch is not None
    assert batch.rows[0].ts_us < NOW_US + 3 * SECOND_US
    held = [record for record in one.take_records() if isinstance(record, Counted)]
    assert [record.name for record in held] == ["battery_samples_held_back"]
    assert held[0].times in {479, 480}
    assert one.next_due_us > NOW_US + 1_000 * SECOND_US


def test_nothing_is_recorded_before_it_is_acknowledged() -> None:
    one = battery()
    one.tick(NOW_US + 10 * SECOND_US)
    assert one.outgoing() is not None
    assert one.take_records() == []
    one.acknowledge()
    assert all(isinstance(record, BatteryRow) for record in one.take_records())


def test_a_deactivated_battery_does_not_discharge() -> None:
    one = battery(seed=5)
    answer = one.execute(command("deactivate"))
    assert answer is not None
    assert decode_answer(answer).outcome == "done"
    assert decode_answer(answer).state == one.state == "inactive"
    at_us = NOW_US
    for _ in range(2_000):
        at_us += 2 * SECOND_US
        one.tick(at_us)
        assert one.pack.current_a >= 0
        drain(one)
    flags = decode(one.take_records()[-1].sample, 0).rows  # type: ignore[union-attr]
    assert flags is not None
    assert flags.columns["flags"][0] & 1 << BIT["immobilised"]  # type: ignore[operator]
    one.execute(command("activate", 2))
    assert one.pack.is_active


def test_a_command_that_comes_twice_has_the_same_answer_and_one_effect() -> None:
    one = battery()
    first = one.execute(command("deactivate"))
    one.execute(command("activate", 2))
    assert one.execute(command("deactivate")) == first
    assert one.state == "active"


def test_a_battery_may_refuse() -> None:
    one = battery(faults=Faults(command_refused=1.0))
    answer = one.execute(command("deactivate"))
    assert answer is not None
    assert decode_answer(answer).outcome == "refused"
    assert decode_answer(answer).state == one.state == "active"
    assert decode_answer(answer).detail


@given(st.binary(max_size=300))
def test_any_bytes_as_a_command_are_ignored(payload: bytes) -> None:
    one = battery()
    assert one.execute(payload) is None
    assert one.state == "active"


def test_batches_out_of_order_all_arrive() -> None:
    one = battery(faults=Faults(batch_out_of_order=0.3))
    for second in range(0, 600, 2):
        one.tick(NOW_US + second * SECOND_US)
        drain(one)
    one.flush()
    drain(one)
    times = [record.ts_us for record in one.take_records() if isinstance(record, BatteryRow)]
    assert times != sorted(times)
    assert len(times) == len(set(times)) >= 299
