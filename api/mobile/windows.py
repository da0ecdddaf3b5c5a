"""The query `days` and `limit` of readings and transactions (rules R625, R627 and R634)."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Query

DAYS_DEFAULT = 30
DAYS_MAX = 3_660
LIMIT_MAX = 1_000

Days = Annotated[int, Query(ge=1, le=DAYS_MAX, description="days of history")]
Limit = Annotated[int, Query(ge=1, description=f"how many at most; more than {LIMIT_MAX} are never given")]


def beginning(now: datetime, days: int) -> datetime:
    """Return the moment from which on things are shown."""
    return now - timedelta(days=days)
