"""A utility meter without I/O: a register that advances, messages out, commands in.

Used by `simulators.lorawan_client` and `simulators.nbiot_client`, which give it a network, and by tests.
What flows is a pure function of seed, identity and time, so a fleet that goes on after a crash measures the
same again. A message stays the next to send until it is acknowledged.
"""

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from simulators.faults import NO_FAULTS, Faults, dirty_entries, happens
from simulators.meter_makes import CLOSE, INTERVAL, OPEN, Make
from simulators.meter_payloads import US_PER_S, Head, Reading
from simulators.records import Counted, MeterRow, Record

LOG_MAX = 2_000  # readings that wait; the oldest go first, as in a meter's flash
HELD_MAX = 4
BACKLOG_S = 86_400
BACKLOG_STEP_S = 900
INTERVAL_S_MAX = 0xFFFF
NOISE_S = 900  # how long a household does the same
BATTERY_MV_FULL, BATTERY_MV_EMPTY = 3_650, 3_100
AIRTIME_US = 62_000  # a gateway's time is that of a frame's end
CLOCK_NOT_SET_US = 2_128_000_000
NEAR_ROLLOVER_H = 3  # of its mean
# Of a household's day, hour by hour, in hundredths of its mean.
DAY_PCT = (
    40, 35, 30, 30, 35, 70, 130, 170, 140, 100, 85, 85,
    100, 95, 85, 85, 100, 150, 200, 210, 180, 130, 75, 40,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MeterSettings:
    """One meter: a reading each `interval_s`, a message each `readings_per_message` of them.

    `speed` makes its household take more. `state`: what was acknowledged last, of an earlier run.
    """

    identity: str
    make: Make
    interval_s: int = 60
    readings_per_message: int = 1
    speed: float = 1.0
    key: bytes | None = field(default=None, repr=False)
    state: MeterRow | None = None
    faults: Faults = NO_FAULTS


@dataclass(frozen=True, slots=True)
class _Taken:
    reading: Reading
    register_milli: int
    consumed_milli: int


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One message; `spoilt` is the same by a clock that stands in 1970, where the meter has one.

    `heard_at_us`: when it was first sent. `rows`: what its acknowledgement puts into the ledger.
    """

    counter: int
    heard_at_us: int
    payload: bytes
    rows: tuple[MeterRow, ...]
    spoilt: bytes | None = None


class Meter:
    """Tell it of time (`tick`) and commands (`execute`); send what `outgoing` gives until `acknowledge`.

    `needs_join`: it has no session, and must join before its next message where its network has joins.
    """

    def __init__(self, settings: MeterSettings, rng: random.Random, now_us: int) -> None:
        self.settings = settings
        self.needs_join = True
        self._noise = rng.getrandbits(64)
        self._rng = rng
        self._interval_s = settings.interval_s
        self._offset_s = rng.randrange(settings.interval_s)  # a fleet does not speak in chorus
        self._start(now_us // US_PER_S)
        self._waiting: deque[_Taken] = deque(maxlen=LOG_MAX)
        self._sent: deque[_Taken] = deque(maxlen=settings.make.repeats)
        self._held: deque[Message] = deque()
        self._flying: Message | None = None
        self._counter = 0
        self._is_flushing = False
        self._records: list[Record] = []

    @property
    def identity(self) -> str:
        """DevEUI or IMEI."""
        return self.settings.identity

    @property
    def next_due_us(self) -> int:
        """When the next reading is taken."""
        return self._due_s * US_PER_S

    @property
    def interval_s(self) -> int:
        """Between readings, as last commanded."""
        return self._interval_s

    @property
    def battery_mv(self) -> int:
        """It falls by a millivolt each hundred messages."""
        return max(BATTERY_MV_EMPTY, BATTERY_MV_FULL - self._counter // 100)

    @property
    def is_settled(self) -> bool:
        """Whether everything that was measured is acknowledged."""
        return self._flying is None and not self._waiting and not self._held

    def tick(self, now_us: int) -> None:
        """Take the readings that are due by `now_us`, each with its own time."""
        now_s = now_us // US_PER_S
        while self._due_s <= now_s:
            self._take(self._due_s)
            step_s = self._interval_s
            if now_s - self._due_s > BACKLOG_STEP_S:  # of a time without power the meter keeps less
                step_s = max(step_s, BACKLOG_STEP_S)
            self._due_s += step_s

    def outgoing(self, now_us: int) -> Message | None:
        """The message to send now, the same until it is acknowledged; None if there is nothing to say."""
        faults = self.settings.faults
        while self._flying is None and self._is_due():
            message = self._next_message(now_us)
            if message is None or happens(faults.batch_missing, self._rng):
                continue
            if len(self._held) < HELD_MAX and happens(faults.batch_out_of_order, self._rng):
                self._held.append(message)  # goes out behind a later one
                continue
            self._flying = message
        return self._flying

    def acknowledge(self) -> None:
        """The network has the message that `outgoing` gave."""
        assert self._flying is not None, "only what was sent can be acknowledged"
        self._records.extend(self._flying.rows)
        self._flying = self._held.popleft() if self._held else None

    def joined(self) -> None:
        """It has a new session."""
        self.needs_join = False

    def execute(self, payload: bytes, now_us: int) -> bool:
        """Obey the commands in these bytes, one behind the other; False: they are none of this meter."""
        self.tick(now_us)
        at = 0
        while at < len(payload):
            if payload.startswith((OPEN, CLOSE), at):
                self._switch(now_us, is_open=payload.startswith(OPEN, at))
                at += len(OPEN)
            elif payload.startswith(INTERVAL, at) and len(payload) >= at + 3:
                self._interval_s = max(1, int.from_bytes(payload[at + 1 : at + 3], "big"))
                self._records.append(Counted("meter_command_interval"))
                at += 3
            else:
                self._records.append(Counted("meter_commands_ignored"))
                return False
        return bool(payload)

    def flush(self) -> None:
        """Send what there is, for there will be no more readings."""
        self._is_flushing = True
        if self._flying is None and self._held:
            self._flying = self._held.popleft()

    def take_records(self) -> list[Record]:
        """What the ledger should know, once."""
        records, self._records = self._records, []
        return records

    # --- what it measures ---------------------------------------------------------------------------

    def _start(self, now_s: int) -> None:
        """Begin where it was, or a day ago, so that a new meter has a day to tell of."""
        make, state = self.settings.make, self.settings.state
        self.is_open = state is None or state.is_open
        if state is not None:
            self._register_milli, self._consumed_milli = state.register_milli, state.consumed_milli
            self._at_s = state.ts_us // US_PER_S
            self._due_s = max(self._at_s + 1, now_s - BACKLOG_S)
        else:
            self._consumed_milli = 0
            self._register_milli = self._rng.randrange(make.mean_per_h * 10_000_000)
            if happens(self.settings.faults.near_rollover, self._rng):
                self._register_milli = (make.modulus - NEAR_ROLLOVER_H * make.mean_per_h) * 1000
            self._at_s = self._due_s = now_s - BACKLOG_S
        step_s = BACKLOG_STEP_S if now_s - self._due_s > BACKLOG_STEP_S else self._interval_s
        self._due_s += (self._offset_s - self._due_s) % step_s

    def _take(self, at_s: int) -> None:
        faults, make = self.settings.faults, self.settings.make
        rate_milli_per_s = self._advance(at_s)
        if happens(faults.register_reset, self._rng):
            self._begin_again(0, "meter_register_reset")
        elif happens(faults.meter_replaced, self._rng):
            self._begin_again(self._rng.randrange(10_000), "meter_replaced")
        if make.readings_max == 1:
            self._waiting.clear()  # it keeps no log: only what it shows now
        self._waiting.append(self._taken(at_s, rate_milli_per_s))

    def _taken(self, at_s: int, rate_milli_per_s: int) -> _Taken:
        self._register_milli %= self.settings.make.modulus * 1000
        rate = rate_milli_per_s * 3600 // 1000
        reading = Reading(at_s * US_PER_S, self._register_milli // 1000, rate, self.is_open)
        return _Taken(reading, self._register_milli, self._consumed_milli)

    def _begin_again(self, register_milli: int, name: str) -> None:
        self._register_milli = register_milli
        self.needs_join = True
        self._records.append(Counted(name))

    def _advance(self, to_s: int) -> int:
        """Let what flowed until `to_s` be counted; returns what flows then, in mWh or ml a second."""
        if self.is_open:
            flowed = sum(rate * duration_s for rate, duration_s in self._flow(self._at_s, to_s))
            self._register_milli += flowed
            self._consumed_milli += flowed
        self._at_s = max(self._at_s, to_s)
        return self._rate(to_s) if self.is_open else 0

    def _flow(self, from_s: int, to_s: int) -> Iterator[tuple[int, int]]:
        """Rates and how long each holds."""
        while from_s < to_s:
            end_s = min(to_s, from_s - from_s % NOISE_S + NOISE_S)
            yield self._rate(from_s), end_s - from_s
            from_s = end_s

    def _rate(self, at_s: int) -> int:
        """What a household takes then, in mWh or ml a second."""
        dice = random.Random(self._noise ^ at_s // NOISE_S)  # noqa: S311  # repeatable, not secret
        mean_milli = self.settings.make.mean_per_h * 1000 * self.settings.speed
        return round(mean_milli * DAY_PCT[at_s // 3600 % 24] / 100 * dice.uniform(0.5, 1.5) / 3600)

    def _switch(self, now_us: int, *, is_open: bool) -> None:
        self._advance(now_us // US_PER_S)
        self.is_open = is_open
        self._records.append(Counted(f"meter_command_{'open' if is_open else 'close'}"))

    # --- what it says -------------------------------------------------------------------------------

    def _is_due(self) -> bool:
        is_enough = len(self._waiting) >= self.settings.readings_per_message
        return bool(self._waiting) and (is_enough or self._is_flushing)

    def _next_message(self, now_us: int) -> Message | None:
        make, faults = self.settings.make, self.settings.faults
        count = min(len(self._waiting), make.readings_max)
        fresh = [self._waiting.popleft() for _ in range(count)]
        repeated = list(self._sent)[: make.readings_max - count]
        self._sent.extend(fresh)
        taken = dirty_entries([*repeated, *fresh], faults, self._rng)
        if happens(faults.session_lost, self._rng):
            self.needs_join = True
        if not taken:
            return None
        now_s = now_us // US_PER_S
        heard_at_us = now_s * US_PER_S + AIRTIME_US
        if not make.has_clock:  # it says what it shows while it speaks
            spoken = self._taken(now_s, self._advance(now_s))
            taken = [replace(spoken, reading=replace(spoken.reading, ts_us=heard_at_us))]
        head = Head(self.identity, self._counter, self.battery_mv, self.settings.key)
        readings = [each.reading for each in taken]
        payload, spoilt = make.encode(head, readings), None
        if make.has_clock and faults.clock_1970:
            base_us = min(each.ts_us for each in readings) - CLOCK_NOT_SET_US
            spoilt = make.encode(head, [replace(each, ts_us=each.ts_us - base_us) for each in readings])
        self._counter += 1
        return Message(head.counter, heard_at_us, payload, tuple(map(self._row, taken)), spoilt)

    def _row(self, taken: _Taken) -> MeterRow:
        make, reading = self.settings.make, taken.reading
        return MeterRow(
            self.identity,
            reading.ts_us,
            make.quantity,
            reading.register * make.scale,
            taken.register_milli,
            taken.consumed_milli,
            reading.is_open,
        )
