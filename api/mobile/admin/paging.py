"""Pages of the portal's lists: by the id of the last one seen, so that no page is skipped or doubled."""

from collections.abc import Sequence
from typing import Annotated, Protocol

from fastapi import Query

from api.fields import Storable

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
ID_MAX = 2**63 - 1
QUERY_CHARACTERS_MAX = 100


class HasId(Protocol):
    """Whatever a list is of."""

    @property
    def id(self) -> int:
        """What the list is in order of."""


class Paging:
    """The query `after` (an id), `limit` and `q` (text to look for)."""

    def __init__(
        self,
        after: Annotated[int, Query(ge=0, le=ID_MAX, description="the `next_after` of the page before")] = 0,
        limit: Annotated[int, Query(ge=1, description=f"at most {LIMIT_MAX}")] = LIMIT_DEFAULT,
        q: Annotated[
            str | None, Query(max_length=QUERY_CHARACTERS_MAX, description="text to look for"), Storable
        ] = None,
    ) -> None:
        self.after = after
        self.limit = min(limit, LIMIT_MAX)
        self.q = q or None

    def next_after(self, page: Sequence[HasId]) -> int | None:
        """What the next page begins behind; None where this one was not full."""
        return page[-1].id if len(page) == self.limit else None
