"""CO2 that charging saved beside driving a petrol car; used by what shows a vehicle, a driver or a network.

A vehicle that runs on `energy_wh` from the grid goes as far as `KM_PER_KWH` says. A petrol car would have
given off `PETROL_KG_PER_KM` on each of these kilometres; making the electricity gave off `GRID_KG_PER_KWH`.
The difference is what was saved. With these figures it is 0.19 kg a kWh.

Assumptions: losses of the charger count as driven energy, and the way of the fuel from well to tank and the
making of the vehicles are left out on both sides.
"""

from decimal import ROUND_HALF_UP, Decimal

# Average of the Indian grid, Central Electricity Authority, CO2 Baseline Database, about 0.71 t/MWh.
GRID_KG_PER_KWH = Decimal("0.71")
# A petrol passenger car on Indian roads: about 6.5 l/100 km at 2.31 kg CO2 a litre burnt (IPCC 2006).
PETROL_KG_PER_KM = Decimal("0.15")
# A mid-size electric car: about 167 Wh/km.
KM_PER_KWH = Decimal(6)

WH_PER_KWH = 1_000
_SAVED_KG_PER_KWH = KM_PER_KWH * PETROL_KG_PER_KM - GRID_KG_PER_KWH
_GRAMS = Decimal("0.001")


def co2_saved_kg(energy_wh: int) -> float:
    """Return the kilograms of CO2 that `energy_wh` saved, to the gram; raises ValueError below zero."""
    if energy_wh < 0:
        raise ValueError(f"energy is {energy_wh} Wh, it cannot be below zero")
    saved_kg = Decimal(energy_wh) / WH_PER_KWH * _SAVED_KG_PER_KWH
    return float(saved_kg.quantize(_GRAMS, ROUND_HALF_UP))
