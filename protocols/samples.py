"""What every decoder returns: rows of one hypertable, column by column, in SI units.

Used by all decoders in this room and by `stream.batcher`, which turns the lists into numpy columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum


class Reason(IntEnum):
    """Why a row stands in quarantine (column `reason` of the `..._quarantine` tables)."""

    OK = 0
    UNKNOWN_DEVICE = 1
    CLOCK_PAST = 2
    CLOCK_FUTURE = 3
    OUT_OF_RANGE = 4
    NOT_FINITE = 5
    REFUSED_BY_DATABASE = 6


@dataclass(frozen=True, slots=True)
class Rows:
    """Decoded rows of one device for one table.

    `columns` maps a column of the hypertable to a list of `count` values; None is NULL, an inner list
    is an array, `bytes` is text or JSON. `ts` (microseconds since 1970 UTC) is among them; `device_id`,
    `received_at` and the quarantine reason are the shell's to add. A nullable column may be left out.
    `samples` counts the values of quantities in them (`sample` as in the design: one value of one
    quantity at one time; each item of an array is one).
    """

    table: str
    columns: Mapping[str, Sequence[object]]
    count: int
    samples: int


class DecodeError(ValueError):
    """A payload that cannot be decoded at all: one sample received and one refused.

    `reason` is a short, stable word for the counter (`gridwire_samples_refused_total{reason}`),
    `field` names what was wrong in the payload ("" for the whole), the message says what and why.
    """

    def __init__(self, reason: str, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.reason = reason
        self.field = field
