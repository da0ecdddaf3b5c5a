"""Rating: golden charges, rounding, and the laws that every price obeys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.rating import Charges, RatingError, Tariff, rate

INDIA = Tariff(1500, 0, 0, 1800)
FULL = Tariff(1234, 50, 200, 1800)


@pytest.mark.parametrize(
    ("energy_wh", "duration_s", "parking_s", "tariff", "charges"),
    [
        (0, 0, 0, INDIA, Charges(0, 0, 0, 0)),
        (10_000, 3_600, 0, INDIA, Charges(15_000, 0, 0, 2_700)),
        (1, 0, 0, INDIA, Charges(2, 0, 0, 0)),  # 1.5 rounds up; its tax of 0.36 down
        (333, 0, 0, INDIA, Charges(500, 0, 0, 90)),  # 499.5
        (1, 0, 0, Tariff(499, 0, 0, 0), Charges(0, 0, 0, 0)),  # 0.499
        (1, 0, 0, Tariff(500, 0, 0, 0), Charges(1, 0, 0, 0)),  # 0.5
        (0, 59, 0, Tariff(0, 100, 0, 0), Charges(0, 98, 0, 0)),  # 98.33
        (0, 0, 90, Tariff(0, 0, 1, 0), Charges(0, 0, 2, 0)),  # 1.5
        (7_777, 1_800, 600, FULL, Charges(9_597, 1_500, 2_000, 2_357)),  # 9596.818; tax 2357.46
        (0, 60, 0, Tariff(0, 25, 0, 1000), Charges(0, 25, 0, 3)),  # tax 2.5
        (10**12, 10**9, 10**9, Tariff(10**9, 10**9, 10**9, 10_000), Charges(
            10**18, 16_666_666_666_666_667, 16_666_666_666_666_667, 1_033_333_333_333_333_334)),
    ],
)  # fmt: skip
def test_golden_charges(
    energy_wh: int, duration_s: int, parking_s: int, tariff: Tariff, charges: Charges
) -> None:
    assert rate(energy_wh, duration_s, parking_s, tariff) == charges


@pytest.mark.parametrize("name", ["energy_wh", "duration_s", "parking_s"])
def test_a_negative_quantity_has_no_price(name: str) -> None:
    quantities = {"energy_wh": 5, "duration_s": 5, "parking_s": 5, name: -1}
    with pytest.raises(RatingError, match=f"{name}.*-1"):
        rate(**quantities, tariff=INDIA)


def test_a_negative_price_has_none_either() -> None:
    with pytest.raises(RatingError, match="gst_basis_points"):
        rate(1, 1, 1, Tariff(1, 1, 1, -5))


quantities = st.integers(0, 10**9)
prices = st.integers(0, 10**7)
tariffs = st.builds(Tariff, prices, prices, prices, st.integers(0, 10_000))


@given(quantities, quantities, quantities, tariffs)
def test_the_parts_sum_to_the_total_and_each_is_within_half_a_unit(
    energy_wh: int, duration_s: int, parking_s: int, tariff: Tariff
) -> None:
    charges = rate(energy_wh, duration_s, parking_s, tariff)
    parts = (charges.energy_minor, charges.time_minor, charges.parking_minor, charges.gst_minor)
    assert charges.total_minor == sum(parts)
    error = 2 * (energy_wh * tariff.energy_minor_per_kwh - 1000 * charges.energy_minor)
    assert -1000 <= error < 1000  # half up
    assert abs(2 * (duration_s * tariff.time_minor_per_minute - 60 * charges.time_minor)) <= 60
    assert abs(2 * (parking_s * tariff.parking_minor_per_minute - 60 * charges.parking_minor)) <= 60
    assert abs(2 * (charges.net_minor * tariff.gst_basis_points - 10_000 * charges.gst_minor)) <= 10_000


@given(quantities, quantities, quantities, tariffs, st.integers(0, 10**6))
def test_more_of_anything_never_costs_less(
    energy_wh: int, duration_s: int, parking_s: int, tariff: Tariff, more: int
) -> None:
    base = rate(energy_wh, duration_s, parking_s, tariff).total_minor
    assert rate(energy_wh + more, duration_s, parking_s, tariff).total_minor >= base
    assert rate(energy_wh, duration_s + more, parking_s, tariff).total_minor >= base
    assert rate(energy_wh, duration_s, parking_s + more, tariff).total_minor >= base
