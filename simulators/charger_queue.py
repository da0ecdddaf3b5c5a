"""The calls of a simulated charger: one outstanding at a time, transaction messages kept until acknowledged.

OCPP-J 1.6 section 4.1.1 allows one unanswered CALL. Transaction-related messages (OCPP 1.6 section 3.7,
OCPP 2.0.1 part 2, E04) wait here in their order through lost connections, errors and timeouts, and go out
again under new message ids: that is how a central system meets duplicates. Used by `simulators.charger`.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

KEPT_MAX = 10_000
KEPT_RESERVE = 200  # of these, for starts and stops: sampling ends before
PASSING_MAX = 64
RETRY_S_MAX = 30.0
LOST_ID = -1  # what some chargers say of a transaction that began offline
CARD = "ISO14443"

Payload = dict[str, object]


class IdToken(NamedTuple):
    """Who charges: 1.6's idTag is the text; 2.x says its kind too (IdTokenEnumType)."""

    text: str
    kind: str = CARD


@dataclass(slots=True, eq=False)
class Transaction:
    """A charging session.

    `transaction_id`: in 1.6 the central system's, None until StartTransaction was acknowledged; in 2.x ours.
    `seq_no`: of the next TransactionEvent. `is_id_lost`: the id given is never used (a fault).
    `remote_start_id`: of the RequestStartTransaction that began it.
    """

    connector_id: int
    token: IdToken
    started_us: int
    meter_start_wh: int
    transaction_id: int | str | None = None
    reservation_id: int | None = None
    remote_start_id: int | None = None
    seq_no: int = 0
    is_id_lost: bool = False

    def next_seq_no(self) -> int:
        """The number of one more TransactionEvent, 0 and up (OCPP 2.0.1 part 2, E01)."""
        self.seq_no += 1
        return self.seq_no - 1


@dataclass(slots=True, eq=False)
class Outgoing:
    """A CALL to make. `is_kept`: stays until it has a CALLRESULT; else it is tried once.

    `transaction`: which one it is about; `fills_id`: its id is filled in when the call goes out. `on_result`
    gets the answer's payload and says whether it was good; `on_failure` is told of error, timeout and lost
    link, of calls that are not kept. `is_sample`: it carries readings and nothing that others rest on.
    """

    action: str
    payload: Payload
    on_result: Callable[[Payload], bool] = lambda _payload: True
    on_failure: Callable[[], None] = lambda: None
    is_kept: bool = False
    transaction: Transaction | None = None
    fills_id: bool = False
    is_sample: bool = False
    attempts: int = 0

    def filled(self) -> Payload:
        """The payload as it goes out."""
        if self.transaction is None or not self.fills_id:
            return self.payload
        transaction_id = LOST_ID if self.transaction.is_id_lost else self.transaction.transaction_id
        return {**self.payload, "transactionId": transaction_id}


class CallQueue:
    """`retry_at_us`: kept messages rest until then after a failure."""

    def __init__(self) -> None:
        self._kept: deque[Outgoing] = deque()
        self._passing: deque[Outgoing] = deque()
        self._flying: tuple[str, Outgoing] | None = None
        self.retry_at_us = 0

    @property
    def kept(self) -> int:
        """Transaction messages that are not acknowledged."""
        return len(self._kept)

    @property
    def has_room(self) -> bool:
        """Whether another sample may be queued."""
        return len(self._kept) < KEPT_MAX - KEPT_RESERVE

    def push(self, call: Outgoing, *, ahead_of_last: bool = False) -> None:
        """Queue a call. `ahead_of_last`: a sample that overtakes the one before it."""
        if not call.is_kept:
            if len(self._passing) >= PASSING_MAX:
                self._passing.popleft().on_failure()
            self._passing.append(call)
            return
        assert len(self._kept) < KEPT_MAX, "has_room leaves a reserve that starts and stops cannot use up"
        if ahead_of_last and self._may_overtake(call):
            self._kept.insert(len(self._kept) - 1, call)
        else:
            self._kept.append(call)

    def holds(self, action: str) -> bool:
        """Whether a passing call of that action waits or flies."""
        flying = self._flying is not None and self._flying[1].action == action
        return flying or any(call.action == action for call in self._passing)

    def holds_of(self, transaction_id: str | None) -> bool:
        """Whether a message of that transaction, or of any if None, is not acknowledged."""
        about = (call.transaction for call in self._kept if call.transaction is not None)
        return any(transaction_id in {None, one.transaction_id} for one in about)

    def take(self, now_us: int, *, only: str | None = None) -> Outgoing | None:
        """The next call to send; None if there is none, or one is outstanding. `only`: no other may go."""
        return None if self._flying is not None else self._next(now_us, only)

    def sent(self, call: Outgoing, message_id: str) -> None:
        """The call that `take` gave went out under that id, and is outstanding now."""
        call.attempts += 1
        self._flying = (message_id, call)

    def answered(self, message_id: str) -> Outgoing | None:
        """The call that this answer is for, no longer outstanding; None for an id not known (any more).

        A kept call is still queued: `acknowledged` or `failed` decides.
        """
        if self._flying is None or self._flying[0] != message_id:
            return None
        return self.landed()

    def landed(self) -> Outgoing | None:
        """End the outstanding call, if there is one: answered, timed out, or its link lost."""
        call = self._flying[1] if self._flying is not None else None
        self._flying = None
        return call

    def acknowledged(self, call: Outgoing) -> None:
        """Drop a kept call: the other side has it."""
        if call.is_kept:
            self._kept.remove(call)

    def failed(self, call: Outgoing, now_us: int, retry_s: float) -> None:
        """A kept call rests, longer each time; another is told."""
        if call.is_kept:
            self.retry_at_us = now_us + round(min(RETRY_S_MAX, retry_s * call.attempts) * 1_000_000)
        else:
            call.on_failure()

    def link_lost(self) -> None:
        """Forget passing calls, telling each; keep the others, to be sent again at once."""
        flying = self.landed()
        lost = [call for call in (flying, *self._passing) if call is not None and not call.is_kept]
        self._passing.clear()
        self.retry_at_us = 0
        for call in lost:
            call.on_failure()

    def _next(self, now_us: int, only: str | None) -> Outgoing | None:
        if only is not None:
            call = next((call for call in self._passing if call.action == only), None)
            if call is not None:
                self._passing.remove(call)
            return call
        if self._passing:
            return self._passing.popleft()
        if self._kept and now_us >= self.retry_at_us:
            return self._kept[0]
        return None

    def _may_overtake(self, call: Outgoing) -> bool:
        if not self._kept:
            return False
        last = self._kept[-1]
        is_flying = self._flying is not None and self._flying[1] is last
        both_samples = last.is_sample and call.is_sample
        return both_samples and last.transaction is call.transaction and not is_flying
