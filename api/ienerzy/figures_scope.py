"""Whose figures a caller sees, and of which days, as types of the endpoints' signatures.

Used by the analytics, the portfolio and the collection reports of Ienerzy.
"""

import re
from datetime import date
from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import BeforeValidator

from api.errors import Problem
from api.ienerzy.callers import DealerOrAdmin
from api.ienerzy.schemas import BIGINT_MAX
from storage.queries.ienerzy_collections import Span

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _whose(
    caller: DealerOrAdmin,
    dealer_id: Annotated[
        int | None, Query(ge=1, le=BIGINT_MAX, description="of one dealer; counts for an admin only")
    ] = None,
) -> int | None:
    return caller.id if caller.role == "dealer" else dealer_id


def _written_as_day(text: Any) -> Any:
    if isinstance(text, str) and _DAY.fullmatch(text) is None:
        raise ValueError("must be a day as 2024-01-15")
    return text


_Day = Annotated[date | None, BeforeValidator(_written_as_day)]


def _span(
    start_date: Annotated[_Day, Query(description="the first day; without it from the beginning")] = None,
    end_date: Annotated[_Day, Query(description="the last day, included; without it until now")] = None,
) -> Span:
    if start_date is not None and end_date is not None and end_date < start_date:
        details = f"end_date {end_date} is before start_date {start_date}"
        raise Problem(400, "Invalid report period", details)
    return Span(start_date, end_date)


# A dealer's own id; of an admin the dealer that was asked for, None for all.
DealerId = Annotated[int | None, Depends(_whose)]
# `start_date` and `end_date` of both collection reports (conflict C10).
ReportSpan = Annotated[Span, Depends(_span)]
