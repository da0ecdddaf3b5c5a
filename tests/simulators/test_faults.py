import json
import random
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.faults import (
    LATE_S_MAX,
    NO_FAULTS,
    PRESETS,
    RUBBISH,
    Faults,
    Parcel,
    Send,
    dirty_entries,
    misspelt,
    on_wire,
    parcels,
    preset,
)

VALUES = '{"timestamp":"2026-01-01T00:00:00.000Z","sampledValue":[{"value":"1"}]}'
CALL = f'[2,"1","MeterValues",{{"meterValue":[{VALUES}]}}]'
START = '[2,"1","StartTransaction",{"timestamp":"2026-01-01T00:00:00.000Z"}]'


def test_no_fault_is_the_default_and_leaves_the_dice_alone() -> None:
    rng = random.Random(1)
    before = rng.getstate()
    assert Faults() == NO_FAULTS == preset("none")
    assert on_wire(CALL, NO_FAULTS, rng) == on_wire(CALL, Faults(), rng) == [Send(CALL)]
    assert dirty_entries([1, 2, 3], NO_FAULTS, rng) == [1, 2, 3]
    assert rng.getstate() == before


def test_tsbs_has_its_published_probabilities() -> None:
    tsbs = PRESETS["tsbs"]
    assert (tsbs.batch_missing, tsbs.batch_out_of_order) == (0.01, 0.05)
    assert (tsbs.entry_missing, tsbs.entry_out_of_order) == (0.1, 0.3)
    assert (tsbs.zero_tag, tsbs.zero_field) == (0.01, 0.1)


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'wild'.*none, tsbs, rough"):
        preset("wild")


@given(st.integers(), st.lists(st.floats(0, 1), min_size=len(fields(Faults)), max_size=len(fields(Faults))))
def test_the_message_itself_is_always_sent_once_and_no_other_counts(seed: int, chances: list[float]) -> None:
    sends = on_wire(CALL, Faults(*chances), random.Random(seed))
    own = [send for send in sends if not send.is_extra]
    assert [send.text for send in own] == [CALL]
    assert not any(send.drops_link for send in sends if send.is_extra)
    assert all(0 <= send.delay_s <= LATE_S_MAX for send in sends)


@given(
    st.integers(), st.lists(st.floats(0, 1), min_size=len(fields(Faults)), max_size=len(fields(Faults))),
    st.binary(max_size=40), st.none() | st.binary(max_size=9),
)  # fmt: skip
def test_the_same_holds_for_messages_of_bytes(
    seed: int, chances: list[float], payload: bytes, spoilt: bytes | None
) -> None:
    sends = parcels(payload, Faults(*chances), random.Random(seed), spoilt=spoilt, again=b"again")
    assert [send.payload for send in sends if not send.is_extra] == [payload]
    assert not any(send.drops_link for send in sends if send.is_extra)
    assert parcels(payload, NO_FAULTS, random.Random(seed), spoilt=spoilt) == [Parcel(payload)]
    twice = parcels(
        payload, Faults(duplicate=1, clock_1970=1), random.Random(seed), spoilt=b"old", again=b"x"
    )
    assert [send.payload for send in twice] == [b"old", payload, b"x"]


def test_each_fault_does_what_it_is_called() -> None:
    rng = random.Random(1)

    def extra(faults: Faults, text: str = CALL) -> list[str]:
        return [send.text for send in on_wire(text, faults, rng) if send.is_extra]

    assert extra(Faults(duplicate=1)) == [CALL]
    assert extra(Faults(rubbish=1))[0] in RUBBISH
    (truncated,) = extra(Faults(truncated=1))
    assert CALL.startswith(truncated)
    assert len(truncated) < len(CALL)
    (wild,) = extra(Faults(out_of_range=1))
    assert json.loads(wild)[3]["meterValue"][0]["sampledValue"] == [{"value": "1e300"}]
    (old,) = extra(Faults(clock_1970=1))
    assert json.loads(old)[3]["meterValue"][0]["timestamp"].startswith("1970")
    spoiling = Faults(out_of_range=1, clock_1970=1)
    assert on_wire(START, spoiling, rng, has_samples=False) == [Send(START)]
    assert on_wire(CALL, Faults(disconnect=1), rng)[-1].drops_link
    assert any(on_wire(CALL, Faults(late=1), rng)[-1].delay_s > 0 for _ in range(3))


def test_what_is_misspelt_says_the_same() -> None:
    rng = random.Random(1)
    payload = {
        "connectorId": 1,
        "meterValue": [{"timestamp": "2026-01-01T00:00:00.000Z", "sampledValue": []}],
    }
    assert misspelt(payload, NO_FAULTS, rng) is payload
    assert misspelt(payload, Faults(no_zone=1, one_value_object=1), rng) == {
        "connectorId": 1,
        "meterValue": {"timestamp": "2026-01-01T00:00:00.000", "sampledValue": []},
    }
    event = {"eventType": "Updated", "meterValue": payload["meterValue"]}
    assert misspelt(event, Faults(one_value_object=1), rng) == event, "a session's event keeps its form"
    assert misspelt({"idTag": "Z"}, Faults(no_zone=1), rng) == {"idTag": "Z"}


def test_entries_are_lost_and_shuffled_as_often_as_said() -> None:
    rng = random.Random(1)
    tsbs = PRESETS["tsbs"]
    batches = [dirty_entries(range(20), tsbs, rng) for _ in range(1_000)]
    assert 0.08 < 1 - sum(map(len, batches)) / 20_000 < 0.12
    assert 0.25 < sum(batch != sorted(batch) for batch in batches) / 1_000 < 0.35
