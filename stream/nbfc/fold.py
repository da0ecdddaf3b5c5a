"""What an NBFC's events make of an application: a function of their set, whatever order they came in.

Used by `stream.nbfc.events`. The furthest status wins; so an approval stands against a rejection, and a
disbursement says that there was an approval. Nothing rests on when an event arrived: only on what it says.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal, TypeVar

Status = Literal["submitted", "under_review", "approved", "rejected", "disbursed"]

RANK: Mapping[Status, int] = {
    "submitted": 0,
    "under_review": 1,
    "rejected": 2,
    "approved": 3,
    "disbursed": 4,
}
_NEVER = datetime.min.replace(tzinfo=UTC)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Event:
    """What an NBFC said once. `occurred_at` is None where it did not say when; `key` is the event's own."""

    key: str
    status: Status
    occurred_at: datetime | None = None
    sanctioned_minor: int | None = None
    rate_pct: Decimal | None = None
    emi_minor: int | None = None
    disbursed_on: date | None = None
    credit_score: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What follows from all events; None where none of them says it."""

    status: Status
    sanctioned_minor: int | None = None
    rate_pct: Decimal | None = None
    emi_minor: int | None = None
    disbursed_minor: int | None = None
    disbursed_on: date | None = None
    credit_score: int | None = None
    reason: str | None = None


def fold(events: Iterable[Event]) -> Outcome:
    """Return the outcome; `submitted` without any event.

    Terms are those of the approval, and the disbursement's where the approval is silent; among several of a
    kind the latest by their own word wins, then the greatest key.
    """
    ordered = sorted(events, key=lambda event: (event.occurred_at or _NEVER, event.key))
    approvals = [event for event in ordered if event.status == "approved"]
    payouts = [event for event in ordered if event.status == "disbursed"]
    terms = [*payouts, *approvals]  # the later ones count more
    return Outcome(
        status=max((event.status for event in ordered), key=RANK.__getitem__, default="submitted"),
        sanctioned_minor=_last(event.sanctioned_minor for event in terms),
        rate_pct=_last(event.rate_pct for event in terms),
        emi_minor=_last(event.emi_minor for event in terms),
        disbursed_minor=_last(event.sanctioned_minor for event in payouts),
        disbursed_on=_last(event.disbursed_on for event in [*approvals, *payouts]),
        credit_score=_last(event.credit_score for event in ordered),
        reason=_last(event.reason for event in ordered if event.status == "rejected"),
    )


def _last(values: Iterable[T | None]) -> T | None:
    found: Sequence[T] = [value for value in values if value is not None]
    return found[-1] if found else None
