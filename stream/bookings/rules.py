"""When a booking may be made, started and cancelled, and which states follow each other. Pure.

    confirmed -> active -> completed
    confirmed -> cancelled

`pending` is for a fee that is outstanding: nothing makes it, as the fee is held at once (conflict C79).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from storage.queries.bookings import Booking

ESTIMATED_MINUTES_MAX = 1_440
# A request for "now" takes a moment to come here.
PAST_GRACE = timedelta(minutes=1)
START_EARLY = timedelta(minutes=15)
REMIND_AHEAD = timedelta(minutes=15)
RESERVE_AHEAD = timedelta(minutes=10)

NEXT: Mapping[str, frozenset[str]] = {
    "pending": frozenset({"confirmed", "active", "cancelled"}),
    "confirmed": frozenset({"active", "cancelled"}),
    "active": frozenset({"completed"}),
    "completed": frozenset(),
    "cancelled": frozenset(),
}
OPEN = frozenset({"pending", "confirmed"})


def may_become(status: str, following: str) -> bool:
    """Whether a booking of this status may have that one next."""
    return following in NEXT[status]


def time_fault(scheduled_at: datetime, now: datetime, advance_days_max: int) -> str | None:
    """What is wrong with the time that a booking is asked for (R294), or None."""
    if scheduled_at < now - PAST_GRACE:
        return "scheduledTime is in the past"
    if scheduled_at > now + timedelta(days=advance_days_max):
        return f"scheduledTime is more than {advance_days_max} days ahead"
    return None


def start_fault(booking: Booking, now: datetime) -> str | None:
    """Why a booking cannot be started at this time, or None."""
    if now < booking.scheduled_at - START_EARLY:
        return (
            f"it can be started {START_EARLY // timedelta(minutes=1)} minutes before its time at the earliest"
        )
    if now >= booking.ends_at:
        return "its time is over"
    return None


def is_cancellable(booking: Booking, now: datetime, window_minutes: int) -> bool:
    """Whether its driver may still cancel it (R293, conflict C80)."""
    return now <= booking.scheduled_at - timedelta(minutes=window_minutes)


def is_being_started(booking: Booking, now: datetime) -> bool:
    """Whether somebody has the charger begin it at this moment."""
    return booking.starting_until is not None and booking.starting_until > now
