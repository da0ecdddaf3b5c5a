"""Dates and date-times as EV-CMS requests write them; used by its schemas and routers."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

DATE_CHARACTERS = len("2026-01-31")


def parse_moment(text: str) -> datetime:
    """Read an ISO 8601 date or date-time; without a zone it is UTC. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("must be an ISO 8601 date or date-time") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _from(text: str) -> str:
    parse_moment(text)
    return text


Moment = Annotated[str, StringConstraints(max_length=40), AfterValidator(_from)]


def end_of(text: str) -> datetime:
    """Return the first instant behind `text`: a date includes its whole day, a date-time only itself."""
    moment = parse_moment(text)
    is_date = len(text) <= DATE_CHARACTERS
    last = moment.date() >= date.max
    step = timedelta(days=1) if is_date else timedelta(microseconds=1)
    return moment if last else moment + step
