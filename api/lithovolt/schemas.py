"""What Lithovolt endpoints share: ids, times, money, the form of a refusal (conflicts C50 to C53 and C91)."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, Field, PlainSerializer, RootModel

from api.errors import FieldError, Problem

BIGINT_MAX = 2**63 - 1


def _print_time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def rupees(minor: int) -> str:
    """Minor units as text with two decimals, as a decimal field of the clients' framework prints it."""
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100}.{abs(minor) % 100:02}"


Time = Annotated[datetime, PlainSerializer(_print_time, return_type=str)]
# An id that is no number, or too large, is of nothing: 404 and never 500.
Id = Annotated[str, Path(alias="id")]


class Detail(BaseModel):
    """A refusal that is not about one field."""

    detail: str


class FieldErrors(RootModel[dict[str, Annotated[list[str], Field(min_length=1)]]]):
    """A refusal by field; `non_field_errors` for the body as a whole."""


def refused(field: str, message: str) -> Problem:
    """400 for one field of a body, by what only the endpoint knows; "" for the body as a whole."""
    return Problem(400, "Validation failed", message, "VALIDATION_FAILED", [FieldError(field, message)])


RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Detail | FieldErrors, "description": "Refused"},
}
