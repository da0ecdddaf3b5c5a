"""The pipeline's bookkeeping: log positions, producers, samples by outcome.

Written by `stream.writer` in the transaction that stores the rows, read by the metrics.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_value


@dataclass(frozen=True, slots=True)
class Producer:
    """A publisher of frames as of the last one stored; counts are its own, cumulative, in samples."""

    producer: str
    source: str
    seq: int
    received: int
    decoded: int
    refused: dict[str, int]
    updated_at: datetime


@dataclass(frozen=True, slots=True, order=True)
class SampleTotal:
    """`outcome`: stored, duplicate or quarantined; `reason`: why, for the quarantined."""

    table_name: str
    outcome: str
    reason: str
    samples: int


_GET_POSITION = "SELECT position FROM log_positions WHERE partition = %(partition)s"

_ADVANCE = """
INSERT INTO log_positions (partition, position)
SELECT %(partition)s, %(new)s
WHERE %(old)s = 0 OR EXISTS (SELECT FROM log_positions WHERE partition = %(partition)s)
ON CONFLICT (partition) DO UPDATE SET position = EXCLUDED.position, updated_at = now()
WHERE log_positions.position = %(old)s
RETURNING position
"""

_RECORD = """
INSERT INTO producers (producer, source, seq, received, decoded, refused)
VALUES (%(producer)s, %(source)s, %(seq)s, %(received)s, %(decoded)s, %(refused)s)
ON CONFLICT (producer) DO UPDATE
SET seq = EXCLUDED.seq, received = EXCLUDED.received, decoded = EXCLUDED.decoded,
    refused = EXCLUDED.refused, updated_at = now()
WHERE producers.seq < EXCLUDED.seq
RETURNING seq
"""

_PRODUCERS = """
SELECT producer, source, seq, received, decoded, refused, updated_at FROM producers
WHERE %(names)s::text[] IS NULL OR producer = ANY(%(names)s)
ORDER BY producer
"""

_ADD = """
INSERT INTO sample_totals (table_name, outcome, reason, samples)
SELECT * FROM unnest(%(tables)s::text[], %(outcomes)s::text[], %(reasons)s::text[], %(samples)s::bigint[])
ON CONFLICT (table_name, outcome, reason) DO UPDATE SET samples = sample_totals.samples + EXCLUDED.samples
"""

_TOTALS = """
SELECT table_name, outcome, reason, samples FROM sample_totals ORDER BY table_name, outcome, reason
"""


async def get_position(connection: Connection, partition: int) -> int:
    """Return the stream sequence of the last frame stored of this partition; 0 where there is none."""
    position = await fetch_value(connection, _GET_POSITION, {"partition": partition})
    return 0 if position is None else int(position)


async def advance_position(connection: Connection, partition: int, old: int, new: int) -> bool:
    """Move the position from `old` (0: none) to `new`; False when it stands elsewhere.

    False means that another writer has the partition: the caller must roll back. The row stays locked
    until the caller's transaction ends, so two writers of a partition cannot both commit.
    """
    parameters = {"partition": partition, "old": old, "new": new}
    return await fetch_value(connection, _ADVANCE, parameters) is not None


async def record_producer(
    connection: Connection,
    producer: str,
    source: str,
    seq: int,
    received: int,
    decoded: int,
    refused: Mapping[str, int],
) -> bool:
    """Keep a producer's header of frame `seq`; False when that frame or a later one was stored before."""
    counts = {"received": received, "decoded": decoded, "refused": Jsonb(refused)}
    parameters = {"producer": producer, "source": source, "seq": seq, **counts}
    return await fetch_value(connection, _RECORD, parameters) is not None


async def get_producers(connection: Connection, names: Sequence[str] | None = None) -> list[Producer]:
    """Return the producers with these names, or all."""
    wanted = None if names is None else list(names)
    return await fetch_all(connection, Producer, _PRODUCERS, {"names": wanted})


async def add_totals(connection: Connection, totals: Sequence[SampleTotal]) -> None:
    """Add to the sums, in one statement; of each (table, outcome, reason) one item at most.

    These rows are shared by all writers and locked until commit: call it once, last in a transaction.
    They are taken in sorted order, so writers wait for each other but never in a circle.
    """
    ordered = sorted(totals)
    parameters = {
        "tables": [total.table_name for total in ordered],
        "outcomes": [total.outcome for total in ordered],
        "reasons": [total.reason for total in ordered],
        "samples": [total.samples for total in ordered],
    }
    await connection.execute(_ADD, parameters)


async def add_samples(
    connection: Connection, table_name: str, outcome: str, reason: str, samples: int
) -> None:
    """Add to one sum; for several in a transaction use `add_totals`."""
    await add_totals(connection, [SampleTotal(table_name, outcome, reason, samples)])


async def sample_totals(connection: Connection) -> list[SampleTotal]:
    """Return what became of every sample that the writers have seen."""
    return await fetch_all(connection, SampleTotal, _TOTALS, {})
