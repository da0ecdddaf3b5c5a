"""What a simulated fleet knows to be acknowledged: a SQLite file that tests hold against the tables.

Written by the fleet, read by tests. A row is here only after CALLRESULT or PUBACK, so every row must be in
the platform exactly once; what the platform has beyond it was sent, and its acknowledgement was lost.
"""

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from simulators.records import (
    BatteryRow,
    ChargerRow,
    Counted,
    MeterRow,
    Record,
    SessionStarted,
    SessionStopped,
)

QUEUE_MAX = 20_000  # acknowledgements that wait to be written; devices wait while it is full
BATCH_MAX = 5_000
ROWS_MAX = 2_000_000  # of each table of samples; the oldest go first

_SCHEMA = """
CREATE TABLE IF NOT EXISTS battery_rows (
    id           INTEGER PRIMARY KEY,
    serial       TEXT NOT NULL,
    ts_us        INTEGER NOT NULL,
    samples      INTEGER NOT NULL,
    payload_kind TEXT NOT NULL,
    sample       BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS charger_rows (
    id        INTEGER PRIMARY KEY,
    identity  TEXT NOT NULL,
    connector INTEGER NOT NULL,
    ts_us     INTEGER NOT NULL,
    measurand TEXT NOT NULL,
    phase     TEXT NOT NULL,
    location  TEXT NOT NULL,
    context   TEXT NOT NULL,
    value     REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS meter_rows (
    id             INTEGER PRIMARY KEY,
    identity       TEXT NOT NULL,
    ts_us          INTEGER NOT NULL,
    quantity       TEXT NOT NULL,
    value          REAL NOT NULL,
    register_milli INTEGER NOT NULL,
    consumed_milli INTEGER NOT NULL,
    is_open        INTEGER NOT NULL,
    UNIQUE (identity, ts_us)  -- a reading may travel in several messages
);
CREATE TABLE IF NOT EXISTS sessions (
    identity       TEXT NOT NULL,
    connector      INTEGER NOT NULL,
    transaction_id INTEGER NOT NULL,  -- of 2.x a text, which SQLite keeps as it is
    id_tag         TEXT NOT NULL,
    started        INTEGER NOT NULL,
    meter_start_wh INTEGER NOT NULL,
    ended          INTEGER,
    meter_stop_wh  INTEGER,
    reason         TEXT,
    stop_acks      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (identity, transaction_id)
);
CREATE TABLE IF NOT EXISTS counts (
    name  TEXT PRIMARY KEY,
    times INTEGER NOT NULL
);
"""
_BATTERY = "INSERT INTO battery_rows (serial, ts_us, samples, payload_kind, sample) VALUES (?, ?, ?, ?, ?)"
_CHARGER = """
INSERT INTO charger_rows (identity, connector, ts_us, measurand, phase, location, context, value)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_METER = """
INSERT OR IGNORE INTO meter_rows (identity, ts_us, quantity, value, register_milli, consumed_milli, is_open)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_STARTED = """
INSERT OR IGNORE INTO sessions (identity, connector, transaction_id, id_tag, started, meter_start_wh)
VALUES (?, ?, ?, ?, ?, ?)
"""
_STOPPED = """
UPDATE sessions SET ended = ?, meter_stop_wh = ?, reason = ?, stop_acks = stop_acks + 1
WHERE identity = ? AND transaction_id = ?
"""
_COUNTED = """
INSERT INTO counts (name, times) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET times = times + excluded.times
"""
_PRUNE = (
    "DELETE FROM battery_rows WHERE id <= (SELECT max(id) FROM battery_rows) - ?",
    "DELETE FROM charger_rows WHERE id <= (SELECT max(id) FROM charger_rows) - ?",
    "DELETE FROM meter_rows WHERE id <= (SELECT max(id) FROM meter_rows) - ?",
)


@dataclass(frozen=True, slots=True)
class Session:
    """A charging session that was acknowledged; `ended_us` and `meter_stop_wh` once its stop was.

    `stop_acks` counts acknowledged stops, repeated ones included. `transaction_id` is a number with 1.6,
    a text with 2.x.
    """

    identity: str
    connector_id: int
    transaction_id: int | str
    id_tag: str
    started_us: int
    meter_start_wh: int
    ended_us: int | None
    meter_stop_wh: int | None
    reason: str | None
    stop_acks: int


class Ledger:
    """`async with Ledger.open(path) as ledger`: one writer, committing in batches; readable at any time.

    `OSError` names a path that cannot be opened.
    """

    def __init__(self, path: Path, *, rows_max: int = ROWS_MAX) -> None:
        self.path = path
        self.totals: dict[str, int] = defaultdict(int)
        self._rows_max = rows_max
        self._queue: asyncio.Queue[Sequence[Record] | None] = asyncio.Queue(QUEUE_MAX)
        self._connection = _open(path)
        self._writer: asyncio.Task[None] | None = None

    @classmethod
    def open(cls, path: Path, *, rows_max: int = ROWS_MAX) -> "Ledger":
        """Open the file, made if it is missing; what it holds stays."""
        return cls(path, rows_max=rows_max)

    async def __aenter__(self) -> Self:
        """Start the writer."""
        self._writer = asyncio.create_task(self._write())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left and close the file."""
        assert self._writer is not None
        try:
            if not self._writer.done():
                await self._queue.put(None)
            await self._writer
        finally:
            self._connection.close()

    async def record(self, records: Sequence[Record]) -> None:
        """Keep these; waits while the writer is behind. Raises what ended the writer, if anything did."""
        if self._writer is not None and self._writer.done():
            self._writer.result()
        if not records:
            return
        try:
            self._queue.put_nowait(tuple(records))
        except asyncio.QueueFull:
            await self._put_late(tuple(records))

    async def _put_late(self, records: Sequence[Record]) -> None:
        """Wait for room, or for the writer's end, after which there will be none."""
        assert self._writer is not None
        put = asyncio.create_task(self._queue.put(records))
        try:
            await asyncio.wait((put, self._writer), return_when=asyncio.FIRST_COMPLETED)
            if not put.done():
                self._writer.result()
        finally:
            put.cancel()

    async def _write(self) -> None:
        is_open = True
        while is_open:
            batch: list[Record] = []
            entry = await self._queue.get()
            while entry is not None:
                batch.extend(entry)
                if len(batch) >= BATCH_MAX or self._queue.empty():
                    break
                entry = self._queue.get_nowait()
            is_open = entry is not None
            await asyncio.to_thread(self._commit, batch)

    def _commit(self, batch: Iterable[Record]) -> None:
        """One transaction. Starts come before stops, as they were acknowledged before them."""
        rows: dict[str, list[tuple[object, ...]]] = {
            statement: [] for statement in (_BATTERY, _CHARGER, _METER, _STARTED, _STOPPED)
        }
        counts: dict[str, int] = defaultdict(int)
        for record in batch:
            if isinstance(record, Counted):
                counts[record.name] += record.times
                continue
            statement, values, name = _statement(record)
            rows[statement].append(values)
            counts[name] += 1
        with self._connection:
            for statement, several in rows.items():
                self._connection.executemany(statement, several)
            self._connection.executemany(_COUNTED, list(counts.items()))
            for statement in _PRUNE:
                self._connection.execute(statement, (self._rows_max,))
        for name, times in counts.items():
            self.totals[name] += times


def _statement(
    record: BatteryRow | ChargerRow | MeterRow | SessionStarted | SessionStopped,
) -> tuple[str, tuple[object, ...], str]:
    match record:
        case BatteryRow():
            values: tuple[object, ...] = (
                record.serial, record.ts_us, record.samples, record.payload_kind, record.sample,
            )  # fmt: skip
            return _BATTERY, values, "battery_rows"
        case ChargerRow():
            values = (
                record.identity, record.connector_id, record.ts_us, record.measurand,
                record.phase, record.location, record.context, record.value,
            )  # fmt: skip
            return _CHARGER, values, "charger_rows"
        case MeterRow():
            return _METER, astuple(record), "meter_rows"
        case SessionStarted():
            values = (
                record.identity, record.connector_id, record.transaction_id,
                record.id_tag, record.started_us, record.meter_start_wh,
            )  # fmt: skip
            return _STARTED, values, "sessions_started"
        case SessionStopped():
            values = (
                record.ended_us, record.meter_stop_wh, record.reason,
                record.identity, record.transaction_id,
            )  # fmt: skip
            return _STOPPED, values, "session_stops"


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection: sqlite3.Connection | None = None
    try:
        # one thread at a time: the writer's
        connection = sqlite3.connect(path, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise OSError(f"the fleet's ledger {path} cannot be opened: {error}") from error
    return connection


# --- for tests, and for a fleet that goes on where it was -----------------------------------------


def battery_rows(path: Path) -> list[BatteryRow]:
    """Every acknowledged battery sample that is kept, in the order of acknowledgement."""
    statement = "SELECT serial, ts_us, samples, payload_kind, sample FROM battery_rows ORDER BY id"
    return [BatteryRow(*row) for row in _read(path, statement)]


def charger_rows(path: Path) -> list[ChargerRow]:
    """Every acknowledged sampled value that is kept, in the order of acknowledgement."""
    statement = """
        SELECT identity, connector, ts_us, measurand, phase, location, context, value
        FROM charger_rows ORDER BY id
    """
    return [ChargerRow(*row) for row in _read(path, statement)]


def sessions(path: Path) -> list[Session]:
    """Every acknowledged session, by charger and transaction."""
    statement = """
        SELECT identity, connector, transaction_id, id_tag, started, meter_start_wh,
               ended, meter_stop_wh, reason, stop_acks
        FROM sessions ORDER BY identity, transaction_id
    """
    return [Session(*row) for row in _read(path, statement)]


def counts(path: Path) -> dict[str, int]:
    """Totals by name."""
    return {str(name): int(times) for name, times in _read(path, "SELECT name, times FROM counts")}


def registers_wh(path: Path) -> dict[str, int]:
    """The highest meter register known of each charger, over its connectors."""
    statement = """
        SELECT identity, max(max(meter_start_wh, coalesce(meter_stop_wh, 0))) FROM sessions GROUP BY identity
    """
    return {str(identity): int(register) for identity, register in _read(path, statement)}


def meter_rows(path: Path) -> list[MeterRow]:
    """Every acknowledged reading that is kept, by meter and time."""
    statement = """
        SELECT identity, ts_us, quantity, value, register_milli, consumed_milli, is_open
        FROM meter_rows ORDER BY identity, ts_us
    """
    return [_meter_row(row) for row in _read(path, statement)]


def last_meter_rows(path: Path) -> dict[str, MeterRow]:
    """The newest acknowledged reading of each meter, by identity."""
    statement = """
        SELECT identity, max(ts_us), quantity, value, register_milli, consumed_milli, is_open
        FROM meter_rows GROUP BY identity
    """
    return {row[0]: _meter_row(row) for row in _read(path, statement)}


def _meter_row(row: Sequence[Any]) -> MeterRow:
    return MeterRow(row[0], row[1], row[2], row[3], row[4], row[5], bool(row[6]))


def _read(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(statement).fetchall()
