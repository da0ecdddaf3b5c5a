from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.ocpp.connector_status import IN_USE, evse_status, transaction_status
from protocols.ocpp.meter_values_2 import Reading
from protocols.ocpp.transaction_event import NO_UID, read_event, transaction_uid
from protocols.ocpp.transactions import (
    RUNS_MAX,
    SEQ_NO_MAX,
    EventType,
    Progress,
    TransactionEvent,
    decode_progress,
    encode_progress,
)

S = 1_000_000


def event(type_: EventType, seq_no: int, wh: int | None = None, **more: Any) -> TransactionEvent:
    facts: dict[str, Any] = {"at_us": seq_no * S, "received_at_us": seq_no * S, **more}
    is_begin, is_end = type_ is EventType.STARTED, type_ is EventType.ENDED
    readings = () if wh is None else (Reading(seq_no * S, wh, is_begin, is_end),)
    return TransactionEvent(type_, seq_no, readings=readings, **facts)


START = event(EventType.STARTED, 0, 1000, id_token="card", evse_id=1)
UPDATE = event(EventType.UPDATED, 1, 1500, charging_state="Charging")
PAUSE = event(EventType.UPDATED, 2, charging_state="SuspendedEV")
END = event(EventType.ENDED, 3, 2500, stopped_reason="Local")


def taken(*events: TransactionEvent) -> Progress:
    progress = Progress()
    for each in events:
        progress = progress.take(each)
    return progress


def test_events_tell_a_transaction() -> None:
    progress = taken(START, UPDATE, PAUSE, END)
    assert (progress.integer("meter_first"), progress.integer("meter_last")) == (1000, 2500)
    assert (progress.text("token"), progress.integer("evse")) == ("card", 1)
    assert (progress.integer("started"), progress.integer("ended")) == (0, 3 * S)
    assert (progress.text("ended", 2), progress.text("charging_state")) == ("Local", "SuspendedEV")
    assert (progress.runs, progress.seq_missing, progress.is_whole) == (((0, 3),), 0, True)
    assert decode_progress(encode_progress(progress)) == progress


def test_an_end_that_gives_no_reason_was_local() -> None:
    """OCPP 2.0.1 part 2, 2.48: stoppedReason may only be left out where it is Local."""
    assert taken(START, event(EventType.ENDED, 1, 2500)).text("ended", 2) == "Local"


events = st.builds(
    TransactionEvent,
    type=st.sampled_from(EventType),
    seq_no=st.integers(0, 6),
    at_us=st.integers(0, 9),
    received_at_us=st.just(0),
    is_offline=st.booleans(),
    charging_state=st.sampled_from([None, "Charging", "Idle"]),
    id_token=st.sampled_from([None, "a", "b"]),
    evse_id=st.sampled_from([None, 1, 2]),
    connector_id=st.sampled_from([None, 1]),
    reservation_id=st.sampled_from([None, 7, 8]),
    readings=st.lists(
        st.builds(Reading, st.integers(0, 9), st.integers(0, 99), st.booleans(), st.booleans()), max_size=3
    ).map(tuple),
)


@given(st.lists(events, min_size=1, max_size=8).flatmap(lambda e: st.tuples(st.just(e), st.permutations(e))))
def test_order_and_repeats_change_nothing(
    pair: tuple[list[TransactionEvent], list[TransactionEvent]],
) -> None:
    one, other = pair
    progress = taken(*one)
    assert taken(*other) == progress
    assert taken(*one, *other) == progress
    assert decode_progress(encode_progress(progress)) == progress


@pytest.mark.parametrize(
    ("events", "is_whole"),
    [
        ([START, END], True),  # what is missing in between changes nothing: both meters are the transaction's
        ([END], False),
        ([UPDATE, PAUSE, END], False),
        ([START, UPDATE, PAUSE], False),
        ([START, event(EventType.ENDED, 3)], False),  # the newest reading may be in what is missing
        ([START, UPDATE, PAUSE, event(EventType.ENDED, 3)], True),
        ([event(EventType.STARTED, 0, id_token="a"), END], False),  # the first reading may be
        ([event(EventType.STARTED, 0, 1000), END], False),  # the token may be
        ([event(EventType.STARTED, 0), event(EventType.ENDED, 1)], True),  # no reading at all
        ([event(EventType.STARTED, 5, 1, id_token="a"), event(EventType.ENDED, 6, 2)], True),  # counts from 5
        ([event(EventType.STARTED, 0, 1, id_token="a"), event(EventType.ENDED, 0, 2)], True),  # never counts
    ],
)
def test_whole_is_what_nothing_missing_could_change(events: list[TransactionEvent], is_whole: bool) -> None:
    assert taken(*events).is_whole is is_whole


def test_missing_numbers_are_counted() -> None:
    assert taken(START, END).seq_missing == 2
    assert taken(END).seq_missing == 3
    assert taken(event(EventType.STARTED, 5), event(EventType.ENDED, 7)).seq_missing == 1


def test_gaps_are_bounded() -> None:
    progress = taken(*(event(EventType.UPDATED, 2 * number) for number in range(RUNS_MAX + 50)))
    assert len(progress.runs) == RUNS_MAX
    assert progress.newest_seq == 2 * (RUNS_MAX + 49)


def request(**more: Any) -> dict[str, Any]:
    return {"eventType": "Started", "seqNo": 0, "transactionInfo": {"transactionId": "t"}, **more}


def read(payload: dict[str, Any]) -> TransactionEvent:
    return read_event(payload, at_us=1, received_at_us=2, readings=())


def test_what_nobody_can_mean_is_not_said() -> None:
    odd = request(
        seqNo=2**80,
        evse={"id": -1},
        reservationId=2**70,
        idToken={"idToken": "a\0b" + "x" * 400, "type": "Central"},
        transactionInfo={"transactionId": "", "remoteStartId": -5, "chargingState": "y" * 99},
    )
    found = read(odd)
    assert (found.seq_no, found.evse_id, found.reservation_id, found.remote_start_id) == (0, None, None, None)
    assert found.id_token is not None
    assert "\0" not in found.id_token
    assert len(found.id_token) == 255
    assert transaction_uid(odd) == NO_UID
    assert read(request(seqNo=SEQ_NO_MAX, eventType="ended")).type is EventType.ENDED


def test_an_evse_is_what_its_busiest_connector_is() -> None:
    assert evse_status(["Available", "Occupied", "Faulted"], None) == "Preparing"
    assert evse_status(["Occupied"], "SuspendedEV") == "SuspendedEV"
    assert evse_status(["Occupied"], "Available") == "Preparing"
    assert evse_status(["Faulted", "Reserved"], "Charging") == "Reserved"
    assert evse_status([], None) == "Unavailable"


def test_the_end_of_a_transaction_does_not_bring_a_vehicle_back() -> None:
    assert transaction_status("Charging", "Preparing", has_ended=False) == "Charging"
    assert transaction_status("Charging", "Charging", has_ended=False) is None
    assert transaction_status(None, "Preparing", has_ended=False) is None
    assert transaction_status(None, "Charging", has_ended=True) == "Finishing"
    assert transaction_status("Idle", "Available", has_ended=True) is None
    assert "Finishing" in IN_USE


def shown(progress: Progress) -> dict[str, object]:
    """What a session shows but for its last reading."""
    names = ("started", "ended", "token", "evse", "remote_start_id", "reservation_id", "charging_state")
    facts = {name: fact.values for name, fact in progress.facts.items() if name in names}
    return {**facts, "meter_start_wh": progress.meter_start_wh, "has_started": progress.has_started}


@given(st.lists(events, min_size=1, max_size=6), events)
def test_what_only_reads_on_is_the_same_session(
    before: list[TransactionEvent], event: TransactionEvent
) -> None:
    known = taken(*before)
    progress = known.take(event)
    if progress.only_reads_on_from(known):
        assert shown(progress) == shown(known)
        assert not progress.has_ended


@pytest.mark.parametrize(
    ("more", "only_reads_on"),
    [
        (event(EventType.UPDATED, 2, 1700), True),
        (event(EventType.UPDATED, 2, 1700, charging_state="Charging"), True),
        (event(EventType.UPDATED, 2), True),
        (UPDATE, True),
        (PAUSE, False),
        (END, False),
        (event(EventType.UPDATED, 2, evse_id=1, connector_id=1), False),
        (event(EventType.UPDATED, 2, reservation_id=1), False),
    ],
)
def test_a_mere_reading_is_told_from_news(more: TransactionEvent, only_reads_on: bool) -> None:
    known = taken(START, UPDATE)
    assert known.take(more).only_reads_on_from(known) is only_reads_on
