"""The header of a frame in the log: who published it, its number, and that producer's counts so far.

Written by `stream.log.Publisher`, read by `stream.writer` and by whoever shows what is in flight.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from stream.errors import FrameError

MESSAGE_ID = "Nats-Msg-Id"
TABLE = "Gridwire-Table"
ROWS = "Gridwire-Rows"
SOURCE = "Gridwire-Source"
SEQ = "Gridwire-Seq"
RECEIVED = "Gridwire-Received"
DECODED = "Gridwire-Decoded"
REFUSED = "Gridwire-Refused"


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """`seq` counts a producer's frames from 1; the sample counts are cumulative, this frame included."""

    producer: str
    seq: int
    source: str
    table: str
    rows: int
    decoded: int
    refused: Mapping[str, int]

    @property
    def received(self) -> int:
        """Samples received: the first law, `received = decoded + refused`."""
        return self.decoded + sum(self.refused.values())

    def to_message(self) -> dict[str, str]:
        """Return the headers of the NATS message; all ASCII."""
        return {
            MESSAGE_ID: f"{self.producer}:{self.seq}",
            TABLE: self.table,
            ROWS: str(self.rows),
            SOURCE: self.source,
            SEQ: str(self.seq),
            RECEIVED: str(self.received),
            DECODED: str(self.decoded),
            REFUSED: json.dumps(dict(self.refused), separators=(",", ":")),
        }


def read_header(headers: Mapping[str, str] | None) -> FrameHeader:
    """Read the headers of a NATS message. Raises `FrameError` for any that `to_message` did not make."""
    try:
        values = dict(headers or {})
        producer, _, seq = values[MESSAGE_ID].rpartition(":")
        refused = {str(reason): _count(count) for reason, count in json.loads(values[REFUSED]).items()}
        header = FrameHeader(
            producer=producer,
            seq=_count(seq),
            source=values[SOURCE],
            table=values[TABLE],
            rows=_count(values[ROWS]),
            decoded=_count(values[DECODED]),
            refused=refused,
        )
        received = _count(values[RECEIVED])
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FrameError(f"headers of a frame: {error!r}") from error
    if not producer or received != header.received:
        raise FrameError(f"headers of a frame from {producer!r} with {received} samples received")
    return header


def _count(value: str | int) -> int:
    number = int(value)
    if not 0 <= number < 2**63:
        raise ValueError(f"{number} is no count")
    return number
