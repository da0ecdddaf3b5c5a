"""The connection state machine, without a socket and without a clock."""

from collections import deque
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocols.ocpp.connection import (
    TRANSITIONS,
    Answered,
    CallEnded,
    CallReceived,
    Connection,
    Event,
    FrameRefused,
    Ignored,
    Limits,
    Lost,
    MisuseError,
    QueueFullError,
    Refused,
    State,
    TimedOut,
    Trigger,
)
from protocols.ocpp.frames import Call, ErrorCode
from protocols.ocpp.surface import Version

LIMITS = Limits(inbound_pause=2, inbound=4, outbound=3, replays=2, replay_us=1000, ended=4)


def frame(*parts: Any) -> bytes:
    return orjson.dumps(parts)


def sent(connection: Connection) -> list[Any]:
    return [orjson.loads(data) for data in connection.data_to_send()]


@pytest.fixture
def connection() -> Connection:
    return Connection(LIMITS)


def test_calls_are_handed_over_and_answered_in_order(connection: Connection) -> None:
    for message_id in ("a", "b"):
        assert isinstance(connection.receive(frame(2, message_id, "Heartbeat", {}), 0)[0], CallReceived)
    assert connection.should_pause
    connection.answer({"n": 1}, 0)
    connection.refuse(ErrorCode.INTERNAL_ERROR, "away")
    assert sent(connection) == [[3, "a", {"n": 1}], [4, "b", "InternalError", "away", {}]]
    assert connection.in_hand == 0
    with pytest.raises(MisuseError):
        connection.answer({}, 0)


def test_our_calls_go_out_one_at_a_time_beside_the_chargers(connection: Connection) -> None:
    assert connection.call("1", "Reset", {}, 0, 100) == []
    assert connection.call("2", "ClearCache", {}, 0, 100) == []
    assert sent(connection) == [[2, "1", "Reset", {}]]
    assert isinstance(connection.receive(frame(2, "a", "Heartbeat", {}), 1)[0], CallReceived)
    connection.answer({}, 1)
    assert sent(connection) == [[3, "a", {}]]
    assert connection.receive(frame(3, "1", {"x": 1}), 2) == [CallEnded("1", "Reset", Answered({"x": 1}))]
    assert sent(connection) == [[2, "2", "ClearCache", {}]]
    ended = connection.receive(frame(4, "2", "GenericError", "no", {}), 3)
    assert ended == [CallEnded("2", "ClearCache", Refused("GenericError", "no"))]


def test_time_ends_calls_sent_and_waiting(connection: Connection) -> None:
    connection.call("1", "Reset", {}, 0, 100)
    connection.call("2", "Reset", {}, 10, 20)
    connection.call("3", "Reset", {}, 10, 500)
    assert connection.next_deadline() == 30
    assert connection.tick(29) == []
    assert connection.tick(30) == [CallEnded("2", "Reset", TimedOut(was_sent=False))]
    assert connection.tick(100) == [CallEnded("1", "Reset", TimedOut())]
    assert connection.timeouts_in_row == 1
    assert [each[1] for each in sent(connection)] == ["1", "3"]
    assert connection.receive(frame(3, "1", {}), 101) == [Ignored("late", "1")]
    assert isinstance(connection.receive(frame(3, "3", {}), 102)[0], CallEnded)
    assert connection.timeouts_in_row == 0
    assert connection.receive(frame(3, "3", {}), 103) == [Ignored("duplicate", "3")]
    assert connection.receive(frame(3, "9", {}), 104) == [Ignored("stray", "9")]
    assert connection.next_deadline() is None


def test_a_gap_is_kept_between_the_end_of_a_call_and_the_next(connection: Connection) -> None:
    connection.call("a", "Reset", {}, 0, 1000, 50)
    assert len(sent(connection)) == 1, "there is none before it"
    connection.call("b", "Reset", {}, 0, 1000, 50)
    connection.call("c", "Reset", {}, 0, 1000)
    connection.receive(frame(3, "a", {}), 100)
    assert (sent(connection), connection.has_queued, connection.next_deadline()) == ([], True, 150)
    assert connection.tick(149) == []
    assert sent(connection) == []
    connection.tick(150)
    assert [call[1] for call in sent(connection)] == ["b"]
    connection.receive(frame(3, "b", {}), 160)
    assert [call[1] for call in sent(connection)] == ["c"], "only those of this make wait"
    assert connection.next_deadline() == 1000


def test_a_gap_ends_no_later_than_the_time_of_its_call(connection: Connection) -> None:
    connection.call("a", "Reset", {}, 0, 100)
    connection.call("b", "Reset", {}, 0, 120, 50)
    connection.call("c", "Reset", {}, 90, 100)
    connection.tick(100)
    assert (len(sent(connection)), connection.next_deadline()) == (1, 120)
    assert connection.tick(120) == [CallEnded("b", "Reset", TimedOut(was_sent=False))]
    assert [call[1] for call in sent(connection)] == ["c"]


def test_the_queue_of_our_calls_is_bounded(connection: Connection) -> None:
    for number in range(1 + LIMITS.outbound):
        connection.call(str(number), "Reset", {}, 0, 100)
    with pytest.raises(QueueFullError):
        connection.call("more", "Reset", {}, 0, 100)
    connection.receive(frame(3, "0", {}), 1)
    for used in ("0", "1", "2"):  # ended, out, waiting
        with pytest.raises(MisuseError):
            connection.call(used, "Reset", {}, 1, 100)


def test_a_flood_is_refused_beyond_the_bound(connection: Connection) -> None:
    for number in range(LIMITS.inbound):
        connection.receive(frame(2, str(number), "Heartbeat", {}), 0)
    assert connection.receive(frame(2, "more", "Heartbeat", {}), 0) == [Ignored("flooded", "more")]
    assert sent(connection)[0][:3] == [4, "more", "GenericError"]


def test_a_repeat_is_answered_from_memory_for_a_while(connection: Connection) -> None:
    first = frame(2, "a", "StopTransaction", {"n": 1})
    connection.receive(first, 0)
    assert connection.receive(first, 0) == [Ignored("repeated", "a")]
    connection.answer({"ok": 1}, 0)
    assert connection.receive(first, 1000) == [Ignored("repeated", "a")]
    assert sent(connection) == [[3, "a", {"ok": 1}]] * 2
    assert isinstance(connection.receive(first, 1001)[0], CallReceived)
    connection.answer({}, 1001)
    other = frame(2, "a", "StopTransaction", {"n": 2})
    assert isinstance(connection.receive(other, 1001)[0], CallReceived), "one id for everything"


@pytest.mark.parametrize("is_refused", [True, False])
def test_errors_and_answers_that_change_are_not_remembered(connection: Connection, is_refused: bool) -> None:
    call = frame(2, "a", "MeterValues" if is_refused else "Heartbeat", {})
    for _ in range(2):
        assert isinstance(connection.receive(call, 0)[0], CallReceived)
        if is_refused:
            connection.refuse(ErrorCode.INTERNAL_ERROR, "")
        else:
            connection.answer({}, 0)


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"{", [4, "-1", "FormationViolation"]),
        (b'[2,"a"', [4, "a", "FormationViolation"]),
        (b'[9,"a",{}]', [4, "-1", "FormationViolation"]),
        (b'[3,"a"', None),
        (b'[4,"a"]', None),
    ],
)
def test_what_is_no_frame_is_answered_unless_it_is_an_answer(
    connection: Connection, data: bytes, answer: list[Any] | None
) -> None:
    assert isinstance(connection.receive(data, 0)[0], FrameRefused)
    assert [each[:3] for each in sent(connection)] == ([] if answer is None else [answer])


def test_a_garbled_answer_ends_its_call_at_once(connection: Connection) -> None:
    connection.call("1", "Reset", {}, 0, 100)
    refused, ended = connection.receive(b'[3,"1",{"status":"Acc', 1)
    assert isinstance(refused, FrameRefused)
    assert isinstance(ended, CallEnded)
    assert isinstance(ended.outcome, Refused)
    assert ended.outcome.code == "FormationViolation"


def test_keepalives_and_binary_frames(connection: Connection) -> None:
    assert connection.receive(b"", 0) == []
    assert isinstance(connection.receive(b"", 0, is_text=False)[0], FrameRefused)
    assert isinstance(connection.receive(frame(2, "a", "Heartbeat", {}), 0, is_text=False)[0], FrameRefused)
    assert [each[1] for each in sent(connection)] == ["-1", "a"]


def test_closing_loses_what_was_asked(connection: Connection) -> None:
    connection.call("1", "Reset", {}, 0, 100)
    connection.call("2", "Reset", {}, 0, 100)
    unsent = Lost(was_sent=False)
    assert connection.close() == [CallEnded("1", "Reset", Lost()), CallEnded("2", "Reset", unsent)]
    assert connection.call("3", "Reset", {}, 0, 100) == [CallEnded("3", "Reset", unsent)]
    assert connection.close() == []


def test_the_table_of_transitions_is_closed() -> None:
    assert {state for state, _ in TRANSITIONS} | set(TRANSITIONS.values()) == set(State)
    assert {trigger for _, trigger in TRANSITIONS} == set(Trigger)
    ended = {State.ANSWERED, State.TIMED_OUT, State.LOST}
    assert all(after is before for (before, _), after in TRANSITIONS.items() if before in ended)


@given(st.lists(st.tuples(st.binary(max_size=60), st.booleans()), max_size=20))
def test_any_bytes_are_an_answer_or_an_event(messages: list[tuple[bytes, bool]]) -> None:
    connection = Connection(LIMITS)
    connection.call("1", "Reset", {}, 0, 10**9)
    sent(connection)
    for data, is_text in messages:
        events = connection.receive(data, 0, is_text=is_text)
        assert events or sent(connection) or (not data and is_text)


class Interleavings(RuleBasedStateMachine):
    """Whatever the order: each of our calls ends once, one is out at a time, answers keep their order."""

    def __init__(self) -> None:
        super().__init__()
        self.connection = Connection(LIMITS)
        self.now_us = 0
        self.asked: set[str] = set()
        self.ended: list[str] = []
        self.in_hand: deque[str] = deque()
        self.expected: list[str] = []
        self.out: list[str] = []
        self.answers: list[str] = []
        self.count = 0

    def take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, CallReceived):
                self.in_hand.append(event.call.message_id)
            elif isinstance(event, CallEnded):
                self.ended.append(event.message_id)
        for each in sent(self.connection):
            if each[0] == 2:
                self.out.append(each[1])
            elif "GenericError" not in each:
                self.answers.append(each[1])

    @rule(timeout_us=st.integers(1, 50), gap_us=st.integers(0, 30))
    def ask(self, timeout_us: int, gap_us: int) -> None:
        self.count += 1
        message_id = f"ours-{self.count}"
        try:
            events = self.connection.call(message_id, "Reset", {}, self.now_us, timeout_us, gap_us)
        except QueueFullError:
            return
        self.asked.add(message_id)
        self.take(events)

    @rule()
    def charger_asks(self) -> None:
        self.count += 1
        data = frame(2, f"theirs-{self.count}", "MeterValues", {"n": self.count})
        self.take(self.connection.receive(data, self.now_us))

    @precondition(lambda self: self.in_hand)
    @rule(is_refused=st.booleans())
    def we_answer(self, is_refused: bool) -> None:
        self.expected.append(self.in_hand.popleft())
        if is_refused:
            self.connection.refuse(ErrorCode.INTERNAL_ERROR, "")
        else:
            self.connection.answer({}, self.now_us)
        self.take([])

    @precondition(lambda self: self.out)
    @rule(data=st.data(), form=st.sampled_from(["result", "error", "garbled"]))
    def charger_answers(self, data: st.DataObject, form: str) -> None:
        """Any call that ever went out: in time, late or twice."""
        message_id = data.draw(st.sampled_from(self.out))
        whole = frame(3, message_id, {}) if form != "error" else frame(4, message_id, "X", "", {})
        self.take(self.connection.receive(whole[:-1] if form == "garbled" else whole, self.now_us))

    @rule(step_us=st.integers(1, 60))
    def time_goes_by(self, step_us: int) -> None:
        self.now_us += step_us
        self.take(self.connection.tick(self.now_us))

    @rule(data=st.binary(max_size=20))
    def noise(self, data: bytes) -> None:
        self.connection.receive(data, self.now_us)
        self.connection.data_to_send()

    @invariant()
    def each_call_ends_once_and_one_is_out(self) -> None:
        assert len(self.ended) == len(set(self.ended))
        assert set(self.ended) <= self.asked
        assert len(set(self.out) - set(self.ended)) <= 1

    @invariant()
    def answers_keep_their_order(self) -> None:
        assert self.answers == self.expected
        assert self.connection.in_hand == len(self.in_hand) <= LIMITS.inbound

    def teardown(self) -> None:
        self.take(self.connection.close())
        assert set(self.ended) == self.asked


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_a_send_of_2_1_is_handed_on_and_not_answered() -> None:
    connection = Connection(Limits(), Version.V21)
    events = connection.receive(b'[6,"s1","NotifyPeriodicEventStream",{"id":1}]', 0)
    assert events == [CallReceived(Call("s1", "NotifyPeriodicEventStream", {"id": 1}, is_send=True))]
    assert connection.in_hand == 0
    assert connection.data_to_send() == []


def test_a_refusal_of_our_answer_ends_no_call() -> None:
    connection = Connection(Limits(), Version.V21)
    connection.call("m1", "Reset", {"type": "Immediate"}, 0, 1_000_000)
    events = connection.receive(b'[5,"m1","FormatViolation","what was that",{}]', 1)
    assert events == [Ignored("answer_refused", "m1")]
    assert connection.next_deadline() == 1_000_000


@pytest.mark.parametrize(
    ("version", "code"), [(Version.V16, "FormationViolation"), (Version.V201, "FormatViolation")]
)
def test_errors_are_spelled_as_the_version_has_them(version: Version, code: str) -> None:
    connection = Connection(Limits(), version)
    connection.receive(b'[2,"a","Heartbeat"', 0)
    (answer,) = connection.data_to_send()
    assert orjson.loads(answer)[:3] == [4, "a", code]
