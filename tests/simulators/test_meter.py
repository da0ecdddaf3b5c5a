import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.measurements import Decoded, Payload
from protocols.payloads import DECODERS
from protocols.payloads.names import is_imei
from simulators.faults import NO_FAULTS, Faults
from simulators.meter import BACKLOG_S, NEAR_ROLLOVER_H, Message, Meter, MeterSettings
from simulators.meter_fleet import MeterIdentity, meter_identities
from simulators.meter_makes import CLOSE, INTERVAL, MAKES, OPEN
from simulators.records import Counted, MeterRow

NOW_S = 1_780_000_000
US = 1_000_000
IDENTITIES = meter_identities(len(MAKES) * 3, len(MAKES) * 2)
BUILT_IN = [each for each in IDENTITIES[:4] + IDENTITIES[-14:] if each.make.decoder in DECODERS]


def meter(identity: MeterIdentity, seed: int = 1, now_s: int = NOW_S, **more: object) -> Meter:
    basis = MeterSettings(identity.identity, identity.make, key=identity.key, **more)  # type: ignore[arg-type]
    return Meter(basis, random.Random(f"{seed} {identity.identity}"), now_s * US)


def live(one: Meter, from_s: int, seconds: int, step_s: int = 20) -> list[Message]:
    """Everything that the meter says while a network acknowledges at once."""
    said = []
    for now_s in range(from_s, from_s + seconds + 1, step_s):
        one.tick(now_s * US)
        while (message := one.outgoing(now_s * US)) is not None:
            said.append(message)
            one.acknowledge()
    return said


def rows(one: Meter) -> list[MeterRow]:
    return [record for record in one.take_records() if isinstance(record, MeterRow)]


@given(st.sampled_from(IDENTITIES), st.integers(0, 2**32), st.floats(0.1, 50))
@settings(max_examples=60, deadline=None)
def test_a_register_never_falls_and_is_what_was_consumed(
    identity: MeterIdentity, seed: int, speed: float
) -> None:
    one = meter(identity, seed, speed=speed)
    live(one, NOW_S, 7200)
    found = sorted({(row.ts_us, row) for row in rows(one)}, key=lambda pair: pair[0])
    assert len(found) > 100 or identity.make.carrier == "nbiot" or len(found) > 90
    for (_, before), (_, after) in pairwise(found):
        assert after.register_milli >= before.register_milli
        assert after.register_milli - before.register_milli == after.consumed_milli - before.consumed_milli


def test_the_first_messages_tell_of_a_day() -> None:
    one = meter(IDENTITIES[-1])
    live(one, NOW_S, 0)
    found = rows(one)
    assert len(found) > 90
    assert NOW_S - BACKLOG_S <= found[0].ts_us // US < NOW_S - BACKLOG_S + 900
    day = found[-1].consumed_milli
    assert 0.5 < day / 1000 / 24 / IDENTITIES[-1].make.mean_per_h < 1.5


@given(st.sampled_from(IDENTITIES), st.integers(1, 200))
@settings(max_examples=30, deadline=None)
def test_a_fleet_that_goes_on_measures_as_if_it_had_never_stopped(
    identity: MeterIdentity, stop_min: int
) -> None:
    whole, first = meter(identity), meter(identity)
    live(whole, NOW_S, 300 * 60, 60)
    live(first, NOW_S, stop_min * 60, 60)
    state = rows(first)[-1]
    again = meter(identity, now_s=NOW_S + (stop_min + 1) * 60, state=state)
    live(again, NOW_S + (stop_min + 1) * 60, (299 - stop_min) * 60, 60)
    last = rows(again)[-1]
    expected = {row.ts_us: row.register_milli for row in rows(whole)}
    assert last.register_milli == expected[last.ts_us]


def test_a_closed_valve_stops_what_flows_and_stays_closed() -> None:
    identity = IDENTITIES[1]
    one = meter(identity)
    live(one, NOW_S, 600)
    assert one.execute(CLOSE, (NOW_S + 600) * US)
    one.take_records()
    live(one, NOW_S + 620, 3600)
    closed = rows(one)[10:]
    assert len({row.register_milli for row in closed}) == 1
    assert not closed[-1].is_open
    again = meter(identity, now_s=NOW_S + 5000, state=closed[-1])
    live(again, NOW_S + 5000, 600)
    assert rows(again)[-1].register_milli == closed[-1].register_milli
    assert again.execute(OPEN, (NOW_S + 5600) * US)
    live(again, NOW_S + 5620, 1200)
    assert rows(again)[-1].register_milli > closed[-1].register_milli


def test_commands_stand_one_behind_the_other_and_others_are_ignored() -> None:
    one = meter(IDENTITIES[0])
    assert one.execute(INTERVAL + (300).to_bytes(2) + CLOSE, NOW_S * US)
    assert one.interval_s == 300
    assert not one.is_open
    assert not one.execute(b"\x00", NOW_S * US)
    assert not one.execute(b"", NOW_S * US)
    assert not one.execute(INTERVAL + b"\x01", NOW_S * US)
    records = [each.name for each in one.take_records() if isinstance(each, Counted)]
    assert records == [
        "meter_command_interval", "meter_command_close", "meter_commands_ignored", "meter_commands_ignored"
    ]  # fmt: skip


@pytest.mark.parametrize("identity", BUILT_IN, ids=lambda each: f"{each.make.name} {each.way}")
def test_the_platforms_decoders_read_what_the_ledger_knows(identity: MeterIdentity) -> None:
    one = meter(identity, faults=Faults(clock_1970=1.0))
    make = identity.make
    found: dict[int, float] = {}
    for message in live(one, NOW_S, 3600):
        options = identity.profile(60)["options"]
        assert isinstance(options, dict)

        def decode(data: bytes, heard_at_us: int = message.heard_at_us, given: Any = options) -> Decoded:
            return DECODERS[make.decoder](Payload(data, heard_at_us, make.port, given, identity.key))

        decoded = decode(message.payload)
        assert not decoded.warnings
        if make.carrier == "nbiot":
            assert decoded.identity == identity.identity
        for each in decoded.measurements:
            if each.quantity == make.quantity:
                assert each.channel == make.channel
                found[message.heard_at_us if each.ts_us is None else each.ts_us] = each.value
        if message.spoilt is not None:
            assert decode(message.spoilt).warnings, "a clock of 1970 is told of"
    assert found == {row.ts_us: pytest.approx(row.value, abs=1e-6) for row in rows(one)}


@given(st.sampled_from(IDENTITIES), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_with_faults_rows_stay_true_to_what_was_sent(identity: MeterIdentity, seed: int) -> None:
    faults = Faults(batch_missing=0.1, batch_out_of_order=0.3, entry_missing=0.2, entry_out_of_order=0.5)
    one = meter(identity, seed, faults=faults)
    live(one, NOW_S, 3600)
    one.flush()
    live(one, NOW_S + 3600, 0)
    assert one.is_settled
    for before, after in pairwise(sorted(rows(one), key=lambda row: row.ts_us)):
        assert before.consumed_milli <= after.consumed_milli
        if before.ts_us == after.ts_us:
            assert before == after, "a reading that travels twice says the same"


def test_registers_roll_over_reset_and_are_replaced_where_the_faults_say_so() -> None:
    identity = next(each for each in IDENTITIES if each.make.name == "gas binary")
    one = meter(identity, faults=Faults(near_rollover=1.0))
    live(one, NOW_S, 60)
    found = rows(one)
    modulus = identity.make.modulus * 1000
    assert found[0].register_milli >= modulus - NEAR_ROLLOVER_H * identity.make.mean_per_h * 1000
    assert found[-1].register_milli < modulus // 2
    assert found[0].register_milli + found[-1].consumed_milli - found[0].consumed_milli - modulus == (
        found[-1].register_milli
    )
    one = meter(identity, faults=Faults(register_reset=1.0))
    live(one, NOW_S, 0)
    assert {row.register_milli for row in rows(one)} == {0}
    one = meter(identity, faults=Faults(meter_replaced=1.0))
    one.joined()
    live(one, NOW_S, 0)
    assert one.needs_join
    assert max(row.register_milli for row in rows(one)) < 10_000


def test_a_message_stays_the_same_until_it_is_acknowledged() -> None:
    one = meter(IDENTITIES[0])
    one.tick(NOW_S * US)
    message = one.outgoing(NOW_S * US)
    assert message is not None
    one.tick((NOW_S + 600) * US)
    assert one.outgoing((NOW_S + 600) * US) is message
    assert not rows(one)
    one.acknowledge()
    assert len(rows(one)) == 1


def test_identities_are_dealt_out_and_imeis_are_right() -> None:
    found = meter_identities(40, 20)
    assert len({each.identity for each in found}) == 60
    assert {(each.make.name, each.server) for each in found[:40]} == {
        (make.name, server)
        for make in MAKES.values() if make.carrier == "lorawan"
        for server in {each.server for each in found[:40]}
    }  # fmt: skip
    assert all(is_imei(each.identity) for each in found[40:])
    assert {(each.make.name, each.way) for each in found[40:]} == {
        (make.name, way) for make in MAKES.values() if make.carrier == "nbiot" for way in ("coap", "udp")
    }
    assert meter(found[0]).settings.faults is NO_FAULTS
