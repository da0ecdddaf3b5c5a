"""From frames of the log to what one transaction stores: pure, and done in a worker thread.

Used by `stream.writer`, which prepares the next transaction while the database takes the one before.
"""

import base64
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import structlog
from numpy.typing import NDArray

from protocols.samples import Reason
from storage.columns import Array, Batch, ColumnData
from storage.copy import Piece, encode_pieces, shapes
from storage.hypertables import DEVICE_EVENTS, HYPERTABLES, Hypertable
from stream.batcher import Batcher, Checked, Limits
from stream.checks import DAY_US, ClockLimits, check
from stream.errors import FrameError, LogGapError
from stream.events import device_event
from stream.frames import REASON, count_samples, decode_frame, samples_per_row
from stream.headers import FrameHeader
from stream.reader import Entry

KEY_TEXT_BYTES_MAX = 256  # longer texts in a key are left to the database to compare

log = structlog.get_logger()

Outcome = tuple[str, str, str]  # table, outcome, reason: a row of `sample_totals`


@dataclass(frozen=True, slots=True)
class PrepareLimits:
    """What rows are checked against, and from what age on they go in a lane of their own."""

    clock: ClockLimits = field(default_factory=ClockLimits)
    late_us: int = 7 * DAY_US  # chunks older than that may be compressed


@dataclass(frozen=True, slots=True)
class Stored:
    """How far a producer came: its last frame's number and its decoded samples as of that."""

    seq: int = 0
    decoded: int = 0


@dataclass(frozen=True, slots=True)
class Lane:
    """Rows for one table, stored together: `pieces` is their COPY stream, `times_us` one time a chunk."""

    table: Hypertable
    batch: Batch
    pieces: Sequence[Piece]
    samples: int
    times_us: NDArray[np.int64]
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """One transaction: rows, counts that are known already, the producers' headers, the new position."""

    lanes: Sequence[Lane]
    quarantined: Sequence[Lane]
    totals: Counter[Outcome]
    heads: Sequence[FrameHeader]
    position: int
    frames: int
    pending: int
    stored_at_us: Sequence[int]


class Preparer:
    """Prepares the frames of one partition in their order; remembers what each producer had before.

    `may_have_gaps`: the log is read from its beginning, so a missing frame cannot be found any more.
    """

    def __init__(
        self, producers: dict[str, Stored], limits: PrepareLimits, *, may_have_gaps: bool = False
    ) -> None:
        self._producers = producers
        self._limits = limits
        self._may_have_gaps = may_have_gaps

    def prepare(self, entries: Sequence[Entry], now_us: int) -> Prepared:
        """Decode, join by table, check, sort, drop duplicates within, encode.

        Raises `LogGapError` where a producer's frames are not contiguous.
        """
        totals: Counter[Outcome] = Counter()
        heads: dict[str, FrameHeader] = {}
        batches: dict[str, list[Batch]] = {}
        for entry in entries:
            header = entry.header
            if header is None or not self._is_new(header):
                continue
            table, batch = self._read(entry, header, totals)
            batches.setdefault(table.name, []).append(batch)
            self._producers[header.producer] = Stored(header.seq, header.decoded)
            heads[header.producer] = header
        lanes: list[Lane] = []
        quarantined: list[Lane] = []
        for name, parts in batches.items():
            good, bad = self.divide(HYPERTABLES[name], Batch.concatenate(parts), now_us, totals)
            lanes += good
            quarantined += bad
        return Prepared(
            lanes=lanes,
            quarantined=quarantined,
            totals=totals,
            heads=[heads[name] for name in sorted(heads)],
            position=entries[-1].seq,
            frames=len(entries),
            pending=entries[-1].pending,
            stored_at_us=[entry.stored_at_us for entry in entries],
        )

    def divide(
        self, table: Hypertable, batch: Batch, now_us: int, totals: Counter[Outcome]
    ) -> tuple[list[Lane], list[Lane]]:
        """Return the lanes of what can be true and those of the quarantine; duplicates are counted only."""
        good, bad = self._check(table, batch, totals)
        return list(self._lanes(table, good, now_us, totals)), list(bad)

    def _is_new(self, header: FrameHeader) -> bool:
        """Return whether a frame was not stored before: one that was published twice has its number again."""
        before = self._producers.get(header.producer, Stored()).seq
        if header.seq > before + 1:
            message = f"{header.producer}: frame {header.seq} follows frame {before}"
            if not self._may_have_gaps:
                raise LogGapError(message)
            log.error("frames_lost", producer=header.producer, after=before, before=header.seq)
        return header.seq > before

    def _read(self, entry: Entry, header: FrameHeader, totals: Counter[Outcome]) -> tuple[Hypertable, Batch]:
        """Decode a frame. One that cannot be read is kept whole, as an event in quarantine."""
        promised = header.decoded - self._producers.get(header.producer, Stored()).decoded
        try:
            frame = decode_frame(entry.data)
        except FrameError as error:
            log.error("frame_unreadable", producer=header.producer, seq=header.seq, error=str(error))
            totals[header.table, "quarantined", "frame_unreadable"] += promised
            return DEVICE_EVENTS, _unreadable(entry, header, str(error))
        if frame.unknown:
            log.error(
                "frame_newer", producer=header.producer, columns=frame.unknown, action="update the writer"
            )
            kept = count_samples(frame.table, frame.batch)
            totals[frame.table.name, "quarantined", "unknown_column"] += promised - kept
        return frame.table, frame.batch

    def _check(
        self, table: Hypertable, batch: Batch, totals: Counter[Outcome]
    ) -> tuple[Batch, Iterable[Lane]]:
        """Take what cannot be true out of `batch`; returns the rest and the lane of its quarantine."""
        reasons = check(table, batch, self._limits.clock)
        is_bad = reasons != Reason.OK
        if not is_bad.any():
            return batch, ()
        bad = batch.with_column(REASON.name, ColumnData(reasons)).take(is_bad)
        samples = samples_per_row(table, bad)
        for reason in np.unique(reasons[is_bad]):
            count = int(samples[reasons[is_bad] == reason].sum())
            totals[table.name, "quarantined", Reason(reason).name.lower()] += count
        return batch.take(~is_bad), (quarantine_lane(table, bad),)

    def _lanes(
        self, table: Hypertable, batch: Batch, now_us: int, totals: Counter[Outcome]
    ) -> Iterator[Lane]:
        """Sort, drop duplicates, and part the rows that may belong to compressed chunks from the others."""
        unique = sort_unique(table, batch)
        if unique.rows < batch.rows:
            dropped = count_samples(table, batch) - count_samples(table, unique)
            totals[table.name, "duplicate", ""] += dropped
        times_us = unique.integers(table.time)
        is_late = times_us < now_us - self._limits.late_us
        if not is_late.any():
            yield from lane(table, unique)
            return
        yield from lane(table, unique.take(~is_late))
        late = unique.take(is_late)
        chunks = late.integers(table.time) // chunk_us(table)
        yield from lane(table, late.take(np.argsort(chunks, kind="stable")), is_late=True)


def lane(table: Hypertable, batch: Batch, *, is_late: bool = False) -> Iterator[Lane]:
    """Encode `batch` for `table`; nothing where it is empty."""
    if batch.rows:
        # stable: rows of a shape stay sorted by key, and a device nearly always has one shape
        shape = shapes(table, batch)
        if shape is not None and (shape != shape[0]).any():
            batch = batch.take(np.argsort(shape, kind="stable"))
        width = chunk_us(table)
        times_us = np.unique(batch.integers(table.time) // width) * width
        yield Lane(table, batch, encode_pieces(table, batch), count_samples(table, batch), times_us, is_late)


def quarantine_lane(table: Hypertable, batch: Batch) -> Lane:
    """Encode rows, with `reason` set, for the twin of `table`."""
    return next(lane(HYPERTABLES[f"{table.name}_quarantine"], batch))


def chunk_us(table: Hypertable) -> int:
    """Return the width of a chunk in microseconds."""
    return table.chunk // timedelta(microseconds=1)


def sort_unique(table: Hypertable, batch: Batch) -> Batch:
    """Sort by the key (device, then time: what the index takes best) and keep the first of equal keys.

    Without a key all rows are kept in the order they came.
    """
    if not table.key:
        return batch
    keys = [_key(batch.columns[name]) for name in table.key]
    known = [key for key in keys if key is not None]
    order = np.lexsort(known[::-1])
    if len(known) < len(keys) or batch.rows < 2:
        return batch.take(order)
    differs = np.zeros(batch.rows - 1, np.bool_)
    for key in known:
        ordered = key[order]
        differs |= ordered[1:] != ordered[:-1]
    return batch.take(order[np.concatenate(([True], differs))])


def _key(data: ColumnData) -> Array | None:
    """Return a key column as one sortable array; None for texts that are too long to pad."""
    if data.offsets is None:
        return data.values
    longest = int(data.lengths.max(initial=0))
    if longest > KEY_TEXT_BYTES_MAX:
        return None
    if not longest:
        return np.zeros(len(data), np.uint8)
    return np.ascontiguousarray(data.padded()).view(f"S{longest}").ravel()


def _unreadable(entry: Entry, header: FrameHeader, error: str) -> Batch:
    """Return a frame that cannot be read as one row of `device_events` on its way to quarantine."""
    detail = {
        "producer": header.producer,
        "seq": header.seq,
        "table": header.table,
        "error": error,
        "frame_base64": base64.b64encode(entry.data).decode(),
    }
    event = device_event("frame_unreadable", detail, entry.stored_at_us)
    batcher = Batcher(1, Limits())
    # not checked: a whole frame is longer than what a device may write into one row
    batcher.add(
        Checked(event, DEVICE_EVENTS, 0),
        device_id=0,
        received_at_us=entry.stored_at_us,
        reason=Reason.REFUSED_BY_DATABASE,
        now_us=entry.stored_at_us,
    )
    taken = batcher.take(0)
    assert taken is not None
    return taken.batch
