"""Checks of the way to a battery: what it has confirmed is asked of it again; used by the Ienerzy family."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from storage.database import Connection, fetch_one, fetch_value


@dataclass(frozen=True, slots=True)
class Contact:
    """When the battery's device was heard of last, and the command that it has not answered, if any."""

    last_heard_at: datetime | None
    pending_action: str | None
    pending_since: datetime | None


_CONTACT = """
SELECT devices.last_seen_at AS last_heard_at, commands.action AS pending_action,
       commands.created_at AS pending_since
FROM batteries
LEFT JOIN devices ON devices.id = batteries.device_id
LEFT JOIN battery_commands commands ON commands.battery_id = batteries.id AND commands.state = 'pending'
WHERE batteries.id = %(battery_id)s
"""

_HOLD = "SELECT id FROM batteries WHERE id = %(battery_id)s FOR NO KEY UPDATE"

# Harmless: the battery has confirmed this very command last, and its status is still what that made it. Never
# in the place of a command that waits: the unique index of pending ones sees to it.
_REPEAT = """
INSERT INTO battery_commands (id, battery_id, action, requested_by)
SELECT %(command_id)s, batteries.id, latest.action, %(requested_by)s
FROM batteries,
     LATERAL (SELECT action, state FROM battery_commands commands WHERE commands.battery_id = batteries.id
              ORDER BY created_at DESC LIMIT 1) latest
WHERE batteries.id = %(battery_id)s AND latest.state = 'confirmed'
  AND batteries.status = CASE latest.action WHEN 'activate' THEN 'active' ELSE 'inactive' END
ON CONFLICT DO NOTHING
RETURNING action
"""


async def contact_of(connection: Connection, battery_id: int) -> Contact:
    """Return how the battery stands with us."""
    found = await fetch_one(connection, Contact, _CONTACT, {"battery_id": battery_id})
    assert found is not None, "batteries are not deleted"
    return found


async def repeat_confirmed(
    connection: Connection, battery_id: int, *, command_id: UUID, requested_by: int
) -> str | None:
    """Write the command that the battery confirmed last once more; returns its action.

    None where that could change something: it confirmed none, one waits, or its status was set since.
    """
    facts = {"battery_id": battery_id, "command_id": command_id, "requested_by": requested_by}
    await connection.execute(_HOLD, facts)
    action = await fetch_value(connection, _REPEAT, facts)
    return None if action is None else str(action)
