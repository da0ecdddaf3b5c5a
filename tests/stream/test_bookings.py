"""The rules of bookings, pure: windows, states, and a cost whose parts sum to its total."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from storage.queries.bookings import Booking
from stream.bookings.cost import Cost, cost_of
from stream.bookings.rules import (
    NEXT,
    OPEN,
    PAST_GRACE,
    START_EARLY,
    is_being_started,
    is_cancellable,
    may_become,
    start_fault,
    time_fault,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
BOOKING = Booking(
    id=1,
    booking_number="BK-20260301-0001",
    user_id=1,
    station_id=1,
    station_connector_id=1,
    vehicle_id=1,
    status="confirmed",
    scheduled_at=NOON,
    ends_at=NOON + timedelta(hours=1),
    estimated_minutes=60,
    started_at=None,
    ended_at=None,
    session_id=None,
    energy_wh=None,
    initial_soc_pct=None,
    final_soc_pct=None,
    reservation_fee_minor=5_000,
    hold_id=None,
    cost={},
    cancellation_reason=None,
    ocpp_reservation_id=None,
    reservation_state="none",
    reserve_command_id=None,
    id_tag="tag",
    starting_until=None,
    has_start_failed=False,
    reminded_at=None,
    logs=[],
    created_at=NOON,
    station_name="Harbour",
    station_owner_id=None,
    time_zone="Asia/Kolkata",
    label="1",
    device_id=None,
    connector_id=None,
    review_score=None,
    review_text=None,
    review_images=None,
    reviewed_at=None,
    cdr_parking_minor=None,
    cdr_gst_minor=None,
    cdr_total_minor=None,
    cdr_lines=None,
)
amounts = st.integers(0, 10**9)


def test_a_booking_ends_and_does_not_come_back() -> None:
    assert may_become("confirmed", "active")
    assert may_become("active", "completed")
    assert not may_become("active", "cancelled")
    assert {status for status, following in NEXT.items() if not following} == {"completed", "cancelled"}
    assert all(status in NEXT for following in NEXT.values() for status in following)
    assert {status for status in NEXT if may_become(status, "cancelled")} == OPEN


def test_the_time_of_a_booking_has_two_bounds() -> None:
    assert time_fault(NOON, NOON, 7) is None
    assert time_fault(NOON - PAST_GRACE, NOON, 7) is None
    assert time_fault(NOON - PAST_GRACE - SECOND, NOON, 7) is not None
    assert time_fault(NOON + timedelta(days=7), NOON, 7) is None
    assert "7 days" in (time_fault(NOON + timedelta(days=7) + SECOND, NOON, 7) or "")


def test_a_booking_starts_a_little_early_and_not_late() -> None:
    opens = NOON - START_EARLY
    assert start_fault(BOOKING, opens - SECOND) is not None
    assert start_fault(BOOKING, opens) is None
    assert start_fault(BOOKING, BOOKING.ends_at - SECOND) is None
    assert start_fault(BOOKING, BOOKING.ends_at) is not None


@given(st.integers(0, 10_080), st.integers(-20_000, 20_000))
def test_a_driver_cancels_until_the_window_begins(window: int, minutes: int) -> None:
    now = NOON - timedelta(minutes=minutes)
    assert is_cancellable(BOOKING, now, window) == (minutes >= window)


def test_a_claim_ends_by_itself() -> None:
    assert not is_being_started(BOOKING, NOON)
    claimed = replace(BOOKING, starting_until=NOON)
    assert is_being_started(claimed, NOON - SECOND)
    assert not is_being_started(claimed, NOON)


@given(st.builds(Cost, *(6 * [amounts])))
def test_an_estimate_comes_back_as_it_was_kept(cost: Cost) -> None:
    assert cost_of(replace(BOOKING, cost=cost.as_json())) == cost
    assert cost_of(replace(BOOKING, cost={**cost.as_json(), "unknown": 1})) == cost


@given(amounts, amounts, amounts, amounts, amounts)
def test_a_record_has_the_last_word(energy: int, parking: int, fee: int, discount: int, gst: int) -> None:
    lines = [
        {"component": "energy", "amount_minor": energy},
        {"component": "discount", "amount_minor": -discount},
        {"component": "fee", "amount_minor": fee},
    ]
    total = energy + parking + fee - discount + gst
    rated = replace(
        BOOKING,
        cost=Cost(1, 2, 3, 4, 5, 5_000).as_json(),
        cdr_parking_minor=parking,
        cdr_gst_minor=gst,
        cdr_total_minor=total,
        cdr_lines=lines,
    )
    cost = cost_of(rated)
    assert cost == Cost(energy, parking, fee, discount, gst, 5_000)
    assert cost.total_minor == total + 5_000
