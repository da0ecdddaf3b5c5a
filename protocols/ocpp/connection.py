"""One charger's OCPP-J connection without input or output: frames in, events out, bytes to send.

Used by `ingest.ocpp.link` around a socket. Both directions live beside each other (OCPP-J 1.6 section
4.1.1): the charger's calls are answered in their order, ours go out one at a time, and neither waits for
the other. Time is passed in as microseconds of any clock that never goes back; there are no timers here,
only `next_deadline`. What the charger does wrong becomes an event; `MisuseError` is our own bug.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

import msgspec

from protocols.ocpp.frames import (
    NO_MESSAGE_ID,
    Call,
    CallError,
    CallResult,
    ErrorCode,
    FormationError,
    MessageType,
    Payload,
    parse_frame,
    serialise_call,
    serialise_error,
    serialise_result,
)
from protocols.ocpp.surface import Version

# A repeat of these is answered from memory. Others are cheap, or their answer changes with time.
_REPLAYED = frozenset(
    {
        "DataTransfer",
        "MeterValues",
        "StartTransaction",
        "StatusNotification",
        "StopTransaction",
        "TransactionEvent",
    }
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection.

    `inbound_pause`: calls in hand at which the shell should stop reading. `inbound`: calls in hand at which
    further ones are refused (what arrived in one read cannot be unread). `outbound`: our calls that wait.
    `replays`, `replay_us`: answers kept for a charger that repeats itself, and for how long.
    `ended`: finished calls remembered, to tell a late answer from a stray one.
    """

    inbound_pause: int = 8
    inbound: int = 64
    outbound: int = 16
    replays: int = 8
    replay_us: int = 60_000_000
    ended: int = 16


class State(Enum):
    """Of one of our calls."""

    QUEUED = auto()
    WAITING = auto()
    ANSWERED = auto()
    TIMED_OUT = auto()
    LOST = auto()


class Trigger(Enum):
    """What can happen to one of our calls."""

    SEND = auto()
    ANSWER = auto()
    DEADLINE = auto()
    CLOSE = auto()


# Every transition of a call. A pair that is not here cannot happen, or it is our bug.
TRANSITIONS: Mapping[tuple[State, Trigger], State] = {
    (State.QUEUED, Trigger.SEND): State.WAITING,
    (State.QUEUED, Trigger.DEADLINE): State.TIMED_OUT,
    (State.QUEUED, Trigger.CLOSE): State.LOST,
    (State.WAITING, Trigger.ANSWER): State.ANSWERED,
    (State.WAITING, Trigger.DEADLINE): State.TIMED_OUT,
    (State.WAITING, Trigger.CLOSE): State.LOST,
    (State.ANSWERED, Trigger.ANSWER): State.ANSWERED,  # said twice
    (State.TIMED_OUT, Trigger.ANSWER): State.TIMED_OUT,  # too late
}


class MisuseError(RuntimeError):
    """The shell did what it must not: our bug, never the charger's."""


class QueueFullError(RuntimeError):
    """As many of our calls wait for this charger as may."""


class Answered(msgspec.Struct, frozen=True):
    """The charger's CALLRESULT."""

    payload: Payload


class Refused(msgspec.Struct, frozen=True):
    """The charger's CALLERROR, or an answer that could not be read (`FormationViolation`)."""

    code: str
    description: str


class TimedOut(msgspec.Struct, frozen=True):
    """No answer in time. `was_sent`: False where the call never went out, so that it has no effect."""

    was_sent: bool = True


class Lost(msgspec.Struct, frozen=True):
    """The connection ended before the answer; `was_sent` as for `TimedOut`."""

    was_sent: bool = True


Outcome = Answered | Refused | TimedOut | Lost


class CallReceived(msgspec.Struct, frozen=True):
    """The charger asks: `answer` or `refuse` it, in the order of these events; a SEND neither."""

    call: Call


class CallEnded(msgspec.Struct, frozen=True):
    """One of our calls came to its end; said exactly once a call."""

    message_id: str
    action: str
    outcome: Outcome


class FrameRefused(msgspec.Struct, frozen=True):
    """A frame that is none; it was answered if it could be a call."""

    error: FormationError
    data: bytes


class Ignored(msgspec.Struct, frozen=True):
    """Something harmless that is worth counting.

    `why`: repeated, flooded, late, duplicate, stray or answer_refused.
    """

    why: str
    message_id: str


Event = CallReceived | CallEnded | FrameRefused | Ignored


@dataclass(slots=True)
class _OurCall:
    message_id: str
    action: str
    frame: bytes
    deadline_us: int
    gap_us: int
    state: State = State.QUEUED

    def move(self, trigger: Trigger) -> None:
        self.state = TRANSITIONS[self.state, trigger]


class _InHand(msgspec.Struct, frozen=True):
    message_id: str
    digest: int
    is_replayed: bool


class Connection:
    """See the module. One instance a socket; it never outlives it."""

    def __init__(self, limits: Limits, version: Version = Version.V16) -> None:
        self._limits = limits
        self._version = version
        self._out: list[bytes] = []
        # Plain lists and dicts, oldest first: they are short (`Limits`), and deques and ordered dicts would
        # be 2 KiB for each connection, empty.
        self._in_hand: list[_InHand] = []
        self._answers: dict[int, tuple[bytes, int]] = {}
        self._queued: list[_OurCall] = []
        self._waiting: _OurCall | None = None
        self._ended: dict[str, State] = {}
        self._free_since_us: int | None = None
        self._is_closed = False
        self.timeouts_in_row = 0

    @property
    def in_hand(self) -> int:
        """Calls of the charger that wait for their answer."""
        return len(self._in_hand)

    @property
    def should_pause(self) -> bool:
        """Whether the shell should stop reading until some calls are answered."""
        return len(self._in_hand) >= self._limits.inbound_pause

    @property
    def has_queued(self) -> bool:
        """Whether calls of ours wait to go out."""
        return bool(self._queued)

    def data_to_send(self) -> list[bytes]:
        """Text frames to send, in order; each is returned once."""
        out, self._out = self._out, []
        return out

    # --- what the charger sends ----------------------------------------------------------------

    def receive(self, data: bytes, now_us: int, *, is_text: bool = True) -> list[Event]:
        """Take one whole WebSocket message. Any bytes will do; an empty text is a keepalive."""
        if not data and is_text:
            return []
        try:
            frame = parse_frame(data)
            if not is_text:
                raise FormationError("OCPP-J frames are text, not binary", frame.message_id, _type_of(frame))
        except FormationError as error:
            return self._on_broken(error, data, now_us)
        if isinstance(frame, Call):
            return self._on_call(frame, hash(data), now_us)
        if isinstance(frame, CallError) and frame.of_result:
            return [Ignored("answer_refused", frame.message_id)]
        if isinstance(frame, CallResult):
            return self._on_answer(frame.message_id, Answered(frame.payload), now_us)
        return self._on_answer(frame.message_id, Refused(frame.code, frame.description), now_us)

    def _on_call(self, call: Call, digest: int, now_us: int) -> list[Event]:
        """A repeat is the same id with the same bytes: some chargers use one id for everything."""
        if call.is_send:
            return [CallReceived(call)]
        replay = self._answers.get(digest)
        if replay is not None and now_us - replay[1] <= self._limits.replay_us:
            self._out.append(replay[0])
            return [Ignored("repeated", call.message_id)]
        if any(each.digest == digest for each in self._in_hand):
            return [Ignored("repeated", call.message_id)]  # its answer is on the way
        if len(self._in_hand) >= self._limits.inbound:
            description = f"more than {self._limits.inbound} calls without waiting for an answer"
            self._out.append(serialise_error(call.message_id, ErrorCode.GENERIC_ERROR.value, description))
            return [Ignored("flooded", call.message_id)]
        self._in_hand.append(_InHand(call.message_id, digest, call.action in _REPLAYED))
        return [CallReceived(call)]

    def _on_broken(self, error: FormationError, data: bytes, now_us: int) -> list[Event]:
        """Answered unless it is an answer itself, lest two peers refuse each other's refusals for ever."""
        if error.type in (None, MessageType.CALL):
            message_id = NO_MESSAGE_ID if error.message_id is None else error.message_id
            code = ErrorCode.FORMATION_VIOLATION.spelled(self._version)
            self._out.append(serialise_error(message_id, code, str(error)))
        elif self._waiting is not None and error.message_id == self._waiting.message_id:
            outcome = Refused(ErrorCode.FORMATION_VIOLATION.value, f"unreadable answer: {error}")
            return [FrameRefused(error, data), *self._on_answer(self._waiting.message_id, outcome, now_us)]
        return [FrameRefused(error, data)]

    def _on_answer(self, message_id: str, outcome: Answered | Refused, now_us: int) -> list[Event]:
        waiting = self._waiting
        if waiting is not None and waiting.message_id == message_id:
            self.timeouts_in_row = 0
            self._free_since_us = now_us
            event = self._end(waiting, Trigger.ANSWER, outcome)
            return [event, *self._send_next(now_us)]
        state = self._ended.get(message_id)
        if state is None or (state, Trigger.ANSWER) not in TRANSITIONS:
            return [Ignored("stray", message_id)]
        return [Ignored("late" if state is State.TIMED_OUT else "duplicate", message_id)]

    # --- what we answer ------------------------------------------------------------------------

    def answer(self, payload: Mapping[str, object], now_us: int) -> None:
        """Answer the oldest call in hand."""
        call = self._oldest()
        frame = serialise_result(call.message_id, payload)
        self._out.append(frame)
        if call.is_replayed:
            self._answers[call.digest] = (frame, now_us)
            if len(self._answers) > self._limits.replays:
                del self._answers[next(iter(self._answers))]

    def refuse(self, code: ErrorCode, description: str) -> None:
        """Refuse the oldest call in hand. Not remembered: when it is sent again it deserves another try."""
        self._out.append(serialise_error(self._oldest().message_id, code.spelled(self._version), description))

    def _oldest(self) -> _InHand:
        if not self._in_hand:
            raise MisuseError("an answer without a call in hand")
        return self._in_hand.pop(0)

    # --- what we ask ---------------------------------------------------------------------------

    def call(
        self,
        message_id: str,
        action: str,
        payload: Mapping[str, object],
        now_us: int,
        timeout_us: int,
        gap_us: int = 0,
    ) -> list[Event]:
        """Ask the charger; a `CallEnded` of this id follows, at the latest from `tick` after `timeout_us`.

        It goes out no sooner than `gap_us` after the end of the call before it. The time in the queue counts.
        `message_id` must be fresh. Raises `QueueFullError`.
        """
        if self._is_closed:
            return [CallEnded(message_id, action, Lost(was_sent=False))]
        if len(self._queued) >= self._limits.outbound:
            raise QueueFullError(f"{self._limits.outbound} calls wait for this charger already")
        if message_id in self._ended or any(call.message_id == message_id for call in self._pending()):
            raise MisuseError(f"message id {message_id} is in use")
        frame = serialise_call(message_id, action, payload)
        self._queued.append(_OurCall(message_id, action, frame, now_us + timeout_us, gap_us))
        return self._send_next(now_us)

    def next_deadline(self) -> int | None:
        """When `tick` is due (the clock of `now_us`), or None."""
        deadlines = [call.deadline_us for call in self._pending()]
        if self._waiting is None and self._queued:
            deadlines.append(self._free_at_us(self._queued[0]))
        return min(deadlines, default=None)

    def tick(self, now_us: int) -> list[Event]:
        """End the calls whose time is over, and send the one whose gap is."""
        events: list[Event] = []
        for call in [call for call in self._queued if call.deadline_us <= now_us]:
            self._queued.remove(call)
            events.append(self._end(call, Trigger.DEADLINE, TimedOut(was_sent=False)))
        if self._waiting is not None and self._waiting.deadline_us <= now_us:
            self.timeouts_in_row += 1
            self._free_since_us = now_us
            events.append(self._end(self._waiting, Trigger.DEADLINE, TimedOut()))
        return events + self._send_next(now_us)

    def close(self) -> list[Event]:
        """The socket is gone: what we still asked is lost."""
        self._is_closed = True
        calls = self._pending()
        self._queued.clear()
        return [self._end(call, Trigger.CLOSE, Lost(call.state is State.WAITING)) for call in calls]

    def _pending(self) -> list[_OurCall]:
        return [*self._queued] if self._waiting is None else [self._waiting, *self._queued]

    def _send_next(self, now_us: int) -> list[Event]:
        """Send the next of our calls if none is out and its gap is over; those out of time end without."""
        events: list[Event] = []
        while self._waiting is None and self._queued:
            call = self._queued[0]
            if call.deadline_us > now_us and self._free_at_us(call) > now_us:
                break
            del self._queued[0]
            if call.deadline_us <= now_us:
                events.append(self._end(call, Trigger.DEADLINE, TimedOut(was_sent=False)))
                continue
            call.move(Trigger.SEND)
            self._waiting = call
            self._out.append(call.frame)
        return events

    def _free_at_us(self, call: _OurCall) -> int:
        """When a call may go out, once none is out."""
        return 0 if self._free_since_us is None else self._free_since_us + call.gap_us

    def _end(self, call: _OurCall, trigger: Trigger, outcome: Outcome) -> CallEnded:
        call.move(trigger)
        if call is self._waiting:
            self._waiting = None
            self._ended[call.message_id] = call.state
            if len(self._ended) > self._limits.ended:
                del self._ended[next(iter(self._ended))]
        return CallEnded(call.message_id, call.action, outcome)


def _type_of(frame: Call | CallResult | CallError) -> MessageType:
    if isinstance(frame, Call):
        return MessageType.SEND if frame.is_send else MessageType.CALL
    return MessageType.CALL_RESULT if isinstance(frame, CallResult) else MessageType.CALL_ERROR
