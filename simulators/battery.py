"""A battery on MQTT without I/O: telemetry out, commands in; time and dice are passed in.

Used by `simulators.battery_client`, which gives it a connection, and by tests. A batch stays the next to send
until it is acknowledged; samples taken meanwhile wait in a bounded buffer and go out as an array. When the
buffer is full the battery stops sampling: nothing that was measured is thrown away.
"""

import random
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import msgspec

from protocols.battery import topics
from protocols.battery.commands import STATE_AFTER, Answer, State, decode_command, encode_answer
from protocols.battery.flags import BIT
from protocols.battery.frames import ENCODERS
from protocols.battery.telemetry import Position, Sample, encode
from protocols.battery.topics import Channel
from protocols.samples import DecodeError
from protocols.timestamps import format_utc_ms
from simulators.faults import NO_FAULTS, Faults, Parcel, blank, dirty_entries, happens, on_wire, parcels
from simulators.pack import LOW_PCT, Mode, Pack, PackSpec
from simulators.records import BatteryRow, Counted, Record
from simulators.timers import US_PER_S

DEFAULT_PACK = PackSpec()
ANSWERS_MAX = 64  # commands remembered, so that one that comes twice has the same answer
HELD_MAX = 16
FIELDS = ("voltage_v", "current_a", "soc_pct", "soh_pct", "cycles", "temperatures_c", "cell_voltages_v")


@dataclass(frozen=True, slots=True)
class RawFrames:
    """How a BMS's frames travel: binary or as hex text, on a topic with or without the protocol's name.

    `protocol`: a name of `protocols.battery.frames.ENCODERS`.
    """

    protocol: str
    is_hex: bool = False
    names_protocol: bool = True


@dataclass(frozen=True, slots=True)
class BatterySettings:
    """One battery: a sample each `interval_s`, up to `batch_max` in a message, `buffer_max` waiting.

    `raw`: it sends the frames of its BMS as they are, and no telemetry.
    """

    serial: str
    interval_s: float = 2.0
    batch_max: int = 100
    buffer_max: int = 5_000
    pack: PackSpec = DEFAULT_PACK
    faults: Faults = NO_FAULTS
    raw: RawFrames | None = None


@dataclass(frozen=True, slots=True)
class _Taken:
    ts_us: int
    sample: Sample


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One message, and what it puts into the ledger once it is acknowledged.

    `text` is telemetry; where there are `frames`, it is those of a BMS instead.
    """

    topic: str
    text: str
    rows: tuple[BatteryRow, ...]
    frames: bytes = b""

    def parcels(self, faults: Faults, rng: random.Random) -> list[Parcel]:
        """What goes over the wire for it."""
        if self.frames:
            return parcels(self.frames, faults, rng)
        return [
            Parcel(each.text.encode(), each.delay_s, each.is_extra, each.drops_link)
            for each in on_wire(self.text, faults, rng)
        ]


class Battery:
    """Tell it of time (`tick`) and commands (`execute`); send what `outgoing` gives until `acknowledge`."""

    def __init__(self, settings: BatterySettings, rng: random.Random, now_us: int) -> None:
        self.settings = settings
        self.pack = Pack(settings.pack, rng)
        self._rng = rng
        self._interval_us = max(1_000, round(settings.interval_s * US_PER_S))
        # spread over the interval, so that a fleet does not speak in chorus
        self._due_us = now_us + rng.randrange(self._interval_us)
        self._buffer: deque[_Taken] = deque()
        self._held: deque[Batch] = deque()
        self._flying: Batch | None = None
        self._answers: OrderedDict[UUID, bytes] = OrderedDict()
        self._records: list[Record] = []

    @property
    def next_due_us(self) -> int:
        """When the next sample is taken."""
        return self._due_us

    @property
    def state(self) -> State:
        """What the immobiliser says."""
        return "active" if self.pack.is_active else "inactive"

    @property
    def waiting(self) -> int:
        """Samples taken and not yet in a batch."""
        return len(self._buffer)

    @property
    def is_settled(self) -> bool:
        """Whether everything that was measured is acknowledged."""
        return self._flying is None and not self._buffer and not self._held

    def tick(self, now_us: int) -> None:
        """Take the samples that are due by `now_us`, each with its own time."""
        while self._due_us <= now_us:
            if len(self._buffer) >= self.settings.buffer_max:
                missed = (now_us - self._due_us) // self._interval_us + 1
                self._due_us += missed * self._interval_us
                self._records.append(Counted("battery_samples_held_back", missed))
                return
            self.pack.advance(self._interval_us / US_PER_S)
            self._buffer.append(_Taken(self._due_us - self._due_us % 1000, self._sample(self._due_us)))
            self._due_us += self._interval_us

    def outgoing(self) -> Batch | None:
        """The batch to send now, the same until it is acknowledged; None if there is nothing to say."""
        faults = self.settings.faults
        while self._flying is None and self._buffer:
            batch = self._next_batch()
            if batch is None or happens(faults.batch_missing, self._rng):
                continue
            if len(self._held) < HELD_MAX and happens(faults.batch_out_of_order, self._rng):
                self._held.append(batch)  # goes out behind a later one
                continue
            self._flying = batch
        return self._flying

    def acknowledge(self) -> None:
        """The broker has the batch that `outgoing` gave."""
        assert self._flying is not None, "only what was sent can be acknowledged"
        self._records.extend(self._flying.rows)
        if self._flying.frames:
            self._records.append(Counted("battery_frames"))
        self._flying = self._held.popleft() if self._held else None

    def flush(self) -> None:
        """Let batches that were kept back go, for there will be no later ones to overtake them."""
        if self._flying is None and self._held:
            self._flying = self._held.popleft()

    def take_records(self) -> list[Record]:
        """What was acknowledged since the last call."""
        records, self._records = self._records, []
        return records

    def execute(self, payload: bytes) -> bytes | None:
        """Carry out a command; the payload of the answer, None for one that cannot be read."""
        try:
            command = decode_command(payload)
        except DecodeError:
            self._records.append(Counted("battery_commands_ignored"))
            return None
        if command.command_id not in self._answers:
            outcome: Literal["done", "refused"] = "done"
            if happens(self.settings.faults.command_refused, self._rng):
                outcome = "refused"
            else:
                self.pack.is_active = STATE_AFTER[command.action] == "active"
                self.pack.settle()
            detail = "the battery management system is busy" if outcome == "refused" else None
            answer = Answer(command.command_id, outcome, self.state, detail)
            self._answers[command.command_id] = encode_answer(answer)
            if len(self._answers) > ANSWERS_MAX:
                self._answers.popitem(last=False)
            self._records.append(Counted(f"command_{command.action}"))
        return self._answers[command.command_id]

    def _sample(self, ts_us: int) -> Sample:
        pack = self.pack
        cells_v = pack.cell_voltages_v
        sample = Sample(
            ts=format_utc_ms(ts_us),
            voltage_v=round(sum(cells_v), 2),
            current_a=pack.current_a,
            soc_pct=round(pack.soc_pct, 1),
            soh_pct=round(pack.soh_pct, 1),
            cycles=pack.cycles,
            position=Position(round(pack.latitude_deg, 6), round(pack.longitude_deg, 6)),
            flags=self._flags(),
            temperatures_c=[round(value, 1) for value in pack.temperatures_c],
            cell_voltages_v=cells_v,
        )
        if self.settings.raw is not None:
            return sample  # a frame has all of its fields
        lost = blank(("position", "flags"), FIELDS, self.settings.faults, self._rng)
        return msgspec.structs.replace(sample, **{name: None for name in lost if name is not None})

    def _flags(self) -> int:
        pack = self.pack
        states = {
            "charging": pack.mode is Mode.CHARGE,
            "discharging": pack.mode is Mode.DRIVE,
            "immobilised": not pack.is_active,
            "low_state_of_charge": pack.soc_pct < LOW_PCT,
        }
        return sum(1 << BIT[name] for name, is_set in states.items() if is_set)

    def _next_batch(self) -> Batch | None:
        if self.settings.raw is not None:
            return self._next_frames(self.settings.raw)
        count = min(self.settings.batch_max, len(self._buffer))
        taken = [self._buffer.popleft() for _ in range(count)]
        taken = dirty_entries(taken, self.settings.faults, self._rng)
        if not taken:
            return None
        kind = "single" if len(taken) == 1 else "array"
        rows = tuple(self._row(one, kind) for one in taken)
        topic = topics.build(self.settings.serial, Channel.TELEMETRY)
        return Batch(topic, encode([one.sample for one in taken]).decode(), rows)

    def _next_frames(self, raw: RawFrames) -> Batch:
        """Frames have no time of their own: only what is true now is worth sending."""
        taken = self._buffer.pop()
        self._buffer.clear()
        frames = ENCODERS[raw.protocol](taken.sample)
        topic = topics.build(self.settings.serial, Channel.RAW)
        return Batch(
            f"{topic}/{raw.protocol}" if raw.names_protocol else topic,
            "",
            (),
            frames.hex(" ").encode() if raw.is_hex else frames,
        )

    def _row(self, taken: _Taken, kind: str) -> BatteryRow:
        sample = taken.sample
        return BatteryRow(self.settings.serial, taken.ts_us, count_values(sample), kind, encode([sample]))


def count_values(sample: Sample) -> int:
    """How many samples one message entry is: one for each value of a quantity, `ts` is none."""
    count = 0
    for name in sample.__struct_fields__:
        value = getattr(sample, name)
        if isinstance(value, list):
            count += len(value)
        elif value is not None and name != "ts":
            count += 2 if name == "position" else 1
    return count
