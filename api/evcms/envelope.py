"""EV-CMS envelopes: one helper for each of the shapes that its documentation and its clients read.

Its tables, its paging section and its client code read the payload from different places (conflict C24);
each answer here suits all of them:

- several named keys: `data` is the object with these keys (`Answer[...]`);
- one named object: `data` has the object's own fields and, under its name, the object (`Named`);
- rows: `data` is the array, `pagination` and what else there is stand beside it, and the array again
  under its name (`Rows`, `Page`);
- nothing but success: `Done`.
"""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

from protocols.timestamps import format_utc_ms, from_datetime

LIMIT_DEFAULT = 10
LIMIT_MAX = 100
PAGE_MAX = 1_000_000

T = TypeVar("T")


class Out(BaseModel):
    """The base of everything that goes out: camelCase, no defaults."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


def _is_none(value: object) -> bool:
    return value is None


def _print_time(moment: datetime) -> str:
    return format_utc_ms(from_datetime(moment))


# Left out of the answer when None: the documentation marks such a field with a question mark.
Maybe = Annotated[T | None, Field(exclude_if=_is_none)]
Id = Annotated[str, Path(alias="id")]
Time = Annotated[datetime, PlainSerializer(_print_time, return_type=str)]


class Answer(Out, Generic[T]):
    """`{success, data}`."""

    success: Literal[True]
    data: T

    @classmethod
    def of(cls, data: T) -> Self:
        """Wrap `data`."""
        return cls(success=True, data=data)


class Done(Out):
    """`{success, message}`."""

    success: Literal[True]
    message: str

    @classmethod
    def of(cls, message: str) -> Self:
        """Say that it is done."""
        return cls(success=True, message=message)


class Named(Out):
    """For `data` of one named object: a subclass of the object's class with one field more, its name."""

    @classmethod
    def around(cls, value: Out) -> Self:
        """Lay the object's fields out beside the object itself."""
        (name,) = cls.model_fields.keys() - type(value).model_fields.keys()
        fields: dict[str, Any] = {field: getattr(value, field) for field in type(value).model_fields}
        return cls(**fields, **{name: value})


class Pagination(Out):
    """Where a page stands; pages count from 1."""

    total: int
    page: int
    limit: int
    total_pages: int
    has_next: bool
    has_prev: bool


class Paging:
    """The query `page` and `limit`; a limit above the maximum is taken as the maximum."""

    def __init__(
        self,
        page: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 1,
        limit: Annotated[int, Query(ge=1, description=f"at most {LIMIT_MAX}")] = LIMIT_DEFAULT,
    ) -> None:
        self.page = page
        self.limit = min(limit, LIMIT_MAX)

    @property
    def offset(self) -> int:
        """Rows before this page."""
        return (self.page - 1) * self.limit

    def of(self, total: int) -> Pagination:
        """Place this page among `total` rows."""
        pages = -(-total // self.limit)
        return Pagination(
            total=total,
            page=self.page,
            limit=self.limit,
            total_pages=pages,
            has_next=self.page < pages,
            has_prev=self.page > 1,
        )


class Rows(Out, Generic[T]):
    """Rows without pages; a subclass has one field more, the rows' name."""

    success: Literal[True]
    data: list[T]


class Page(Rows[T], Generic[T]):
    """One page of rows; a subclass has one field more, the rows' name, and what else stands beside them."""

    pagination: Pagination
