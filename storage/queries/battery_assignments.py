"""Who has a battery, and who had it when; used by the Ienerzy family."""

from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection, fetch_all, fetch_value


@dataclass(frozen=True, slots=True)
class Assignment:
    """`ended_at` is None while the consumer has the battery; `assigned_by` None where nobody noted it."""

    id: int
    battery_id: int
    consumer_id: int
    assigned_by: int | None
    assigned_at: datetime
    ended_at: datetime | None


_HOLD = "SELECT owner_id FROM batteries WHERE id = %(battery_id)s FOR NO KEY UPDATE"

_SET_OWNER = "UPDATE batteries SET owner_id = %(consumer_id)s WHERE id = %(battery_id)s"

# A clock that was set back must not end what began later than it says.
_END = """
UPDATE battery_assignments SET ended_at = greatest(%(now)s, assigned_at)
WHERE battery_id = %(battery_id)s AND ended_at IS NULL
"""

_BEGIN = """
INSERT INTO battery_assignments (battery_id, consumer_id, assigned_by, assigned_at)
VALUES (%(battery_id)s, %(consumer_id)s, %(assigned_by)s, %(now)s)
"""

_LIST = """
SELECT id, battery_id, consumer_id, assigned_by, assigned_at, ended_at
FROM battery_assignments WHERE battery_id = %(battery_id)s
ORDER BY id DESC LIMIT %(limit)s
"""


async def assign_battery(
    connection: Connection,
    battery_id: int,
    consumer_id: int | None,
    *,
    assigned_by: int | None,
    now: datetime,
) -> bool:
    """Give a battery to a consumer, or to nobody, and keep who had it; False where he has it already.

    Holds the battery until commit: of several at a time one comes after the other.
    """
    facts = {"battery_id": battery_id, "consumer_id": consumer_id, "assigned_by": assigned_by, "now": now}
    if await fetch_value(connection, _HOLD, facts) == consumer_id:
        return False
    await connection.execute(_SET_OWNER, facts)
    await connection.execute(_END, facts)
    if consumer_id is not None:
        await connection.execute(_BEGIN, facts)
    return True


async def list_assignments(connection: Connection, battery_id: int, *, limit: int) -> list[Assignment]:
    """Return who has and had the battery, the newest first."""
    return await fetch_all(connection, Assignment, _LIST, {"battery_id": battery_id, "limit": limit})
