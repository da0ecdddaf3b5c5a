"""The OCPP message log: searched by the API, read in order for recordings, filled by the writer."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from protocols.ocpp.surface import Version
from storage.database import Connection, fetch_all, fetch_value

COUNT_MAX = 10_000  # what a search counts, and how far its pages reach; a shorter time range shows the rest

VERSION_CODES = {Version.V16: 16, Version.V201: 201, Version.V21: 210}
VERSIONS = {code: version for version, code in VERSION_CODES.items()}


class Direction(IntEnum):
    """Who sent a frame; as stored."""

    FROM_CHARGER = 1
    TO_CHARGER = 2

    @property
    def other(self) -> "Direction":
        """That of the answer."""
        return Direction.TO_CHARGER if self is Direction.FROM_CHARGER else Direction.FROM_CHARGER


@dataclass(frozen=True, slots=True)
class Message:
    """One frame. `generation` numbers the charger's sockets; together with `ts` it tells frames apart.

    `type` is the first element of the frame, 0 for one that is none. `action` of an answer is that of its
    request, where that is known. `cut_bytes`: how many bytes of a long frame are missing at its end.
    """

    ts: datetime
    generation: int
    direction: int
    version: int
    type: int
    action: str | None
    message_id: str | None
    cut_bytes: int
    frame: str


@dataclass(frozen=True, slots=True)
class Search:
    """Which frames: of one charger with `from_ <= ts < to`; None leaves the rest open."""

    device_id: int
    from_: datetime
    to: datetime
    action: str | None = None
    message_id: str | None = None
    direction: Direction | None = None

    def parameters(self) -> dict[str, object]:
        """As the statements name them."""
        return {
            "device_id": self.device_id,
            "from": self.from_,
            "to": self.to,
            "action": self.action,
            "message_id": self.message_id,
            "direction": self.direction,
        }


_SEARCH = """
SELECT ts, generation, direction, version, type, action, message_id, cut_bytes, frame
FROM ocpp_messages
WHERE device_id = %(device_id)s AND ts >= %(from)s AND ts < %(to)s
  AND (%(action)s::text IS NULL OR action = %(action)s)
  AND (%(message_id)s::text IS NULL OR message_id = %(message_id)s)
  AND (%(direction)s::smallint IS NULL OR direction = %(direction)s)
ORDER BY ts DESC, generation DESC
LIMIT %(limit)s OFFSET %(offset)s
"""

_COUNT = """
SELECT count(*) FROM (
    SELECT FROM ocpp_messages
    WHERE device_id = %(device_id)s AND ts >= %(from)s AND ts < %(to)s
      AND (%(action)s::text IS NULL OR action = %(action)s)
      AND (%(message_id)s::text IS NULL OR message_id = %(message_id)s)
      AND (%(direction)s::smallint IS NULL OR direction = %(direction)s)
    LIMIT %(count_max)s
) AS found
"""

_READ = """
SELECT ts, generation, direction, version, type, action, message_id, cut_bytes, frame
FROM ocpp_messages
WHERE device_id = %(device_id)s AND ts >= %(from)s AND ts < %(to)s
  AND (%(after_ts)s::timestamptz IS NULL
       OR (ts >= %(after_ts)s AND (ts, generation) > (%(after_ts)s, %(after_generation)s::bigint)))
ORDER BY ts, generation
LIMIT %(limit)s
"""


async def search_messages(
    connection: Connection, search: Search, *, limit: int, offset: int = 0
) -> tuple[list[Message], int]:
    """Return one page, newest first, and how many there are, counted up to `COUNT_MAX`.

    Nothing is found behind the first `COUNT_MAX`.
    """
    parameters = search.parameters()
    bounds = {"limit": min(limit, max(0, COUNT_MAX - offset)), "offset": min(offset, COUNT_MAX)}
    found = await fetch_all(connection, Message, _SEARCH, {**parameters, **bounds})
    total = await fetch_value(connection, _COUNT, {**parameters, "count_max": COUNT_MAX})
    return found, int(total)


async def read_messages(
    connection: Connection,
    device_id: int,
    from_: datetime,
    to: datetime,
    *,
    after: Message | None = None,
    limit: int,
) -> list[Message]:
    """Return the first `limit` frames with `from_ <= ts < to` (and behind `after`), oldest first."""
    parameters = {
        "device_id": device_id,
        "from": from_,
        "to": to,
        "after_ts": None if after is None else after.ts,
        "after_generation": None if after is None else after.generation,
        "limit": limit,
    }
    return await fetch_all(connection, Message, _READ, parameters)
