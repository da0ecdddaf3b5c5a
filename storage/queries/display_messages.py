"""Messages that chargers show on their displays, as they confirmed or reported them.

Written by the OCPP gateway, read by the API. OCPP 2.0.1 part 2, block O.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection, fetch_all, fetch_value

MESSAGES_MAX = 1_000  # of one charger


@dataclass(frozen=True, slots=True)
class DisplayMessage:
    """`message` is the whole MessageInfoType; `state` None: shown in all states."""

    message_id: int
    priority: str
    state: str | None
    transaction_id: str | None
    message: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredMessage(DisplayMessage):
    """A message, and when it came."""

    updated_at: datetime


_PUT = """
INSERT INTO display_messages (device_id, message_id, priority, state, transaction_id, message, updated_at)
SELECT %(device_id)s, %(message_id)s, %(priority)s, %(state)s, %(transaction_id)s, %(message)s, %(at)s
WHERE (SELECT count(*) FROM display_messages
       WHERE device_id = %(device_id)s AND message_id <> %(message_id)s) < %(bound)s
ON CONFLICT (device_id, message_id) DO UPDATE
SET priority = EXCLUDED.priority, state = EXCLUDED.state, transaction_id = EXCLUDED.transaction_id,
    message = EXCLUDED.message, updated_at = EXCLUDED.updated_at
"""

_REMOVE = """
DELETE FROM display_messages WHERE device_id = %(device_id)s AND message_id = %(message_id)s
RETURNING message_id
"""

_LIST = """
SELECT message_id, priority, state, transaction_id, message, updated_at
FROM display_messages WHERE device_id = %(device_id)s
ORDER BY message_id LIMIT %(limit)s OFFSET %(offset)s
"""

_COUNT = "SELECT count(*) FROM display_messages WHERE device_id = %(device_id)s"


async def put_message(connection: Connection, device_id: int, message: DisplayMessage, at: datetime) -> bool:
    """Keep a message; one with its id is replaced (OCPP 2.0.1 part 2, O06).

    False, and nothing kept, beyond `MESSAGES_MAX`.
    """
    facts = {
        "message_id": message.message_id,
        "priority": message.priority,
        "state": message.state,
        "transaction_id": message.transaction_id,
        "message": Jsonb(message.message),
    }
    parameters = {"device_id": device_id, "at": at, "bound": MESSAGES_MAX, **facts}
    return (await connection.execute(_PUT, parameters)).rowcount == 1


async def remove_message(connection: Connection, device_id: int, message_id: int) -> bool:
    """Forget a message; False if there was none with this id."""
    parameters = {"device_id": device_id, "message_id": message_id}
    return await fetch_value(connection, _REMOVE, parameters) is not None


async def list_messages(
    connection: Connection, device_id: int, *, limit: int, offset: int = 0
) -> tuple[list[StoredMessage], int]:
    """Return one page by id, and how many there are in all."""
    where = {"device_id": device_id}
    page = await fetch_all(connection, StoredMessage, _LIST, {**where, "limit": limit, "offset": offset})
    return page, int(await fetch_value(connection, _COUNT, where))
