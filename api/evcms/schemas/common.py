"""What all bodies of the family share, and how a payload is wrapped (conflict C24).

A payload of one named object holds the object's own fields and the object under its name, so that both
ways in which the family's clients read it work; rows stand under `data` and under their name.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

from protocols.timestamps import format_utc_ms, from_datetime

PAGE_DEFAULT = 10
PAGE_MAX = 100
PAGE_NUMBER_MAX = 10_000_000

Moment = Annotated[
    datetime, PlainSerializer(lambda moment: format_utc_ms(from_datetime(moment.astimezone(UTC))))
]


class Camel(BaseModel):
    """Names are snake_case in Python and camelCase on the wire."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, from_attributes=True, serialize_by_alias=True
    )


class Done(Camel):
    """Nothing to return but that it was done."""

    success: Literal[True] = True
    message: str


class Pagination(Camel):
    """Where a page stands in its list; pages count from 1."""

    total: int
    page: int
    limit: int
    total_pages: int
    has_next: bool
    has_prev: bool


class Paging(Camel):
    """`page` and `limit` of a request; a limit beyond the maximum is clamped (conflict C65)."""

    page: Annotated[int, Field(ge=1, le=PAGE_NUMBER_MAX)] = 1
    limit: Annotated[int, Field(ge=1, le=2**31)] = PAGE_DEFAULT

    @property
    def size(self) -> int:
        """Rows of a page."""
        return min(self.limit, PAGE_MAX)

    @property
    def offset(self) -> int:
        """Rows before the page."""
        return (self.page - 1) * self.size

    def of(self, total: int) -> Pagination:
        """Describe this page of a list of `total` rows."""
        pages = -(-total // self.size)
        return Pagination(
            total=total,
            page=self.page,
            limit=self.size,
            total_pages=pages,
            has_next=self.page < pages,
            has_prev=self.page > 1,
        )


def money(minor: int) -> float:
    """Return an amount in the unit of the currency, from its hundredths."""
    return minor / 100
