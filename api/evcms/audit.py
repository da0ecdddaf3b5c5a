"""The audit line of what an admin or brand does, in the words of a request; used by most routers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.callers import Caller
from storage.database import Connection
from storage.queries.admin_actions import record_action


async def audit(
    db: Connection, caller: Caller, now: datetime, action: str, subject_id: int, detail: Mapping[str, Any]
) -> None:
    """Write `action` (as in "station.update") on this subject into the caller's transaction."""
    subject = f"{action.partition('.')[0]}:{subject_id}"
    await record_action(db, actor_id=caller.id, action=action, subject=subject, detail=detail, now=now)
