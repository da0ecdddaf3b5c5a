"""Raw frames of battery management systems: published ones, joins, checksums, garbage, encoders back."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.battery.flags import BIT, names
from protocols.battery.frames import ENCODERS, PAYLOAD_BYTES_MAX, PROTOCOLS, Answer, decode
from protocols.battery.telemetry import Sample
from protocols.samples import DecodeError
from tests.protocols import battery_frames as published

NOW_US = 1_767_225_600_000_000


def read(payload: bytes, protocol: str | None = None) -> dict[str, Any]:
    """The one row of a payload in which nothing was refused, with its flags by name."""
    answer = decode(payload, protocol, received_at_us=NOW_US)
    assert not answer.refused
    return row_of(answer)


def test_daly_cells_without_the_frame_that_counts_them_are_refused() -> None:
    at = published.DALY_8S.index(bytes.fromhex("a50194"))
    without = published.DALY_8S[:at] + published.DALY_8S[at + 13 :]
    answer = decode(without, received_at_us=NOW_US)
    assert "cell_voltages_v" not in row_of(answer)
    assert [error.reason for error in answer.refused] == ["incomplete"]


def row_of(answer: Answer) -> dict[str, Any]:
    assert answer.rows is not None
    assert answer.rows.count == 1
    row: dict[str, Any] = {name: values[0] for name, values in answer.rows.columns.items()}
    assert row.pop("ts") == NOW_US
    if "flags" in row:
        row["flags"] = names(row["flags"])
    return row


def test_jbd_basic_information_and_cells_are_one_sample() -> None:
    assert read(published.JBD_BASIC + published.JBD_CELLS) == {
        "voltage_v": 15.6,
        "current_a": -2.87,
        "soc_pct": 100.0,
        "cycles": 42,
        "flags": ["discharging"],
        "temperatures_c": [22.4, 22.3, 21.7],
        "cell_voltages_v": [3.43, 3.425, 3.432, 3.417],
    }


def test_daly_answers_are_trimmed_to_the_cells_and_sensors_that_are_there() -> None:
    row = read(published.DALY_14S)
    assert (row["voltage_v"], row["soc_pct"], row["cycles"]) == (52.8, 50.0, 0)
    assert row["current_a"] == -25.6  # 0x7630 is 256 above 30000: it discharges
    assert len(row["cell_voltages_v"]) == 14
    assert row["cell_voltages_v"][:4] == [3.776, 3.778, 3.783, 3.784]
    assert row["temperatures_c"] == [21.0]
    assert {"balancing", "charge_over_current", "cell_imbalance"} <= set(row["flags"])


def test_daly_of_eight_cells() -> None:
    row = read(published.DALY_8S)
    assert row["cell_voltages_v"] == [2.923, 3.138, 3.139, 3.132, 3.154, 3.139, 3.072, 3.144]
    assert row["temperatures_c"] == [21.0]
    assert (row["voltage_v"], row["current_a"], row["soc_pct"]) == (24.8, 0.0, 38.5)


def test_daly_registers() -> None:
    assert read(published.DALY_D2) == {
        "voltage_v": 14.0,
        "current_a": 3.0,
        "soc_pct": 90.0,
        "cycles": 57,
        "flags": ["charging", "balancing"],
        "temperatures_c": [20.0, 21.0, 22.0, 23.0],
        "cell_voltages_v": [4.127, 4.137, 4.147, 4.157],
    }


def test_daly_direction_that_the_bms_names_wins_over_the_sign() -> None:
    sample = Sample(voltage_v=50.0, current_a=5.0, soc_pct=50.0)
    frames = bytearray(ENCODERS["daly"](sample))
    charging = frames.index(b"\xa5\x01\x93") + 4
    assert frames[charging] == 1
    frames[charging] = 2
    frames[charging + 8] = (frames[charging + 8] + 1) & 0xFF
    assert read(bytes(frames))["current_a"] == -5.0


def test_jk_values_by_tag() -> None:
    row = read(published.JK_TLV)
    assert (row["voltage_v"], row["current_a"], row["soc_pct"], row["cycles"]) == (53.13, 0.0, 94.0, 0)
    assert row["temperatures_c"] == [19.0, 19.0]
    assert len(row["cell_voltages_v"]) == 13
    assert row["cell_voltages_v"][:2] == [4.092, 4.047]


@pytest.mark.parametrize(
    ("frame", "cells", "voltage_v", "temperatures_c", "soc_pct"),
    [
        (published.JK02_24S, 24, 78.735, [20.7, 20.7], 85.0),
        (published.JK02_24S_COLD, 13, 42.786, [-3.1, -2.9], 47.0),
        (published.JK02_32S, 16, 51.689, [17.7, 17.7], 52.0),
    ],
)
def test_jk_tells_its_two_bluetooth_layouts_apart(
    frame: bytes, cells: int, voltage_v: float, temperatures_c: list[float], soc_pct: float
) -> None:
    row = read(frame)
    assert len(row["cell_voltages_v"]) == cells
    assert (row["voltage_v"], row["temperatures_c"], row["soc_pct"]) == (voltage_v, temperatures_c, soc_pct)
    assert row["soh_pct"] == 100.0
    assert sum(row["cell_voltages_v"]) == pytest.approx(voltage_v, abs=0.05)


def test_ant_of_today_and_before() -> None:
    row = read(published.ANT)
    assert (row["voltage_v"], row["current_a"], row["soc_pct"], row["soh_pct"]) == (50.88, -2.1, 10.0, 100.0)
    assert len(row["cell_voltages_v"]) == 22
    assert row["temperatures_c"] == [29.0] * 4
    row = read(published.ANT_OLD)
    assert (row["voltage_v"], row["current_a"], row["soc_pct"]) == (54.2, 0.0, 100.0)
    assert row["temperatures_c"] == [26.0, 29.0, -5.0, 21.0]
    assert len(row["cell_voltages_v"]) == 16
    assert row["flags"] == ["cell_over_voltage"]


def test_a_pylontech_stack_is_one_battery_of_modules_in_parallel() -> None:
    row = read(published.PYLONTECH_STACK)
    assert row["current_a"] == pytest.approx(-2.6 - 2.5 - 2.7)
    assert row["voltage_v"] == pytest.approx((49.545 + 49.52 + 49.504) / 3, abs=0.001)
    assert len(row["cell_voltages_v"]) == 45
    assert row["cell_voltages_v"][15:17] == [3.298, 3.302]
    assert row["temperatures_c"] == [22.0] * 8 + [21.0] * 4
    assert (row["soc_pct"], row["cycles"]) == (67.0, 31)
    row = read(published.PYLONTECH_US3000)
    assert (row["soc_pct"], row["cycles"], len(row["cell_voltages_v"])) == (82.25, 113, 60)
    row = read(published.PYLONTECH_UP2500)
    assert (row["voltage_v"], row["current_a"], row["soc_pct"]) == (26.638, -0.6, 86.0)


def test_a_telegram_without_samples_is_refused() -> None:
    with pytest.raises(DecodeError, match="neither analog values nor alarms") as caught:
        decode(published.PYLONTECH_MANAGEMENT, received_at_us=NOW_US)
    assert caught.value.reason == "layout"


def test_seplos_v2_values_and_alarms() -> None:
    row = read(published.SEPLOS_V2)
    assert (row["voltage_v"], row["current_a"], row["soc_pct"]) == (52.8, -6.76, 78.7)
    assert (row["soh_pct"], row["cycles"]) == (100.0, 70)
    assert row["temperatures_c"] == [25.1, 24.5, 23.6, 25.1]
    assert len(row["cell_voltages_v"]) == 16
    both = read(published.SEPLOS_V2 + published.SEPLOS_V2_ALARM)
    assert {"sensor_fault", "cell_imbalance", "cell_under_voltage", "pack_under_voltage"} <= set(
        both["flags"]
    )


def test_seplos_v3_blocks_are_one_sample_and_packs_one_battery() -> None:
    pack = published.SEPLOS_PIA1 + published.SEPLOS_PIB1
    row = read(pack)
    assert (row["voltage_v"], row["current_a"], row["soc_pct"], row["cycles"]) == (52.34, -7.2, 47.9, 9)
    assert (len(row["cell_voltages_v"]), row["temperatures_c"]) == (16, [25.0, 23.8, 23.9, 24.9])
    stack = pack + published.SEPLOS_PIA2 + published.SEPLOS_PIB2 + published.SEPLOS_EIA + published.SEPLOS_EIC
    row = read(stack)
    assert row["current_a"] == pytest.approx(-14.39)
    assert len(row["cell_voltages_v"]) == 32
    row = read(published.SEPLOS_EIA + published.SEPLOS_EIC)
    assert (row["voltage_v"], row["current_a"], row["soc_pct"], row["soh_pct"]) == (52.34, -6.7, 47.9, 99.9)


@pytest.mark.parametrize("form", ["{:02x}", "{:02X} ", "0x{:02X}, ", "{:02X}:", "{:02x}\n"])
def test_hex_text_is_read_like_the_bytes(form: str) -> None:
    binary = published.JBD_BASIC + published.JBD_CELLS
    text = "".join(form.format(byte) for byte in binary).encode()
    assert read(text) == read(binary)
    assert read(text, "jbd") == read(binary)


def test_junk_between_frames_is_refused_and_costs_nothing_else() -> None:
    answer = decode(b"OK\r\n" + published.JBD_BASIC + b"\0\0" + published.JBD_CELLS, received_at_us=NOW_US)
    assert [error.reason for error in answer.refused] == ["junk", "junk"]
    assert answer.protocols == ("jbd",)
    assert row_of(answer) == read(published.JBD_BASIC + published.JBD_CELLS)


def test_an_earlier_answer_gives_way_to_the_later_one() -> None:
    older, newer = (
        ENCODERS["jk"](Sample(voltage_v=v, soc_pct=50.0, cell_voltages_v=[3.3])) for v in (50, 51)
    )
    answer = decode(older + newer, received_at_us=NOW_US)
    assert row_of(answer)["voltage_v"] == 51.0
    assert [error.reason for error in answer.refused] == ["timestamp"]


def test_a_bms_that_answers_an_error_is_refused_with_it() -> None:
    with pytest.raises(DecodeError, match="status 0x80"):
        decode(bytes.fromhex("dd038000ff8077"), received_at_us=NOW_US)
    with pytest.raises(DecodeError, match="RTN 04"):
        decode(b"~200046040000FDB0\r", received_at_us=NOW_US)


@pytest.mark.parametrize(
    ("payload", "protocol", "reason"),
    [
        (b"", None, "empty"),
        (b"hello", None, "junk"),
        (published.JBD_VERSION, None, "empty"),
        (published.JBD_BASIC[:-1], None, "truncated"),
        (published.JBD_BASIC, "daly", "junk"),
        (published.JBD_BASIC, "nope", "protocol"),
        (b"\xdd" * (PAYLOAD_BYTES_MAX + 1), None, "too_large"),
        (b"\xdd" * 20_000, None, "too_large"),
    ],
)
def test_what_holds_no_value_is_refused_with_a_reason(
    payload: bytes, protocol: str | None, reason: str
) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(payload, protocol, received_at_us=NOW_US)
    assert caught.value.reason == reason


ALL = {
    "jbd": published.JBD_BASIC + published.JBD_CELLS,
    "daly": published.DALY_8S,
    "daly registers": published.DALY_D2,
    "jk tags": published.JK_TLV,
    "jk 24": published.JK02_24S,
    "jk 32": published.JK02_32S,
    "ant": published.ANT,
    "ant old": published.ANT_OLD,
    "pylontech": published.PYLONTECH_UP2500,
    "seplos": published.SEPLOS_V2 + published.SEPLOS_V2_ALARM,
    "seplos 3": published.SEPLOS_PIA1 + published.SEPLOS_PIB1,
}


@pytest.mark.parametrize("name", ALL)
def test_one_wrong_bit_never_gives_another_value(name: str) -> None:
    payload = ALL[name]
    right = read(payload)
    for at in range(len(payload) * 8):
        wrong = bytearray(payload)
        wrong[at // 8] ^= 1 << at % 8
        try:
            answer = decode(bytes(wrong), received_at_us=NOW_US)
        except DecodeError:
            continue
        row = row_of(answer)
        flags = set(row.get("flags", []))
        assert answer.refused, (name, at, row)
        assert flags <= set(right["flags"]), (name, at)
        assert all(
            row[key] == right[key] or at_most(row[key], right[key]) for key in row if key != "flags"
        ), (name, at, row)


def at_most(found: Any, right: Any) -> bool:
    """Whether `found` lost items of `right` with a frame that was refused, and gained none."""
    return isinstance(found, list) and set(found) <= set(right)


@pytest.mark.parametrize("name", ALL)
def test_every_cut_and_every_chunk_alone_gives_values_or_a_typed_error(name: str) -> None:
    payload = ALL[name]
    for cut in range(len(payload)):
        for piece in (payload[:cut], payload[cut:]):
            try:
                decode(piece, received_at_us=NOW_US)
            except DecodeError:
                continue


def test_frames_of_one_answer_may_come_in_any_order() -> None:
    frames = [published.DALY_14S[at : at + 13] for at in range(0, len(published.DALY_14S), 13)]
    expected = read(published.DALY_14S)
    for seed in range(50):
        random.Random(seed).shuffle(frames)
        assert read(b"".join(frames)) == expected
    assert read(published.SEPLOS_PIB1 + published.SEPLOS_PIA1) == read(
        published.SEPLOS_PIA1 + published.SEPLOS_PIB1
    )


@given(st.binary(max_size=600), st.sampled_from([None, *PROTOCOLS]))
def test_any_bytes_give_a_row_or_a_typed_error(payload: bytes, protocol: str | None) -> None:
    try:
        answer = decode(payload, protocol, received_at_us=NOW_US)
    except DecodeError:
        return
    assert answer.rows is not None


HEADERS = [
    "dd0300",
    "dd0400",
    "a5019008",
    "d203",
    "4e570020",
    "55aaeb9002",
    "7ea111",
    "aa55aaff",
    "7e3230303234363030",
]


@given(st.lists(st.tuples(st.sampled_from(HEADERS), st.binary(max_size=80)), max_size=8))
def test_headers_with_anything_behind_them_give_a_row_or_a_typed_error(
    pieces: list[tuple[str, bytes]],
) -> None:
    try:
        decode(b"".join(bytes.fromhex(head) + rest for head, rest in pieces), received_at_us=NOW_US)
    except DecodeError:
        return


@given(st.data())
def test_frames_between_junk_are_found_wherever_they_are_cut_in(data: st.DataObject) -> None:
    junk = st.binary(max_size=20).map(
        lambda raw: raw.translate(bytes.maketrans(b"\xdd\xa5\xd2NU~\xaa", b"\0" * 7))
    )
    before, between = data.draw(junk), data.draw(junk)
    answer = decode(
        before + published.JBD_CELLS + between + published.JBD_BASIC, "jbd", received_at_us=NOW_US
    )
    assert row_of(answer) == read(published.JBD_BASIC + published.JBD_CELLS)
    assert {error.reason for error in answer.refused} <= {"junk"}


PROTECTIONS = [
    "cell_under_voltage",
    "pack_over_voltage",
    "pack_under_voltage",
    "charge_over_current",
    "discharge_over_current",
    "charge_over_temperature",
    "discharge_over_temperature",
]
samples = st.builds(
    Sample,
    voltage_v=st.integers(100, 655).map(lambda value: value / 10),
    current_a=st.integers(-2000, 2000).map(lambda value: value / 10),
    soc_pct=st.integers(0, 100).map(float),
    soh_pct=st.integers(1, 100).map(float),
    cycles=st.integers(0, 60_000),
    flags=st.sets(st.sampled_from(PROTECTIONS)).map(lambda found: sum(1 << BIT[name] for name in found)),
    temperatures_c=st.lists(st.integers(-39, 90).map(float), min_size=2, max_size=2),
    cell_voltages_v=st.lists(
        st.integers(2000, 4500).map(lambda value: value / 1000), min_size=1, max_size=24
    ),
)


@pytest.mark.parametrize("protocol", ENCODERS)
@given(sample=samples)
def test_what_a_simulated_bms_encodes_is_read_back(protocol: str, sample: Sample) -> None:
    row = read(ENCODERS[protocol](sample))
    for field in ("voltage_v", "current_a", "soc_pct", "cycles"):
        assert row[field] == pytest.approx(getattr(sample, field), abs=0.001), field
    assert row["cell_voltages_v"] == sample.cell_voltages_v
    assert row["temperatures_c"] == sample.temperatures_c
    assert isinstance(sample.flags, int)
    assert set(names(sample.flags)) == set(row["flags"]) - {"charging", "discharging"}
