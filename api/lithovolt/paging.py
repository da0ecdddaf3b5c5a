"""Pages as Django REST Framework clients expect them: `{count, next, previous, results}` (conflict C91)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, Self, TypeVar

from fastapi import Depends, Query, Request
from pydantic import BaseModel

from api.errors import not_found

PAGE_SIZE = 20
PAGE_SIZE_MAX = 100
PAGE_MAX = 1_000_000

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """One page; `next` and `previous` are addresses, `count` is of all pages."""

    count: int
    next: str | None
    previous: str | None
    results: list[T]

    @classmethod
    def of(cls, results: Sequence[T], count: int, paging: "Paging") -> Self:
        """Wrap a page; raises 404 for one beyond the last, as the framework of the clients does."""
        if paging.page > 1 and paging.offset >= count:
            raise not_found("Page", "Invalid page.")
        has_next = paging.offset + paging.page_size < count
        return cls(
            count=count,
            next=paging.address(paging.page + 1) if has_next else None,
            previous=paging.address(paging.page - 1) if paging.page > 1 else None,
            results=list(results),
        )


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page is asked for; pages count from 1."""

    request: Request
    page: int
    page_size: int

    @property
    def offset(self) -> int:
        """How many rows stand before the page."""
        return (self.page - 1) * self.page_size

    def address(self, page: int) -> str:
        """Where another page is, with the same filters."""
        return str(self.request.url.include_query_params(page=page))


def _paging(
    request: Request,
    page: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 1,
    page_size: Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX)] = PAGE_SIZE,
) -> Paging:
    return Paging(request, page, page_size)


Pages = Annotated[Paging, Depends(_paging)]
