"""Which step of a battery's lock is due: pure, from how the loan stands. Used by `stream.lending.locks`.

A lock belongs to a loan and acts on its battery while no other person has it. A dealer's own command takes
the place of ours: one that disables is tried again later; one that enables is followed like ours where the
dealer enables too, and left to the dealer where not. Nobody is disabled before the day that the notice named,
whatever the terms have become since.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum

from storage.queries.battery_locks import Standing, State
from stream.lending.terms import LendingTerms, today

NOTICE_DAYS_MIN = 1  # between a notice and the command, whatever the terms say


class Step(Enum):
    """What can be done about a loan's battery."""

    NOTICE = "notice"
    DISABLE = "disable"
    NOTE_DISABLED = "note_disabled"
    ENABLE = "enable"
    SEND_AGAIN = "send_again"
    END = "end"


# The lock's state after a step; where no device can confirm, DISABLE and ENABLE are followed by the next one.
AFTER: Mapping[tuple[State | None, Step], State] = {
    (None, Step.NOTICE): "noticed",
    ("noticed", Step.DISABLE): "disabling",
    ("noticed", Step.END): "ended",
    ("disabling", Step.DISABLE): "disabling",
    ("disabling", Step.SEND_AGAIN): "disabling",
    ("disabling", Step.NOTE_DISABLED): "disabled",
    ("disabling", Step.ENABLE): "enabling",
    ("disabled", Step.DISABLE): "disabling",  # by a dealer who had switched it on
    ("disabled", Step.ENABLE): "enabling",
    ("enabling", Step.ENABLE): "enabling",
    ("enabling", Step.SEND_AGAIN): "enabling",
    ("enabling", Step.END): "ended",
}


@dataclass(frozen=True, slots=True)
class LockLimits:
    """An unanswered command is sent again after `resend_s`, a refused one is given anew after `retry_s`."""

    resend_s: float = 300.0
    retry_s: float = 900.0
    steps_max: int = 500  # of one run


def notice_day(terms: LendingTerms) -> int:
    """Days of lateness from which the consumer is told."""
    return max(1, terms.disable_after_days - terms.notice_days)


def notice_days(terms: LendingTerms) -> int:
    """Days that lie between the notice and the command at least."""
    return max(NOTICE_DAYS_MIN, terms.notice_days)


def overdue_days(standing: Standing, day: date) -> int:
    """Days since the oldest open instalment was due; 0 where nothing is overdue."""
    return 0 if standing.oldest_due is None else (day - standing.oldest_due).days


def disable_day(oldest_due: date, noticed_on: date, terms: LendingTerms) -> date:
    """The first day on which the battery may be disabled."""
    return max(
        oldest_due + timedelta(days=terms.disable_after_days),
        noticed_on + timedelta(days=notice_days(terms)),
    )


def decide(standing: Standing, terms: LendingTerms, limits: LockLimits, now: datetime) -> Step | None:
    """Return the step that is due, None while there is nothing to do but wait."""
    day = today(now)
    is_released = standing.oldest_due is None or not standing.is_with_consumer
    step: Step | None = None
    match standing.state:
        case None if not is_released and overdue_days(standing, day) >= notice_day(terms):
            step = Step.NOTICE
        case "noticed":
            step = _of_noticed(standing, terms, day, is_released=is_released)
        case "disabling" | "disabled" if is_released:
            step = Step.ENABLE
        case "disabling":
            step = _of_asked(standing, limits, now, confirmed=Step.NOTE_DISABLED, again=Step.DISABLE)
        case "enabling" if standing.command_state == "superseded":
            step = Step.END
        case "enabling":
            step = _of_asked(standing, limits, now, confirmed=Step.END, again=Step.ENABLE)
    return step


def _of_noticed(standing: Standing, terms: LendingTerms, day: date, *, is_released: bool) -> Step | None:
    if is_released or overdue_days(standing, day) < notice_day(terms):
        return Step.END
    assert standing.oldest_due is not None
    assert standing.noticed_at is not None, "a lock begins with its notice"
    due_on = disable_day(standing.oldest_due, today(standing.noticed_at), terms)
    return Step.DISABLE if day >= max(due_on, standing.disable_on or due_on) else None


def _of_asked(
    standing: Standing, limits: LockLimits, now: datetime, *, confirmed: Step, again: Step
) -> Step | None:
    assert standing.asked_at is not None, "a lock that waits for a battery has asked it"
    waited_s = (now - standing.asked_at).total_seconds()
    match standing.command_state:
        case "confirmed":
            return confirmed
        case "pending":
            return Step.SEND_AGAIN if waited_s >= limits.resend_s else None
        case _:
            return again if waited_s >= limits.retry_s else None
