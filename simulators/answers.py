"""The shapes that command handlers share: a request, an answer, and what follows it.

Used by `simulators.charger_commands` and the handlers of all versions.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from protocols.samples import DecodeError
from protocols.timestamps import parse_timestamp

if TYPE_CHECKING:
    from simulators.charger import ChargePoint

T = TypeVar("T")
Request = Mapping[str, Any]  # has kept its schema
Afterwards = Callable[[], None] | None
Answer = tuple[dict[str, object], Afterwards]
Handler = Callable[["ChargePoint", Request], Answer]
PAGE_MAX = 20


def status(word: str, afterwards: Afterwards = None) -> Answer:
    """The answer that most commands have."""
    return {"status": word}, afterwards


def accepted_if(is_accepted: bool, other: str = "Rejected") -> Answer:
    """Accepted, or the other word."""
    return status("Accepted" if is_accepted else other)


def time_us(request: Request, field: str) -> int | None:
    """A date-time of a request; None if it is left out or none."""
    try:
        return parse_timestamp(request[field], field) if field in request else None
    except DecodeError:
        return None


def pages(items: Sequence[T]) -> Iterator[tuple[int, Sequence[T], bool]]:
    """(number, items, whether more follow) of each page; one empty page of nothing."""
    starts = range(0, max(1, len(items)), PAGE_MAX)
    for number, start in enumerate(starts):
        yield number, items[start : start + PAGE_MAX], start + PAGE_MAX < len(items)
