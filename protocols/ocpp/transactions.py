"""What the events of one transaction of OCPP 2.x tell together, in whatever order they come (part 2, E).

Used by the gateway's TransactionEvent and by `storage.queries.transactions`, which keeps a `Progress` for
each session. Taking an event is commutative and idempotent: a fact is that of the event with the least (or
greatest) rank, so that offline replays, repeats and an end before its start come to the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

import msgspec

from protocols.ocpp.meter_values_2 import Reading

SEQ_NO_MAX = 2**31 - 1
# Gaps that are told apart; a charger with more of them has the oldest two runs taken for one.
RUNS_MAX = 128

Values = tuple[int | str | None, ...]


class EventType(StrEnum):
    """TransactionEventEnumType."""

    STARTED = "Started"
    UPDATED = "Updated"
    ENDED = "Ended"


@dataclass(frozen=True, slots=True)
class TransactionEvent:
    """One TransactionEvent request; None is what it does not say. `..._us`: microseconds since 1970 UTC."""

    type: EventType
    seq_no: int
    at_us: int
    received_at_us: int
    is_offline: bool = False
    charging_state: str | None = None
    stopped_reason: str | None = None
    remote_start_id: int | None = None
    reservation_id: int | None = None
    evse_id: int | None = None
    connector_id: int | None = None
    id_token: str | None = None
    id_token_type: str | None = None
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """Something an event said: `seq_no` is that event's, `rank` decides against what other events say."""

    seq_no: int
    rank: tuple[int, ...]
    values: Values


# Of each fact: whether the greatest rank wins (what is newest) or the least (what was first).
_NEWEST_WINS: Mapping[str, bool] = MappingProxyType(
    {
        "started": False,
        "ended": False,
        "token": False,
        "evse": False,
        "remote_start_id": False,
        "reservation_id": False,
        "meter_first": False,
        "meter_last": True,
        "charging_state": True,
    }
)


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known of a transaction so far. `runs`: first and last seqNo of each unbroken run, ascending."""

    runs: tuple[tuple[int, int], ...] = ()
    was_offline: bool = False
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def take(self, event: TransactionEvent) -> "Progress":
        """What is known with `event` as well."""
        facts = dict(self.facts)
        for name, fact in _facts(event):
            known = facts.get(name)
            facts[name] = fact if known is None else _stronger(known, fact, newest_wins=_NEWEST_WINS[name])
        return Progress(_with(self.runs, event.seq_no), self.was_offline or event.is_offline, facts)

    def has(self, seq_no: int) -> bool:
        """Whether an event with this number came."""
        return any(first <= seq_no <= last for first, last in self.runs)

    def only_reads_on_from(self, known: "Progress") -> bool:
        """Whether beyond `known`, of a transaction under way, this tells newer register readings at most.

        It is the same session then but for its last reading: same start, driver, EVSE and charging state.
        """
        news = {name for name, fact in self.facts.items() if fact != known.facts.get(name)}
        is_same_state = self.value("charging_state") == known.value("charging_state")
        return not self.has_ended and is_same_state and news <= {"meter_last", "charging_state"}

    @property
    def seq_missing(self) -> int:
        """Numbers between the first (0, or that of Started) and the newest that never came."""
        first, newest = self._first_seq, self.runs[-1][1]
        came = sum(last - max(start, first) + 1 for start, last in self.runs if last >= first)
        return newest - first + 1 - came

    @property
    def newest_seq(self) -> int:
        """The highest number so far, -1 before the first event."""
        return self.runs[-1][1] if self.runs else -1

    def value(self, name: str, index: int = 0) -> int | str | None:
        """One value of a fact, None where no event told it."""
        fact = self.facts.get(name)
        return None if fact is None else fact.values[index]

    def integer(self, name: str, index: int = 0) -> int | None:
        """The same, of a fact whose values are integers."""
        value = self.value(name, index)
        return value if isinstance(value, int) else None

    def text(self, name: str, index: int = 0) -> str | None:
        """The same, of a fact whose values are texts."""
        value = self.value(name, index)
        return value if isinstance(value, str) else None

    @property
    def meter_start_wh(self) -> int:
        """The register at the start; without any reading 0, a transaction of no energy."""
        return self.integer("meter_first") or 0

    @property
    def meter_stop_wh(self) -> int:
        """The register at the end, as far as it is known."""
        last_wh = self.integer("meter_last")
        return self.meter_start_wh if last_wh is None else last_wh

    @property
    def has_ended(self) -> bool:
        """Whether an Ended came."""
        return "ended" in self.facts

    @property
    def has_started(self) -> bool:
        """Whether the Started came, and not only later events."""
        return self.facts["started"].rank[0] == 0

    @property
    def is_whole(self) -> bool:
        """Whether it has ended, and no event that is missing could change what it costs or who pays."""
        ended = self.facts.get("ended")
        if ended is None or not self.has_started:
            return False
        first, last, token = (self.facts.get(name) for name in ("meter_first", "meter_last", "token"))
        if first is None or last is None:
            return self._has_all(self._first_seq, ended.seq_no)
        is_paid_for = self._has_all(self._first_seq, ended.seq_no if token is None else token.seq_no)
        begin_is_known = first.rank[0] == 0 or self._has_all(self._first_seq, first.seq_no)
        end_is_known = last.rank[0] == 1 or self._has_all(last.seq_no, ended.seq_no)
        return is_paid_for and begin_is_known and end_is_known

    @property
    def _first_seq(self) -> int:
        """0 (E01.FR.07), unless the charger's Started shows that it counts from elsewhere."""
        return self.facts["started"].seq_no if self.has_started else 0

    def _has_all(self, first: int, last: int) -> bool:
        return last < first or any(start <= first and last <= end for start, end in self.runs)


def encode_progress(progress: Progress) -> bytes:
    """As JSON, for `decode_progress`."""
    return msgspec.json.encode(progress)


def decode_progress(data: bytes) -> Progress:
    """What `encode_progress` wrote; raises `msgspec.DecodeError` for anything else."""
    return msgspec.json.decode(data, type=Progress)


# OCPP 2.0.1 part 2, 2.48: stoppedReason may only be left out where it is this
LOCAL = "Local"


def _facts(event: TransactionEvent) -> list[tuple[str, Fact]]:
    """What `event` says. Ranks end with the time, for chargers that give all events one number."""
    seq_no, at_us = event.seq_no, event.at_us
    is_started = event.type is EventType.STARTED

    def fact(*values: int | str | None, rank: int = 0) -> Fact:
        return Fact(seq_no, (rank, seq_no, at_us), values)

    found = [("started", fact(at_us, event.received_at_us, rank=0 if is_started else 1))]
    if event.type is EventType.ENDED:
        found.append(("ended", fact(at_us, event.received_at_us, event.stopped_reason or LOCAL)))
    if event.id_token is not None:
        found.append(("token", fact(event.id_token, event.id_token_type)))
    if event.evse_id:
        is_named = event.connector_id is not None
        found.append(("evse", fact(event.evse_id, event.connector_id, rank=0 if is_named else 1)))
    for name in ("remote_start_id", "reservation_id", "charging_state"):
        value = getattr(event, name)
        if value is not None:
            found.append((name, fact(value)))
    for each in event.readings:
        rank = (seq_no, each.ts_us, each.wh)
        found.append(("meter_first", Fact(seq_no, (0 if each.is_begin else 1, *rank), (each.wh, each.ts_us))))
        found.append(("meter_last", Fact(seq_no, (1 if each.is_end else 0, *rank), (each.wh, each.ts_us))))
    return found


def _stronger(known: Fact, other: Fact, *, newest_wins: bool) -> Fact:
    """By rank; of two equals, which only a repeat makes, the one that is said in both orders."""
    if known.rank == other.rank:
        return min(known, other, key=lambda fact: repr(fact.values))
    return max(known, other, key=_rank) if newest_wins else min(known, other, key=_rank)


def _rank(fact: Fact) -> tuple[int, ...]:
    return fact.rank


def _with(runs: tuple[tuple[int, int], ...], seq_no: int) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted((*runs, (seq_no, seq_no))):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    if len(merged) > RUNS_MAX:
        merged[:2] = [(merged[0][0], merged[1][1])]
    return tuple(merged)
