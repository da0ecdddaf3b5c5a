"""CO2 that charging saved: by its stated figures, exact, and never a matter of order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.co2 import GRID_KG_PER_KWH, KM_PER_KWH, PETROL_KG_PER_KM, WH_PER_KWH, co2_saved_kg

energies = st.integers(0, 10**12)


def test_a_full_battery_by_hand() -> None:
    # 40 kWh: 240 km, 36.0 kg of petrol's CO2, 28.4 kg of the grid's.
    assert co2_saved_kg(40_000) == 7.6
    assert co2_saved_kg(0) == 0.0
    with pytest.raises(ValueError, match="below zero"):
        co2_saved_kg(-1)


@given(energies)
def test_it_is_petrol_less_grid(energy_wh: int) -> None:
    kwh = energy_wh / WH_PER_KWH
    expected = kwh * float(KM_PER_KWH * PETROL_KG_PER_KM) - kwh * float(GRID_KG_PER_KWH)
    assert co2_saved_kg(energy_wh) == pytest.approx(expected, abs=0.001)


@given(energies, energies)
def test_the_whole_is_its_parts_to_the_rounding(one: int, other: int) -> None:
    assert co2_saved_kg(one + other) == pytest.approx(co2_saved_kg(one) + co2_saved_kg(other), abs=0.0021)
