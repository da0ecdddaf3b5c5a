"""The service level: by when a ticket must be resolved, by its priority; for `stream.service` and the API.

A ticket of medium priority has three days (conflict C85). The clock begins when the ticket is opened; a
ticket that is opened again keeps it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

Priority = Literal["low", "medium", "high", "critical"]
RESOLVE_WITHIN: Mapping[str, timedelta] = {
    "critical": timedelta(days=1),
    "high": timedelta(days=2),
    "medium": timedelta(days=3),
    "low": timedelta(days=5),
}


def due_at(created_at: datetime, priority: str) -> datetime:
    """Return by when a ticket that was opened then must be resolved."""
    return created_at + RESOLVE_WITHIN[priority]


def is_breached(sla_due_at: datetime, resolved_at: datetime | None, now: datetime) -> bool:
    """Whether the ticket was resolved too late, or is not resolved yet and late by now."""
    return (resolved_at or now) > sla_due_at
